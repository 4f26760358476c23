"""What pictures are asked, and how."""

from __future__ import annotations

from mullama_media.options import option, options

__all__ = ["CaptionParams"]


@options
class CaptionParams:
    """One question for many pictures."""

    prompt: str = option(
        default="Describe this picture in one sentence.", doc="What is asked about every picture."
    )
    system: str | None = option(default=None, doc="System message.")
    schema: str | None = option(
        default=None,
        doc="JSON schema (the text itself) that every answer keeps to; the caption is then JSON.",
    )
    max_tokens: int = option(default=128, doc="Most tokens of a caption.", ge=1)
    timeout_s: float | None = option(
        default=None, doc="Seconds an answer may take, the wait for a free sequence included.", gt=0
    )
    retries: int = option(
        default=1, doc="How often a picture whose answer failed is asked again.", ge=0, le=10
    )
    temperature: float = option(
        default=0.0, doc="Softmax temperature; at 0 the same picture gets the same caption.", ge=0
    )

"""What pictures are asked, and how."""

from __future__ import annotations

from mullama_media.options import option, options

__all__ = ["CaptionParams", "ClusterParams"]


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


@options
class ClusterParams:
    """Where on a Ray cluster pictures are captioned, and by how many."""

    address: str = option(
        default="local",
        doc="Of a Ray cluster, such as auto or 10.0.0.1:6379; local starts one on this machine "
        "that ends with the command.",
    )
    workers: int | None = option(
        default=None,
        doc="Workers, each with the model loaded once; None for one on each machine.",
        ge=1,
    )
    cpus: float | None = option(
        default=None,
        doc="Processors of a worker; None for its share of the smallest machine's.",
        gt=0,
    )
    gpus: float = option(default=0.0, doc="GPUs of a worker; a fraction shares one.", ge=0)
    batch: int = option(
        default=16,
        doc="Pictures that a worker takes at once. Their captions come back together, and are "
        "made again if it dies before.",
        ge=1,
        le=10_000,
    )
    attempts: int = option(
        default=3,
        doc="How often a batch is begun whose worker dies, before its pictures are tried one by "
        "one and as often.",
        ge=1,
        le=100,
    )

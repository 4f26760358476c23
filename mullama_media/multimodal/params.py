"""What can be said about a question besides its content."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from mullama_media.engine.adapters import AdapterSet
from mullama_media.engine.grammar import Grammar
from mullama_media.engine.sampling import SamplingParams
from mullama_media.engine.stream import StreamConfig
from mullama_media.engine.tools import Tool
from mullama_media.options import option, options
from mullama_media.vision.params import VideoParams

__all__ = ["AskOptions", "CaptionParams", "PromptOptions", "prompt_options", "request_options"]


class PromptOptions(TypedDict, total=False):
    """How content becomes a prompt. Keyword arguments; each may be left out."""

    system: str | None
    """A system message to put first"""
    raw: bool
    """No chat template: the content is what the model continues, as base models want"""
    tools: Sequence[Tool]
    """What the model may call, see `Prompt.of_messages`"""
    tool_choice: str
    """auto, required or none"""
    template_args: Mapping[str, Any] | None
    """Variables for the chat template"""


class AskOptions(PromptOptions, total=False):
    """How a prompt is answered. Keyword arguments; each may be left out."""

    sampling: SamplingParams | None
    """How tokens are chosen"""
    config: StreamConfig | None
    """Where the answer ends"""
    grammar: Grammar | None
    """The answer is a text that it matches, see `Engine.submit`"""
    adapters: AdapterSet | None
    """LoRA adapters and a control vector"""


def prompt_options(asked: AskOptions) -> PromptOptions:
    """Those of them that make the prompt."""
    return {name: asked[name] for name in PromptOptions.__annotations__ if name in asked}  # type: ignore[literal-required, return-value]


def request_options(asked: AskOptions) -> dict[str, Any]:
    """The others: what `Engine.submit` takes."""
    return {
        name: value for name, value in asked.items() if name not in PromptOptions.__annotations__
    }


@functools.lru_cache(maxsize=8)
def _grammar(schema: str) -> Grammar:
    return Grammar.json_schema(schema)


@options
class CaptionParams:
    """One question for many pictures and videos."""

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
    video: VideoParams = option(
        default=VideoParams(), doc="How videos become frames.", native=False
    )

    def ask_options(self) -> AskOptions:
        """The same as keyword arguments for `MultimodalProcessor.stream`.

        Raises:
            GrammarError: the schema holds something that cannot be kept.
        """
        limit = self.timeout_s
        return {
            "system": self.system,
            "sampling": SamplingParams(temperature=self.temperature),
            "config": StreamConfig(
                max_tokens=self.max_tokens,
                max_time_ms=None if limit is None else max(1, round(1000 * limit)),
                buffer_tokens=self.max_tokens,
            ),
            "grammar": _grammar(self.schema) if self.schema else None,
        }

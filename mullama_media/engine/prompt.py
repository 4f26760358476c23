"""From text, pictures and recordings to a prompt the engine can run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mullama_media.engine.grammar import Grammar
from mullama_media.engine.model import Media, Model
from mullama_media.engine.native import core
from mullama_media.engine.tools import (
    REASONING_FORMATS,
    TOOL_CHOICES,
    Answer,
    Tool,
    ToolCall,
    one_of,
    with_ids,
)
from mullama_media.errors import InvalidOptionError, MediaError, ModelCapabilityError
from mullama_media.frames import AudioFrame, Image
from mullama_media.options import is_unicode

__all__ = ["Message", "Part", "Prompt"]

Part = str | Image | AudioFrame
"""A piece of a prompt. Recordings must already have the model's sample rate."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    """system, user, assistant or tool"""
    parts: Sequence[Part] = field(default=())
    """Text, pictures and recordings in any order"""
    tool_calls: Sequence[ToolCall] = field(default=())
    """What an assistant called"""
    reasoning: str = ""
    """What an assistant thought, where the template has a place for it"""
    tool_name: str = ""
    """Of a tool's answer (role tool): who answers"""
    tool_call_id: str = ""
    """Likewise: the call that is answered"""


class Prompt:
    """Tokenised text and preprocessed media. Immutable; may be submitted many times.

    What stands in a user's or tool's message can neither place media nor act as a control token.
    """

    def __init__(self, native: Any) -> None:
        self._native = native

    @classmethod
    def of_messages(
        cls,
        model: Model,
        messages: Sequence[Message],
        *,
        media: Media | None = None,
        tools: Sequence[Tool] = (),
        tool_choice: str = "auto",
        parallel_tool_calls: bool = False,
        enable_thinking: bool = True,
        reasoning_format: str = "auto",
        chat_template: str | None = None,
        template_args: Mapping[str, Any] | None = None,
    ) -> Prompt:
        """A conversation through the model's chat template.

        Blocks for tokenisation and media preprocessing, with the GIL released. Thread-safe.

        Args:
            model: whose vocabulary and template to use.
            messages: the conversation so far.
            media: the encoders, if there are pictures or recordings.
            tools: what the model may call. The grammar that keeps calls well-formed goes with the
                prompt; `Completion.answer` holds what was called.
            tool_choice: "auto" (the model decides; from the first sign of a call on it can write
                nothing but a valid one), "required" (it must call) or "none".
            parallel_tool_calls: whether it may call several at once.
            enable_thinking: passed to the template.
            reasoning_format: "none" leaves thoughts in the content of `Completion.answer`; "auto",
                "deepseek" and "deepseek-legacy" take them out.
            chat_template: a Jinja template instead of the model's own.
            template_args: variables for the template.

        Raises:
            ChatTemplateError: the model has no usable template, or it refused the messages.
            InvalidOptionError: an unknown tool_choice, or a tool that cannot be described.
            ModelCapabilityError: a part needs an encoder that is not there.
            MediaError: a part cannot be preprocessed.
        """
        native = core()
        return cls(
            native.prompt_of_messages(
                model._native,
                media._native if media else None,
                [_native_message(message, media) for message in messages],
                {
                    "enable_thinking": enable_thinking,
                    "kwargs": {k: json.dumps(v) for k, v in (template_args or {}).items()},
                    "tools": [tool._native() for tool in tools],
                    "tool_choice": one_of(tool_choice, TOOL_CHOICES, "tool_choice"),
                    "parallel_tool_calls": parallel_tool_calls,
                    "reasoning_format": one_of(
                        reasoning_format, REASONING_FORMATS, "reasoning_format"
                    ),
                    "template_text": chat_template or "",
                },
            )
        )

    @classmethod
    def of_parts(
        cls,
        model: Model,
        parts: Sequence[Part],
        *,
        media: Media | None = None,
        add_special: bool = True,
        parse_special: bool = False,
    ) -> Prompt:
        """Plain parts without a template, for completion and base models.

        Args:
            model: whose vocabulary to use.
            parts: text, pictures and recordings in any order.
            media: the encoders, if there are pictures or recordings.
            add_special: add the tokens the model wants at the start.
            parse_special: read control tokens in the text as such; off for text from outside.

        Raises:
            InvalidOptionError: nothing is left after tokenisation.
            ModelCapabilityError, MediaError: as in `of_messages`.
        """
        native = core()
        return cls(
            native.prompt_of_parts(
                model._native,
                media._native if media else None,
                [_native_part(p, media) for p in parts],
                add_special,
                parse_special,
            )
        )

    @property
    def n_tokens(self) -> int:
        """Rows it takes in the context, those of media included."""
        return int(self._native.n_tokens)

    @property
    def chunks(self) -> list[tuple[str, Any]]:
        """`("text", ids)`, `("image", rows)` or `("audio", rows)`, in order."""
        return list(self._native.chunks)

    @property
    def tool_grammar(self) -> Grammar | None:
        """What the tools make of the answer, if they constrain it."""
        native = self._native.tool_grammar
        return None if native is None else Grammar(native)

    def parse(
        self, text: str, *, partial: bool = False, call_ids: list[str] | None = None
    ) -> Answer:
        """Read an answer to this prompt: content, thoughts and tool calls. Thread-safe.

        Args:
            text: the answer, or its beginning.
            partial: it is a beginning; what cannot be told apart yet is left out.
            call_ids: ids for calls that have none, by index; more are added as needed.

        Raises:
            AnswerFormatError: a whole answer is not in the format of the template and tools.
            InvalidOptionError: half of a surrogate pair, which is no character.
        """
        if not is_unicode(text):
            raise InvalidOptionError("half of a surrogate pair is not a character", where="text")
        content, reasoning, calls = self._native.parse(text, partial)
        made = tuple(ToolCall(name, arguments, call_id) for call_id, name, arguments in calls)
        return with_ids(Answer(content, reasoning, made), [] if call_ids is None else call_ids)

    def __repr__(self) -> str:
        kinds = ", ".join(kind for kind, _ in self.chunks)
        return f"<Prompt of {self.n_tokens} tokens: {kinds}>"


def _native_message(message: Message, media: Media | None) -> dict[str, Any]:
    return {
        "role": message.role,
        "parts": [_native_part(part, media) for part in message.parts],
        "tool_calls": [(call.id, call.name, call.arguments) for call in message.tool_calls],
        "reasoning": message.reasoning,
        "tool_name": message.tool_name,
        "tool_call_id": message.tool_call_id,
    }


def _native_part(part: Part, media: Media | None) -> Any:
    native = core()
    if isinstance(part, str):
        return part
    if isinstance(part, Image):
        return native.Medium.image(part.pixels)
    if isinstance(part, AudioFrame):
        if media is None or not media.audio:
            raise ModelCapabilityError(
                "the model takes no recordings",
                where=part.name,
                hint="Load it with an mmproj that holds an audio encoder",
            )
        if part.sample_rate != media.sample_rate:
            raise MediaError(
                f"it has {part.sample_rate} Hz and the model wants {media.sample_rate} Hz",
                where=part.name,
                hint="Resample it, or use MultimodalProcessor, which does",
            )
        return native.Medium.audio(part.samples)
    raise MediaError(
        f"a prompt part cannot be a {type(part).__name__}", hint="Use str, Image or AudioFrame"
    )

"""From text, pictures and recordings to a prompt the engine can run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mullama_media.engine.model import Media, Model
from mullama_media.engine.native import core
from mullama_media.errors import MediaError, ModelCapabilityError
from mullama_media.frames import AudioFrame, Image

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
        enable_thinking: bool = True,
        template_args: Mapping[str, Any] | None = None,
    ) -> Prompt:
        """A conversation through the model's chat template.

        Blocks for tokenisation and media preprocessing, with the GIL released. Thread-safe.

        Raises:
            ChatTemplateError: the model has no usable template, or it refused the messages.
            ModelCapabilityError: a part needs an encoder that is not there.
            MediaError: a part cannot be preprocessed.
        """
        native = core()
        return cls(
            native.prompt_of_messages(
                model._native,
                media._native if media else None,
                [(m.role, [_native_part(p, media) for p in m.parts]) for m in messages],
                add_generation_prompt=True,
                enable_thinking=enable_thinking,
                kwargs={k: json.dumps(v) for k, v in (template_args or {}).items()},
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

    def __repr__(self) -> str:
        kinds = ", ".join(kind for kind, _ in self.chunks)
        return f"<Prompt of {self.n_tokens} tokens: {kinds}>"


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

"""Speech, pictures and text in one prompt: asked once, in conversation, or in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mullama_media.lazy import lend

if TYPE_CHECKING:
    from mullama_media.multimodal.content import Content, Input
    from mullama_media.multimodal.conversation import Conversation
    from mullama_media.multimodal.params import AskOptions, CaptionParams, PromptOptions
    from mullama_media.multimodal.processor import MultimodalProcessor

__all__ = [
    "AskOptions",
    "CaptionParams",
    "Content",
    "Conversation",
    "Input",
    "MultimodalProcessor",
    "PromptOptions",
]

_HOMES = {
    "AskOptions": "params",
    "CaptionParams": "params",
    "Content": "content",
    "Conversation": "conversation",
    "Input": "content",
    "MultimodalProcessor": "processor",
    "PromptOptions": "params",
}

__getattr__, __dir__ = lend(__name__, {name: f"{__name__}.{home}" for name, home in _HOMES.items()})

"""Live conversation: somebody speaks, and is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mullama_media.lazy import lend

if TYPE_CHECKING:
    from mullama_media.assistant.chat import LiveChat, LiveEvent
    from mullama_media.assistant.events import Answer, Asked, Problem
    from mullama_media.assistant.params import ChatParams
    from mullama_media.assistant.setup import TABLES, AssistantParams, open_chat

__all__ = [
    "TABLES",
    "Answer",
    "Asked",
    "AssistantParams",
    "ChatParams",
    "LiveChat",
    "LiveEvent",
    "Problem",
    "open_chat",
]

_HOMES = {
    "TABLES": "setup",
    "Answer": "events",
    "Asked": "events",
    "AssistantParams": "setup",
    "ChatParams": "params",
    "LiveChat": "chat",
    "LiveEvent": "chat",
    "Problem": "events",
    "open_chat": "setup",
}

__getattr__, __dir__ = lend(__name__, {name: f"{__name__}.{home}" for name, home in _HOMES.items()})

"""Live conversation: somebody speaks, and is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mullama_media.lazy import lend

if TYPE_CHECKING:
    from mullama_media.assistant.chat import LiveChat, LiveEvent
    from mullama_media.assistant.events import Asked, Problem
    from mullama_media.assistant.params import ChatParams

__all__ = ["Asked", "ChatParams", "LiveChat", "LiveEvent", "Problem"]

_HOMES = {
    "Asked": "events",
    "ChatParams": "params",
    "LiveChat": "chat",
    "LiveEvent": "chat",
    "Problem": "events",
}

__getattr__, __dir__ = lend(__name__, {name: f"{__name__}.{home}" for name, home in _HOMES.items()})

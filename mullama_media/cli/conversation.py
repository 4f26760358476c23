"""A conversation that goes on over several runs of `mullama run --session FILE`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mullama_media.engine import Engine, Message
from mullama_media.errors import StateError
from mullama_media.options import from_mapping
from mullama_media.vision.fetch import Url
from mullama_media.vision.params import VideoParams
from mullama_media.vision.video import Video

__all__ = ["Conversation"]

_KIND = "mullama run 1"


@dataclass
class Conversation:
    """What was said, media by their files; saved as the note of the engine's state."""

    system: str | None = None
    messages: list[Message] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path, engine: Engine) -> Conversation:
        """Fill the engine's cache from the file and return what was said.

        Raises:
            StateError: no state, of another model, or one that `mullama run` did not write.
        """
        note = engine.load(path).note
        try:
            kept = json.loads(note)
            if kept["kind"] != _KIND:
                raise KeyError("kind")
            messages = [
                Message(m["role"], [_part(part) for part in m["parts"]]) for m in kept["messages"]
            ]
            return cls(kept["system"], messages)
        except (ValueError, KeyError, TypeError) as error:
            raise StateError(
                "it holds no conversation of `mullama run`", where=path, hint="Name another file"
            ) from error

    def ask(self, parts: Sequence[Any]) -> list[Message]:
        """What was said, and the next thing the user says."""
        self.messages.append(Message("user", list(parts)))
        return self.messages

    def save(self, path: Path, engine: Engine, answer: str) -> None:
        """Add the answer; write everything, and the engine's cache, to the file."""
        self.messages.append(Message("assistant", [answer]))
        messages = [
            {"role": m.role, "parts": [_as_json(part) for part in m.parts]} for m in self.messages
        ]
        note = {"kind": _KIND, "system": self.system, "messages": messages}
        engine.save(path, note=json.dumps(note, ensure_ascii=False).encode())


def _part(part: Any) -> Any:
    if "video" in part:
        return Video(Path(part["video"]), from_mapping(VideoParams, part["params"]))
    if "file" in part:
        return Path(part["file"])
    return Url(part["url"]) if "url" in part else str(part["text"])


def _as_json(part: Any) -> dict[str, Any]:
    if isinstance(part, Video):
        return {"video": str(Path(part.name).resolve()), "params": vars(part.params)}
    if isinstance(part, Path):
        return {"file": str(part.resolve())}
    return {"url": part.url} if isinstance(part, Url) else {"text": part}

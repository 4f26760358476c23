"""What became of a picture."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Self

__all__ = ["Caption"]


@dataclass(frozen=True, slots=True)
class Caption:
    """A picture's caption, or why it has none."""

    path: str
    """As it was given"""
    digest: str = ""
    """SHA-256 of the file's bytes, in hex; empty where they could not be read"""
    text: str = ""
    data: Any = None
    """The text as a JSON value, where a schema was asked for"""
    finish_reason: str = ""
    """As in `Completion`; length says that the caption was cut off"""
    duplicate_of: str | None = None
    """Path of the picture with the same bytes whose caption this is"""
    milliseconds: float = 0.0
    """From the first look at the file to the caption"""
    error: str | None = None
    """Why it has no caption"""

    def as_dict(self) -> dict[str, Any]:
        """Fields that say something."""
        empty = (None, "", 0.0)
        return {k: v for k, v in dataclasses.asdict(self).items() if k == "path" or v not in empty}

    def of_copy(self, path: str, milliseconds: float) -> Self:
        """The caption of another picture with the same bytes."""
        named = None if path == self.path else self.duplicate_of or self.path
        return dataclasses.replace(self, path=path, duplicate_of=named, milliseconds=milliseconds)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The reverse of `as_dict`; keys of later versions are passed over."""
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known})

"""What a live conversation tells beside the ear's events and the turns' actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mullama_media.engine.stream import Completion

__all__ = ["Answer", "Asked", "Problem"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question goes to the model."""

    generation_id: int
    text: str
    """Of it: what was transcribed or typed; empty where the model hears by itself"""
    content: tuple[Any, ...]
    """The text, or the recordings and what goes with them"""


@dataclass(frozen=True, slots=True)
class Answer:
    """The model has finished an answer, which may still be played."""

    generation_id: int
    completion: Completion


@dataclass(frozen=True, slots=True)
class Problem:
    """Something failed; the conversation goes on."""

    error: Exception
    """A MullamaError, unless a voice, transcriber or judge of your own raised another"""
    generation_id: int | None = None
    """Of the answer that came to nothing by it, if one did"""

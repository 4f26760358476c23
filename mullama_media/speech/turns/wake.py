"""Whether anybody is listening: the wake phrase."""

from __future__ import annotations

from dataclasses import dataclass

from mullama_media.speech.turns.params import TurnParams
from mullama_media.speech.turns.state import Turn
from mullama_media.speech.turns.words import after_phrase

__all__ = ["Wake"]


@dataclass(slots=True)
class Wake:
    """Asleep until the phrase was said; without a phrase always awake."""

    params: TurnParams
    awake: int
    """For how many samples it stays so"""
    until: int | None = None
    """The last index at which it is awake"""

    def at(self, index: int) -> bool:
        """Whether a turn that begins there needs no phrase."""
        return not self.params.wake_phrase or (self.until is not None and index <= self.until)

    def stay(self, now: int) -> None:
        """From now on for a while."""
        self.until = now + self.awake

    def rest(self, turn: Turn) -> str | None:
        """What a turn says without the phrase; None if it is not in it, and would have to be.

        A turn that needs none may begin with it all the same.
        """
        params = self.params
        needed = turn.woke or not self.at(turn.began)
        rest = after_phrase(
            turn.text, params.wake_phrase, params.wake_similarity, at_start=not needed
        )
        return turn.text if rest is None and not needed else rest

"""Which words were spoken, by how many samples were played."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mullama_media.loudspeaker import Played
from mullama_media.speech.sentences import Piece

__all__ = ["Spoken", "SpokenPiece", "words_spoken"]

_QUIET = 0.01  # of full scale: below it a sentence has not begun, or has ended
_UNIT_S = 0.055  # that a letter takes, about


@dataclass(frozen=True, slots=True)
class Spoken:
    """How far an answer was spoken."""

    text: str
    """Its beginning up to the last word that was heard, as it was written: for the history"""
    sentences: int
    """Pieces that were spoken whole"""
    words: int
    """Words of the next one"""
    complete: bool
    """Whether nothing is missing: of all that was given, and it was finished"""
    played: Played


class SpokenPiece:
    """A piece that was made sound: where in the samples of the voice it lies."""

    def __init__(self, piece: Piece, start: int, sample_rate: int) -> None:
        self.piece = piece
        self.start = start
        self.end = start
        self.whole = False
        """Whether all of it has been made"""
        self._rate = sample_rate
        self._voice: tuple[int, int] | None = None

    def add(self, samples: npt.NDArray[np.float32]) -> None:
        """Of the voice's samples the next, shape (n,), are of this piece."""
        loud = np.flatnonzero(np.abs(samples) > _QUIET)
        if loud.size:
            first = self._voice[0] if self._voice else self.end + int(loud[0])
            self._voice = (first, self.end + int(loud[-1]) + 1)
        self.end += len(samples)

    def words_until(self, sample: float) -> int:
        """How many of its words were spoken when the voice had come to this sample."""
        if self.whole and sample >= self.end:
            return len(self.piece.words)
        begin, end = self._voice or (self.start, self.end)
        if not self.whole:  # how long it gets is not known yet
            end = max(end, begin + round(sum(_weights(self.piece)) * _UNIT_S * self._rate))
        return words_spoken(self.piece, (sample - begin) / max(end - begin, 1))


def words_spoken(piece: Piece, share: float) -> int:
    """Words of a piece whose greater part lies within a share (0..1) of its sound.

    An estimate: letters last about the same, figures are spelt out, and marks are pauses. Voices
    do not tell where their words are.
    """
    weights = np.asarray(_weights(piece))
    ends = np.cumsum(weights)
    return int(np.count_nonzero(ends - weights / 2 <= share * ends[-1])) if weights.size else 0


def _weights(piece: Piece) -> list[float]:
    ends = [0, *(word.end for word in piece.words)]
    return [_weight(piece.text[begin:end].strip()) for begin, end in itertools.pairwise(ends)]


def _weight(word: str) -> float:
    letters = sum(char.isalpha() for char in word)
    figures = sum(char.isdigit() for char in word)
    wide = sum("\u2e80" < char < "\ufb00" for char in word)  # a syllable each
    pause = 3.0 if word[-1:] in ",;:.!?…—–" else 0.0
    return 1.0 + letters + 2 * wide + 4 * figures + pause

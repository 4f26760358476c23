"""What was said, and when: words and segments at sample indices of the source."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

__all__ = ["Segment", "Span", "Transcript", "Word", "join", "units"]

# Scripts that put no space between words: kana, Han, Thai, Lao, Khmer, Burmese.
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\u0e00-\u0eff\u1780-\u17ff\u1000-\u109f"


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the source."""

    start: int
    """Index of the first sample"""
    end: int
    """Index after the last sample"""
    index_rate: int
    """Hertz that the indices count in: the source's rate"""

    @property
    def start_s(self) -> float:
        """`start` in seconds."""
        return self.start / self.index_rate

    @property
    def end_s(self) -> float:
        """`end` in seconds."""
        return self.end / self.index_rate

    def _times(self) -> dict[str, Any]:
        return {
            "start": self.start,
            "end": self.end,
            "start_s": round(self.start_s, 3),
            "end_s": round(self.end_s, 3),
        }


@dataclass(frozen=True, slots=True)
class Word(Span):
    """One word with its punctuation."""

    text: str
    """With the space before it, where there is one: words joined are the segment's text"""
    probability: float | None = None
    """0..1, of the backend's own making; None where it has none"""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"text": self.text.strip(), **self._times(), "probability": self.probability}


@dataclass(frozen=True, slots=True)
class Segment(Span):
    """What the backend gave in one piece: a sentence or so."""

    text: str
    words: tuple[Word, ...] = ()
    """Empty where they were not asked for"""
    average_logprob: float | None = None
    """Mean natural log of the tokens' probabilities; None where the backend has none"""
    no_speech_probability: float | None = None
    """0..1; None where the backend has none"""
    compression_ratio: float | None = None
    """Bytes of the text over those zlib makes of it: what repeats itself has a high one"""
    temperature: float | None = None
    """At which it was decoded"""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        found: dict[str, Any] = {"text": self.text, **self._times()}
        if self.words:
            found["words"] = [word.as_dict() for word in self.words]
        for name in (
            "average_logprob",
            "no_speech_probability",
            "compression_ratio",
            "temperature",
        ):
            value = getattr(self, name)
            found[name] = None if value is None else round(value, 4)
        return found


@dataclass(frozen=True, slots=True)
class Transcript(Span):
    """What was said in a recording or an utterance."""

    segments: tuple[Segment, ...]
    backend: str
    """Which transcriber wrote it"""
    language: str | None = None
    """ISO 639-1 code, given or heard; None where nobody knows"""
    language_probability: float | None = None
    """0..1, of a language that was heard"""
    is_final: bool = True
    """False while the speaker goes on"""
    confirmed: str = ""
    """Of an interim transcript the beginning of `text` that will not change any more"""
    rejected: tuple[Segment, ...] = ()
    """What the backend wrote and the checks took for no speech; not in `text`"""
    quiet: str | None = None
    """Why there is no text, if the backend was not asked: no speech, or too quiet"""

    @property
    def text(self) -> str:
        """All of it; empty if nothing was said."""
        return join(segment.text for segment in self.segments)

    @property
    def words(self) -> tuple[Word, ...]:
        """Of all segments; empty where they were not asked for."""
        return tuple(word for segment in self.segments for word in segment.words)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: times as sample index and in seconds."""
        return {
            "text": self.text,
            "language": self.language,
            "language_probability": self.language_probability,
            "is_final": self.is_final,
            "backend": self.backend,
            "index_rate": self.index_rate,
            **self._times(),
            "quiet": self.quiet,
            "segments": [segment.as_dict() for segment in self.segments],
            "rejected": [segment.as_dict() for segment in self.rejected],
        }

    def __str__(self) -> str:
        return self.text


def join(pieces: Iterable[str]) -> str:
    """Pieces of text as one, with spaces where the script has them."""
    joined = ""
    for piece in filter(None, (piece.strip() for piece in pieces)):
        spaced = joined and not re.search(rf"[{_UNSPACED}\u3001\u3002\uff01\uff1f]$", joined)
        joined += f" {piece}" if spaced else piece
    return joined


def units(text: str) -> list[str]:
    """Words, each with the space before it; characters where the script puts no spaces."""
    return re.findall(rf"\s*(?:[{_UNSPACED}]|[^\s{_UNSPACED}]+)", text)

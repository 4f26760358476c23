"""Interim words that hold: LocalAgreement-2.

A word of an interim transcript is confirmed once two transcripts in a row agree on it and on all
words before it (Macháček, Dabre, Bojar 2023, "Turning Whisper into Real-Time Transcription System",
section 3; the policy is from Liu, Spanakis, Niehues 2020, "Low-Latency Sequence-to-Sequence Speech
Recognition and Translation by Partial Hypothesis Selection").
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from mullama_media.speech.transcript import Segment, Transcript, Word, units

__all__ = ["LocalAgreement", "aligned", "worded", "words_of"]


class LocalAgreement:
    """Which words of growing transcripts of one utterance will not change. Pure; not thread-safe.

    Transcripts are compared without case and punctuation. A later one that contradicts what is
    confirmed changes nothing of it: what goes on is the part behind the words that fit it best.
    """

    def __init__(self) -> None:
        self._confirmed: list[Word] = []
        self._before: list[Word] = []  # the last transcript, behind what is confirmed

    @property
    def confirmed(self) -> tuple[Word, ...]:
        """Words that stay."""
        return tuple(self._confirmed)

    def add(self, words: Sequence[Word]) -> tuple[Word, ...]:
        """Take the next transcript, whole; give what it says behind the words now confirmed."""
        rest = list(words[aligned(self._confirmed, words) :])
        pairs = zip(rest, self._before, strict=False)
        same = len(list(itertools.takewhile(lambda pair: _key(pair[0]) == _key(pair[1]), pairs)))
        self._confirmed += rest[:same]
        self._before = rest[same:]
        return tuple(self._before)


def aligned(confirmed: Sequence[Word], words: Sequence[Word]) -> int:
    """How many of the first `words` say what is confirmed, as nearly as they say it.

    That is the prefix with the least edit distance to `confirmed`; of several rather one with the
    same last word, then the one whose length is nearest.
    """
    known = [_key(word) for word in confirmed]
    costs = list(range(len(known) + 1))  # of a prefix of `words` against each prefix of `known`
    best = (costs[-1], True, len(known), 0)
    for count, word in enumerate(words, 1):
        key, above = _key(word), costs[0]
        costs[0] = count
        for n, other in enumerate(known, 1):
            above, costs[n] = costs[n], min(above + (other != key), costs[n] + 1, costs[n - 1] + 1)
        differs = not known or key != known[-1]
        best = min(best, (costs[-1], differs, abs(len(known) - count), count))
    return best[3]


def words_of(transcript: Transcript) -> list[Word]:
    """Its words, each but the first with the space before it; without times of their own those of
    the segment.
    """
    found: list[Word] = []
    for segment in transcript.segments:
        words = list(segment.words) or [_timeless(unit, segment) for unit in units(segment.text)]
        if found and words and words[0].text[:1].isascii() and words[0].text[:1] != " ":
            words[0] = replace(words[0], text=f" {words[0].text}")
        found += words
    return found


def worded(transcript: Transcript, confirmed: Sequence[Word], behind: int) -> Transcript:
    """The transcript with `confirmed` in the place of its first `behind` words."""
    homes = [
        home
        for home, segment in enumerate(transcript.segments)
        for _ in segment.words or units(segment.text)
    ]
    known = homes[:behind] or [0]
    placed = [(known[min(n, len(known) - 1)], word) for n, word in enumerate(confirmed)]
    placed += list(zip(homes, words_of(transcript), strict=True))[behind:]
    timed = any(segment.words for segment in transcript.segments)
    whole = Segment(transcript.start, transcript.end, transcript.index_rate, "")
    segments = []
    for home, segment in enumerate(transcript.segments or (whole,)):
        words = tuple(word for at, word in placed if at == home)
        text = "".join(word.text for word in words).strip()
        if text:
            segments.append(replace(segment, text=text, words=words if timed else ()))
    return replace(transcript, segments=tuple(segments))


def _timeless(text: str, segment: Segment) -> Word:
    return Word(segment.start, segment.end, segment.index_rate, text)


def _key(word: Word) -> str:
    plain = "".join(c for c in word.text.casefold() if c.isalnum())
    return plain or word.text.strip()

"""Word error rate: edit distance of words over the number of words that were said."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

_SMALL = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["_", "_", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def words(text: str) -> list[str]:
    """Lower case, without punctuation and apostrophes, numbers as words."""
    plain = re.sub(r"['\u2019]", "", text.lower())
    return [word for found in re.findall(r"\d+|[^\W\d_]+", plain) for word in _spoken(found)]


def _spoken(word: str) -> list[str]:
    if not word.isdecimal():
        return [word]
    number = int(word)
    if number < 20:
        return [_SMALL[number]]
    if number < 100:
        return [_TENS[number // 10], *([_SMALL[number % 10]] if number % 10 else [])]
    return [_SMALL[int(digit)] for digit in word]


def edits(said: list[str], heard: list[str]) -> int:
    """Least number of words put in, left out or replaced (Levenshtein 1965)."""
    row = np.arange(len(heard) + 1)
    for n, word in enumerate(said, 1):
        swapped = row[:-1] + np.array([word != other for other in heard], int)
        row[1:] = np.minimum(row[1:] + 1, swapped)
        row[0] = n
        # What comes from the left is a running minimum once each column's own cost is taken off.
        columns = np.arange(row.size)
        row = np.minimum.accumulate(row - columns) + columns
    return int(row[-1])


@dataclass
class Tally:
    """Errors and words of many texts."""

    errors: int = 0
    words: int = 0

    def add(self, said: str, heard: str) -> None:
        """Count one text."""
        self.errors += edits(words(said), words(heard))
        self.words += len(words(said))

    @property
    def rate(self) -> float:
        """Of all together."""
        return self.errors / max(self.words, 1)

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.errors + other.errors, self.words + other.words)

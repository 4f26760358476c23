"""What transcripts tell about turns: words, backchannels and a wake phrase."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

__all__ = ["after_phrase", "is_backchannel", "normalized"]


def normalized(text: str) -> list[str]:
    """Its words, without case and punctuation."""
    return re.findall(r"[\w']+", text.casefold())


def is_backchannel(words: Sequence[str], backchannels: Sequence[str]) -> bool:
    """Whether they are all of `backchannels`, any number of them, and not none."""
    known = [normalized(each) for each in backchannels]
    at = 0
    while at < len(words):
        lengths = [len(each) for each in known if each and list(words[at : at + len(each)]) == each]
        if not lengths:
            return False
        at += max(lengths)
    return bool(words)


def after_phrase(
    text: str, phrase: str, similarity: float, *, at_start: bool = False
) -> str | None:
    """What follows the first words of `text` that are like `phrase`; None if none are.

    Compared are letters without spaces, over runs of about as many words as the phrase has, since
    recognizers hear names as other words and cut them elsewhere. Of places that overlap the best
    is taken. Likeness is that of `difflib` (Ratcliff & Obershelp 1988).

    Args:
        text: a transcript.
        phrase: at least one word.
        similarity: the least likeness, 0..1.
        at_start: look for it in the first place only.
    """
    places = list(re.finditer(r"[\w']+", text))
    words = [place[0].casefold() for place in places]
    wanted = normalized(phrase)
    letters = "".join(wanted)
    best: tuple[float, int, int] | None = None
    for begin in range(1 if at_start else len(words)):
        if best is not None and begin >= best[2]:
            break
        for size in range(max(len(wanted) - 1, 1), len(wanted) + 2):
            end = begin + size
            if end > len(words):
                break
            likeness = SequenceMatcher(None, "".join(words[begin:end]), letters).ratio()
            if likeness >= similarity and (best is None or likeness > best[0]):
                best = likeness, begin, end
    if best is None:
        return None
    return re.sub(r"^[\s\W]+", "", text[places[best[2] - 1].end() :])

"""Written text made speakable: without markup, code, links and emoji, word for word aligned."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mullama_media.options import option, options

__all__ = ["SpeakableParams", "Word", "speakable"]


@options
class SpeakableParams:
    """What becomes of the parts of a text that are not meant for the ear."""

    code: str = option(
        default="skip", doc="Code blocks; code inside a line is read.", choices=("skip", "read")
    )
    urls: str = option(
        default="host",
        doc="Addresses: their host alone, nothing, or all of them.",
        choices=("host", "skip", "read"),
    )


@dataclass(frozen=True, slots=True)
class Word:
    """A word of speakable text, and where it was written."""

    end: int
    """Index after its last character in the speakable text"""
    source_end: int
    """Index after its last character in the text it came from"""


class _Aligned:
    """A text that knows of each of its characters where it came from."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = list(range(len(text)))

    def sub(self, pattern: re.Pattern[str], kept: int | str) -> None:
        """Replace matches by one of their groups, or by a text that stands where they ended."""
        parts: list[str] = []
        places: list[int] = []
        done = 0
        for match in pattern.finditer(self.text):
            if match.end() == match.start():
                continue
            parts.append(self.text[done : match.start()])
            places += self.at[done : match.start()]
            if isinstance(kept, str):
                parts.append(kept)
                places += [self.at[match.end() - 1]] * len(kept)
            elif match[kept]:
                parts.append(match[kept])
                places += self.at[match.start(kept) : match.end(kept)]
            done = match.end()
        if done:
            self.text = "".join([*parts, self.text[done:]])
            self.at = places + self.at[done:]


def _line(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"^[ \t]*{pattern}", re.M)


_FENCED = re.compile(
    r"^[ \t]*(`{3,}|~{3,})[^\n]*\n?(.*?)(?:\n[ \t]*\1[`~]*[ \t]*$|\Z)", re.M | re.S
)
_WHERE = r"(?:https?://|www\.)"
_URL_TAIL = r"[^\s<>()\[\]\"'*`]*[^\s<>()\[\]\"'*`.,;:!?…]"
_PICTURES = re.compile(
    "[\U0001f000-\U0001faff\u2600-\u27bf\u2190-\u21ff\u2b00-\u2bff\ufe0f\u200d]+"
)
_AUTOLINK = re.compile(rf"<({_WHERE}[^>\s]*)>")
_CUT_LINK = re.compile(r"\]\([^()\s]*\)")
_STEPS: tuple[tuple[re.Pattern[str], int | str], ...] = (
    (re.compile(r"<!--.*?-->", re.S), ""),
    (re.compile(r"</?[A-Za-z][^<>]{0,200}>"), " "),
    (re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*(?:\([^()]*\)[^()\s]*)?(?:\s+\"[^\"]*\")?\)"), 1),
    (re.compile(r"\[\^[^\]]*\](?!:)"), ""),
    (re.compile(r"!?\[([^\[\]]+)\]\[[^\[\]]*\]"), 1),
    (_CUT_LINK, ""),
    (_line(r"(?:>[ \t]?)+"), ""),
    (_line(r"#{1,6}[ \t]+"), ""),
    (_line(r"[-*+•][ \t]+(?:\[[ xX]\][ \t]+)?"), ""),
    (_line(r"(?:[-*_][ \t]*){3,}$"), ""),
    (_line(r"\|?[ \t:|-]*-{2,}[ \t:|-]*$"), ""),
    (re.compile(r"[ \t]*\|[ \t]*$", re.M), ""),
    (_line(r"\|[ \t]*"), ""),
    (re.compile(r"[ \t]*\|[ \t]*"), ", "),
    (re.compile(r"`+([^`]*)`*"), 1),
    (re.compile(r"~~"), ""),
    (re.compile(r"\*+(?=[^\s*])|(?<=[^\s*])\*+"), ""),
    (re.compile(r"(?<!\w)_+(?=[^\s_])|(?<=[^\s_])_+(?!\w)"), ""),
    (re.compile(r"(?<=\w)_+(?=\w)"), " "),
    (
        re.compile("[\U0001f000-\U0001faff\u2600-\u27bf\u2190-\u21ff\u2b00-\u2bff\ufe0f\u200d]+"),
        " ",
    ),
    (re.compile(r"[ \t]+([.,;:!?…])(?=\s|$)"), 1),
    (re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u200b\ufeff]+"), ""),
)
_HOST = re.compile(rf"{_WHERE}(?:www\.)?([^\s/?#<>()\[\]:]+)(?:[/?#:]{_URL_TAIL})?/?")
_URL = re.compile(rf"{_WHERE}{_URL_TAIL}")
_SPACE = re.compile(r"[ \t]*\n[ \t\n]*|[ \t]{2,}|\t")
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\s\u3040-\u30ff\u3400-\u9fff]+")


def speakable(text: str, params: SpeakableParams | None = None) -> tuple[str, tuple[Word, ...]]:
    """What of a piece of Markdown is to be said, and its words; ("", ()) if nothing is.

    A word is what spaces enclose, and in Chinese and Japanese each character.
    """
    params = params or SpeakableParams()
    aligned = _Aligned(text)
    aligned.sub(_FENCED, 2 if params.code == "read" else "")
    aligned.sub(_AUTOLINK, 1)
    for pattern, kept in _STEPS:
        aligned.sub(pattern, kept)
        if pattern is _CUT_LINK and params.urls == "host":
            aligned.sub(_HOST, 1)
        elif pattern is _CUT_LINK and params.urls == "skip":
            aligned.sub(_URL, "")
    aligned.sub(_SPACE, " ")
    if not any(char.isalnum() for char in aligned.text):
        return "", ()
    begin = len(aligned.text) - len(aligned.text.lstrip())
    spoken = aligned.text.strip()
    words = []
    for match in _WORD.finditer(spoken):
        end = aligned.at[begin + match.end() - 1] + 1
        while end < len(text) and not (text[end].isspace() or text[end].isalnum()):
            end += 1  # closing markup is part of the word
        words.append(Word(match.end(), end))
    return spoken, tuple(words)

"""Text that comes token by token, cut into pieces to speak as soon as each is whole.

Pure: the pieces depend on the text alone, never on where its tokens end. Every decision looks at
as much of what follows as it needs, and waits where that has not come yet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mullama_media.options import option, options
from mullama_media.speech.speakable import SpeakableParams, Word, speakable

__all__ = ["Piece", "SentenceParams", "SentenceSplitter", "split_sentences"]


@options
class SentenceParams:
    """Where text is cut for speaking."""

    first_clause_chars: int = option(
        default=24,
        doc="The first piece may end at a comma, colon or dash behind so many characters, so that "
        "speech begins sooner; 0: only at the end of a sentence.",
        ge=0,
    )
    max_chars: int = option(
        default=300, doc="A longer sentence is cut at a comma, or else a space.", ge=20
    )
    speakable: SpeakableParams = option(default=SpeakableParams(), doc="What is left out.")


@dataclass(frozen=True, slots=True)
class Piece:
    """A sentence, or what is spoken as one."""

    text: str
    """What to say: without markup"""
    start: int
    """Index in the whole text at which it was written"""
    end: int
    """Index after it, closing quotes and markup included"""
    words: tuple[Word, ...]
    """Of `text`; `source_end` is an index in the whole text"""


# Never the end of a sentence, whatever follows.
_TITLE = re.compile(
    r"mr|mrs|ms|mx|dr|prof|rev|hon|gen|col|capt|lt|sgt|st|ste|messrs|mme|mlle|sr|sra|srta|hr|dipl|"
    r"ing|e\.g|i\.e|eg|ie|cf|vs|viz|z\.b|d\.h|u\.a|i\.d\.r|bzw|ca|nr|evtl|ggf|inkl|vgl|p\.ex|figs?|"
    r"eq|pp|vol|ed|approx"
)
# The end where neither a small letter nor a figure follows.
_SHORT = re.compile(
    r"etc|inc|ltd|co|corp|jr|dept|est|al|usw|usf|min|max|hrs|jan|feb|mar|apr|jun|jul|aug|sept?|oct|"
    r"nov|dec|mon|tue|wed|thu|fri|sat|sun|ave|blvd|rd|ph\.d|[bm]\.sc|(?:[a-z]\.)+[a-z]"
)
_INITIALS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")
_WIDE_CLAUSE = "，；：、"
_CLAUSE = ",;:—–" + _WIDE_CLAUSE
_INNER = re.compile(rf"[,;:—–](?=\s)|[{_WIDE_CLAUSE}]")
_MARK = re.compile(r"[.!?…。！？｡।॥۔؟\n,;:—–，；：、]")
_RUN = re.compile(r"[.!?…]+")
_WIDE_RUN = re.compile(r"[。！？｡।॥۔؟!?…]+")
_CLOSERS = re.compile(r"[\"'”’»)\]*_`~」』）】》〉]*")
_QUOTES = frozenset("\"'”’»)」』")
_OPENERS = re.compile(r"[\s\"'“‘«(\[*_`#¿¡>]*")
_BLOCK = re.compile(r"[ \t]*(?:[-*+•][ \t]|\d{1,3}[.)][ \t]|#{1,6}[ \t]|>|\||`{3}|~{3})")
_MAYBE_BLOCK = re.compile(r"[ \t]*(?:[-*+•]|\d{1,3}[.)]?|#{1,6}|`{1,2}|~{1,2})?")
_LINE_OF_ITS_OWN = re.compile(r"[ \t]*(?:[-*+•][ \t]|\d{1,3}[.)][ \t]|#{1,6}[ \t]|\|)")
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})")
_MAYBE_FENCE = re.compile(r"[ \t]*(?:`{1,2}|~{1,2})")


class _UndecidedError(Exception):
    """What follows decides, and has not come."""


class SentenceSplitter:
    """Cuts a text into pieces while it comes. Not thread-safe."""

    def __init__(self, params: SentenceParams | None = None) -> None:
        self.params = params or SentenceParams()
        self._text = ""  # not cut yet
        self._at = 0  # its place in the whole
        self._line_start = True
        self._first = True
        self._looked = 0  # so far no code block ends

    def feed(self, text: str) -> list[Piece]:
        """Add the text of a token; give the pieces that it made whole."""
        self._text += text
        return self._pieces(final=False)

    def flush(self) -> list[Piece]:
        """The text ends here: give what is left. The next text begins another."""
        pieces = self._pieces(final=True)
        self.__init__(self.params)  # type: ignore[misc]
        return pieces

    def _pieces(self, *, final: bool) -> list[Piece]:
        pieces: list[Piece] = []
        while self._text:
            try:
                cut = self._cut(final)
            except _UndecidedError:
                break
            piece = self._piece(cut)
            self._line_start = self._text[:cut].endswith("\n")
            self._text = self._text[cut:]
            self._at += cut
            self._looked = 0
            if piece is not None:
                self._first = False
                pieces.append(piece)
        return pieces

    def _piece(self, cut: int) -> Piece | None:
        raw = self._text[:cut]
        said, words = speakable(raw, self.params.speakable)
        if not said:
            return None
        begin = self._at + len(raw) - len(raw.lstrip())
        moved = tuple(Word(word.end, self._at + word.source_end) for word in words)
        return Piece(said, begin, self._at + cut, moved)

    def _cut(self, final: bool) -> int:
        """Where the first piece of the text ends. Raises _UndecidedError."""
        text = self._text
        begin = len(text) - len(text.lstrip())
        if begin == len(text):
            return self._rest(final)
        line = text.rfind("\n", 0, begin) + 1
        if line or self._line_start:
            if _FENCE.match(text, line):
                return self._fence(line, final)
            if not final and _MAYBE_FENCE.fullmatch(text, line):
                raise _UndecidedError
        most = begin + self.params.max_chars
        at = begin
        while (mark := _MARK.search(text, at)) and mark.end() <= most:
            at, ends = self._judge(mark.start(), begin, final)
            if ends:
                return at
        return self._long(begin, most) if len(text) > most else self._rest(final)

    def _rest(self, final: bool) -> int:
        if final:
            return len(self._text)
        raise _UndecidedError

    def _fence(self, line: int, final: bool) -> int:
        """After the code block that begins in this line."""
        fence = _FENCE.match(self._text, line)
        assert fence is not None  # noqa: S101 - the caller has seen it
        closing = re.compile(rf"\n[ \t]*{re.escape(fence[1])}[`~]*[ \t]*(?=\n)")
        end = closing.search(self._text, max(fence.end() - 1, self._looked))
        if end:
            return end.end()
        self._looked = max(0, self._text.rfind("\n"))
        return self._rest(final)

    def _judge(self, at: int, begin: int, final: bool) -> tuple[int, bool]:
        """Of a mark: where to look on, or (True) where the piece ends."""
        char = self._text[at]
        if char == "\n":
            return (at, True) if self._line_ends(at, final) else (at + 1, False)
        if char in _CLAUSE:
            return at + 1, self._clause_ends(at, begin, final)
        wide = char not in ".!?…"
        run = (_WIDE_RUN if wide else _RUN).match(self._text, at)
        assert run is not None  # noqa: S101 - the mark is one
        closers = _CLOSERS.match(self._text, run.end())
        end = closers.end() if closers else run.end()
        if end == len(self._text):
            if not final:
                raise _UndecidedError
            return end, True
        if wide:
            return end, True
        if not self._text[end].isspace():
            return max(run.end(), at + 1), False
        quoted = bool(_QUOTES & set(self._text[run.end() : end]))
        return end, self._sentence_ends(run, end, quoted, begin, final)

    def _sentence_ends(
        self, run: re.Match[str], end: int, quoted: bool, begin: int, final: bool
    ) -> bool:
        """Of full stops, question and exclamation marks that a space follows."""
        if run[0] != ".":
            if quoted or "." in run[0] or "…" in run[0]:
                return not self._next(end, final).islower()
            return True
        before = re.search(r"[\w.]*$", self._text[begin : run.start()])
        word = before[0] if before else ""
        short = word.lower()
        if self._is_item(run.start(), word) or _TITLE.fullmatch(short):
            return False
        if short == "no":
            return not self._next(end, final).isdigit()
        if word.isdigit() or quoted:
            return not self._next(end, final).islower()
        initials = word.isupper() or len(word) == 1
        if initials and word != "I" and _INITIALS.fullmatch(word):
            return False  # J. R. R., U.S., z. B.: two sentences as one are better than halves
        if _SHORT.fullmatch(short):
            follows = self._next(end, final)
            return not (follows.islower() or follows.isdigit())
        return True

    def _is_item(self, stop: int, word: str) -> bool:
        """Whether the full stop belongs to the number of a list item."""
        line = self._text.rfind("\n", 0, stop) + 1
        alone = self._text[line:stop].strip() == word and len(word) <= 3 and word.isdigit()
        return alone and (line > 0 or self._line_start)

    def _next(self, end: int, final: bool) -> str:
        """The first letter, figure or other sign after spaces, quotes and markup; "" at the end."""
        openers = _OPENERS.match(self._text, end)
        place = openers.end() if openers else end
        if place == len(self._text):
            if not final:
                raise _UndecidedError
            return ""
        return self._text[place]

    def _line_ends(self, at: int, final: bool) -> bool:
        """Whether a line break ends a piece: not inside a paragraph."""
        line = self._text.rfind("\n", 0, at) + 1
        whole = line > 0 or self._line_start
        if whole and _LINE_OF_ITS_OWN.match(self._text, line):
            return True
        if self._text[line:at].rstrip().endswith((":", "：")):
            return True
        rest = self._text[at + 1 :]
        if _BLOCK.match(rest) or rest.lstrip(" \t").startswith("\n"):
            return True
        if not final and _MAYBE_BLOCK.fullmatch(rest):
            raise _UndecidedError
        return False

    def _clause_ends(self, at: int, begin: int, final: bool) -> bool:
        least = self.params.first_clause_chars
        if not self._first or not least or at + 1 - begin < least:
            return False
        if self._text[at] in _WIDE_CLAUSE:
            return True
        if at + 1 == len(self._text):
            if not final:
                raise _UndecidedError
            return True
        return self._text[at + 1] in " \t"

    def _long(self, begin: int, most: int) -> int:
        """A cut inside a sentence that has no end for too long."""
        text = self._text[:most]
        clause = max((mark.end() for mark in _INNER.finditer(text, begin)), default=0)
        if clause - begin > self.params.max_chars // 2:
            return clause
        space = max(text.rfind(" ", begin + 1), text.rfind("\n", begin + 1))
        return space if space > begin else most


def split_sentences(text: str, params: SentenceParams | None = None) -> list[Piece]:
    """All pieces of a text that is there as a whole."""
    splitter = SentenceSplitter(params)
    return [*splitter.feed(text), *splitter.flush()]

"""Regular expressions, the part that is regular, to GBNF and to JSON string patterns.

Taken: literal characters, `.` (any but a line end), classes `[a-z0-9_]` and `[^...]`, groups
`(...)` and `(?:...)`, `|`, `?`, `*`, `+`, `{m}`, `{m,}`, `{,n}`, `{m,n}`, the escapes
`\\d \\w \\s` and their opposites (ASCII), `\\t \\n \\r \\f \\v \\0 \\xHH \\uHHHH`, escaped
punctuation, and the anchors `^` and `$` at the two ends. Everything else (look-around,
backreferences, lazy and possessive repetition, flags, word borders) is refused with its position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from mullama_media.errors import GrammarError

__all__ = ["Pattern", "parse", "to_gbnf", "to_json_pattern"]

Ranges = tuple[tuple[int, int], ...]

_LAST = 0x10FFFF
_DEPTH = 40
_MOST = 10_000  # of a repetition, as in GBNF
_DIGIT: Ranges = ((48, 57),)
_WORD: Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
_SPACE: Ranges = ((9, 13), (32, 32))
_LINE_ENDS: Ranges = ((10, 10), (13, 13), (0x2028, 0x2029))
_ASCII: Ranges = ((0, 127),)
_ESCAPES = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "0": 0}
_SETS = {"d": _DIGIT, "w": _WORD, "s": _SPACE}


@dataclass(frozen=True, slots=True)
class Chars:
    """One character out of a set."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Series:
    """One after the other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of them."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """`low` to `high` times; None is without end."""

    part: Node
    low: int
    high: int | None


Node = Chars | Series | Choice | Repeat


@dataclass(frozen=True, slots=True)
class Pattern:
    """A parsed expression: alternatives, and at which ends each is anchored."""

    ways: tuple[tuple[Node, bool, bool], ...]

    def whole(self) -> Node:
        """What matches the whole text."""
        return _choice([node for node, _, _ in self.ways])

    def anywhere(self) -> Node:
        """What matches a text that holds a match, as `re.search` and JSON Schema do."""
        rest = Repeat(Chars(((0, _LAST),)), 0, None)
        return _choice(
            [
                Series((*(() if first else (rest,)), node, *(() if last else (rest,))))
                for node, first, last in self.ways
            ]
        )


def parse(pattern: str) -> Pattern:
    """Parse a regular expression.

    Raises:
        GrammarError: it is wrong or outside the subset; `where` is "position P", from 0.
    """
    return _Parser(pattern).parse()


def to_gbnf(node: Node) -> str:
    """The right-hand side of a GBNF rule that matches the same texts."""
    match node:
        case Chars(ranges):
            return f"[{''.join(map(_gbnf_range, ranges))}]"
        case Series(parts):
            return " ".join(_grouped(part) for part in parts) or '""'
        case Choice(parts):
            return " | ".join(to_gbnf(part) for part in parts)
        case Repeat(part, low, high):
            return _grouped(part) + _times(low, high)


def to_json_pattern(node: Node) -> str:
    """A pattern over the inside of a JSON string, for llama.cpp's schema converter.

    Characters that JSON must escape stand there escaped, so that what the converter makes of it
    is always a valid string. Control characters without a short escape are left out.
    """
    match node:
        case Chars(ranges):
            return _json_chars(ranges)
        case Series(parts):
            return "".join(f"({to_json_pattern(part)})" for part in parts)
        case Choice(parts):
            return "|".join(f"({to_json_pattern(part)})" for part in parts)
        case Repeat(part, low, high):
            return f"({to_json_pattern(part)})" + _times(low, high)


def _grouped(node: Node) -> str:
    return to_gbnf(node) if isinstance(node, Chars) else f"({to_gbnf(node)})"


def _times(low: int, high: int | None) -> str:
    short = {(0, None): "*", (1, None): "+", (0, 1): "?"}.get((low, high))
    return short or f"{{{low},{'' if high is None else high}}}"


def _gbnf_range(span: tuple[int, int]) -> str:
    return f"\\U{span[0]:08X}" if span[0] == span[1] else f"\\U{span[0]:08X}-\\U{span[1]:08X}"


def _json_chars(ranges: Ranges) -> str:
    escaped = {0x22: '"', 0x5C: "\\", 8: "b", 9: "t", 10: "n", 12: "f", 13: "r"}
    plain = _intersect(ranges, ((0x20, 0x21), (0x23, 0x5B), (0x5D, 0x7E), (0x80, _LAST)))
    ways = [f"[{''.join(map(_gbnf_range, plain))}]"] if plain else []
    ways += [
        f"[\\x5C][\\x{ord(letter):02X}]"
        for code, letter in escaped.items()
        if any(low <= code <= high for low, high in ranges)
    ]
    if not ways:
        raise GrammarError(
            "it wants control characters, which are not supported", where="position 0"
        )
    return "|".join(ways)


def _choice(parts: Sequence[Node]) -> Node:
    return parts[0] if len(parts) == 1 else Choice(tuple(parts))


def _merge(ranges: Sequence[tuple[int, int]]) -> Ranges:
    out: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if out and low <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(out[-1][1], high))
        else:
            out.append((low, high))
    return tuple(out)


def _invert(ranges: Ranges) -> Ranges:
    out, after = [], 0
    for low, high in ranges:
        if low > after:
            out.append((after, low - 1))
        after = high + 1
    return tuple([*out, (after, _LAST)] if after <= _LAST else out)


def _intersect(a: Ranges, b: Ranges) -> Ranges:
    return tuple(
        (max(low, l2), min(high, h2))
        for low, high in a
        for l2, h2 in b
        if max(low, l2) <= min(high, h2)
    )


class _Parser:
    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0

    def parse(self) -> Pattern:
        ways = []
        while True:
            first = self.take("^")
            node = self.sequence(0, top=True)
            last = self.take("$")
            if self.peek() not in ("", "|"):
                self.expected("the end or '|'")
            ways.append((node, first, last))
            if not self.take("|"):
                return Pattern(tuple(ways))

    def fail(self, what: str, at: int | None = None) -> NoReturn:
        raise GrammarError(what, where=f"position {self.at if at is None else at}")

    def expected(self, what: str) -> NoReturn:
        found = f"'{self.peek()}'" if self.peek() else "the end"
        self.fail(f"expected {what}, found {found}")

    def peek(self, ahead: int = 0) -> str:
        return self.pattern[self.at + ahead : self.at + ahead + 1]

    def take(self, text: str) -> bool:
        if self.pattern.startswith(text, self.at):
            self.at += len(text)
            return True
        return False

    def choice(self, depth: int) -> Node:
        parts = [self.sequence(depth)]
        while self.take("|"):
            parts.append(self.sequence(depth))
        return _choice(parts)

    def sequence(self, depth: int, *, top: bool = False) -> Node:
        parts: list[Node] = []
        while (c := self.peek()) not in ("", "|", ")"):
            if top and c == "$" and self.peek(1) in ("", "|"):
                break
            parts.append(self.repeated(self.one(depth)))
        if top and self.peek() == ")":
            self.fail("there is no '(' for this ')'")
        return parts[0] if len(parts) == 1 else Series(tuple(parts))

    def one(self, depth: int) -> Node:
        c, start = self.peek(), self.at
        if c == "(":
            return self.group(depth)
        if c == "[":
            return self.set()
        if c in "*+?":
            self.fail(f"there is nothing before '{c}' to repeat")
        if c in "^$":
            self.fail(f"'{c}' is supported at the ends of the pattern only")
        if c == "{" and self.counts() is not None:
            self.at = start
            self.fail("there is nothing before '{' to repeat")
        self.at = start + 1
        if c == ".":
            return Chars(_invert(_LINE_ENDS))
        if c == "\\":
            return Chars(self.escape())
        return Chars(self.character(c, start))

    def group(self, depth: int) -> Node:
        start = self.at
        self.at += 1
        if depth >= _DEPTH:
            self.fail(f"groups more than {_DEPTH} deep", start)
        if self.peek() == "?" and not self.take("?:"):
            self.fail("of the groups with '?' only (?:...) is supported", start)
        node = self.choice(depth + 1)
        if not self.take(")"):
            self.fail("there is no ')' for this '('", start)
        return node

    def repeated(self, node: Node) -> Node:
        start = self.at
        counts: tuple[int, int | None] | None = None
        for text, meaning in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self.take(text):
                counts = meaning
                break
        else:
            counts = self.counts() if self.peek() == "{" else None
        if counts is None:
            return node
        if self.peek() in ("?", "+", "*") or (self.peek() == "{" and self.counts() is not None):
            self.fail("a repetition of a repetition is not supported; use a group", start)
        low, high = counts
        if max(low, high or 0) > _MOST:
            self.fail(f"a repetition may count to {_MOST} at most", start)
        if high is not None and high < low:
            self.fail("the repetition ends before it begins", start)
        return Repeat(node, low, high)

    def counts(self) -> tuple[int, int | None] | None:
        """Of `{m,n}`; None where the brace is an ordinary character."""
        end = self.pattern.find("}", self.at, self.at + 24)
        low, comma, high = self.pattern[self.at + 1 : max(end, 0)].partition(",")
        digits = [part for part in (low, high) if part]
        if end < 0 or not all(p.isdecimal() and p.isascii() for p in digits) or not digits:
            return None
        self.at = end + 1
        return int(low or 0), (int(high) if high else None) if comma else int(low)

    def character(self, c: str, at: int) -> Ranges:
        code = ord(c)
        if 0xD800 <= code <= 0xDFFF:
            self.fail("half of a surrogate pair is not a character", at)
        return ((code, code),)

    def escape(self, *, in_set: bool = False) -> Ranges:
        """What follows a backslash."""
        start = self.at - 1
        c = self.peek()
        self.at += 1
        if c.lower() in _SETS:
            ranges = _SETS[c.lower()]
            return ranges if c.islower() else _intersect(_invert(ranges), _ASCII)
        if c == "0" and self.peek().isdecimal():
            self.fail("octal escapes are not supported", start)
        if c in _ESCAPES:
            return ((_ESCAPES[c], _ESCAPES[c]),)
        if c == "b" and in_set:
            return ((8, 8),)
        if c in ("x", "u"):
            size = 2 if c == "x" else 4
            digits = self.pattern[self.at : self.at + size]
            if len(digits) < size or any(d not in "0123456789abcdefABCDEF" for d in digits):
                self.fail(f"expected {size} hexadecimal digits", start)
            self.at += size
            return self.character(chr(int(digits, 16)), start)
        if not c or c.isalnum() or not c.isascii():
            self.fail(f"the escape '\\{c}' is not supported", start)
        return self.character(c, start)

    def set(self) -> Node:
        start = self.at
        self.at += 1
        negate = self.take("^")
        ranges: list[tuple[int, int]] = []
        first, named = True, False
        while first or self.peek() != "]":
            if not self.peek():
                self.fail("there is no ']' for this '['", start)
            if self.peek() == "[" and self.peek(1) in (":", "=", "."):
                self.fail("named classes are not supported")
            at = self.at
            first = False
            named = named or (self.peek() == "\\" and self.peek(1).lower() in _SETS)
            low = self.member()
            if self.peek() == "-" and self.peek(1) not in ("]", ""):
                self.at += 1
                high = self.member()
                if not (len(low) == len(high) == 1 and low[0][0] == low[0][1]):
                    self.fail("a range needs a character at both ends", at)
                if high[0][0] < low[0][0] or high[0][0] != high[0][1]:
                    self.fail("the range runs backwards", at)
                low = ((low[0][0], high[0][0]),)
            ranges += low
        self.at += 1
        merged = _merge(ranges)
        if negate:
            merged = _invert(merged)
            if named:  # what \w leaves out beyond ASCII is not agreed upon
                merged = _intersect(merged, _ASCII)
        if not merged:
            self.fail("no character is in this class", start)
        return Chars(merged)

    def member(self) -> Ranges:
        at, c = self.at, self.peek()
        self.at += 1
        return self.escape(in_set=True) if c == "\\" else self.character(c, at)

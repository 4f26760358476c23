"""What an answer may be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mullama_media.engine import regex
from mullama_media.engine import schema as schemas
from mullama_media.engine.native import core
from mullama_media.errors import GrammarError

__all__ = ["Grammar"]


class Grammar:
    """A set of texts; with it, a request generates one of them and nothing else.

        yes_or_no = Grammar.choice(["yes", "no"])
        engine.submit(prompt, grammar=yes_or_no + Grammar.regex(r"\\.?"))

    Immutable and thread-safe. Making one costs its compilation; using it in many requests, at
    once or one after the other, shares that and what was learned about the vocabulary.

    A grammar constrains what the model may write, not what it means to say: tell it in the prompt
    what is wanted. `max_tokens` and stop texts still cut an answer off.
    """

    def __init__(self, native: Any) -> None:
        self._native = native

    @classmethod
    def gbnf(cls, text: str | bytes, root: str = "root") -> Grammar:
        """From llama.cpp's notation, GBNF.

        Rules `name ::= ...`, texts in quotes, classes `[a-z]` and `[^a-z]`, `.` for any character,
        `( )`, `|`, `?`, `*`, `+`, `{m}`, `{m,}`, `{m,n}` with counts to 10000, tokens `<name>`,
        `<[id]>` and `!<...>` for any other, comments from `#`.

        Args:
            text: the rules; bytes are UTF-8.
            root: the rule to start from.

        Raises:
            GrammarError: a syntax error, an undefined rule, left recursion, a rule that never
                ends, or a grammar that is too large; `line` and `column` say where.
        """
        return cls(core().Grammar.gbnf(_utf8(text), root))

    @classmethod
    def json(cls, *, compact: bool = False) -> Grammar:
        """Any JSON value. `compact` leaves out white space between tokens."""
        return cls(core().Grammar.json_schema("{}", compact))

    @classmethod
    def json_schema(cls, schema: Any, *, compact: bool = False) -> Grammar:
        """JSON that is valid under a schema.

        Args:
            schema: a mapping, JSON text, or a class with `model_json_schema()` such as a pydantic
                model. A subset of draft 2020-12, stated in `mullama_media.engine.schema`;
                properties come in the order of the schema, the required ones first.
            compact: no white space between tokens; fewer tokens, and small models are not led
                astray by line ends.

        Raises:
            GrammarError: the schema holds something that could not be kept; `where` is the JSON
                pointer to it. Nothing is passed over in silence.
        """
        text = schemas.normalise(schemas.from_any(schema))
        try:
            return cls(core().Grammar.json_schema(text, compact))
        except GrammarError as error:
            ends = "ends" in error.what or "begins with itself" in error.what
            what = "values of the schema can have no end, through $ref" if ends else error.what
            raise GrammarError(what, where="#", hint=None if ends else error.hint) from error

    @classmethod
    def regex(cls, pattern: str) -> Grammar:
        """What a regular expression matches as a whole; see `mullama_media.engine.regex`.

        Raises:
            GrammarError: it is wrong or not regular; `position` says where.
        """
        node = regex.parse(pattern).whole()
        try:
            return cls(core().Grammar.gbnf(f"root ::= {regex.to_gbnf(node)}".encode(), "root"))
        except GrammarError as error:
            raise GrammarError(error.what, where="position 0", hint=error.hint) from error

    @classmethod
    def choice(cls, texts: Iterable[str]) -> Grammar:
        """One of these texts. Raises GrammarError when there is none or one is not Unicode."""
        return cls(core().Grammar.choice([_utf8(text).decode() for text in texts]))

    @classmethod
    def sequence(cls, *parts: Grammar | str) -> Grammar:
        """One part after the other; a str stands for itself. Also `a + b`."""
        return cls(core().Grammar.sequence([_native(part) for part in parts]))

    @classmethod
    def any_of(cls, *parts: Grammar | str) -> Grammar:
        """One of the parts. Also `a | b`."""
        return cls(core().Grammar.any_of([_native(part) for part in parts]))

    def repeat(
        self,
        min: int = 0,  # noqa: A002
        max: int | None = None,  # noqa: A002
        *,
        separator: Grammar | str | None = None,
    ) -> Grammar:
        """This `min` to `max` times (None: without end), with `separator` between.

        Raises:
            GrammarError: the counts are out of order, above 10000, or the result is too large.
        """
        between = None if separator is None else _native(separator)
        last = -1 if max is None else max
        if max is not None and max < 0:
            raise GrammarError(f"{max} times is not possible")
        return Grammar(core().Grammar.repeat(self._native, min, last, between))

    def optional(self) -> Grammar:
        """This or nothing."""
        return self.repeat(0, 1)

    def when(
        self,
        words: Sequence[str] = (),
        *,
        tokens: Sequence[int] = (),
        patterns: Sequence[Grammar] = (),
        after: bool = False,
    ) -> Grammar:
        """The same, but waiting: the answer is free until a trigger appears in it.

        Args:
            words: texts that are triggers, also across tokens.
            tokens: ids of tokens that are triggers.
            patterns: grammars; the first text one of them matches is a trigger.
            after: the grammar begins behind the trigger. Otherwise it begins with the trigger and
                must match that too, as in llama.cpp.

        A token that holds a trigger and then goes on as the grammar does not allow is not taken.
        Triggers are looked for in the last 1024 bytes. A waiting grammar cannot be composed
        further.

        Raises:
            GrammarError: there is no trigger, or one that matches the empty text.
        """
        natives = [pattern._native for pattern in patterns]
        made = self._native.when(
            words=list(words), tokens=list(tokens), patterns=natives, after=after
        )
        return Grammar(made)

    @property
    def text(self) -> str:
        """As GBNF, with `root` for the start where it was composed."""
        return str(self._native.text)

    @property
    def waits(self) -> bool:
        """Whether it was made by `when`."""
        return bool(self._native.waits)

    def matches(self, text: str | bytes) -> bool:
        """Whether it is one of the texts. Triggers play no part; tokens match nothing."""
        return bool(self._native.matches(_utf8(text)))

    def begins(self, text: str | bytes) -> bool:
        """Whether one of the texts begins like this."""
        return bool(self._native.begins(_utf8(text)))

    def __add__(self, other: Grammar | str) -> Grammar:
        return Grammar.sequence(self, other)

    def __radd__(self, other: str) -> Grammar:
        return Grammar.sequence(other, self)

    def __or__(self, other: Grammar | str) -> Grammar:
        return Grammar.any_of(self, other)

    def __ror__(self, other: str) -> Grammar:
        return Grammar.any_of(other, self)

    def __repr__(self) -> str:
        text = self.text.rstrip("\n").replace("\n", "; ")
        return f"<Grammar {text if len(text) <= 80 else text[:77] + '...'}>"


def _utf8(text: str | bytes) -> bytes:
    try:
        return text if isinstance(text, bytes) else text.encode()
    except UnicodeEncodeError as error:
        raise GrammarError(
            "half of a surrogate pair is not a character", where=f"position {error.start}"
        ) from error


def _native(part: Grammar | str) -> Any:
    if isinstance(part, str):
        part = Grammar.choice([part])
    if part.waits:
        raise GrammarError("a waiting grammar cannot be part of another", hint="Call when() last")
    return part._native

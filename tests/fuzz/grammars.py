"""Throw broken and odd grammars, schemas and expressions at the parsers.

    python -m tests.fuzz.grammars [SECONDS] [SEED]

Whatever comes in, what comes out is a grammar or a GrammarError, soon. An input that breaks this
is kept in the corpus folder (name: what it was thrown at), which is tried first the next time.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

from mullama_media import Grammar
from mullama_media.errors import GrammarError
from tests.engine import schemas

CORPUS = Path(__file__).parent / "corpus"
SLOW_S = 2.0
PIECES = [
    *('root ::= "a"', "x ::= ", "\n", "|", "(", ")", "*", "+", "?", "{2,3}", "{0,}", "{9999}"),
    *("[a-z]", "[^", "]", '"', "\\", "\\u00e9", "<[3]>", "!<x>", ".", "#", "root", "x", " ", "é"),
]
EXPRESSION = [*"ab()[]{}|*+?^$\\.-,0123é", "(?:", "\\d", "[^a]", "{2,3}"]
TARGETS: dict[str, Callable[[bytes], object]] = {
    "gbnf": Grammar.gbnf,
    "schema": Grammar.json_schema,
    "regex": lambda data: Grammar.regex(data.decode("utf-8", "surrogateescape")),
}


def gbnf(rng: random.Random) -> bytes:
    return "".join(rng.choice(PIECES) for _ in range(rng.randint(0, 30))).encode()


def schema(rng: random.Random) -> bytes:
    text = json.dumps(schemas.schema(rng, depth=3))
    words = [
        "$ref",
        "pattern",
        "items",
        "enum",
        "anyOf",
        "allOf",
        "minLength",
        "required",
        "#",
        "0",
    ]
    for _ in range(rng.randint(0, 3)):
        at = rng.randrange(len(text))
        text = text[:at] + rng.choice(words) + text[at + rng.randint(0, 8) :]
    return text.encode()


def regex(rng: random.Random) -> bytes:
    return "".join(rng.choice(EXPRESSION) for _ in range(rng.randint(0, 20))).encode()


def mutated(data: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.randint(0, 4)):
        at = rng.randint(0, len(data))
        kind = rng.random()
        if kind < 0.4:
            data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
        elif kind < 0.7:
            data = data[:at] + data[at + rng.randint(0, 5) :]
        else:
            data = data[:at] + data[max(0, at - 8) : at] * rng.randint(1, 4) + data[at:]
    return data


def check(kind: str, data: bytes) -> None:
    """One input; raises when the promise is broken."""
    began = time.monotonic()
    try:
        grammar = TARGETS[kind](data)
    except GrammarError:
        grammar = None
    if isinstance(grammar, Grammar):
        again = Grammar.gbnf(grammar.text).text  # rules come in the order they are mentioned
        assert sorted(again.splitlines()) == sorted(grammar.text.splitlines())
        for text in ("", "a", '{"a": 1}', "aaaa[[", "\0"):
            try:
                assert not grammar.matches(text) or grammar.begins(text)
            except GrammarError:
                break  # too ambiguous
    assert time.monotonic() - began < SLOW_S, "slow"


def run(seconds: float, seed: int) -> int:
    """Returns how many inputs were tried. Raises on the first that breaks the promise."""
    rng = random.Random(seed)
    makers = {"gbnf": gbnf, "schema": schema, "regex": regex}
    kept = [
        (f.suffix[1:], f.read_bytes()) for f in sorted(CORPUS.iterdir()) if f.suffix[1:] in makers
    ]
    for kind, data in kept:
        check(kind, data)
    tried = len(kept)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        kind = rng.choice(list(makers))
        data = makers[kind](rng)
        if kept and rng.random() < 0.3:
            kind, data = rng.choice(kept)
        data = mutated(data, rng)
        try:
            check(kind, data)
        except Exception:
            (CORPUS / f"{abs(hash(data)):x}.{kind}").write_bytes(data)
            raise
        tried += 1
    return tried


if __name__ == "__main__":
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(2**32)
    print(f"seed {seed}: {run(seconds, seed)} inputs, none broke anything")

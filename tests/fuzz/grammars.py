"""Broken and odd grammars, schemas and expressions, thrown at the parsers and at a model."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Sequence
from pathlib import Path

from mullama_media import Engine, EngineParams, Grammar, Model, Prompt, SamplingParams, StreamConfig
from mullama_media.errors import DecodeError, GrammarError
from tests import tiny
from tests.engine import schemas

PIECES = [
    *('root ::= "a"', "x ::= ", "\n", "|", "(", ")", "*", "+", "?", "{2,3}", "{0,}", "{9999}"),
    *("[a-z]", "[^", "]", '"', "\\", "\\u00e9", "<[3]>", "!<x>", ".", "#", "root", "x", " ", "é"),
]
EXPRESSION = [*"ab()[]{}|*+?^$\\.-,0123é", "(?:", "\\d", "[^a]", "{2,3}"]
SCHEMA_WORDS = [
    *("$ref", "pattern", "items", "enum", "anyOf", "allOf", "minLength", "required", "#", "0"),
    *("oneOf", "const", "type", "$defs", "additionalProperties", "prefixItems", "maximum", "null"),
    *("-1", "1e400", "{}", "[]", '"a"', "\\ud800", "99999999999999999999", "uniqueItems", "format"),
]


class _Grammars:
    """Half of the accepted ones also constrain a few tokens of a tiny model."""

    slow_s = 2.0

    def __init__(self, folder: Path) -> None:
        model = Model.load(tiny.write_model(folder / "tiny.gguf"))
        params = EngineParams(n_ctx=64, n_parallel=1, threads=1, reuse_prefix=False)
        self.engine = Engine(model, params)
        self.prompt = Prompt.of_parts(model, ["a"])

    def read(self, data: bytes) -> Grammar:
        raise NotImplementedError

    def generate(self, rng: random.Random) -> bytes:
        raise NotImplementedError

    def seeds(self) -> Sequence[bytes]:
        return [self.generate(random.Random(seed)) for seed in range(50)]

    def mutated(self, data: bytes, rng: random.Random) -> bytes:
        data = self.generate(rng) if rng.random() < 0.6 else data
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

    def fuzz_one(self, data: bytes) -> bool:
        try:
            grammar = self.read(data)
        except GrammarError:
            return False
        again = Grammar.gbnf(grammar.text).text  # rules come in the order they are mentioned
        assert sorted(again.splitlines()) == sorted(grammar.text.splitlines())
        for text in ("", "a", '{"a": 1}', "aaaa[[", "\0"):
            try:
                assert not grammar.matches(text) or grammar.begins(text)
            except GrammarError:
                return True  # too ambiguous
        if zlib.crc32(data) % 2:
            self.constrain(grammar)
        return True

    def constrain(self, grammar: Grammar) -> None:
        sampling = SamplingParams(temperature=1.0, seed=1)
        try:
            stream = self.engine.submit(
                self.prompt, sampling, StreamConfig(max_tokens=6), grammar=grammar
            )
            completion = stream.result()
        except (GrammarError, DecodeError):
            return
        text = completion.text
        if "\ufffd" in text or "<" in grammar.text:
            return  # cut off inside a character, or control tokens, which are no text
        ended = completion.finish_reason == "stop"
        assert grammar.matches(text) if ended else grammar.begins(text)


class Gbnf(_Grammars):
    def seeds(self) -> Sequence[bytes]:
        rng = random.Random(0)
        whole = [Grammar.json_schema(schemas.schema(rng, depth=2)).text for _ in range(20)]
        return [*(text.encode() for text in whole), *super().seeds()]

    def read(self, data: bytes) -> Grammar:
        return Grammar.gbnf(data)

    def generate(self, rng: random.Random) -> bytes:
        return "".join(rng.choice(PIECES) for _ in range(rng.randint(0, 30))).encode()


class Schema(_Grammars):
    def read(self, data: bytes) -> Grammar:
        return Grammar.json_schema(data)

    def generate(self, rng: random.Random) -> bytes:
        text = json.dumps(schemas.schema(rng, depth=3))
        for _ in range(rng.randint(0, 3)):
            at = rng.randrange(len(text))
            text = text[:at] + rng.choice(SCHEMA_WORDS) + text[at + rng.randint(0, 8) :]
        return text.encode()


class Regex(_Grammars):
    def read(self, data: bytes) -> Grammar:
        return Grammar.regex(data.decode("utf-8", "surrogateescape"))

    def generate(self, rng: random.Random) -> bytes:
        return "".join(rng.choice(EXPRESSION) for _ in range(rng.randint(0, 20))).encode()

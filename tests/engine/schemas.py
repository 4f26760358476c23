"""Random JSON schemas inside the supported subset, and random texts of a grammar."""

from __future__ import annotations

import random
from typing import Any

from mullama_media import Grammar

NAMES = ["a", "b", "name", "é", "x y", 'q"t', "a/b", "ref", "root", "string", "value-k", "c-kv"]
PATTERNS = ["^[a-c]{1,3}$", "x", '^("|\\\\)?$', "^\\d{2}-[^a-z]$", "a|^b$", "^(ab|.){0,2}$"]
SCALARS = [None, True, 0, -3, 1.5, "", "a", 'q"\\\n', "é"]
TEXT = '{}[]":, \n\\/abcdefghilmnorstuvxyzTZ0123456789-+.E_é^#'


def schema(rng: random.Random, depth: int = 2) -> dict[str, Any]:
    """A schema whose values are short."""
    root = _node(rng, depth, refs=True)
    if '"#/$defs/' in repr(root).replace("'", '"'):
        root["$defs"] = {"n": _node(rng, 1), "t/~": {"type": "object", "properties": {}}}
    return root


def _node(rng: random.Random, depth: int, *, refs: bool = False) -> dict[str, Any]:
    makers = [_integer, _string, _enum, _plain]
    if depth > 0:
        makers += [_object, _object, _array, _tuple, _union]
    made: dict[str, Any] = rng.choice(makers)(rng, depth)
    if refs and rng.random() < 0.15:
        return {"type": "array", "maxItems": 2, "items": {"$ref": "#/$defs/n"}}
    if rng.random() < 0.1 and "anyOf" not in made and "oneOf" not in made:
        made["title"] = "t"
    return made


def _plain(rng: random.Random, _: int) -> dict[str, Any]:
    return rng.choice([{"type": "boolean"}, {"type": "null"}, {"type": ["boolean", "null"]}])


def _integer(rng: random.Random, _: int) -> dict[str, Any]:
    low = rng.randint(-1500, 1500)
    high = low + rng.choice([0, 1, 7, 90, 2000])
    out: dict[str, Any] = {"type": "integer"}
    out[rng.choice(["minimum", "exclusiveMinimum"])] = low - rng.choice([0, 0.5, 1])
    out[rng.choice(["maximum", "exclusiveMaximum"])] = high + rng.choice([2, 2.5, 3])
    return out


def _string(rng: random.Random, _: int) -> dict[str, Any]:
    kind = rng.random()
    if kind < 0.4:
        return {"type": "string", "pattern": rng.choice(PATTERNS[:1] + PATTERNS[2:4])}
    if kind < 0.55:
        return {"format": rng.choice(["time", "uuid", "date-time"]), "type": "string"}
    low = rng.randint(0, 3)
    return {"type": "string", "minLength": low, "maxLength": low + rng.randint(0, 4)}


def _enum(rng: random.Random, _: int) -> dict[str, Any]:
    values = rng.sample([*SCALARS, [], [1, {"a": 2}], {}], rng.randint(1, 4))
    return {"enum": values} if rng.random() < 0.6 else {"const": values[0]}


def _object(rng: random.Random, depth: int) -> dict[str, Any]:
    names = rng.sample(NAMES, rng.randint(0, 4))
    out: dict[str, Any] = {"properties": {name: _node(rng, depth - 1) for name in names}}
    out["required"] = [name for name in names if rng.random() < 0.6]
    if rng.random() < 0.7:
        out["type"] = "object"
    if rng.random() < 0.5:
        out["additionalProperties"] = rng.random() < 0.5
    return out


def _array(rng: random.Random, depth: int) -> dict[str, Any]:
    low = rng.randint(0, 2)
    items = _node(rng, depth - 1)
    return {"type": "array", "items": items, "minItems": low, "maxItems": low + rng.randint(0, 2)}


def _tuple(rng: random.Random, depth: int) -> dict[str, Any]:
    items = [_node(rng, depth - 1) for _ in range(rng.randint(1, 3))]
    return {"type": "array", "prefixItems": items, "items": False}


def _union(rng: random.Random, depth: int) -> dict[str, Any]:
    if rng.random() < 0.3:
        kinds = [{"const": i} for i in range(rng.randint(1, 3))]
        ways = [
            {"type": "object", "properties": {"kind": k, "v": _node(rng, 0)}, "required": ["kind"]}
            for k in kinds
        ]
        return {"oneOf": ways}
    return {"anyOf": [_node(rng, depth - 1) for _ in range(rng.randint(1, 3))]}


def text(
    grammar: Grammar, rng: random.Random, *, alphabet: str = TEXT, most: int = 400
) -> str | None:
    """A text that the grammar matches, drawn character by character; None if none was found."""
    out = ""
    for _ in range(most):
        if grammar.matches(out) and rng.random() < 0.3:
            return out
        letters = rng.sample(alphabet, len(alphabet))
        # past the first half towards an end: closing marks first
        if len(out) > most // 4:
            letters.sort(key=lambda c: c not in '"}]')
        for letter in letters:
            if grammar.begins(out + letter):
                out += letter
                break
        else:
            return out if grammar.matches(out) else None
    return out if grammar.matches(out) else None

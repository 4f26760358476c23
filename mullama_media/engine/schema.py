"""Which JSON Schemas can become a grammar, and a form of them that loses nothing on the way.

llama.cpp's converter passes over keywords it does not know and over combinations it has no rule
for. Here every keyword is either one that the converter honours, or an annotation, or is brought
into a form that it honours, or is refused with the JSON pointer to it. What remains is a promise:
whatever the grammar generates is valid under the schema. It may be less than the schema allows.

The subset of draft 2020-12:

- `type` (one or a list), `enum`, `const`, boolean schemas, `$ref` inside the document, `$defs`
- objects: `properties`, `required`, `additionalProperties`. An object with `properties` gets those
  and no others; `additionalProperties` with a schema is for objects without `properties`
- arrays: `items`, `minItems`, `maxItems`, or `prefixItems` alone, which gives exactly these
- strings: `minLength` and `maxLength`, or `pattern` (see `regex.py`), or `format` being date, time,
  date-time or uuid
- integers: `minimum`, `maximum`, `exclusiveMinimum`, `exclusiveMaximum`, to 10**15; numbers without
- `anyOf`; `oneOf` whose alternatives cannot both match; `allOf` of one schema. Beside these and
  `$ref` no other keyword than annotations
- annotations: title, description, default, examples, deprecated, readOnly, writeOnly, $comment,
  $schema, $id, discriminator, and what begins with "x-"
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from mullama_media.engine import regex
from mullama_media.errors import GrammarError

__all__ = ["from_any", "normalise"]

_ANNOTATIONS = frozenset(
    {
        *("title", "description", "default", "examples", "deprecated", "discriminator"),
        *("readOnly", "writeOnly", "$comment", "$schema", "$id"),
    }
)
_BY_TYPE = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "prefixItems", "minItems", "maxItems", "uniqueItems"}),
    "string": frozenset({"minLength", "maxLength", "pattern", "format"}),
    "integer": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}),
}
_TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
_ALONE = ("$ref", "anyOf", "oneOf", "allOf")
_KNOWN = frozenset.union(
    *_BY_TYPE.values(), frozenset({"type", "enum", "const", "$defs", "definitions", *_ALONE})
)
_FORMATS = ("date", "time", "date-time", "uuid")
_DEPTH = 64
_NODES = 5000
_OPTIONAL = 100
_NAME = 256
_VALUES = 20_000
_BOUND = 10**15
_COUNT = 10_000

Schema = Mapping[str, Any]


def from_any(schema: Any) -> Any:
    """A schema from a mapping, JSON text, or an object that knows its own (pydantic and the like).

    Raises:
        GrammarError: it is none of these, or the text is not JSON.
    """
    for name in ("model_json_schema", "json_schema"):
        method = getattr(schema, name, None)
        if callable(method):
            schema = method()
            break
    if isinstance(schema, (str, bytes)):
        try:
            schema = json.loads(schema)
        except (ValueError, RecursionError) as error:
            raise GrammarError(f"the schema is not JSON: {error}", where="#") from error
    if not isinstance(schema, (Mapping, bool)):
        raise GrammarError(
            f"a schema cannot be a {type(schema).__name__}",
            where="#",
            hint="Give a mapping, JSON text, or a class with model_json_schema()",
        )
    return schema


def normalise(schema: Any) -> str:
    """The schema as JSON text that llama.cpp's converter honours in full.

    Raises:
        GrammarError: something is outside the subset; `where` is the JSON pointer to it.
    """
    return json.dumps(_Normaliser(schema).run(), ensure_ascii=False)


def _refuse(at: str, what: str, hint: str | None = None) -> NoReturn:
    raise GrammarError(what, where=at, hint=hint)


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


class _Normaliser:
    def __init__(self, root: Any) -> None:
        self.root = root
        self.defs: dict[str, Any] = {}
        self.names: dict[str, str] = {}
        self.nodes = 0
        self.values = 0
        self.todo: list[tuple[str, str]] = []

    def run(self) -> Any:
        out = self.node(self.root, "#", 0)
        while self.todo:
            reference, name = self.todo.pop()
            self.defs[name] = self.node(self.find(reference), reference, 0)
        return {**out, "$defs": self.defs} if self.defs else out

    def node(self, schema: Any, at: str, depth: int) -> dict[str, Any]:
        self.nodes += 1
        if self.nodes > _NODES or depth > _DEPTH:
            _refuse(at, f"the schema has more than {_NODES} parts or is over {_DEPTH} deep")
        if schema is True:
            return {}
        if schema is False:
            _refuse(at, "nothing is valid under `false`, so nothing could be generated")
        if not isinstance(schema, Mapping):
            _refuse(at, f"a schema cannot be a {type(schema).__name__}")
        keys = self.keywords(schema, at)
        for alone in _ALONE:
            if alone in keys:
                if keys - {alone}:
                    other = sorted(keys - {alone})[0]
                    _refuse(f"{at}/{other}", f"'{other}' beside '{alone}' is not supported")
                return self.combined(alone, schema[alone], f"{at}/{alone}", depth)
        if "enum" in keys or "const" in keys:
            return self.constant(schema, keys, at)
        return self.typed(schema, keys, at, depth)

    def keywords(self, schema: Schema, at: str) -> set[str]:
        keys = {k for k in schema if k not in _ANNOTATIONS and not str(k).startswith("x-")}
        for key in sorted(keys - _KNOWN, key=str):
            _refuse(
                f"{at}/{_escape(str(key))}",
                f"the keyword '{key}' is not supported",
                "Leave it out and check it afterwards, or say it with the supported ones",
            )
        return keys - {"$defs", "definitions"}

    # -- $ref, anyOf, oneOf, allOf

    def combined(self, keyword: str, value: Any, at: str, depth: int) -> dict[str, Any]:
        if keyword == "$ref":
            return {"$ref": f"#/$defs/{self.reference(value, at)}"}
        if not isinstance(value, list) or not value:
            _refuse(at, f"'{keyword}' must be a list of schemas")
        parts = [self.node(part, f"{at}/{i}", depth + 1) for i, part in enumerate(value)]
        if keyword == "allOf":
            if len(parts) > 1:
                _refuse(at, "'allOf' of several schemas is not supported", "Merge them into one")
            return parts[0]
        if keyword == "oneOf":
            for i in range(len(parts)):
                for j in range(i):
                    if not self.apart(value[j], value[i], 0):
                        _refuse(
                            f"{at}/{i}",
                            f"a value might match this and alternative {j}; 'oneOf' allows one",
                            "Use anyOf, or give each a required property with a const of its own",
                        )
        return parts[0] if len(parts) == 1 else {"anyOf": parts}

    def reference(self, value: Any, at: str) -> str:
        if not isinstance(value, str) or not (value == "#" or value.startswith("#/")):
            _refuse(at, f"{value!r} does not point into this document", "Use #/$defs/name")
        if value not in self.names:
            self.find(value, at)
            self.names[value] = f"mullama-ref-{len(self.names)}"
            self.todo.append((value, self.names[value]))
        return self.names[value]

    def find(self, reference: str, at: str = "#") -> Any:
        found = self.root
        for part in urllib.parse.unquote(reference).split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, Mapping) and name in found:
                found = found[name]
            elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            else:
                _refuse(at, f"there is nothing at {reference}")
        return found

    def apart(self, a: Any, b: Any, depth: int) -> bool:
        """Whether no value can be valid under both; False also where that is not known."""
        a, b = self.followed(a), self.followed(b)
        if not isinstance(a, Mapping) or not isinstance(b, Mapping) or depth > 8:
            return False
        values = _values(a), _values(b)
        if values[0] is not None and values[1] is not None:
            return not any(_same(x, y) for x in values[0] for y in values[1])
        kinds = _kinds(a), _kinds(b)
        if not kinds[0] & kinds[1]:
            return True
        if kinds[0] & kinds[1] != {"object"}:
            return False
        shared = set(a.get("required", ())) & set(b.get("required", ()))
        inside = a.get("properties", {}), b.get("properties", {})
        return any(
            name in inside[0]
            and name in inside[1]
            and self.apart(inside[0][name], inside[1][name], depth + 1)
            for name in shared
        )

    def followed(self, schema: Any) -> Any:
        for _ in range(8):
            if not isinstance(schema, Mapping) or "$ref" not in schema:
                break
            schema = self.find(schema["$ref"])
        return schema

    # -- enum and const

    def constant(self, schema: Schema, keys: set[str], at: str) -> dict[str, Any]:
        keyword = "enum" if "enum" in keys else "const"
        for other in sorted(keys - {keyword, "type"}):
            _refuse(f"{at}/{other}", f"'{other}' beside '{keyword}' is not supported")
        values = schema[keyword] if keyword == "enum" else [schema[keyword]]
        if not isinstance(values, list) or not values:
            _refuse(f"{at}/enum", "'enum' must be a list with something in it")
        self.values += len(values)
        if self.values > _VALUES:
            _refuse(f"{at}/enum", f"more than {_VALUES} values in the schema")
        types = _type_list(schema, at) if "type" in keys else _TYPES
        for i, value in enumerate(values):
            _check_value(value, f"{at}/enum/{i}" if keyword == "enum" else f"{at}/const")
            if not any(_is(value, kind) for kind in types):
                _refuse(
                    f"{at}/enum/{i}" if keyword == "enum" else f"{at}/const",
                    "the value is not of the schema's type, so it can never be valid",
                )
        return {"enum": values}

    # -- type and what goes with each

    def typed(self, schema: Schema, keys: set[str], at: str, depth: int) -> dict[str, Any]:
        if "type" in keys:
            types = _type_list(schema, at)
        else:
            owners = [kind for kind, words in _BY_TYPE.items() if words & keys]
            if not owners:
                return {}
            if len(owners) > 1 or owners[0] == "integer":
                word = sorted(keys & _BY_TYPE[owners[-1]])[0]
                _refuse(f"{at}/{word}", f"'{word}' needs a 'type' beside it here")
            types = (owners[0],)
        made: dict[str, Callable[[], dict[str, Any]]] = {
            "object": lambda: self.object(schema, keys, at, depth),
            "array": lambda: self.array(schema, at, depth),
            "string": lambda: _string(schema, keys, at),
            "integer": lambda: _integer(schema, at),
        }
        for word in sorted(keys - {"type"}):
            owner = next(kind for kind, words in _BY_TYPE.items() if word in words)
            if owner == "integer" and "number" in types:
                _refuse(f"{at}/{word}", f"'{word}' is supported for integers only")
        parts = [made[kind]() if kind in made else {"type": kind} for kind in types]
        return parts[0] if len(parts) == 1 else {"anyOf": parts}

    def object(self, schema: Schema, keys: set[str], at: str, depth: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        if not isinstance(properties, Mapping):
            _refuse(f"{at}/properties", "'properties' must be an object")
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            _refuse(f"{at}/required", "'required' must be a list of names")
        for i, name in enumerate(required):
            if name not in properties:
                _refuse(f"{at}/required/{i}", f"'properties' does not say what {name!r} is")
        if len(properties) - len(set(required)) > _OPTIONAL:
            _refuse(f"{at}/properties", f"more than {_OPTIONAL} properties that are not required")
        for name in properties:
            _check_value(name, f"{at}/properties")
            if len(name) > _NAME:
                _refuse(f"{at}/properties", f"a name has more than {_NAME} characters")
        extra = schema.get("additionalProperties", not properties and "properties" not in keys)
        out: dict[str, Any] = {"type": "object"}
        if not properties:
            if extra is not True:
                at = f"{at}/additionalProperties"
                out["additionalProperties"] = extra and self.node(extra, at, depth + 1)
            return out
        if not isinstance(extra, bool):
            _refuse(
                f"{at}/additionalProperties",
                "a schema for further properties beside 'properties' is not supported",
                "Use false, or one object of each kind",
            )
        out["properties"] = {
            name: self.node(part, f"{at}/properties/{_escape(name)}", depth + 1)
            for name, part in properties.items()
        }
        return {**out, "required": list(dict.fromkeys(required)), "additionalProperties": False}

    def array(self, schema: Schema, at: str, depth: int) -> dict[str, Any]:
        if schema.get("uniqueItems", False) is not False:
            _refuse(f"{at}/uniqueItems", "'uniqueItems' is not supported")
        low = _count(schema, "minItems", at) or 0
        high = _count(schema, "maxItems", at)
        if high is not None and high < low:
            _refuse(f"{at}/maxItems", "'maxItems' is below 'minItems'")
        if "prefixItems" in schema:
            return self.tuple(schema, at, depth, low, high)
        items = schema.get("items", True)
        if isinstance(items, list):
            _refuse(f"{at}/items", "'items' must be one schema", "Use prefixItems for a list")
        out: dict[str, Any] = {"type": "array", "minItems": low}
        if items is False:
            if low:
                _refuse(f"{at}/minItems", "no item is valid, and some are demanded")
            return {**out, "maxItems": 0, "items": {}}
        if high is not None:
            out["maxItems"] = high
        return {**out, "items": self.node(items, f"{at}/items", depth + 1)}

    def tuple(
        self, schema: Schema, at: str, depth: int, low: int, high: int | None
    ) -> dict[str, Any]:
        items = schema["prefixItems"]
        if not isinstance(items, list) or not items:
            _refuse(f"{at}/prefixItems", "'prefixItems' must be a list with something in it")
        if schema.get("items", False) is not False:
            _refuse(f"{at}/items", "'items' beside 'prefixItems' is not supported", "Use false")
        if not low <= len(items) <= (len(items) if high is None else high):
            _refuse(f"{at}/prefixItems", f"arrays of {len(items)} items are out of the limits")
        at = f"{at}/prefixItems"
        parts = [self.node(item, f"{at}/{i}", depth + 1) for i, item in enumerate(items)]
        return {"type": "array", "prefixItems": parts}


def _string(schema: Schema, keys: set[str], at: str) -> dict[str, Any]:
    words = keys & _BY_TYPE["string"]
    if "pattern" in words or "format" in words:
        main = "pattern" if "pattern" in words else "format"
        for other in sorted(words - {main}):
            _refuse(f"{at}/{other}", f"'{other}' beside '{main}' is not supported")
        value = schema[main]
        if main == "format":
            if value not in _FORMATS:
                hint = f"Supported are {', '.join(_FORMATS)}; say others with 'pattern'"
                _refuse(f"{at}/format", f"the format {value!r} is not supported", hint)
            return {"type": "string", "format": value}
        if not isinstance(value, str):
            _refuse(f"{at}/pattern", "'pattern' must be a text")
        try:
            inside = regex.to_json_pattern(regex.parse(value).anywhere())
        except GrammarError as error:
            _refuse(f"{at}/pattern", f"{error.what} ({error.where} of the pattern)")
        return {"type": "string", "pattern": f"^({inside})$"}
    low = _count(schema, "minLength", at) or 0
    high = _count(schema, "maxLength", at)
    if high is not None and high < low:
        _refuse(f"{at}/maxLength", "'maxLength' is below 'minLength'")
    return {"type": "string", "minLength": low} | ({} if high is None else {"maxLength": high})


def _integer(schema: Schema, at: str) -> dict[str, Any]:
    if not _BY_TYPE["integer"] & set(schema):
        return {"type": "integer"}
    low, high = -_BOUND, _BOUND
    for word, step in (("minimum", 0), ("exclusiveMinimum", 1)):
        if word in schema:
            low = max(low, _bound(schema, word, at, up=True, step=step))
    for word, step in (("maximum", 0), ("exclusiveMaximum", -1)):
        if word in schema:
            high = min(high, _bound(schema, word, at, up=False, step=step))
    if low > high:
        _refuse(at, "no integer is within the limits")
    return {"type": "integer", "minimum": low, "maximum": high}


def _bound(schema: Schema, word: str, at: str, *, up: bool, step: int) -> int:
    value = schema[word]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        _refuse(f"{at}/{word}", f"'{word}' must be a number")
    if abs(value) > _BOUND:
        _refuse(f"{at}/{word}", f"limits of more than {_BOUND:.0e} are not supported")
    whole = int(value)
    if whole == value:
        return whole + step
    return whole + 1 if up and value > 0 else whole - 1 if not up and value < 0 else whole


def _count(schema: Schema, word: str, at: str) -> int | None:
    value = schema.get(word)
    if value is None and word not in schema:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        _refuse(f"{at}/{word}", f"'{word}' must be a whole number, 0 or more")
    if value > _COUNT:
        _refuse(f"{at}/{word}", f"counts of more than {_COUNT} are not supported")
    return value


def _type_list(schema: Schema, at: str) -> tuple[str, ...]:
    value = schema["type"]
    types = tuple(value) if isinstance(value, list) else (value,)
    for i, kind in enumerate(types):
        if kind not in _TYPES:
            where = f"{at}/type/{i}" if isinstance(value, list) else f"{at}/type"
            _refuse(where, f"{kind!r} is not a type", f"The types are {', '.join(_TYPES)}")
    if not types:
        _refuse(f"{at}/type", "no type is left to generate")
    return tuple(dict.fromkeys(types))


def _check_value(value: Any, at: str) -> None:
    """Refuse what does not survive as JSON text in UTF-8."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise GrammarError("the value is not JSON", where=at) from error
    if isinstance(value, str) and len(value) > _COUNT:
        _refuse(at, f"a text has more than {_COUNT} characters")


def _is(value: Any, kind: str) -> bool:
    match kind:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return not isinstance(value, bool) and (
                isinstance(value, int) or (isinstance(value, float) and value.is_integer())
            )
        case "number":
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "array":
            return isinstance(value, list)
    return isinstance(value, Mapping)


def _same(a: Any, b: Any) -> bool:
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def _values(schema: Schema) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    values = schema.get("enum")
    return values if isinstance(values, list) else None


def _kinds(schema: Schema) -> set[str]:
    """The types its values may have; all of them where that is not plain."""
    values = _values(schema)
    if values is not None:
        return {kind for kind in _TYPES for value in values if _is(value, kind)}
    if any(word in schema for word in _ALONE) or "type" not in schema:
        return set(_TYPES)
    kinds = set(_type_list(schema, "#"))
    return kinds | {"integer"} if "number" in kinds else kinds

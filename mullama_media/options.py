"""Options are values: frozen dataclasses that check themselves.

A field is declared once, with its default, its meaning and its range::

    @options
    class SamplingParams:
        temperature: float = option(default=0.8, doc="Softmax temperature; 0 is greedy.", ge=0)

and everything else follows from that: validation, `with_temperature(...)` helpers, TOML tables
(`from_mapping`, `from_toml`, `load_toml`), and the text of `describe()`.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from mullama_media.errors import InvalidOptionError

__all__ = [
    "describe",
    "from_mapping",
    "from_toml",
    "is_unicode",
    "load_toml",
    "option",
    "options",
    "replace",
]

T = TypeVar("T")


def option(
    *,
    default: Any,
    doc: str,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    choices: tuple[str, ...] | None = None,
    convert: Callable[[Any], Any] | None = None,
    native: bool = True,
    source: str = "",
) -> Any:
    """Declare a field.

    Args:
        default: its default.
        doc: its meaning, with unit.
        ge: smallest value.
        gt: the value must be more than this.
        le: largest value.
        choices: the only values, or in a tuple the only items.
        convert: applied to what was given, before it is checked.
        native: whether the core reads the field.
        source: where the method was published.
    """
    bounds = {"ge": ge, "gt": gt, "le": le, "choices": choices}
    metadata = {"doc": doc, "convert": convert, "native": native, "source": source, **bounds}
    return dataclasses.field(default=default, metadata=metadata)


@typing.dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(option,))
def options(cls: type[T]) -> type[T]:
    """Make a class of `option` fields a frozen, keyword-only, self-checking dataclass.

    Every field also gets a `with_<field>(value)` helper that returns a changed copy.
    """
    own = cls.__dict__.get("__post_init__")

    def check(self: Any) -> None:
        _check(self)
        if own:
            own(self)

    cls.__post_init__ = check  # type: ignore[attr-defined]
    made = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    for field in dataclasses.fields(made):  # type: ignore[arg-type]
        setattr(made, f"with_{field.name}", _with(field.name))
    return made


def replace(value: T, **changes: Any) -> T:
    """A copy of an options value with some fields changed. Raises InvalidOptionError.

    A field that is options itself takes a mapping of what changes in it, too.
    """
    for name, change in changes.items():
        inner = getattr(value, name, None)
        if isinstance(change, Mapping) and _is_options(inner):
            changes[name] = replace(inner, **change)
    return from_mapping(type(value), {**vars(value), **changes})


def from_mapping(cls: type[T], table: Mapping[str, Any], *, where: str | None = None) -> T:
    """Build options from a mapping of field names (a TOML table).

    A field that is options itself takes a mapping, too: its fields that are not named keep what the
    default of the field has.

    Raises:
        InvalidOptionError: an unknown key, or a value out of its range; with `where` it says the
            key in that place.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    values = {}
    for key, value in table.items():
        if key not in fields:
            raise InvalidOptionError(
                f"{cls.__name__} has no option {key!r}",
                where=where,
                hint=f"It has: {', '.join(sorted(fields))}",
            )
        inner = fields[key].default
        if isinstance(value, Mapping) and _is_options(inner):
            place = where and f"{where.removesuffix(']')}.{key}]"
            value = from_mapping(type(inner), {**vars(inner), **value}, where=place)
        values[key] = tuple(value) if isinstance(value, list) else value
    try:
        return cls(**values)
    except InvalidOptionError as error:
        if where is None:
            raise
        key = (error.where or "").rpartition(".")[2]
        raise InvalidOptionError(error.what, where=f"{where} {key}", hint=error.hint) from None


def from_toml(cls: type[T], path: str | Path, table: str) -> T:
    """Read `[table]` of a TOML file into options; a missing table means the defaults.

    Raises:
        InvalidOptionError: the file cannot be read or parsed, or holds a bad option.
    """
    return _of_table(cls, _parse(path), path, table)


def load_toml(path: str | Path, tables: Mapping[str, type[Any]]) -> dict[str, Any]:
    """Read a whole TOML file: every table of it is one of `tables`, by name.

    Returns:
        The options of every table, in the order of `tables`.

    Raises:
        InvalidOptionError: as `from_toml`; and a table or key outside tables that nobody reads.
    """
    content = _parse(path)
    for name in content:
        if name not in tables:
            raise InvalidOptionError(
                f"nothing is known by the name {name!r}",
                where=str(path),
                hint=f"Tables are {', '.join(f'[{table}]' for table in tables)}",
            )
    return {table: _of_table(cls, content, path, table) for table, cls in tables.items()}


def _parse(path: str | Path) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise InvalidOptionError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidOptionError(f"is not valid TOML: {error}", where=str(path)) from error


def _of_table(cls: type[T], content: dict[str, Any], path: str | Path, table: str) -> T:
    values = content.get(table, {})
    if not isinstance(values, Mapping):
        raise InvalidOptionError("it is not a table", where=f"{path} [{table}]")
    return from_mapping(cls, values, where=f"{path} [{table}]")


def describe(cls: type[Any]) -> str:
    """Every field with its default, meaning and source, one a line."""
    return "\n".join(_described(field) for field in dataclasses.fields(cls))


def _described(field: dataclasses.Field[Any]) -> str:
    source = field.metadata["source"]
    line = f"{field.name} = {field.default!r}: {field.metadata['doc']}"
    return f"{line} ({source})" if source else line


def _with(name: str) -> Callable[[Any, Any], Any]:
    def changed(self: Any, value: Any) -> Any:
        return replace(self, **{name: value})

    changed.__name__ = f"with_{name}"
    changed.__doc__ = f"A copy with another `{name}`."
    return changed


def _check(self: Any) -> None:
    hints = typing.get_type_hints(type(self))
    for field in dataclasses.fields(self):
        where = f"{type(self).__name__}.{field.name}"
        value = getattr(self, field.name)
        checked = _typed(_converted(value, field, where), hints[field.name], where)
        if checked is not value:
            object.__setattr__(self, field.name, checked)
        if checked is not None:
            _in_range(checked, field, where)


def _converted(value: Any, field: dataclasses.Field[Any], where: str) -> Any:
    convert = field.metadata["convert"]
    try:
        return convert(value) if convert else value
    except InvalidOptionError as error:
        raise InvalidOptionError(error.what, where=where, hint=error.hint) from None


def _typed(value: Any, hint: Any, where: str) -> Any:
    fitted = _fit(value, hint)
    if fitted is _NO_FIT:
        kinds = typing.get_args(hint) if _is_union(hint) else (hint,)
        names = " or ".join(getattr(kind, "__name__", str(kind)) for kind in kinds)
        raise InvalidOptionError(f"{value!r} is not {names}", where=where)
    return fitted


_NO_FIT = object()


def _is_options(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (types.UnionType, typing.Union)


def _fit(value: Any, hint: Any) -> Any:
    """`value` as the type asked for: an int where a float is, a list where a tuple is."""
    if _is_union(hint):
        fits = (_fit(value, kind) for kind in typing.get_args(hint))
        return next((fitted for fitted in fits if fitted is not _NO_FIT), _NO_FIT)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    origin = typing.get_origin(hint) or hint
    if origin is tuple:
        return _fit_tuple(value, typing.get_args(hint))
    if origin is str and isinstance(value, str):
        return value if is_unicode(value) else _NO_FIT
    if isinstance(value, origin) and (origin is bool or not isinstance(value, bool)):
        return value
    return _NO_FIT


def is_unicode(text: str) -> bool:
    """Whether it has no half of a surrogate pair, which no UTF-8 can hold."""
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


def _fit_tuple(value: Any, kinds: tuple[Any, ...]) -> Any:
    if not isinstance(value, tuple | list):
        return _NO_FIT
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(kinds) != len(value):
        return _NO_FIT
    fitted = tuple(_fit(item, kind) for item, kind in zip(value, kinds, strict=True))
    return _NO_FIT if _NO_FIT in fitted else fitted


def _in_range(value: Any, field: dataclasses.Field[Any], where: str) -> None:
    bounds = field.metadata
    if isinstance(value, float) and value != value:
        raise InvalidOptionError("nan is not a number", where=where, hint=bounds["doc"])
    if isinstance(value, float) and math.isinf(value):
        raise InvalidOptionError("it must be finite", where=where, hint=bounds["doc"])
    wrong = (
        (bounds["ge"] is not None and value < bounds["ge"] and f"at least {bounds['ge']}")
        or (bounds["gt"] is not None and value <= bounds["gt"] and f"more than {bounds['gt']}")
        or (bounds["le"] is not None and value > bounds["le"] and f"at most {bounds['le']}")
        or (
            bounds["choices"] is not None
            and not set(value if isinstance(value, tuple) else [value]) <= set(bounds["choices"])
            and f"one of {', '.join(bounds['choices'])}"
        )
    )
    if wrong:
        raise InvalidOptionError(f"{value!r} must be {wrong}", where=where, hint=bounds["doc"])

"""Options are values: frozen dataclasses that check themselves.

A field is declared once, with its default, its meaning and its range::

    @options
    class SamplingParams:
        temperature: float = option(default=0.8, doc="Softmax temperature; 0 is greedy.", ge=0)

and everything else follows from that: validation, `with_temperature(...)` helpers, TOML tables
(`from_mapping`, `from_toml`), and the text of `describe()`.
"""

from __future__ import annotations

import dataclasses
import operator
import tomllib
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from mullama_media.errors import InvalidOptionError

__all__ = ["describe", "from_mapping", "from_toml", "option", "options", "replace"]

T = TypeVar("T")


def option(
    *,
    default: Any,
    doc: str,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    choices: tuple[str, ...] | None = None,
) -> Any:
    """Declare a field: its default, its meaning with unit, and its range (`ge`: >=, `gt`: >)."""
    bounds = {"ge": ge, "gt": gt, "le": le, "choices": choices}
    return dataclasses.field(default=default, metadata={"doc": doc, **bounds})


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
    """A copy of an options value with some fields changed. Raises InvalidOptionError."""
    return from_mapping(type(value), {**vars(value), **changes})


def from_mapping(cls: type[T], table: Mapping[str, Any], *, where: str | None = None) -> T:
    """Build options from a mapping of field names (a TOML table).

    Raises:
        InvalidOptionError: an unknown key, or a value out of its range.
    """
    known = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in table:
        if key not in known:
            raise InvalidOptionError(
                f"{cls.__name__} has no option {key!r}",
                where=where,
                hint=f"It has: {', '.join(sorted(known))}",
            )
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in table.items()})


def from_toml(cls: type[T], path: str | Path, table: str) -> T:
    """Read `[table]` of a TOML file into options; a missing table means the defaults.

    Raises:
        InvalidOptionError: the file cannot be read or parsed, or holds a bad option.
    """
    try:
        content = tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise InvalidOptionError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidOptionError(f"is not valid TOML: {error}", where=str(path)) from error
    return from_mapping(cls, content.get(table, {}), where=f"{path} [{table}]")


def describe(cls: type[Any]) -> str:
    """Every field with its default and meaning, one a line, for help texts."""
    lines = [f"{f.name} = {f.default!r}: {f.metadata['doc']}" for f in dataclasses.fields(cls)]
    return "\n".join(lines)


def _with(name: str) -> Callable[[Any, Any], Any]:
    def changed(self: Any, value: Any) -> Any:
        return dataclasses.replace(self, **{name: value})

    changed.__name__ = f"with_{name}"
    changed.__doc__ = f"A copy with another `{name}`."
    return changed


def _check(self: Any) -> None:
    hints = typing.get_type_hints(type(self))
    for field in dataclasses.fields(self):
        value = getattr(self, field.name)
        checked = _typed(value, hints[field.name], f"{type(self).__name__}.{field.name}")
        if checked is not value:
            object.__setattr__(self, field.name, checked)
        if checked is not None:
            _in_range(checked, field, f"{type(self).__name__}.{field.name}")


def _typed(value: Any, hint: Any, where: str) -> Any:
    allowed = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    for kind in allowed:
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        origin = typing.get_origin(kind) or kind
        if isinstance(value, origin) and not (origin is not bool and isinstance(value, bool)):
            if origin is tuple:
                inner = typing.get_args(kind)[0]
                try:
                    items = tuple(_typed(item, inner, where) for item in value)
                except InvalidOptionError:
                    break
                return value if all(map(operator.is_, items, value)) else items
            return value
        if origin is tuple and isinstance(value, list):
            return _typed(tuple(value), hint, where)
    names = " or ".join(getattr(kind, "__name__", str(kind)) for kind in allowed)
    raise InvalidOptionError(f"{value!r} is not {names}", where=where)


def _in_range(value: Any, field: dataclasses.Field[Any], where: str) -> None:
    bounds = field.metadata
    if isinstance(value, float) and value != value:
        raise InvalidOptionError("nan is not a number", where=where, hint=bounds["doc"])
    wrong = (
        (bounds["ge"] is not None and value < bounds["ge"] and f"at least {bounds['ge']}")
        or (bounds["gt"] is not None and value <= bounds["gt"] and f"more than {bounds['gt']}")
        or (bounds["le"] is not None and value > bounds["le"] and f"at most {bounds['le']}")
        or (
            bounds["choices"] is not None
            and value not in bounds["choices"]
            and f"one of {', '.join(bounds['choices'])}"
        )
    )
    if wrong:
        raise InvalidOptionError(f"{value!r} must be {wrong}", where=where, hint=bounds["doc"])

"""Command-line options made from the fields of options classes.

Name, type, help and default of an option are those of the field; none is written twice.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from mullama_media.errors import InvalidOptionError

__all__ = ["Given", "from_fields"]

Given = Mapping[str, Any]
"""The options that were given, by field name"""


def from_fields(
    parameter: str,
    cls: type[Any],
    panel: str,
    flags: Mapping[str, tuple[str, ...]],
    *,
    rest: bool = True,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Replace a command's `parameter` by an option for each field of `cls`.

    Args:
        parameter: of type `Given`; it receives what was given on the command line.
        cls: an options class.
        panel: heading of these options in the help.
        flags: the flags of some fields; an empty tuple leaves the field out.
        rest: whether the other fields become options too, named after the field.
    """
    hints = typing.get_type_hints(cls)
    fields = {
        field.name: field
        for field in dataclasses.fields(cls)
        if field.metadata["native"] and flags.get(field.name, ("",) if rest else ())
    }
    annotations = {
        name: _annotation(field, hints[name], panel, flags.get(name) or (_flag(name),))
        for name, field in fields.items()
    }

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command)
        named = {  # another class of this command may have a field of the same name
            name: f"{parameter}_{name}" if name in signature.parameters else name for name in fields
        }

        @functools.wraps(command)
        def wrapper(**values: Any) -> None:
            given = {name: values.pop(named[name]) for name in fields}
            mine = {n: _parsed(fields[n], v) for n, v in given.items() if v is not None}
            command(**values, **{parameter: mine})

        own = typing.get_type_hints(command, include_extras=True)
        kept = [
            p.replace(annotation=own[name], kind=inspect.Parameter.KEYWORD_ONLY)
            for name, p in signature.parameters.items()
            if name != parameter
        ]
        added = [
            inspect.Parameter(
                named[name], inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
            )
            for name, annotation in annotations.items()
        ]
        parameters = [*kept, *added]
        wrapper.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=parameters, return_annotation=None
        )
        wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
        del wrapper.__wrapped__  # its signature is not ours
        return wrapper

    return decorate


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _annotation(
    field: dataclasses.Field[Any], hint: Any, panel: str, flags: tuple[str, ...]
) -> Any:
    kind, metavar = _kind(hint)
    if kind is bool and field.default is True:
        flags = tuple(f"{flag}/--no-{flag.removeprefix('--')}" for flag in flags)
    notes = [field.metadata["doc"]]
    if field.metadata["choices"] and kind == list[str]:
        metavar = "NAME,..."
        notes.append(f"All of them: {','.join(field.metadata['choices'])}.")
    else:
        if field.metadata["choices"]:
            notes.append(f"One of {', '.join(field.metadata['choices'])}.")
        if typing.get_origin(kind) is list:
            notes.append("Repeatable.")
        if field.default not in (None, (), False, True):
            notes.append(f"Default: {_shown(field.default)}.")
    option = typer.Option(
        *flags,
        help=" ".join(notes),
        metavar=metavar,
        rich_help_panel=panel,
        show_default=False,
    )
    return Annotated[kind | None, option]


def _shown(value: Any) -> str:
    return " ".join(map(repr, value)) if isinstance(value, tuple) else str(value)


def _kind(hint: Any) -> tuple[Any, str | None]:
    """What the command line takes for a field of a type, and its name in the help."""
    kinds = [k for k in typing.get_args(hint) if k is not types.NoneType]
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        if len(kinds) > 1:  # a bias for each token
            return list[str], "TOKEN=BIAS"
        return _kind(kinds[0])
    if typing.get_origin(hint) is tuple:
        item = typing.get_args(hint)[0]
        if Ellipsis not in typing.get_args(hint):
            return str, "PIXELS"
        return types.GenericAlias(list, (item,)), "TEXT" if item is str else None
    return hint, None


def _parsed(field: dataclasses.Field[Any], value: Any) -> Any:
    if not isinstance(value, list):
        return value
    if field.metadata["choices"]:
        return tuple(name for item in value for name in item.split(",") if name)
    if field.metadata["convert"]:
        return tuple(_bias(text) for text in value)
    return tuple(value)


def _bias(text: str) -> tuple[int | str, float]:
    token, _, bias = text.rpartition("=")
    try:
        return int(token) if token.isdecimal() else token, float(bias)
    except ValueError:
        raise InvalidOptionError(
            f"{text!r} is not TOKEN=BIAS", where="--logit-bias", hint="For example 15=-2.5"
        ) from None

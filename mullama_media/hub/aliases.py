"""The alias table: short names for models known to work, read from `aliases.toml`."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files as package_files
from types import MappingProxyType

from mullama_media.hub import names
from mullama_media.hub.names import Ref

__all__ = ["Alias", "find", "table"]


@dataclass(frozen=True, slots=True)
class Alias:
    """One row of the table.

    Attributes:
        name: lower case.
        model: where the language model is.
        mmproj: where its projector is. None with an `hf:` model means: whatever the repository
            has; with any other model: there is none.
        about: one line for a person.
        inputs: what it takes besides text: some of `"image"`, `"audio"`.
        size_bytes: what a first pull transfers, where that was measured.
        sha256: hex digest of the model file (`pypi:` models only).
    """

    name: str
    model: Ref
    mmproj: Ref | None
    about: str
    inputs: tuple[str, ...]
    size_bytes: int | None
    sha256: str | None


@functools.cache
def table() -> Mapping[str, Alias]:
    """All aliases by name, in the file's order. Read once; thread-safe."""
    import tomllib

    rows = tomllib.loads(package_files(__package__).joinpath("aliases.toml").read_text("utf-8"))
    return MappingProxyType({name: _alias(name, **row) for name, row in rows.items()})


def find(name: str) -> Alias:
    """The row of `name` (any case).

    Raises:
        ModelNameError: no such alias; the closest ones are listed.
    """
    known = table()
    if name.lower() not in known:
        raise names.unknown_alias(name, known)
    return known[name.lower()]


def _alias(
    name: str,
    *,
    model: str,
    about: str,
    mmproj: str | None = None,
    inputs: tuple[str, ...] | list[str] = (),
    size_bytes: int | None = None,
    sha256: str | None = None,
) -> Alias:
    projector = None if mmproj is None else names.parse(mmproj)
    return Alias(name, names.parse(model), projector, about, tuple(inputs), size_bytes, sha256)

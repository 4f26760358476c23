"""Which pictures, or other files, are meant."""

from __future__ import annotations

import glob
import os
from collections.abc import Container, Iterable, Iterator
from pathlib import Path

from mullama_media.errors import InvalidOptionError

__all__ = ["SUFFIXES", "find"]

_KNOWN = (
    "jpg jpeg jpe png apng webp gif bmp dib tif tiff avif heic heif jp2 ppm pgm pbm pnm ico tga qoi"
)
SUFFIXES = frozenset(f".{name}" for name in _KNOWN.split(" "))
"""Endings by which pictures in a folder are known; a file that is named may have any"""


def find(
    names: Iterable[str | os.PathLike[str]],
    *,
    recursive: bool = False,
    suffixes: Container[str] = SUFFIXES,
    what: str = "picture",
) -> Iterator[str]:
    """Paths of pictures, each once, in the order of the names and within a folder by name.

    Lazy: folders are read as the caller gets to them, so millions of files take no memory but
    for the names of one folder and of what was given already.

    Args:
        names: files, folders, and patterns with * ? [ or ** in them. A file need not exist: that
            it does not is said where it is read.
        recursive: folders within folders, too.
        suffixes: endings, in lower case, by which files in a folder are known.
        what: one of them is called, for errors.

    Raises:
        InvalidOptionError: a pattern that nothing matches, or a folder without such files.
    """
    seen: set[str] = set()
    for name in names:
        found = False
        for path in _of(os.fspath(name), recursive, suffixes):
            found = True
            if path not in seen:
                seen.add(path)
                yield path
        if not found:
            raise InvalidOptionError(
                f"there is no {what} in it",
                where=name,
                hint="" if recursive else "Folders within it are read with --recursive",
            )


def _of(name: str, recursive: bool, suffixes: Container[str]) -> Iterator[str]:
    if os.path.isdir(name):
        yield from _in_folder(Path(name), recursive, suffixes)
    elif not os.path.lexists(name) and glob.has_magic(name):
        for path in sorted(glob.iglob(name, recursive=True)):
            if os.path.isdir(path):
                yield from _in_folder(Path(path), recursive, suffixes)
            else:
                yield path
    else:
        yield name


def _in_folder(folder: Path, recursive: bool, suffixes: Container[str]) -> Iterator[str]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise InvalidOptionError(f"cannot be read: {error.strerror}", where=folder) from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            if recursive:
                yield from _in_folder(folder / entry.name, recursive, suffixes)
        elif os.path.splitext(entry.name)[1].lower() in suffixes:
            yield str(folder / entry.name)

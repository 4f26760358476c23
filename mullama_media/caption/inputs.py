"""Which pictures and videos are meant."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from mullama_media.errors import InvalidOptionError
from mullama_media.vision.fetch import is_url
from mullama_media.vision.formats import SUFFIXES

__all__ = ["find"]

_VIDEOS = "mp4 m4v mov mkv webm avi mpg mpeg m2ts mts wmv flv ogv 3gp"
_KNOWN = SUFFIXES | frozenset(f".{name}" for name in _VIDEOS.split())


def find(names: Iterable[str | os.PathLike[str]], *, recursive: bool = False) -> Iterator[str]:
    """Paths of pictures and videos, each once, in the order of the names, in a folder by name.

    Lazy: folders are read as the caller gets to them, so millions of files take no memory but
    for the names of one folder and of what was given already.

    Args:
        names: files, folders, patterns with * ? [ or ** in them, and URLs, which stay as they are.
            A file need not exist: that it does not is said where it is read.
        recursive: folders within folders, too.

    Raises:
        InvalidOptionError: a pattern that nothing matches, or a folder without pictures.
    """
    seen: set[str] = set()
    for name in names:
        found = False
        for path in _of(os.fspath(name), recursive):
            found = True
            if path not in seen:
                seen.add(path)
                yield path
        if not found:
            raise InvalidOptionError(
                "there is no picture in it",
                where=name,
                hint="" if recursive else "Folders within it are read with --recursive",
            )


def _of(name: str, recursive: bool) -> Iterator[str]:
    if is_url(name):
        yield name
    elif os.path.isdir(name):
        yield from _in_folder(Path(name), recursive)
    elif not os.path.lexists(name) and glob.has_magic(name):
        for path in sorted(glob.iglob(name, recursive=True)):
            if os.path.isdir(path):
                yield from _in_folder(Path(path), recursive)
            else:
                yield path
    else:
        yield name


def _in_folder(folder: Path, recursive: bool) -> Iterator[str]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise InvalidOptionError(f"cannot be read: {error.strerror}", where=folder) from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            if recursive:
                yield from _in_folder(folder / entry.name, recursive)
        elif os.path.splitext(entry.name)[1].lower() in _KNOWN:
            yield str(folder / entry.name)

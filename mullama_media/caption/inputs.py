"""Which pictures and videos, or other files, are meant."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Container, Iterable, Iterator
from contextlib import closing
from pathlib import Path

from mullama_media.caption import storage
from mullama_media.caption.ondisk import Names
from mullama_media.errors import InvalidOptionError, MediaError
from mullama_media.vision.fetch import is_url
from mullama_media.vision.formats import SUFFIXES

__all__ = ["VISIBLE", "find"]

_VIDEOS = "mp4 m4v mov mkv webm avi mpg mpeg m2ts mts wmv flv ogv 3gp"
VISIBLE = SUFFIXES | frozenset(f".{name}" for name in _VIDEOS.split())
"""Endings by which pictures and videos in a folder are known; a file that is named may have any"""


def find(
    names: Iterable[str | os.PathLike[str]],
    *,
    recursive: bool = False,
    suffixes: Container[str] = VISIBLE,
    what: str = "picture",
) -> Iterator[str]:
    """Paths of pictures and videos, each once, in the order of the names, in a folder by name.

    Lazy: folders are read as the caller gets to them, so millions of files take no memory but
    for the names of one folder.

    Args:
        names: files, folders, patterns with * ? [ or ** in them, and http(s) and data: URLs, which
            stay as they are; URIs of objects and folders in object stores (s3://bucket/photos/),
            with * in the last part alone. A file need not exist: that it does not is said where it
            is read.
        recursive: folders within folders, too.
        suffixes: endings, in lower case, by which files in a folder are known.
        what: one of them is called, for errors.

    Raises:
        InvalidOptionError: a pattern that nothing matches, or a folder without such files.
        MissingExtraError: a URI, and pyarrow is not installed.
    """
    with closing(Names()) as seen:
        for name in names:
            found = False
            for path in _of(os.fspath(name), recursive, suffixes):
                found = True
                if seen.add(path):
                    yield path
            if not found:
                raise InvalidOptionError(
                    f"there is no {what} in it",
                    where=name,
                    hint="" if recursive else "Folders within it are read with --recursive",
                )


def _of(name: str, recursive: bool, suffixes: Container[str]) -> Iterator[str]:
    if is_url(name):
        yield name
    elif storage.is_uri(name):
        # Videos are read where they are, so those of object stores are none of these.
        yield from _in_store(name, recursive, SUFFIXES if suffixes is VISIBLE else suffixes)
    elif os.path.isdir(name):
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


def _in_store(uri: str, recursive: bool, suffixes: Container[str]) -> Iterator[str]:
    last = uri.rpartition("/")[2]
    if "*" in last:
        for path, is_folder in _entries(uri.removesuffix(last)) or ():
            if not is_folder and fnmatch.fnmatchcase(path.rpartition("/")[2], last):
                yield path
    elif storage.suffix(uri) in suffixes:  # it is not asked for: a list may hold millions
        yield uri
    else:
        yield from _in_folder_of_store(uri, recursive, suffixes) or (uri,)


def _in_folder_of_store(
    uri: str, recursive: bool, suffixes: Container[str]
) -> Iterator[str] | None:
    entries = _entries(uri)
    return None if entries is None else _among(entries, recursive, suffixes)


def _among(
    entries: Iterator[tuple[str, bool]], recursive: bool, suffixes: Container[str]
) -> Iterator[str]:
    for path, is_folder in entries:
        if path.rpartition("/")[2].startswith("."):
            continue
        if is_folder:
            if recursive:
                yield from _in_folder_of_store(path, recursive, suffixes) or ()
        elif storage.suffix(path) in suffixes:
            yield path


def _entries(uri: str) -> Iterator[tuple[str, bool]] | None:
    try:
        return storage.folder(uri)
    except MediaError as error:
        raise InvalidOptionError(error.what, where=error.where) from error

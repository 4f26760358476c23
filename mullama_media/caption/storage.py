"""Files by name: a path, or the URI of one in an object store (s3://bucket/key)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from mullama_media.errors import MediaError, MissingExtraError

__all__ = ["exist", "folder", "is_uri", "read", "renamed", "suffix", "write"]

_URI = re.compile(r"([a-z][a-z0-9.+-]+://[^/?]*)([^?]*)(\?.*)?", re.DOTALL)


def is_uri(name: str) -> bool:
    """Whether it names an object: s3://, gs://, file:// and what else pyarrow knows."""
    return _URI.fullmatch(name) is not None


def suffix(name: str) -> str:
    """The ending, dot included, in lower case."""
    found = _URI.fullmatch(name)
    return os.path.splitext(found[2] if found else name)[1].lower()


def renamed(name: str, change: Callable[[str], str]) -> str:
    """The name with its path, which in a URI is not all of it, changed."""
    found = _URI.fullmatch(name)
    return f"{found[1]}{change(found[2])}{found[3] or ''}" if found else change(name)


def read(name: str) -> bytes:
    """The whole content. Blocks; thread-safe.

    Raises:
        MediaError: it is not there, may not be read, or is no file.
        MissingExtraError: it is a URI, and pyarrow is not installed.
    """
    try:
        if not is_uri(name):
            return Path(name).read_bytes()
        files, path = _open(name)
        with files.open_input_stream(path, compression=None) as stream:
            return bytes(stream.readall())
    except OSError as error:
        raise MediaError(f"cannot be read: {_said(error)}", where=name) from error
    except ValueError as error:  # a NUL in a name, or a store that pyarrow does not know
        raise MediaError(f"cannot be read: {error}", where=name) from error


def write(name: str, content: bytes) -> None:
    """Write it in one piece: what is there is the old content or the new. Raises as `read`."""
    try:
        if is_uri(name):
            files, path = _open(name)
            with files.open_output_stream(path, compression=None) as stream:
                stream.write(content)
            return
        target = Path(name)
        part = target.with_name(f".{target.name}.part")
        try:
            part.write_bytes(content)
            os.replace(part, target)
        except OSError:
            part.unlink(missing_ok=True)
            raise
    except (OSError, ValueError) as error:
        raise MediaError(f"cannot be written: {_said(error)}", where=name) from error


def exist(names: Sequence[str]) -> bool:
    """Whether one of these is there. They are in one store, or all paths. Raises as `read`."""
    if not names or not is_uri(names[0]):
        return any(os.path.exists(name) for name in names)
    try:
        files = _open(names[0])[0]
        found = files.get_file_info([_open(name)[1] for name in names])
    except (OSError, ValueError) as error:
        raise MediaError(f"cannot be read: {_said(error)}", where=names[0]) from error
    return any(info.type.name != "NotFound" for info in found)


def folder(uri: str) -> Iterator[tuple[str, bool]] | None:
    """The URIs in a folder by name, and whether each is a folder; None where it is none.

    Raises as `read`.
    """
    from pyarrow import fs

    try:
        files, path = _open(uri)
        if files.get_file_info(path).type != fs.FileType.Directory:
            return None
        entries = files.get_file_info(fs.FileSelector(path))
    except (OSError, ValueError) as error:
        raise MediaError(f"cannot be read: {_said(error)}", where=uri) from error
    entries.sort(key=lambda info: info.base_name)
    return ((_in(uri, info.base_name), info.type == fs.FileType.Directory) for info in entries)


def _in(uri: str, name: str) -> str:
    return renamed(uri, lambda path: f"{path.rstrip('/')}/{quote(name)}")


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _open(uri: str) -> tuple[Any, str]:
    """The store, and the path in it."""
    found = _URI.fullmatch(uri)
    if found is None:
        raise ValueError(f"{uri!r} is no URI")
    files, base = _store(found[1] + ("/" if found[1].endswith("//") else ""), found[3] or "")
    return files, base.rstrip("/") + unquote(found[2])


@lru_cache(maxsize=64)
def _store(root: str, query: str) -> tuple[Any, str]:
    try:
        from pyarrow import fs
    except ImportError as error:
        raise MissingExtraError.of("files in object stores", "object-stores") from error
    return fs.FileSystem.from_uri(root + query)  # type: ignore[no-any-return, unused-ignore]

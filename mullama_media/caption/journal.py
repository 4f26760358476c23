"""What is done already, on disk: a run that was killed goes on where it stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from io import RawIOBase
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from mullama_media.caption.ondisk import Index
from mullama_media.caption.record import Caption
from mullama_media.errors import InvalidOptionError

__all__ = ["Journal"]


class Journal:
    """Captions by path and by content, one JSON line each, appended as they are made.

    A line is written in one piece and handed to the system before anything else depends on it, so
    a process that is killed loses at most what it had not finished; half a line at the end is
    dropped at the next start. What is in it is looked up in the file, so that memory does not grow
    with it. One process at a time. Not thread-safe.

    Args:
        path: the file; made if it is not there.
        question: digest of everything the captions depend on besides the picture. Captions made
            with another are not taken up again.

    Raises:
        InvalidOptionError: another process uses it, or it is no journal, or cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], question: str = "") -> None:
        self.path = Path(path)
        self._question = question
        self._lock = FileLock(f"{self.path}.lock", timeout=0)
        if not self.path.parent.is_dir():
            raise InvalidOptionError("cannot be written: there is no such folder", where=self.path)
        try:
            self._lock.acquire()
        except Timeout:
            raise InvalidOptionError(
                "another process writes it", where=self.path, hint="Wait for it to end"
            ) from None
        except OSError as error:
            raise InvalidOptionError(
                f"cannot be written: {error.strerror}", where=self.path
            ) from error
        try:
            self._file = self._open()
            self._index = Index()
            self._size = 0
            try:
                self._load()
                self._lines = self.path.open("rb")
            except BaseException:
                self._file.close()
                self._index.close()
                raise
        except BaseException:
            self._lock.release()
            raise

    def _open(self) -> RawIOBase:
        try:
            return self.path.open("ab", buffering=0)
        except OSError as error:
            raise InvalidOptionError(
                f"cannot be written: {error.strerror}", where=self.path
            ) from error

    def _load(self) -> None:
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.endswith(b"\n"):
                    break  # it was killed while it wrote
                self._read(line, number)
                self._size += len(line)
        self._file.truncate(self._size)

    def _read(self, line: bytes, number: int) -> None:
        try:
            entry = json.loads(line)
            question, caption = entry["question"], Caption.from_dict(entry["caption"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidOptionError(
                "it is no journal of captions",
                where=f"{self.path}:{number}",
                hint="Name another file, or remove it",
            ) from error
        if question == self._question:
            self._index.add(caption.path, caption.digest, self._size)

    def __len__(self) -> int:
        return len(self._index)

    def find(self, path: str, digest: str) -> Caption | None:
        """The caption of the picture with these bytes at this path, if it has one."""
        return self._at(self._index.find(path, digest))

    def alike(self, digest: str) -> Caption | None:
        """A caption of a picture with these bytes, wherever it lies."""
        return self._at(self._index.alike(digest))

    def digests(self) -> Iterator[str]:
        """Of every picture that has a caption, in order."""
        return self._index.digests()

    def add(self, caption: Caption) -> None:
        """Write it down."""
        entry = {"question": self._question, "caption": caption.as_dict()}
        text = json.dumps(entry, ensure_ascii=False)
        # A file name that is no UTF-8 comes with lone surrogates, and their escapes are JSON's.
        line = text.encode(errors="backslashreplace") + b"\n"
        self._file.write(line)
        self._index.add(caption.path, caption.digest, self._size)
        self._size += len(line)

    def _at(self, begin: int | None) -> Caption | None:
        if begin is None:
            return None
        self._lines.seek(begin)
        return Caption.from_dict(json.loads(self._lines.readline())["caption"])

    def close(self) -> None:
        """Bring it to the disk and let others use it. Idempotent."""
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()
            self._lines.close()
            self._index.close()
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

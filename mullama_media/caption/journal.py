"""What is done already, on disk: a run that was killed goes on where it stopped."""

from __future__ import annotations

import json
import os
from io import RawIOBase
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from mullama_media.caption.record import Caption
from mullama_media.errors import InvalidOptionError

__all__ = ["Journal"]


class Journal:
    """Captions by path and by content, one JSON line each, appended as they are made.

    A line is written in one piece and handed to the system before anything else depends on it, so
    a process that is killed loses at most what it had not finished; half a line at the end is
    dropped at the next start. One process at a time. Not thread-safe.

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
            self._by_path: dict[str, Caption] = {}
            self._by_digest: dict[str, Caption] = {}
            self._file = self._open()
            try:
                self._load()
            except BaseException:
                self._file.close()
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
        whole = 0
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.endswith(b"\n"):
                    break  # it was killed while it wrote
                self._read(line, number)
                whole += len(line)
        self._file.truncate(whole)

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
            self._remember(caption)

    def _remember(self, caption: Caption) -> None:
        self._by_path[caption.path] = caption
        self._by_digest.setdefault(caption.digest, caption)

    def __len__(self) -> int:
        return len(self._by_path)

    def find(self, path: str, digest: str) -> Caption | None:
        """The caption of the picture with these bytes at this path, if it has one."""
        caption = self._by_path.get(path)
        return caption if caption is not None and caption.digest == digest else None

    def alike(self, digest: str) -> Caption | None:
        """A caption of a picture with these bytes, wherever it lies."""
        return self._by_digest.get(digest)

    def add(self, caption: Caption) -> None:
        """Write it down."""
        entry = {"question": self._question, "caption": caption.as_dict()}
        self._file.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
        self._remember(caption)

    def close(self) -> None:
        """Bring it to the disk and let others use it. Idempotent."""
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()
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

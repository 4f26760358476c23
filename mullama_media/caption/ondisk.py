"""What grows with the number of pictures, kept on disk: memory stays what it is."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator

from mullama_media.caption.record import Caption

__all__ = ["Index", "Names", "Results"]

_CACHE_KIB = 2048
_PAGE = 1000  # rows read at once, so that a table may be written to between them


class _OnDisk:
    """Tables in a file without a name: the system removes it with the process."""

    def __init__(self, *tables: str) -> None:
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for setting in (f"cache_size = -{_CACHE_KIB}", "journal_mode = OFF", "synchronous = OFF"):
            self._database.execute(f"PRAGMA {setting}")
        for table in tables:
            self._database.execute(f"CREATE TABLE {table} WITHOUT ROWID")

    def close(self) -> None:
        """Forget everything. Idempotent."""
        self._database.close()


class Names(_OnDisk):
    """A set of names. Not thread-safe."""

    def __init__(self) -> None:
        super().__init__("names (name BLOB PRIMARY KEY)")

    def add(self, name: str) -> bool:
        """Whether it is new."""
        key = (os.fsencode(name),)
        return self._database.execute("INSERT OR IGNORE INTO names VALUES (?)", key).rowcount > 0


class Index(_OnDisk):
    """Where in a file the last entry of a path and the first of a digest begin. Not thread-safe."""

    def __init__(self) -> None:
        super().__init__(
            "paths (path BLOB PRIMARY KEY, digest TEXT, at INTEGER)",
            "digests (digest TEXT PRIMARY KEY, at INTEGER)",
        )

    def add(self, path: str, digest: str, at: int) -> None:
        """An entry that begins at byte `at`."""
        row = (os.fsencode(path), digest, at)
        self._database.execute("INSERT OR REPLACE INTO paths VALUES (?, ?, ?)", row)
        self._database.execute("INSERT OR IGNORE INTO digests VALUES (?, ?)", row[1:])

    def find(self, path: str, digest: str) -> int | None:
        """Of the last entry of the path, if it is of these bytes."""
        key = (os.fsencode(path), digest)
        return self._one("SELECT at FROM paths WHERE path = ? AND digest = ?", key)

    def alike(self, digest: str) -> int | None:
        """Of the first entry with this digest."""
        return self._one("SELECT at FROM digests WHERE digest = ?", (digest,))

    def digests(self) -> Iterator[str]:
        """All, in order."""
        yield from (row[0] for row in self._database.execute("SELECT digest FROM digests"))

    def __len__(self) -> int:
        return self._one("SELECT count(*) FROM paths", ()) or 0

    def _one(self, query: str, values: tuple[object, ...]) -> int | None:
        row = self._database.execute(query, values).fetchone()
        return None if row is None else int(row[0])


class Results(_OnDisk):
    """Pictures that were asked for, in order, and what became of them. Not thread-safe.

    Args:
        paths: read to the end.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self.failed = 0
        self.copies = 0
        """Captions that are those of other pictures with the same bytes"""
        super().__init__(
            "paths (path BLOB PRIMARY KEY, n INTEGER)",
            "results (n INTEGER PRIMARY KEY, path, caption)",
        )
        self._count = 0
        for path in paths:
            row = (os.fsencode(path), self._count)
            if self._database.execute("INSERT OR IGNORE INTO paths VALUES (?, ?)", row).rowcount:
                self._database.execute("INSERT INTO results VALUES (?, ?, NULL)", row[::-1])
                self._count += 1

    def __len__(self) -> int:
        return self._count

    def paths(self) -> Iterator[str]:
        """In the order in which they were given."""
        yield from (os.fsdecode(path) for _, path, _ in self._rows(""))

    def add(self, caption: Caption) -> None:
        """One of the paths is done; it may have been before."""
        self.failed += caption.error is not None
        self.copies += caption.duplicate_of is not None
        row = (json.dumps(caption.as_dict()), os.fsencode(caption.path))
        self._database.execute(
            "UPDATE results SET caption = ? WHERE n = (SELECT n FROM paths WHERE path = ?)", row
        )

    def captions(self, *, failed: bool = False) -> Iterator[Caption]:
        """What is done, in the order of the paths; or of that, what failed."""
        for _, _, text in self._rows("AND caption IS NOT NULL"):
            caption = Caption.from_dict(json.loads(text))
            if not failed or caption.error is not None:
                yield caption

    def _rows(self, which: str) -> Iterator[tuple[int, bytes, str]]:
        last = -1
        query = f"SELECT n, path, caption FROM results WHERE n > ? {which} ORDER BY n LIMIT ?"  # noqa: S608
        while rows := self._database.execute(query, (last, _PAGE)).fetchall():
            yield from rows
            last = rows[-1][0]

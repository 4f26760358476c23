"""How event loops learn that an engine has news for them.

Python pulls: the native core never calls Python. For each event loop it has a bell, a file
descriptor that becomes readable once a step in which streams read on that loop got something. The
loop itself watches it, so no thread stands between, and one wake-up serves all its readers. They
take the events themselves: the native buffer is the only queue, and a slow reader slows its own
request alone.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable
from typing import Any, Protocol

from mullama_media.engine.native import core

__all__ = ["Bell", "Bells", "Reader"]


class Reader(Protocol):
    """Who reads what an engine announces."""

    @property
    def native_id(self) -> int:
        """The id it is announced under."""
        ...

    def wake(self) -> None:
        """Something may be there to read. Called on the reader's loop."""
        ...

    def cancel(self) -> None:
        """The loop is gone, so nobody will read it."""
        ...


class Bell:
    """Wakes the readers on one event loop. Used on that loop alone, unless said otherwise.

    The loop must be able to watch file descriptors, as all of asyncio's on POSIX and uvloop's are.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, ended: Callable[[], None]) -> None:
        self.native: Any = core().Bell()
        self.loop = loop
        self._ended = ended
        self._readers: dict[int, weakref.ref[Reader]] = {}
        loop.add_reader(self.native.fd, self._ring)

    def register(self, reader: Reader) -> None:
        """Wake `reader` from now on, until `forget` or until it is garbage."""
        number = reader.native_id
        self._readers[number] = weakref.ref(reader, lambda _: self._lose(number))

    def forget(self, reader: Reader) -> None:
        """It has read everything. The bell ends with its last reader."""
        self._readers.pop(reader.native_id, None)
        self._end_if_idle()

    def abandon(self) -> None:
        """The loop was closed under its readers. From any thread."""
        for found in list(self._readers.values()):
            reader = found()
            if reader is not None:
                reader.cancel()
        self._readers.clear()

    def _ring(self) -> None:
        for number in self.native.take():
            found = self._readers.get(number)
            reader = found() if found else None
            if reader is not None:
                reader.wake()

    def _lose(self, number: int) -> None:  # on whatever thread collects garbage
        self._readers.pop(number, None)
        if not self._readers:
            try:
                self.loop.call_soon_threadsafe(self._end_if_idle)
            except RuntimeError:  # closed, and what it watched with it
                self._ended()

    def _end_if_idle(self) -> None:
        if not self._readers:
            self.loop.remove_reader(self.native.fd)
            self._ended()


class Bells:
    """The bells of one engine. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bells: dict[int, Bell] = {}

    def on(self, loop: asyncio.AbstractEventLoop) -> Bell:
        """That of a loop, which must be the running one."""
        with self._lock:
            left = [key for key, bell in self._bells.items() if bell.loop.is_closed()]
            abandoned = [self._bells.pop(key) for key in left]
            key = id(loop)
            bell = self._bells.get(key)
            if bell is None:
                bell = self._bells[key] = Bell(loop, lambda: self._drop(key))
        for one in abandoned:
            one.abandon()
        return bell

    def _drop(self, key: int) -> None:
        with self._lock:
            self._bells.pop(key, None)

"""A bounded queue from one thread to one reader, who may block or be a task."""

from __future__ import annotations

import asyncio
import collections
import threading
from typing import Generic, TypeVar

__all__ = ["Mailbox"]

T = TypeVar("T")

_WAIT_S = 0.1  # how long a blocking wait may keep Ctrl-C from being seen


class Mailbox(Generic[T]):
    """Every method is thread-safe. One thread puts, one thread or task takes.

    Args:
        capacity: items that may wait before `put` blocks.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: collections.deque[T] = collections.deque()
        self._changed = threading.Condition()
        self._bounded = True
        self._closed = False
        self._error: BaseException | None = None
        self._waiter: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def __len__(self) -> int:
        return len(self._items)

    @property
    def drained(self) -> bool:
        """Whether it is closed and everything was taken."""
        with self._changed:
            return self._closed and not self._items

    def put(self, item: T) -> None:
        """Add an item. Blocks while the mailbox is full, until `unbind`."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self._capacity or not self._bounded)
            self._items.append(item)
            self._wake()

    def unbind(self) -> None:
        """Let `put` go on whatever waits: the stream is being stopped, and the rest is little."""
        with self._changed:
            self._bounded = False
            self._changed.notify_all()

    def close(self, error: BaseException | None = None) -> None:
        """Nothing comes any more; the reader gets `error` behind the last item."""
        with self._changed:
            self._closed = True
            self._error = error
            self._wake()

    def take(self) -> T | None:
        """The next item; None once closed and empty. Blocks; raises what `close` was given."""
        with self._changed:
            while not self._items and not self._closed:
                self._changed.wait(_WAIT_S)
            return self._pop()

    async def take_async(self) -> T | None:
        """`take` for asyncio."""
        news = asyncio.Event()
        with self._changed:
            self._waiter = (asyncio.get_running_loop(), news)
            ready = bool(self._items) or self._closed
        try:
            if not ready:
                await news.wait()
        finally:
            self._waiter = None
        with self._changed:
            return self._pop()

    def _pop(self) -> T | None:
        if self._items:
            self._changed.notify_all()
            return self._items.popleft()
        if self._error is not None:
            raise self._error
        return None

    def _wake(self) -> None:
        self._changed.notify_all()
        if self._waiter is not None:
            loop, news = self._waiter
            try:
                loop.call_soon_threadsafe(news.set)
            except RuntimeError:  # the loop was closed while it waited
                self._waiter = None

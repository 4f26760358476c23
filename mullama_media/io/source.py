"""What all sources share: a ring, its reading side for threads and tasks, and device events."""

from __future__ import annotations

import abc
import asyncio
import collections
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

from mullama_media.audio.ring import AudioRing, Meter
from mullama_media.errors import AudioDeviceError
from mullama_media.frames import AudioFormat, DeviceChange, Source, SourceItem

__all__ = ["RingSource"]


class RingSource(abc.ABC):
    """A source whose samples pass through a ring.

    Subclasses say what `_start` sets in motion and what `_stop` ends; whatever they start writes
    into `self._ring`. One thread or task reads; `close` may be called from any other.

    Args:
        audio_format: of the samples, or None if `_start` finds it out and calls `_make_ring`.
        buffer_ms: how long a reader may do something else before frames are dropped.
    """

    def __init__(self, audio_format: AudioFormat | None, *, buffer_ms: float = 10_000) -> None:
        self._buffer_ms = buffer_ms
        self._maybe_ring: AudioRing | None = None
        if audio_format is not None:
            self._make_ring(audio_format)
        self._events: collections.deque[DeviceChange] = collections.deque()
        self._held: SourceItem | None = None
        self._lock = threading.RLock()
        self._opened = False
        self._closing = threading.Event()
        self._ended = False

    @property
    def format(self) -> AudioFormat:
        """Layout of the samples. Raises AudioDeviceError where only opening shows it."""
        return self._ring.format

    @property
    def ended(self) -> bool:
        """Whether everything was read and no more will come."""
        return self._ended

    @property
    def meter(self) -> Meter:
        """What has come in, was delivered and was lost. Thread-safe."""
        return self._ring.meter

    def open(self) -> Self:
        """Begin. Does nothing if it was opened before; a source does not begin twice.

        Raises:
            AudioDeviceError: it was closed before it was opened.
        """
        with self._lock:
            if not self._opened:
                if self._closing.is_set():
                    raise AudioDeviceError("it is closed", where=type(self).__name__)
                self._start()
                self._opened = True
        return self

    def close(self) -> None:
        """Let go of what it reads from; what is buffered can still be read. Thread-safe."""
        with self._lock:
            if self._closing.is_set():
                return
            self._closing.set()
            if self._opened:
                self._stop()
            if self._maybe_ring is not None:
                self._maybe_ring.wake()

    def read(self, timeout_ms: float | None = None) -> SourceItem | None:
        """The next item; None when the time is over or the source ended.

        Opens the source. Blocks without the GIL; Ctrl-C is seen within 50 ms. A chunk holds until
        the next read.
        """
        self.open()
        end = None if timeout_ms is None else time.monotonic() + timeout_ms / 1000
        while True:
            item = self._poll()
            left = None if end is None else end - time.monotonic()
            if item is not None or self._ended or (left is not None and left <= 0):
                return item
            self._ring.wait(left)

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.open)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    def __iter__(self) -> Iterator[SourceItem]:
        with self:
            while (item := self.read()) is not None:
                yield item

    async def __aiter__(self) -> AsyncIterator[SourceItem]:
        # One thread of its own: a shared pool could be full of others that wait like this one.
        with ThreadPoolExecutor(1, thread_name_prefix="mullama-source") as pool:
            async with self:
                loop = asyncio.get_running_loop()
                while not self._ended:
                    item = self._poll()
                    if item is not None:
                        yield item
                    elif not self._ended:
                        await loop.run_in_executor(pool, self._ring.wait)

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"<{name} {self._maybe_ring.format}>" if self._maybe_ring else f"<{name}>"

    # For subclasses

    @abc.abstractmethod
    def _start(self) -> None:
        """Set the producer in motion."""

    @abc.abstractmethod
    def _stop(self) -> None:
        """Stop the producer, wait for it, and finish the ring. Called once."""

    def _make_ring(self, audio_format: AudioFormat) -> None:
        self._maybe_ring = AudioRing(audio_format, capacity_ms=self._buffer_ms)

    @property
    def _ring(self) -> AudioRing:
        if self._maybe_ring is None:
            raise AudioDeviceError(
                "its format is known once it is open", where=type(self).__name__, hint="Call open()"
            )
        return self._maybe_ring

    def _tell(self, event: DeviceChange) -> None:
        self._events.append(event)
        self._ring.wake()

    # Reading

    def _poll(self) -> SourceItem | None:
        """The next item if it is there. Events come before the samples they precede."""
        if self._held is None:
            self._held = self._ring.poll()
        item = self._held
        if self._events and self._reached(self._events[0].at_sample):
            return self._events.popleft()
        self._held = None
        self._ended = item is None and self._ring.ended
        return item

    def _reached(self, index: int) -> bool:
        if self._held is not None:
            return self._held.at_sample >= index
        return self._ring.position >= index or self._ring.ended


if TYPE_CHECKING:

    def _is_a_source(source: RingSource) -> Source:
        return source

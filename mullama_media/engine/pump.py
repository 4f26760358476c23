"""The one thread an engine needs to feed event loops.

Python pulls: the native core never calls Python. This thread waits (without the GIL) until the
engine announces streams with news, and wakes their readers with one call per event loop and
decode step. Readers take the events themselves, so the native buffer is the only queue and a slow
reader slows its own request alone.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mullama_media.engine.stream import TokenStream

__all__ = ["Pump"]

_WAIT_MS = 1000


class Pump:
    """Wakes the asyncio readers of one engine. Thread-safe."""

    def __init__(self, native: Any) -> None:
        self._native = native
        self._lock = threading.Lock()
        self._readers: dict[int, tuple[weakref.ref[TokenStream], asyncio.AbstractEventLoop]] = {}
        self._thread = threading.Thread(target=self._run, name="mullama-pump", daemon=True)
        self._thread.start()

    def register(self, stream: TokenStream, loop: asyncio.AbstractEventLoop) -> None:
        """Wake `stream` on `loop` from now on, until it is garbage."""
        number = stream.native_id
        forget = weakref.ref(stream, lambda _: self._readers.pop(number, None))
        with self._lock:
            self._readers[number] = (forget, loop)

    def join(self) -> None:
        """Wait for the thread to end; it does when the engine closes."""
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        while True:
            last = self._native.finished  # asked first: what was announced until then comes below
            numbers = self._native.wait_ready(_WAIT_MS)
            self._wake_readers(numbers)
            if last and not numbers:
                return

    def _wake_readers(self, numbers: list[int]) -> None:
        # A method of its own, so that no local keeps a stream alive while the thread waits.
        by_loop: dict[asyncio.AbstractEventLoop, list[TokenStream]] = defaultdict(list)
        with self._lock:
            found = [self._readers.get(number) for number in dict.fromkeys(numbers)]
        for entry in found:
            stream = entry[0]() if entry else None
            if entry and stream is not None:
                by_loop[entry[1]].append(stream)
        for loop, streams in by_loop.items():
            try:
                loop.call_soon_threadsafe(_wake, streams)
            except RuntimeError:  # the loop was closed under its readers
                for stream in streams:
                    stream.cancel()


def _wake(streams: list[TokenStream]) -> None:
    for stream in streams:
        stream.wake()

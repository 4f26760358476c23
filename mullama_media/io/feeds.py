"""Samples that arrive as bytes: from a socket, a pipe, another program, or an async iterator."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterable
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mullama_media.audio.pcm import ENCODINGS, PcmDecoder
from mullama_media.errors import AudioDeviceError
from mullama_media.frames import AudioFormat, SourceItem
from mullama_media.io.source import RingSource

__all__ = ["AsyncSource", "BytesSource", "audio_format"]

Piece = bytes | bytearray | memoryview | npt.NDArray[Any]


def audio_format(sample_rate: int, channels: int, encoding: str) -> AudioFormat:
    """What bytes of an encoding become."""
    dtype = ENCODINGS.get(encoding, (0, "float32"))[1]
    return AudioFormat(sample_rate, channels, dtype)  # type: ignore[arg-type]


class _Feed(RingSource):
    def __init__(
        self, sample_rate: int, channels: int, encoding: str, buffer_ms: float, live: bool
    ) -> None:
        self._decoder = PcmDecoder(encoding, channels)
        super().__init__(audio_format(sample_rate, channels, encoding), buffer_ms=buffer_ms)
        self._live = live

    def _frames(self, piece: Piece) -> npt.NDArray[Any]:
        if isinstance(piece, np.ndarray):
            return piece
        return self._decoder.decode(piece)


class BytesSource(_Feed):
    """Samples that somebody puts in with `feed`: a WebSocket handler, a pipe reader, a test.

    Args:
        sample_rate: in Hz.
        channels: interleaved.
        encoding: of the bytes; one of `mullama_media.audio.pcm.ENCODINGS`.
        live: `feed` never waits, and frames are dropped (and counted) when the reader is slower
            than the buffer is long. Otherwise `feed` waits for room.
        buffer_ms: as for every source.
    """

    def __init__(
        self,
        sample_rate: int,
        channels: int = 1,
        *,
        encoding: str = "s16le",
        live: bool = True,
        buffer_ms: float = 10_000,
    ) -> None:
        super().__init__(sample_rate, channels, encoding, buffer_ms, live)
        self._feeding = threading.Lock()

    def feed(self, piece: Piece) -> None:
        """Add bytes of any length, or frames as an array in the source's dtype.

        Blocks only if the source is not live. Thread-safe, one piece after the other.

        Raises:
            InvalidOptionError: an array that does not fit the format.
            AudioDeviceError: the source is closed.
        """
        with self._feeding:
            if self._closing.is_set():
                raise AudioDeviceError("it is closed", where="BytesSource.feed")
            self._ring.write(self._frames(piece), wait=not self._live, stop=self._closing.is_set)

    def gap(self, lost: int) -> None:
        """The sender says that so many frames are missing here; 0 if it does not know."""
        with self._feeding:
            self._ring.gap(lost)

    def _start(self) -> None:
        """Whoever feeds it is the one who begins."""

    def close(self) -> None:
        """No more will come; what is buffered can still be read."""
        self.open()
        super().close()

    def _stop(self) -> None:
        with self._feeding:
            self._ring.finish()


class AsyncSource(_Feed):
    """Samples from an async iterator of bytes or arrays, read no faster than they are used.

    Opened on an event loop, the iterator runs on that loop, so it may belong to a connection there.
    Opened elsewhere, it runs on a loop in a thread of its own.

    Args:
        pieces: bytes of any length, or arrays in the source's dtype.
        sample_rate: in Hz.
        channels: interleaved.
        encoding: of the bytes; one of `mullama_media.audio.pcm.ENCODINGS`.
        live: as for BytesSource. Not live, the iterator waits for the reader.
        buffer_ms: as for every source.

    What the iterator raises is raised where its last sample was read.
    """

    def __init__(
        self,
        pieces: AsyncIterable[Piece],
        sample_rate: int,
        channels: int = 1,
        *,
        encoding: str = "s16le",
        live: bool = False,
        buffer_ms: float = 10_000,
    ) -> None:
        super().__init__(sample_rate, channels, encoding, buffer_ms, live)
        self._pieces = pieces
        self._failure: Exception | None = None
        self._thread: threading.Thread | None = None
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running = threading.Event()

    async def __aenter__(self) -> Self:
        return self.open()

    def _start(self) -> None:
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            self._thread = threading.Thread(
                target=lambda: asyncio.run(self._run()), name="mullama-async", daemon=True
            )
            self._thread.start()
            self._running.wait()
        else:
            self._task = self._loop.create_task(self._feed())
            self._task.add_done_callback(lambda _: self._ring.finish())  # it may never have begun

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._running.set()
        await self._feed()

    def _stop(self) -> None:
        loop, task = self._loop, self._task
        if loop is not None and task is not None and not loop.is_closed():
            loop.call_soon_threadsafe(task.cancel)
        if self._thread is not None:
            self._thread.join()

    async def _feed(self) -> None:
        try:
            async for piece in self._pieces:
                frames = self._frames(piece)
                size = max(1, self.format.frames(min(self._buffer_ms / 2, 500)))
                for start in range(0, len(frames), size):
                    part = frames[start : start + size]
                    while not self._live and self._ring.room() < len(part):
                        await asyncio.sleep(0.005)
                    self._ring.write(part)
                if self._closing.is_set():
                    break
        except asyncio.CancelledError:
            pass
        except Exception as error:
            self._failure = error
        finally:
            self._ring.finish()

    def _poll(self) -> SourceItem | None:
        item = super()._poll()
        if self._ended and self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        return item

"""A source without the echo of what is played."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from mullama_media.audio.echo import EchoCanceller, EchoConfig
from mullama_media.frames import (
    AudioChunk,
    AudioFormat,
    Discontinuity,
    Source,
    SourceItem,
)

__all__ = ["EchoCancelled"]


class EchoCancelled:
    """A `Source` around another: mono float32, its rate and indices, without the echo.

        ear = EchoCancelled(Microphone())
        speaker.on_played = ear.played  # whatever plays has to tell what, and when

    `played` and `unplay` may be called from any thread; one thread or task reads. What is not known
    yet is held back for less than 40 ms.

    Args:
        source: a microphone.
        config: what to do.
    """

    def __init__(self, source: Source, config: EchoConfig | None = None) -> None:
        self._source = source
        self._config = config or EchoConfig()
        self._lock = threading.Lock()
        self._stage: EchoCanceller | None = None
        self._early: list[Callable[[EchoCanceller], None]] = []  # told before it was open
        self._ready: deque[SourceItem] = deque()
        self._at = 0
        self._flushed = False

    @property
    def format(self) -> AudioFormat:
        """Mono float32 at the source's rate."""
        return AudioFormat(self._source.format.sample_rate)

    @property
    def ended(self) -> bool:
        """Whether everything was read and no more will come."""
        return self._source.ended and self._flushed and not self._ready

    @property
    def late(self) -> int:
        """Samples that were told of too late to be taken out."""
        return self._stage.late if self._stage is not None else 0

    def played(self, chunk: AudioChunk) -> None:
        """What the loudspeaker plays, as for `EchoCanceller.played`. Thread-safe."""
        self._tell(partial(EchoCanceller.played, chunk=chunk.copy()))

    def unplay(self, at_sample: int) -> None:
        """Playback stopped at that sample of the source. Thread-safe."""
        self._tell(partial(EchoCanceller.unplay, at_sample=at_sample))

    def _tell(self, what: Callable[[EchoCanceller], None]) -> None:
        with self._lock:
            if self._stage is None:
                self._early.append(what)
            else:
                what(self._stage)

    def open(self) -> Self:
        """Open the source.

        Raises:
            InvalidOptionError: the source's rate has no whole frames of 10 ms.
            MissingExtraError: the backend is not installed.
            As the source.
        """
        self._source.open()
        with self._lock:
            if self._stage is None:
                self._stage = EchoCanceller(self._config, self.format.sample_rate)
                for what in self._early:
                    what(self._stage)
                self._early.clear()
        return self

    def close(self) -> None:
        """Close the source; what is buffered can still be read. Idempotent; thread-safe."""
        self._source.close()

    def read(self, timeout_ms: float | None = None) -> SourceItem | None:
        """The next item; None when the time is over or the source ended."""
        end = None if timeout_ms is None else time.monotonic() + timeout_ms / 1000
        self.open()
        while not self._ready and not self.ended:
            left = None if end is None else max(end - time.monotonic(), 0.0) * 1000
            item = self._source.read(left)
            if item is not None or self._source.ended:
                self._take(item)
            elif left is not None and left <= 0:
                break
        return self._ready.popleft() if self._ready else None

    def __iter__(self) -> Iterator[SourceItem]:
        try:
            while (item := self.read()) is not None:
                yield item
        finally:
            self.close()

    async def __aiter__(self) -> AsyncIterator[SourceItem]:
        with ThreadPoolExecutor(1, thread_name_prefix="mullama-source") as pool:
            loop = asyncio.get_running_loop()
            try:
                while (item := await loop.run_in_executor(pool, self.read)) is not None:
                    yield item
            finally:
                self.close()

    def _take(self, item: SourceItem | None) -> None:
        stage = self._stage
        assert stage is not None  # noqa: S101 - reading opens
        with self._lock:
            if isinstance(item, AudioChunk):
                self._give(stage.process(item.mono()))
                return
            self._give(stage.flush())
            if isinstance(item, Discontinuity):
                stage.skip(item.lost)
                self._at += item.lost
        if item is None:
            self._flushed = True
        else:
            self._ready.append(item)

    def _give(self, samples: npt.NDArray[np.float32]) -> None:
        if samples.size:
            self._ready.append(AudioChunk(samples.reshape(-1, 1), self._at, self.format))
            self._at += samples.size


if TYPE_CHECKING:

    def _is_a_source(source: EchoCancelled) -> Source:
        return source

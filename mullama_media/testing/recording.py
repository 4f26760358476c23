"""A loudspeaker that is not there: it plays in virtual time and keeps what it played."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from mullama_media.audio.playback import PlaybackRing
from mullama_media.io.sink import RingSink
from mullama_media.testing.clock import ManualClock

__all__ = ["RecordingSpeaker"]


class RecordingSpeaker(RingSink):
    """Plays through the same ring, callback and counters as a `Speaker`, without a device.

    With a ManualClock buffers are asked for when `clock.advance` makes them due, from the moment it
    is opened; `drain` and writing into a full buffer wait for that, so another thread must advance
    it. Without one time passes as fast as it is waited for: `drain` plays at once.

    A stop asks for the one or two buffers that it needs at once, and the clock then owes them.

    Args:
        clock: when buffers are due.
        sample_rate: in Hz.
        block_ms: length of the device's buffers.
        latency_ms: from a buffer being asked for to its first sample being heard.
        buffer_ms: sound that may wait before a writer does.
        fade_ms: of stop and pause.
    """

    def __init__(
        self,
        clock: ManualClock | None = None,
        *,
        sample_rate: int = 16_000,
        block_ms: float = 10.0,
        latency_ms: float = 0.0,
        buffer_ms: float = 10_000,
        fade_ms: float = 5.0,
    ) -> None:
        super().__init__()
        self._clock = clock or ManualClock()
        self._own_time = clock is None
        self._block = max(1, round(sample_rate * block_ms / 1000))
        self._latency_ns = round(latency_ms * 1e6)
        self._maybe_ring = PlaybackRing(
            sample_rate, dtype="float32", capacity_ms=buffer_ms, fade_ms=fade_ms
        )
        self._since = 0.0
        self._blocks: list[npt.NDArray[Any]] = []
        self._device = threading.RLock()

    @property
    def recording(self) -> npt.NDArray[np.float32]:
        """Everything the device was given, silence too: sample k is k / sample_rate s after open.

        float32, shape (n,).
        """
        with self._device:
            return np.concatenate([np.zeros((0, 1), np.float32), *self._blocks])[:, 0]

    def _start(self) -> None:
        self._since = self._clock()
        self._clock.listen(self._catch_up)

    def _end(self) -> None:
        self._ring.wake()

    def _now_ns(self) -> int:
        return round(self._clock() * 1e9)

    def _catch_up(self, now: float) -> None:
        with self._device:
            while not self._closing.is_set() and self._due <= now + 1e-9:
                self._step()

    @property
    def _due(self) -> float:
        return self._since + len(self._blocks) * self._block / self._ring.sample_rate

    def _step(self) -> None:
        at_ns = round(self._due * 1e9)
        block = self._ring.render(self._block, at_ns=at_ns, latency_ns=self._latency_ns)
        self._blocks.append(block)

    def _settle(self, epoch: int) -> None:
        with self._device:
            while not self._ring.wait_settled(epoch, 0):
                self._step()

    def _sleep(self, seconds: float) -> None:
        if self._own_time:
            self._clock.advance(1000 * seconds)
        else:
            super()._sleep(min(seconds, 0.001))  # of real time: virtual time is quicker

    def _wait_room(self, speech: int, frames: int) -> None:
        if self._own_time:
            self._clock.advance(1000 * self._block / self._ring.sample_rate)
        else:
            super()._wait_room(speech, frames)

    def _wait_played(self, speech: int, frames: int) -> bool:
        if not self._own_time:
            return super()._wait_played(speech, frames)
        if self._ring.played(speech) < frames:
            self._clock.advance(1000 * self._block / self._ring.sample_rate)
        return self._ring.wait_played(speech, frames, 0)

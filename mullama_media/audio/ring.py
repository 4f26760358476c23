"""The ring between whoever makes samples and whoever reads them.

The ring itself is native (`ext/core/ring.hpp` says how it works): one producer, which is as a rule
PortAudio's own thread and never Python; one consumer, which reads in place. A producer that is not
allowed to wait drops the oldest frames; every one is counted and named by its index.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mullama_media.errors import InvalidOptionError
from mullama_media.frames import AudioChunk, AudioFormat, Discontinuity

__all__ = ["AudioRing", "Meter"]

BLOCK_MS = 20
"""Longest view, and what is dropped at a time"""

_SLICE_US = 50_000  # how long a wait leaves signals and closing unseen


@dataclass(frozen=True, slots=True)
class Meter:
    """What a ring has seen. `delivered + overrun + backlog == written` while nobody writes."""

    written: int
    """Frames that came in"""
    delivered: int
    """Frames that were read"""
    overrun: int
    """Frames dropped because the reader was too slow, as far as it has read"""
    device_lost: int
    """Frames lost before they came here, as far as they can be counted"""
    overruns: int
    """Times that frames were dropped"""
    device_flags: int
    """Buffers that the device marked with an overflow"""
    drift_losses: int
    """Losses that no flag told, only the device's clock; their index is up to 2 s late"""
    backlog: int
    """Frames waiting to be read"""
    max_backlog: int
    """The most that a read found waiting: how late the reader ever was"""
    buffers: int
    """Buffers the device handed over"""
    max_interval_ms: float
    """Longest time between two of them"""
    max_buffer_us: float
    """Longest time the callback took"""
    drift_frames: float
    """How far the device's clock is ahead of the number of frames"""


class AudioRing:
    """Frames from one producer thread to one consumer thread, without locks.

    Args:
        audio_format: of the frames.
        capacity_ms: how long a reader may do something else before frames are dropped.
        block_ms: longest view, and what is dropped at a time.

    Raises:
        InvalidOptionError: a capacity smaller than a block, or more than 4 GiB.
    """

    def __init__(
        self, audio_format: AudioFormat, *, capacity_ms: float = 10_000, block_ms: float = BLOCK_MS
    ) -> None:
        from mullama_media import _core

        self.format = audio_format
        self._native = _core.Ring(
            audio_format.dtype,
            audio_format.channels,
            float(audio_format.sample_rate),
            max(audio_format.frames(capacity_ms), 0),
            max(audio_format.frames(block_ms), 1),
        )
        self._ended = False
        self._piece = max(1, audio_format.frames(min(capacity_ms, 1000) / 2))

    # Producer

    def write(
        self,
        samples: npt.NDArray[Any],
        *,
        wait: bool = False,
        stop: Callable[[], bool] | None = None,
    ) -> bool:
        """Append frames, shape (n, channels) or (n,), in the ring's dtype.

        Args:
            samples: they are copied.
            wait: for room, instead of dropping the oldest frames. Blocks without the GIL.
            stop: asked while it waits; the rest is not written once it says so.

        Returns:
            Whether everything was written.

        Raises:
            InvalidOptionError: another dtype or number of channels.
        """
        frames = self._checked(samples)
        if not wait:
            self._native.write(frames)
            return True
        for start in range(0, len(frames), self._piece):
            piece = frames[start : start + self._piece]
            while not self._native.wait_room(len(piece), _SLICE_US):
                if stop is not None and stop():
                    return False
            self._native.write(piece)
        return True

    def room(self) -> int:
        """Frames that can be written before unread ones are dropped."""
        return int(self._native.room())

    def capture(
        self, samples: npt.NDArray[Any], *, time: float = 0.0, overflow: bool = False
    ) -> None:
        """What the native audio callback does with a buffer, for one that is in Python.

        Args:
            samples: as in `write`.
            time: when the first frame was sampled, in seconds of the device's clock; 0 if unknown.
            overflow: whether the device says that it lost frames before this buffer.
        """
        self._native.capture(self._checked(samples), time, overflow)

    def gap(self, lost: int) -> None:
        """So many frames are missing before the next; 0 if nobody knows how many."""
        self._native.gap(lost)

    def restart(self) -> None:
        """`capture` goes on with another stream, perhaps with another clock."""
        self._native.restart()

    def finish(self) -> None:
        """No more frames will come. Only once the producer has stopped."""
        self._native.finish()

    # Consumer

    @property
    def ended(self) -> bool:
        """Whether a read has found the end."""
        return self._ended

    @property
    def position(self) -> int:
        """Index of the next frame to be read."""
        return int(self._native.position)

    def poll(self, max_frames: int = 0) -> AudioChunk | Discontinuity | None:
        """What there is, or None. Never blocks; what was read before is let go.

        Args:
            max_frames: the most to give; a chunk never spans blocks. 0: to the end of the block.
        """
        item = self._native.read(max_frames)
        if item is None:
            return None
        if item is False:
            self._ended = True
            return None
        if len(item) == 2:
            return AudioChunk(item[1], item[0], self.format)
        at, lost, overrun, device = item
        if overrun and device:
            return Discontinuity(at, lost, "both")
        return Discontinuity(at, lost, "device" if device else "overrun")

    def read(self, timeout_ms: float | None = None) -> AudioChunk | Discontinuity | None:
        """What comes next; None when the time is over or the producer has finished.

        Blocks without the GIL; Ctrl-C is seen within 50 ms.
        """
        end = None if timeout_ms is None else time.monotonic() + timeout_ms / 1000
        while (item := self.poll()) is None and not self._ended:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                return None
            self.wait(left)
        return item

    def wait(self, seconds: float | None = None) -> bool:
        """Sleep until there is something to read, `wake` is called, or 50 ms are over."""
        slice_us = _SLICE_US if seconds is None else min(_SLICE_US, int(seconds * 1e6) + 1)
        return bool(self._native.wait(slice_us))

    # Any thread

    def wake(self) -> None:
        """Make a waiting reader look again."""
        self._native.wake()

    @property
    def meter(self) -> Meter:
        """Counts so far."""
        native = self._native.meter()
        return Meter(**{name: getattr(native, name) for name in Meter.__slots__})

    @property
    def silent_ms(self) -> float | None:
        """Time since the device's last buffer; None before the first."""
        age = self._native.last_capture_ms
        return None if age < 0 else age

    @property
    def addresses(self) -> tuple[int, int, int]:
        """(PaStreamCallback, PaStreamFinishedCallback, their userData). Keep the ring alive."""
        return type(self._native).CAPTURE, type(self._native).STOPPED, self._native.address

    def _checked(self, samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
        frames = samples[:, None] if samples.ndim == 1 else samples
        if frames.dtype != self.format.dtype or frames.ndim != 2:
            raise InvalidOptionError(
                f"{samples.dtype} samples of shape {samples.shape} do not fit {self.format}",
                where="samples",
            )
        if frames.shape[1] != self.format.channels:
            raise InvalidOptionError(
                f"{frames.shape[1]} channels do not fit {self.format}", where="samples"
            )
        return np.ascontiguousarray(frames)

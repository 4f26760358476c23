"""The ring between whoever writes speech and the loudspeaker's callback.

The ring itself is native (`ext/core/playback.hpp` says how it works): the callback runs no Python,
takes no lock, and knows within one buffer when what it plays was stopped.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["PlaybackMeter", "PlaybackRing"]

_SLICE_US = 50_000  # how long a wait leaves signals and closing unseen


@dataclass(frozen=True, slots=True)
class PlaybackMeter:
    """What a loudspeaker has done. `played + dropped + backlog == written`."""

    written: int
    """Frames that came in"""
    played: int
    """Frames handed to the device"""
    dropped: int
    """Frames that a stop let go"""
    backlog: int
    """Frames waiting now"""
    underruns: int
    """Times that the next frame of a speech was not there in time"""
    underrun_frames: int
    """Silence played there"""
    device_flags: int
    """Buffers that the device marked with an underflow"""
    buffers: int
    """Buffers the device asked for"""
    max_interval_ms: float
    """Longest time between two of them"""
    max_buffer_us: float
    """Longest time the callback took"""
    mean_buffer_us: float
    latency_ms: float
    """From callback to loudspeaker, as the device told last"""


class PlaybackRing:
    """Speech from one writer at a time to one callback, without locks.

    What is written belongs to a speech, a number that `begin` gives. A speech that was stopped, or
    after which another one was written, takes no more. The last 64 are remembered.

    Args:
        sample_rate: in Hz.
        channels: of the device; all get the same.
        dtype: of the device; what is written is float32.
        capacity_ms: how much may wait to be played.
        fade_ms: over which stop and pause fade out, and a pause fades in again.

    Raises:
        InvalidOptionError: a size that cannot be.
    """

    def __init__(
        self,
        sample_rate: int,
        *,
        channels: int = 1,
        dtype: Literal["int16", "float32"] = "int16",
        capacity_ms: float = 10_000,
        fade_ms: float = 5,
    ) -> None:
        from mullama_media import _core

        self.sample_rate = sample_rate
        self.channels = channels
        self.dtype = dtype
        self.fade_frames = round(fade_ms * sample_rate / 1000)
        self._native = _core.Playback(
            dtype,
            channels,
            float(sample_rate),
            max(1, round(capacity_ms * sample_rate / 1000)),
            self.fade_frames,
        )

    # Writer

    def begin(self) -> int:
        """The number of another speech. What is written to it plays behind what waits."""
        return int(self._native.begin())

    def write(self, speech: int, samples: npt.NDArray[np.float32]) -> int | None:
        """Append mono samples, shape (n,), full scale at -1 and 1. Never blocks.

        Returns:
            How many were taken (0 while it is full); None if the speech is over.
        """
        taken: int | None = self._native.write(speech, samples)
        return taken

    def wait_room(self, speech: int, frames: int, seconds: float = 0.05) -> bool:
        """Sleep until so many frames have room or the speech is stopped, at most 50 ms."""
        return bool(self._native.wait_room(speech, frames, _slice(seconds)))

    def finish(self) -> None:
        """Nothing more is expected for now: the silence that follows is no underrun."""
        self._native.finish()

    # Control, any thread

    def stop(self) -> int:
        """Nothing that was begun before plays any more; the next callback sees it. Never blocks.

        Returns:
            What `wait_settled` is asked with.
        """
        return int(self._native.stop())

    def wait_settled(self, epoch: int, timeout_s: float) -> bool:
        """Wait until the callback has faded out; False if none came in time. Without the GIL."""
        end = time.monotonic() + timeout_s
        while not self._native.wait_settled(epoch, _slice(end - time.monotonic())):
            if time.monotonic() >= end:
                return False
        return True

    def pause(self, on: bool = True) -> None:
        """Fade out and keep the place; `pause(False)` goes on there. Seen by the next callback."""
        self._native.pause(on)

    @property
    def paused(self) -> bool:
        """Whether `pause` holds; a stop ends it."""
        return bool(self._native.paused)

    @property
    def volume(self) -> float:
        """Factor on every sample, 1 at first; changes within one buffer of the device."""
        return float(self._native.volume)

    @volume.setter
    def volume(self, factor: float) -> None:
        self._native.volume = factor

    # What was played

    def stopped(self, speech: int) -> bool:
        """Whether a stop came after it began."""
        return bool(self._native.stopped(speech))

    def played(self, speech: int) -> int:
        """Frames of it that were handed to the device."""
        return int(self._native.played(speech))

    def heard(self, speech: int, at_ns: int | None = None) -> int:
        """Frames of it that had come out of the device at a moment of `now_ns`, by its latency."""
        return int(self._native.heard(speech, self.now_ns() if at_ns is None else at_ns))

    def wait_played(self, speech: int, frames: int, seconds: float = 0.05) -> bool:
        """Sleep until so many frames were handed over or it is stopped, at most 50 ms."""
        return bool(self._native.wait_played(speech, frames, _slice(seconds)))

    @property
    def meter(self) -> PlaybackMeter:
        """Counts so far."""
        native = self._native.meter()
        return PlaybackMeter(**{name: getattr(native, name) for name in PlaybackMeter.__slots__})

    @property
    def silent_ms(self) -> float | None:
        """Time since the device's last buffer; None before the first."""
        age = self._native.last_buffer_ms
        return None if age < 0 else age

    # Device

    def render(
        self, frames: int, *, at_ns: int, latency_ns: int = 0, underflow: bool = False
    ) -> npt.NDArray[Any]:
        """What the native audio callback does, for a device that is in Python: its next buffer.

        Args:
            frames: length of the buffer.
            at_ns: when it is asked for, on the clock that `heard` is asked with.
            latency_ns: how long after that its first frame is heard.
            underflow: whether the device says that it had nothing to play before.

        Returns:
            Shape (frames, channels), in the device's dtype.
        """
        flat: npt.NDArray[Any] = self._native.render(frames, at_ns, latency_ns, underflow)
        return flat.reshape(-1, self.channels)

    def set_latency(self, seconds: float) -> None:
        """What to assume where the device tells none with its buffers."""
        self._native.set_latency(seconds)

    def restart(self) -> None:
        """Another stream goes on calling."""
        self._native.restart()

    def wake(self) -> None:
        """Make everybody who waits look again."""
        self._native.wake()

    def now_ns(self) -> int:
        """The clock of the callback."""
        return int(type(self._native).NOW_NS)

    @property
    def addresses(self) -> tuple[int, int, int]:
        """(PaStreamCallback, PaStreamFinishedCallback, their userData). Keep the ring alive."""
        return type(self._native).RENDER, type(self._native).STOPPED, self._native.address


def _slice(seconds: float) -> int:
    return max(0, min(_SLICE_US, int(seconds * 1e6) + 1))

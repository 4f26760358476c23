"""What a loudspeaker promises to those who speak, and what it tells of what it played."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy.typing as npt

from mullama_media.frames import Sink

__all__ = ["Loudspeaker", "Played", "Speech"]


@dataclass(frozen=True, slots=True)
class Played:
    """How much of a speech was really played, in frames of the device."""

    speech: int
    """Which one, counted from 1; 0 if there was none"""
    written: int
    """Frames that were there to be played"""
    handed: int
    """Of them, those the device has: heard by now, or within `latency_ms`"""
    heard: int
    """Of them, those that had come out of the device at that moment, as far as it tells"""
    sample_rate: int
    """Hertz that these count in"""
    latency_ms: float
    """Between handing over and hearing, as the device tells; 0 if it does not"""

    @property
    def seconds(self) -> float:
        """Of `handed`."""
        return self.handed / self.sample_rate

    @property
    def heard_s(self) -> float:
        """Of `heard`, in seconds."""
        return self.heard / self.sample_rate

    @property
    def complete(self) -> bool:
        """Whether nothing of what was written is missing."""
        return self.handed == self.written


class Speech(Protocol):
    """Something that is being said: samples that are stopped and counted together."""

    @property
    def played(self) -> Played:
        """How much of it, now. Thread-safe."""
        ...

    def write(self, samples: npt.NDArray[Any]) -> bool:
        """Add frames, shape (n,) or (n, channels), any n. Blocks while the buffer is full.

        False if it was stopped: what the device does not have yet is gone.
        """
        ...

    def finish(self) -> None:
        """Nothing will be added. Blocks like `write`, for what a resampler held back."""
        ...

    def drain(self, timeout_s: float | None = None) -> Played:
        """Finish, and wait until all of it was heard, it was stopped, or the time is over."""
        ...


class Loudspeaker(Sink, Protocol):
    """A sink for speech: it can be stopped at once, and tells what was really played."""

    def open(self) -> Self:
        """Begin; nothing happens if it is open already. Blocks."""
        ...

    def begin(self, sample_rate: int | None = None) -> Speech:
        """Something to say, at this rate in Hz or that of `format`; plays behind what waits."""
        ...

    def stop(self) -> Played:
        """Silence at once; nothing that has begun goes on. Of the speech that was playing."""
        ...

    def pause(self) -> None:
        """Silence at once; `resume` goes on exactly there."""
        ...

    def resume(self) -> None:
        """Go on after `pause`."""
        ...

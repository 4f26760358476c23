"""A device that does what a script says: plays, overflows, skips, bursts, dies and comes back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from mullama_media.frames import AudioFormat, DeviceChange, SourceItem
from mullama_media.io.source import RingSource
from mullama_media.testing.clock import ManualClock

__all__ = ["Burst", "Die", "Overflow", "Pause", "Play", "Revive", "ScriptedSource", "Skip", "Step"]


@dataclass(frozen=True, slots=True, eq=False)
class Play:
    """Hand over samples, a buffer at a time, as their time comes."""

    samples: npt.NDArray[Any]
    """Shape (n, channels) or (n,), in the dtype of the source"""


@dataclass(frozen=True, slots=True, eq=False)
class Burst:
    """Hand over samples that were held up, in one buffer, at once."""

    samples: npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Overflow:
    """The device loses samples and flags the next buffer, as PortAudio does."""

    lost: int = 0
    """Frames, as the device's clock shows them"""


@dataclass(frozen=True, slots=True)
class Skip:
    """The device loses samples and says nothing; only its clock shows it."""

    lost: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is handed over for so long; the device's clock stands still as well."""

    milliseconds: float


@dataclass(frozen=True, slots=True)
class Die:
    """The device goes away."""

    why: str = "unplugged"


@dataclass(frozen=True, slots=True)
class Revive:
    """The device is back after so long; what was to be heard meanwhile is lost."""

    after_ms: float = 0.0


Step: TypeAlias = Play | Burst | Overflow | Skip | Pause | Die | Revive


class ScriptedSource(RingSource):
    """A source whose device follows a script, through the same ring and counters as a microphone.

    Without a clock the next step is taken when the reader has read everything, so a script gives
    the same items every time. With a ManualClock steps are taken when `clock.advance` makes them
    due, whether anybody reads or not: a reader that does not is a stalled consumer.

    Args:
        script: what happens, in order. The source ends after it.
        audio_format: of the samples.
        block_ms: length of the device's buffers.
        clock: when steps are due.
        buffer_ms: as for every source.
        name: of the device.
    """

    def __init__(
        self,
        script: Iterable[Step],
        audio_format: AudioFormat | None = None,
        *,
        block_ms: float = 20.0,
        clock: ManualClock | None = None,
        buffer_ms: float = 10_000,
        name: str = "scripted",
    ) -> None:
        super().__init__(audio_format or AudioFormat(16000), buffer_ms=buffer_ms)
        self._buffers = self._follow(script, max(1, self.format.frames(block_ms)))
        self._clock = clock
        self._name = name
        self._due = 0.0
        self._over = False
        self._device_time = 1.0  # of the next frame, in seconds; 0 would mean unknown
        self._overflow = False

    def _start(self) -> None:
        if self._clock is not None:
            self._due = self._clock()
            self._clock.listen(self._catch_up)

    def _stop(self) -> None:
        self._end()

    def _poll(self) -> SourceItem | None:
        item = super()._poll()
        while item is None and not self._ended and self._clock is None:
            self._step()
            item = super()._poll()
        return item

    def _catch_up(self, now: float) -> None:
        while not self._over and self._due <= now + 1e-9:
            self._step()

    def _step(self) -> None:
        if self._over:
            return
        try:
            self._due += next(self._buffers)
        except StopIteration:
            self._end()

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._ring.finish()

    def _follow(self, script: Iterable[Step], block: int) -> Iterator[float]:
        """Takes a step each time it is asked; gives the seconds until the next one is due."""
        rate = self.format.sample_rate
        for step in script:
            match step:
                case Play(samples):
                    for start in range(0, len(samples), block):
                        part = samples[start : start + block]
                        yield len(part) / rate
                        self._hand_over(part)
                case Burst(samples):
                    self._hand_over(samples)
                case Overflow(lost):
                    self._device_time += lost / rate
                    self._overflow = True
                case Skip(lost):
                    self._device_time += lost / rate
                case Pause(milliseconds):
                    yield milliseconds / 1000
                case Die(why):
                    self._tell(DeviceChange(self._at, self._name, False, why))
                case Revive(after_ms):
                    yield after_ms / 1000
                    self._ring.restart()
                    self._ring.gap(self.format.frames(after_ms))
                    self._tell(DeviceChange(self._at, self._name, True))

    def _hand_over(self, samples: npt.NDArray[Any]) -> None:
        self._ring.capture(np.asarray(samples), time=self._device_time, overflow=self._overflow)
        self._overflow = False
        self._device_time += len(samples) / self.format.sample_rate

    @property
    def _at(self) -> int:
        meter = self._ring.meter
        return meter.written + meter.device_lost

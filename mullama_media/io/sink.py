"""What all loudspeakers share: a ring, speeches that are written into it, and stopping them."""

from __future__ import annotations

import abc
import asyncio
import collections
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from mullama_media.audio.playback import PlaybackMeter, PlaybackRing
from mullama_media.audio.resample import Resampler, fold
from mullama_media.errors import AudioDeviceError
from mullama_media.frames import AudioFormat
from mullama_media.loudspeaker import Loudspeaker, Played, Speech

__all__ = ["RingSink", "RingSpeech"]

_PIECE_MS = 20  # of room that a waiting writer wants before it goes on
_SETTLE_S = 1.0  # how long a stop waits for the device's next buffer
_SLACK_S = 2.0  # how much longer than its sound the closing may take


class RingSpeech:
    """Something that is said through a `RingSink`. One thread writes; all else is thread-safe.

    Comes from `RingSink.begin`.
    """

    def __init__(self, sink: RingSink, number: int, sample_rate: int) -> None:
        self.number = number
        self._sink = sink
        self._ring = sink._ring
        self._resampler = Resampler(sample_rate, self._ring.sample_rate)
        self._written = 0
        self._finished = False
        self._final: Played | None = None

    @property
    def stopped(self) -> bool:
        """Whether it takes no more because of a stop."""
        return self._ring.stopped(self.number)

    @property
    def played(self) -> Played:
        """How much of it, now."""
        return self._final or self._played(self._sink._now_ns())

    def write(self, samples: npt.NDArray[Any]) -> bool:
        """Add frames of its rate, shape (n,) or (n, channels), float or int16, any n.

        Blocks while the buffer is full, without the GIL; Ctrl-C is seen within 50 ms.

        Returns:
            False if it was stopped, or another speech has begun to be written.

        Raises:
            AudioDeviceError: the device is gone for good, or the speech was finished.
            MediaError: another dtype or shape, or nan in it.
        """
        if self._finished:
            raise AudioDeviceError("the speech was finished", hint="Begin another")
        return self._put(self._resampler.process(fold(samples)))

    async def write_async(self, samples: npt.NDArray[Any]) -> bool:
        """`write` for asyncio. What a cancelled task was writing is written all the same."""
        return await asyncio.to_thread(self.write, samples)

    def finish(self) -> None:
        """Nothing will be added: write what the resampler holds back. Blocks like `write`."""
        if not self._finished:
            self._finished = True
            self._put(self._resampler.flush())
            if not self.stopped:
                self._ring.finish()

    def drain(self, timeout_s: float | None = None) -> Played:
        """Finish, and wait until all of it was heard, it was stopped, or the time is over.

        While it is paused that is never.

        Raises:
            AudioDeviceError: the device is gone for good.
        """
        self.finish()
        end = float("inf") if timeout_s is None else time.monotonic() + timeout_s
        while not self.stopped and time.monotonic() < end:
            self._sink._check()
            if self._sink._wait_played(self.number, self._written):
                played = self.played
                left_s = (played.written - played.heard) / played.sample_rate
                if left_s <= 0 or self.stopped:
                    break
                self._sink._sleep(min(left_s, 0.05))
        return self.played

    async def drain_async(self, timeout_s: float | None = None) -> Played:
        """`drain` for asyncio."""
        return await asyncio.to_thread(self.drain, timeout_s)

    def _put(self, samples: npt.NDArray[np.float32]) -> bool:
        samples = np.ascontiguousarray(samples)
        while samples.size:
            self._sink._check()
            taken = self._ring.write(self.number, samples)
            if taken is None:
                return False
            self._written += taken
            samples = samples[taken:]
            if samples.size:
                wanted = round(_PIECE_MS * self._ring.sample_rate / 1000)
                self._sink._wait_room(self.number, min(samples.size, wanted))
        return not self.stopped

    def _played(self, at_ns: int) -> Played:
        handed = self._ring.played(self.number)
        return Played(
            speech=self.number,
            written=max(self._written, handed),
            handed=handed,
            heard=self._ring.heard(self.number, at_ns),
            sample_rate=self._ring.sample_rate,
            latency_ms=self._ring.meter.latency_ms,
        )

    def _settle(self, at_ns: int) -> Played:
        """Keep what was played, for when the ring no longer remembers."""
        if self._final is None:
            self._final = self._played(at_ns)
        return self._final

    @property
    def _over(self) -> bool:
        return self._final is not None or (
            self._finished and self._ring.played(self.number) >= self._written
        )


class RingSink(abc.ABC):
    """A loudspeaker whose sound waits in a ring until the device asks for it.

    Subclasses say what `_start` sets in motion and what `_end` ends. One thread writes at a time;
    `stop`, `pause` and everything else may be called from any.
    """

    def __init__(self) -> None:
        self._maybe_ring: PlaybackRing | None = None
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._opened = False
        self._why_gone: str | None = None
        self._speeches: collections.deque[RingSpeech] = collections.deque()
        self._own: RingSpeech | None = None

    @property
    def format(self) -> AudioFormat:
        """What `write` takes: mono at the device's rate. Raises AudioDeviceError before open."""
        return AudioFormat(self._ring.sample_rate)

    @property
    def meter(self) -> PlaybackMeter:
        """What was played, dropped and missed. Thread-safe."""
        return self._ring.meter

    def open(self) -> Self:
        """Begin. Does nothing if it was opened before; a loudspeaker does not begin twice."""
        with self._lock:
            if not self._opened:
                if self._closing.is_set():
                    raise AudioDeviceError("it is closed", where=type(self).__name__)
                self._start()
                self._opened = True
        return self

    def close(self) -> None:
        """Play what waits, and let go of the device. Idempotent; `stop` first to be quick."""
        if self._opened and not self._closing.is_set() and self._why_gone is None:
            self._play_out()
        with self._lock:
            if not self._closing.is_set():
                self._closing.set()
                if self._opened:
                    self._ring.stop()  # nobody waits for room any more
                    self._end()

    # Speaking

    def begin(self, sample_rate: int | None = None) -> RingSpeech:
        """Something to say, in samples of this rate in Hz or that of `format`.

        It plays right behind what waits, without a gap; what was begun before takes no more.
        Opens the device.
        """
        self.open()
        with self._lock:
            while len(self._speeches) >= 32 or (self._speeches and self._speeches[0]._over):
                self._speeches.popleft()._settle(self._now_ns())
            rate = self._ring.sample_rate if sample_rate is None else sample_rate
            speech = RingSpeech(self, self._ring.begin(), rate)
            self._speeches.append(speech)
            return speech

    def write(self, samples: npt.NDArray[Any]) -> None:
        """Say frames of `format`, shape (n,) or (n, channels). Blocks while the buffer is full.

        They belong to one speech until `stop` or `drain`. A stop meanwhile drops the rest.
        """
        if self._own is None or self._own.stopped:
            self._own = self.begin()
        self._own.write(samples)

    async def write_async(self, samples: npt.NDArray[Any]) -> None:
        """`write` for asyncio."""
        await asyncio.to_thread(self.write, samples)

    def drain(self, timeout_s: float | None = None) -> Played:
        """Wait until everything was heard, or stopped, or the time is over. Of the last speech."""
        with self._lock:
            last = self._speeches[-1] if self._speeches else None
            self._own = None
        return last.drain(timeout_s) if last else self._nothing()

    async def drain_async(self, timeout_s: float | None = None) -> Played:
        """`drain` for asyncio."""
        return await asyncio.to_thread(self.drain, timeout_s)

    def stop(self) -> Played:
        """Silence: the device's next buffer fades out, and nothing that was begun goes on.

        Blocks until that buffer was asked for, so that the count is final, at most 1 s. What the
        device has already is still heard, for `latency_ms`. A pause ends.

        Returns:
            Of the speech that was playing, or else the last; others know their own `played`.
        """
        self.open()
        with self._lock:
            at_ns = self._now_ns()
            before = [speech for speech in self._speeches if not speech._over]
            epoch = self._ring.stop()
            self._settle(epoch)
            playing = before[0] if before else next(reversed(self._speeches), None)
            for speech in self._speeches:
                speech._settle(at_ns)
            self._speeches.clear()
            self._own = None
        return playing._settle(at_ns) if playing else self._nothing()

    async def stop_async(self) -> Played:
        """`stop` for asyncio."""
        return await asyncio.to_thread(self.stop)

    def pause(self) -> None:
        """Fade out with the device's next buffer, and keep the place. Never blocks."""
        self._ring.pause()

    def resume(self) -> None:
        """Go on exactly where `pause` left off, fading in. Never blocks."""
        self._ring.pause(False)

    @property
    def paused(self) -> bool:
        """Whether `pause` holds; `stop` ends it."""
        return self._ring.paused

    @property
    def playing(self) -> bool:
        """Whether something waits to be played."""
        return self._ring.meter.backlog > 0

    @property
    def volume(self) -> float:
        """Factor on what is played, heard within one buffer of the device."""
        return self._ring.volume

    @volume.setter
    def volume(self, factor: float) -> None:
        self._ring.volume = factor

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self._opened:
            self._ring.stop()
        self.close()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.open)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await asyncio.to_thread(self.__exit__, kind)

    # For subclasses

    @abc.abstractmethod
    def _start(self) -> None:
        """Make the ring, and set in motion what asks for its samples."""

    @abc.abstractmethod
    def _end(self) -> None:
        """Stop that. Called once."""

    def _now_ns(self) -> int:
        return self._ring.now_ns()

    def _sleep(self, seconds: float) -> None:
        """Let the device play for so long."""
        time.sleep(seconds)

    def _wait_room(self, speech: int, frames: int) -> None:
        """Wait a little for so much room, or a stop."""
        self._ring.wait_room(speech, frames)

    def _wait_played(self, speech: int, frames: int) -> bool:
        """Wait a little until so much of it was handed over, or a stop; whether it was."""
        return self._ring.wait_played(speech, frames)

    def _settle(self, epoch: int) -> None:
        """Wait for the buffer that ends what was stopped."""
        self._ring.wait_settled(epoch, _SETTLE_S)

    def _check(self) -> None:
        if self._closing.is_set():
            raise AudioDeviceError("it is closed", where=type(self).__name__)
        if self._why_gone is not None:
            raise AudioDeviceError(self._why_gone, where=type(self).__name__)

    @property
    def _ring(self) -> PlaybackRing:
        if self._maybe_ring is None:
            raise AudioDeviceError(
                "its format is known once it is open", where=type(self).__name__, hint="Call open()"
            )
        return self._maybe_ring

    def _play_out(self) -> None:
        waiting = self._ring.meter.backlog / self._ring.sample_rate
        if self._speeches and not self._ring.paused:
            try:
                self.drain(waiting + _SLACK_S)
            except AudioDeviceError:
                return

    def _nothing(self) -> Played:
        return Played(0, 0, 0, 0, self._ring.sample_rate, self._ring.meter.latency_ms)


if TYPE_CHECKING:

    def _is_a_loudspeaker(sink: RingSink) -> Loudspeaker:
        return sink

    def _is_a_speech(speech: RingSpeech) -> Speech:
        return speech

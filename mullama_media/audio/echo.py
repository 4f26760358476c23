"""Echo cancellation: what the loudspeaker plays is taken out of what the microphone hears."""

from __future__ import annotations

import functools
from collections import deque
from types import ModuleType
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mullama_media.audio.blocks import BlockStage
from mullama_media.audio.resample import Resampler, fold, map_index
from mullama_media.errors import InvalidOptionError, MissingExtraError
from mullama_media.frames import AudioChunk
from mullama_media.options import option, options

__all__ = ["EchoCanceller", "EchoConfig"]

Samples = npt.NDArray[np.float32]

_BACKENDS = ("pywebrtc-audio", "aec-audio-processing")


@options
class EchoConfig:
    """Echo cancellation by WebRTC's AEC3."""

    backend: str = option(
        default="pywebrtc-audio",
        doc="Package that brings it: pywebrtc-audio, or aec-audio-processing, which computes in "
        "16 bits and is compiled when it is installed.",
        choices=_BACKENDS,
    )
    delay_ms: int = option(
        default=0,
        doc="How much later than its index the echo arrives at least; it finds up to 400 ms more "
        "by itself.",
        ge=0,
        le=10_000,
    )


class EchoCanceller(BlockStage):
    """A `Stage` that takes an echo out of speech, and leaves speech. About 100 us per 10 ms.

    WebRTC's AEC3: a filter of the room's response, learned in the first second, over a delay it
    looks for itself, then suppression of what the filter leaves. A high-pass filter is part of it.
    It cannot work on an echo that comes with its sound or before: the microphone's is held back for
    10 ms, so that clocks may differ by as much. Delay: 28 ms at 16 kHz; output is aligned with
    input.

    Give what is played with `played`, no later than the microphone's sound of the same moment;
    what was not given counts as silence, and what comes later is counted in `late`. Not
    thread-safe.

    Args:
        config: what to do.
        sample_rate: of the microphone, in Hz; a multiple of 100, 8000 to 384,000.
        at_sample: index of the first sample.

    Raises:
        InvalidOptionError: another rate.
        MissingExtraError: the backend is not installed.
    """

    def __init__(self, config: EchoConfig, sample_rate: int, at_sample: int = 0) -> None:
        if sample_rate % 100 or not 8000 <= sample_rate <= 384_000:
            raise InvalidOptionError(
                f"{sample_rate} Hz has no whole frames of 10 ms", where="EchoCanceller"
            )
        size = sample_rate // 100
        super().__init__(size, size + _lag(config.backend, sample_rate))
        self._held = np.zeros(size, np.float32)  # sound meets what was played 10 ms later
        self.config = config
        self.sample_rate = sample_rate
        self._start = at_sample
        self._shift = sample_rate * config.delay_ms // 1000
        self._backend = _backend(config.backend, sample_rate)
        self._forget(at_sample)

    def _forget(self, at_sample: int) -> None:
        self._at = at_sample  # of the sample to come
        self._block_at = at_sample  # of the block to come
        self._far: deque[tuple[int, Samples]] = deque()
        self._far_block = np.zeros(self._size, np.float32)
        self._resampler: Resampler | None = None
        self._far_rate = 0
        self._far_next = -1  # index of the chunk that would follow, at its rate
        self._far_out = 0  # index of the resampled sample that would follow
        self.late = 0
        """Samples that were played at a moment that was done with already"""

    @property
    def at_sample(self) -> int:
        """Index of the sample to come."""
        return self._at

    def lead(self, far_rate: int) -> int:
        """Samples, at `far_rate`, by which chunks have to be given before their moment."""
        return Resampler(far_rate, self.sample_rate).delay

    def played(self, chunk: AudioChunk) -> None:
        """What the loudspeaker plays: its index says when, on the microphone's clock.

        Any layout and rate: sample `at_sample` of a stream of 24 kHz is heard together with the
        microphone's sample `at_sample * sample_rate / 24000`. Where chunks overlap the later holds.

        Raises:
            MediaError: nan, infinity, or another scale. Nothing was taken.
        """
        samples, rate = fold(chunk.samples), chunk.format.sample_rate
        if self._resampler is None or rate != self._far_rate or chunk.at_sample != self._far_next:
            self._end_far()
            self._resampler, self._far_rate = Resampler(rate, self.sample_rate), rate
            self._far_out = map_index(chunk.at_sample, rate, self.sample_rate)
        self._far_next = chunk.end_sample
        self._take_far(self._resampler.process(samples))

    def unplay(self, at_sample: int) -> None:
        """Playback stopped: nothing that was given is heard from that sample on."""
        self._end_far()
        self._far_next = -1
        self._resampler = None
        shifted = at_sample + self._shift
        kept = [(at, samples[: max(shifted - at, 0)]) for at, samples in self._far]
        self._far = deque((at, samples) for at, samples in kept if samples.size)

    def _end_far(self) -> None:
        if self._resampler is not None:
            self._take_far(self._resampler.flush())

    def _take_far(self, samples: Samples) -> None:
        at = self._far_out + self._shift
        self._far_out += samples.size
        late = min(max(self._block_at - at, 0), samples.size)
        self.late += late
        if samples.size > late:
            self._far.append((at + late, samples[late:]))

    def process(self, samples: Samples) -> Samples:
        """Take shape (n,), any n; give what is ready."""
        self._at += samples.size
        return super().process(samples)

    def flush(self) -> Samples:
        """Give the rest of this stretch; the next sample begins another."""
        at, far = self._at, tuple(self._far)
        rest = super().flush()
        self._at = self._block_at = at
        self._far = deque(far)
        return rest

    def skip(self, lost: int) -> None:
        """So many samples of the microphone never came. For between stretches, after `flush`."""
        self._at += lost
        self._block_at += lost

    def reset(self) -> None:
        """Forget everything, the room and what is played too; indices begin again."""
        super().reset()
        self._backend = _backend(self.config.backend, self.sample_rate)
        self._forget(self._start)

    def _block(self, block: Samples, out: Samples) -> None:
        begin, end = self._block_at, self._block_at + self._size
        far = self._far_block
        far[:] = 0
        for at, samples in self._far:
            low, high = max(at, begin), min(at + samples.size, end)
            if low < high:
                far[low - begin : high - begin] = samples[low - at : high - at]
        while self._far and self._far[0][0] + self._far[0][1].size <= end:
            self._far.popleft()
        self._block_at = end
        out[:] = self._backend.process(self._held, far)
        self._held[:] = block

    def _restart(self) -> None:
        self._held[:] = 0


class _Backend(Protocol):
    def process(self, near: Samples, far: Samples) -> Samples:
        """One frame of 10 ms of each."""
        ...


class _Pywebrtc:
    def __init__(self, sample_rate: int) -> None:
        package = _import("pywebrtc-audio")
        self._processor = package.AudioProcessor(sample_rate, echo_cancellation=True)

    def process(self, near: Samples, far: Samples) -> Samples:
        out: Samples = self._processor.process(near, far)
        return out


class _AecAudioProcessing:
    def __init__(self, sample_rate: int) -> None:
        package = _import("aec-audio-processing")
        self._processor = package.AudioProcessor(
            enable_aec=True, enable_ns=False, enable_agc=False, enable_vad=False
        )
        self._processor.set_stream_format(sample_rate, 1)
        self._processor.set_reverse_stream_format(sample_rate, 1)

    def process(self, near: Samples, far: Samples) -> Samples:
        self._processor.process_reverse_stream(_int16(far))
        self._processor.set_stream_delay(0)
        out = np.frombuffer(self._processor.process_stream(_int16(near)), np.int16)
        return out.astype(np.float32) / np.float32(32768)


def _int16(samples: Samples) -> bytes:
    return (np.clip(samples, -1, 1) * 32767).astype(np.int16).tobytes()


def _import(backend: str) -> ModuleType:
    try:
        if backend == "pywebrtc-audio":
            import pywebrtc_audio

            return pywebrtc_audio  # type: ignore[no-any-return, unused-ignore]
        import aec_audio_processing
    except ImportError as error:
        extra = "echo" if backend == "pywebrtc-audio" else backend
        raise MissingExtraError.of("echo cancellation", extra) from error
    return aec_audio_processing  # type: ignore[no-any-return, unused-ignore]


def _backend(name: str, sample_rate: int) -> _Backend:
    return (_Pywebrtc if name == "pywebrtc-audio" else _AecAudioProcessing)(sample_rate)


@functools.cache
def _lag(name: str, sample_rate: int) -> int:
    """Samples its output is behind, found by trying: frames, filter banks and resampling inside."""
    backend, size = _backend(name, sample_rate), sample_rate // 100
    noise = np.random.default_rng(0).standard_normal(60 * size).astype(np.float32)
    noise *= np.float32(0.1)
    silence = np.zeros(size, np.float32)
    out = [backend.process(noise[k : k + size], silence) for k in range(0, noise.size, size)]
    spectrum = np.fft.rfft(np.concatenate(out), 2 * noise.size)
    likeness = np.fft.irfft(spectrum * np.conj(np.fft.rfft(noise, 2 * noise.size)))
    return int(np.argmax(likeness[: 10 * size]))

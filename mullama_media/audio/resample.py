"""Sample rate conversion, of whole recordings and of streams, and of sample indices."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from mullama_media.errors import InvalidOptionError, MediaError, MissingExtraError
from mullama_media.frames import AudioFrame

__all__ = ["Resampler", "fold", "map_index", "resample"]

_QUALITY = "HQ"
_LOUDEST = 100  # 40 dB over full scale: more is another scale


def resample(frame: AudioFrame, sample_rate: int) -> AudioFrame:
    """`frame` at another rate in Hz, band-limited (soxr's HQ recipe, aliases below -100 dB).

    The same frame comes back if it has that rate already. Blocks; thread-safe.

    Raises:
        MissingExtraError: soxr is not installed.
    """
    _check_rate(sample_rate)
    if frame.sample_rate == sample_rate:
        return frame
    samples = _soxr().resample(frame.samples, frame.sample_rate, sample_rate, quality=_QUALITY)
    return AudioFrame(np.asarray(samples, dtype=np.float32), sample_rate, frame.name)


def map_index(index: int, from_rate: int, to_rate: int) -> int:
    """The sample at `to_rate` at whose time, or next before it, is sample `index` of `from_rate`.

    Exact for any length of stream: integers throughout.
    """
    return index * to_rate // from_rate


def fold(samples: npt.ArrayLike, gain: float = 1.0) -> npt.NDArray[np.float32]:
    """Samples as they come from a device, as mono float32: channels by mean, int16 by 2**-15.

    Args:
        samples: float32, float64 or int16, shape (n,) or (n, channels).
        gain: factor on all.

    Raises:
        MediaError: another dtype or shape, or in it nan, or what cannot be sound of full scale 1.
    """
    given = np.asarray(samples)
    if given.ndim not in (1, 2) or given.shape[-1] == 0 < given.ndim - 1:
        raise MediaError(
            f"samples must have shape (n,) or (n, channels), not {given.shape}", where="audio"
        )
    if given.dtype == np.int16:
        gain /= 32768
    elif given.dtype not in (np.float32, np.float64):
        raise MediaError(
            f"samples must be float32 or int16, not {given.dtype}",
            where="audio",
            hint="Scale other integers to -1..1",
        )
    mono = given.astype(np.float32) if given.ndim == 1 else _mean(given)
    if gain != 1.0:
        mono *= np.float32(gain)
    if mono.size and not np.abs(mono).max() <= _LOUDEST:  # which nan is not, either
        raise MediaError(
            f"the samples hold nan or values beyond {_LOUDEST}",
            where="audio",
            hint="Full scale is -1..1; scale what is not",
        )
    return mono


def _mean(samples: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Over the channels, one after the other: quicker than NumPy's mean over a short axis."""
    total: npt.NDArray[np.float32] = samples[:, 0].astype(np.float32)
    for channel in range(1, samples.shape[1]):
        total += samples[:, channel]
    if samples.shape[1] > 1:
        total *= np.float32(1 / samples.shape[1])
    return total


class Resampler:
    """A `Stage` that changes the sample rate (soxr's HQ recipe, linear phase).

    In streaming it gives what `resample` gives for the whole, whatever the chunks, and of a stretch
    of n samples exactly ceil(n * to_rate / from_rate): sample k out is at the time of sample
    k * from_rate / to_rate in. Not thread-safe.

    Raises:
        MissingExtraError: soxr is not installed.
    """

    def __init__(self, from_rate: int, to_rate: int) -> None:
        _check_rate(from_rate)
        _check_rate(to_rate)
        self._from, self._to = from_rate, to_rate
        self._taken = self._given = 0
        self._stream = None
        if from_rate != to_rate:
            self._stream = _soxr().ResampleStream(
                from_rate, to_rate, 1, dtype="float32", quality=_QUALITY
            )

    @property
    def delay(self) -> int:
        """The most input samples a sample waits inside."""
        return 0 if self._stream is None else _delay(self._from, self._to)

    def process(self, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Take shape (n,), any n; give what is ready."""
        if self._stream is None:
            return samples
        self._taken += samples.size
        out: npt.NDArray[np.float32] = self._stream.resample_chunk(samples)
        self._given += out.size
        return out

    def flush(self) -> npt.NDArray[np.float32]:
        """Give the rest of this stretch; the next sample begins another."""
        if self._stream is None:
            return np.empty(0, np.float32)
        owed = -(-self._taken * self._to // self._from) - self._given
        # Zeros that sound is followed by anyway, so that there is enough to cut at the exact place.
        silence = np.zeros(self._from // self._to + 2, np.float32)
        out: npt.NDArray[np.float32] = self._stream.resample_chunk(silence, last=True)[:owed]
        self.reset()
        return out

    def reset(self) -> None:
        """Forget everything."""
        self._taken = self._given = 0
        if self._stream is not None:
            self._stream.clear()


@functools.cache
def _delay(from_rate: int, to_rate: int) -> int:
    """Input samples that soxr holds back at most, found by trying: it has blocks of its own."""
    stream = _soxr().ResampleStream(from_rate, to_rate, 1, dtype="float32", quality=_QUALITY)
    step = max(from_rate // 1000, 1)
    silence = np.zeros(step, np.float32)
    given = most = 0
    for taken in range(step, from_rate // 2, step):
        most = max(most, taken - given * from_rate // to_rate)
        given += stream.resample_chunk(silence).size
    return most


def _check_rate(sample_rate: int) -> None:
    if sample_rate <= 0:
        raise InvalidOptionError(f"{sample_rate} Hz is not a rate", where="sample_rate")


def _soxr() -> ModuleType:
    try:
        import soxr
    except ImportError as error:
        raise MissingExtraError.of("resampling", "streaming-audio") from error
    return soxr  # type: ignore[no-any-return, unused-ignore]

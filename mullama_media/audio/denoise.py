"""Noise reduction by spectral subtraction."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
import numpy.typing as npt

from mullama_media.audio.blocks import BlockStage
from mullama_media.audio.config import DenoiseConfig
from mullama_media.audio.noise import SpectralSnr, SpeechPresence, frame_hop

__all__ = ["Denoiser"]

Samples = npt.NDArray[np.float32]

_PEAK_MEMORY_MS = 10_000
_QUIET_MEMORY_MS = 2000  # and twice that at most


class _DynamicRange:
    """Loudest over quietest frame of the last seconds; the quietest are the noise."""

    def __init__(self, hop_ms: float) -> None:
        self._decay = math.exp(-hop_ms / _PEAK_MEMORY_MS)
        self._frames = max(int(_QUIET_MEMORY_MS / hop_ms), 1)
        self.reset()

    def reset(self) -> None:
        self.decibels = 0.0
        self._smooth = self._peak = 0.0
        self._quiet = self._earlier = math.inf
        self._left = self._frames

    def update(self, power: float) -> None:
        self._smooth = 0.5 * (self._smooth or power) + 0.5 * power
        self._peak = max(self._smooth, self._peak * self._decay)
        self._quiet = min(self._quiet, self._smooth)
        self._left -= 1
        if not self._left:
            self._left = self._frames
            self._earlier, self._quiet = self._quiet, self._smooth
        self.decibels = 10 * math.log10(self._peak / min(self._quiet, self._earlier))


class Denoiser(BlockStage):
    """A `Stage` that takes noise out of speech. About 50 us per 16 ms.

    Frames of 32 ms every 16 ms, windowed by the square root of a Hann window before and after, so
    that without a gain they add up to the input (to float rounding). Each frequency is multiplied
    by a gain from its a-priori SNR (`audio.noise`), never less than the floor: ξ/(1+ξ) for
    "wiener", its square root for "subtraction" of powers (Boll 1979, Berouti et al. 1979). Sound
    with more than `clean_snr_db` between voice and noise passes as it is.

    Delay: 32 ms at 16 kHz; output is aligned with input. Not thread-safe.

    Args:
        config: what to do.
        sample_rate: in Hz.
    """

    def __init__(self, config: DenoiseConfig, sample_rate: int) -> None:
        hop = frame_hop(sample_rate)
        super().__init__(hop, hop)
        hop_ms = 1000 * hop / sample_rate
        phase = 2 * np.pi * np.arange(2 * hop) / (2 * hop)
        self._window = np.sqrt(0.5 - 0.5 * np.cos(phase)).astype(np.float32)
        self._frame = np.zeros(2 * hop, np.float32)
        self._windowed = np.empty(2 * hop, np.float32)
        self._spectrum = np.empty(hop + 1, np.complex64)
        self._squares = np.empty((hop + 1, 2), np.float32)
        self._power = np.empty(hop + 1, np.float32)
        self._gain = np.empty(hop + 1, np.float32)
        self._tail = np.zeros(hop, np.float32)
        self._snr = SpectralSnr(hop + 1, hop_ms, config.smoothing, config.over_subtraction)
        self._presence = SpeechPresence(hop + 1, sample_rate)
        self._root = config.method == "subtraction"
        self._floor = np.float32(10 ** (config.floor_db / 20))
        self._strength = config.strength
        self._clean_db = config.clean_snr_db
        self._range = _DynamicRange(hop_ms)
        self._last_probability: float | None = None
        self.bypass = False
        """Pass sound as it is, with the same delay; noise is still learned."""
        self.presence: deque[float] = deque(maxlen=4096)
        """Probability of speech in every hop that was given, until somebody takes it out."""

    @property
    def hop(self) -> int:
        """Samples between frames."""
        return self._size

    @property
    def snr_db(self) -> float:
        """The loudest of late over the quietest, in dB; 0 before there was any sound."""
        return self._range.decibels

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self._snr.reset()
        self._range.reset()
        self.presence.clear()

    def _restart(self) -> None:
        self._frame[:] = 0
        self._tail[:] = 0
        self._presence.reset()
        self._last_probability = None

    def _block(self, block: Samples, out: Samples) -> None:
        hop = self._size
        frame, windowed, spectrum = self._frame, self._windowed, self._spectrum
        frame[:hop] = frame[hop:]
        frame[hop:] = block
        np.multiply(frame, self._window, out=windowed)
        np.fft.rfft(windowed, out=spectrum)  # type: ignore[arg-type]
        np.square(spectrum.view(np.float32).reshape(-1, 2), out=self._squares)
        np.add(self._squares[:, 0], self._squares[:, 1], out=self._power)
        self._snr.update(self._power)
        self._hear()
        spectrum *= self._gains()
        np.fft.irfft(spectrum, 2 * hop, out=windowed)  # type: ignore[arg-type]
        windowed *= self._window
        np.add(self._tail, windowed[:hop], out=out)
        self._tail[:] = windowed[hop:]

    def _hear(self) -> None:
        """Speech in the hop that leaves now is what the two frames over it say."""
        probability = self._presence.update(self._snr.prior)
        if self._last_probability is not None:
            self.presence.append((probability + self._last_probability) / 2)
        self._last_probability = probability
        self._range.update(float(np.add.reduce(self._power)))

    def _gains(self) -> Samples:
        """Gain of every bin, its decibels times the strength."""
        strength = 0.0 if self.bypass else self._strength * self._needed()
        gain = self._gain
        np.add(self._snr.prior, 1, out=gain)
        np.divide(self._snr.prior, gain, out=gain)
        if self._root:
            np.sqrt(gain, out=gain)
        np.maximum(gain, self._floor, out=gain)
        return gain if strength == 1 else np.power(gain, np.float32(strength), out=gain)

    def _needed(self) -> float:
        """From 1 down to 0 in the last 15 dB before `clean_snr_db`."""
        return min(max((self._clean_db - self._range.decibels) / 15, 0.0), 1.0)

"""What is noise and what is voice in each frequency of each frame: one estimate, several users.

The noise power is tracked with soft decisions on speech presence (Gerkmann & Hendriks, "Unbiased
MMSE-based noise power estimation with low complexity and low tracking delay", IEEE TASL 20(4),
2012). The a-priori SNR is decision-directed (Ephraim & Malah, IEEE TASSP 32(6), 1984) and refined
in a second step that removes its delay of one frame (Plapous, Marro & Scalart, "Improved
signal-to-noise ratio estimation for speech enhancement", IEEE TASLP 14(6), 2006).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["SpectralSnr", "SpeechPresence", "frame_hop"]

Spectrum = npt.NDArray[np.float32]

HOP_MS = 16
_NOISE_MEMORY_MS = 152  # 0.9 a frame of 16 ms
_PRESENT_SNR = 10**1.5  # of speech where there is some: 15 dB (Gerkmann & Hendriks)
_STUCK = 0.99  # presence is never believed more than this for long
_MIN_SNR = 10**-2.5
_MIN_POWER = 1e-9  # of a bin: below the rounding of 16 bits, above nothing
_FIRST_BINS = np.full(17, 1 / 17, np.float32)  # average for the first estimate of the noise
_LOW_HZ, _HIGH_HZ = 60, 1000  # where voices stand out of noise longest
_RISE, _FALL = 0.5, 0.9  # smoothing of the presence a frame
_HALF = 0.3  # what is called a probability of one half


def frame_hop(sample_rate: int) -> int:
    """Samples between frames of twice that length: about 16 ms, a number the FFT likes."""
    return max(round(sample_rate * HOP_MS / 16000), 1) * 16


class SpectralSnr:
    """Noise power and signal-to-noise ratio of every bin, frame after frame. About 25 us a frame.

    Args:
        bins: of a spectrum.
        hop_ms: time between frames.
        smoothing: weight of the last frame in the a-priori SNR, for frames 8 ms apart.
        over: factor on the noise estimate.
    """

    def __init__(
        self, bins: int, hop_ms: float, smoothing: float = 0.98, over: float = 1.0
    ) -> None:
        self.noise = np.empty(bins, np.float32)
        """Power of the noise"""
        self.prior = np.empty(bins, np.float32)
        """A-priori SNR: what is thought to be voice, over noise"""
        self._speech = np.empty(bins, np.float32)  # power of the voice in the last frame
        self._present = np.empty(bins, np.float32)  # presence of speech, smoothed
        self._ratio = np.empty(bins, np.float32)
        self._scratch = np.empty(bins, np.float32)
        self._stuck = np.empty(bins, np.bool_)
        self._over = np.float32(over)
        self._weight = np.float32(smoothing ** (hop_ms / 8))
        self._forget_noise = np.float32(1 - math.exp(-hop_ms / _NOISE_MEMORY_MS))
        self._remember = np.float32(0.9 ** (hop_ms / 16))
        self._slope = np.float32(-_PRESENT_SNR / (1 + _PRESENT_SNR))
        self._offset = np.float32(math.log(1 + _PRESENT_SNR))
        self._begun = False

    def reset(self) -> None:
        """Forget the noise."""
        self._begun = False

    def update(self, power: Spectrum) -> None:
        """Take the power of every bin of the next frame; raises it to a least value in place."""
        np.maximum(power, _MIN_POWER, out=power)
        if not self._begun:
            self._begun = True
            # The first frame is half empty, and one frame says little about a single bin.
            self.noise[:] = 2 * np.convolve(power, _FIRST_BINS, mode="same")
            self._speech[:] = 0
            self._present[:] = 0.5
        self._track(power)
        self._refine(power)

    def _track(self, power: Spectrum) -> None:
        absent, step = self._ratio, self._scratch
        np.divide(power, self.noise, out=absent)
        absent *= self._slope
        absent += self._offset
        # 1 / (1 + e) is the presence; its complement is what moves the noise.
        np.exp(absent, out=absent)
        np.add(absent, 1, out=step)
        absent /= step
        self._present -= 1
        self._present += absent
        self._present *= self._remember
        self._present += 1
        self._present -= absent
        np.greater(self._present, _STUCK, out=self._stuck)
        np.maximum(absent, 1 - _STUCK, out=absent, where=self._stuck)
        np.subtract(power, self.noise, out=step)
        step *= absent
        step *= self._forget_noise
        self.noise += step

    def _refine(self, power: Spectrum) -> None:
        ratio, prior, gain = self._ratio, self.prior, self._scratch
        np.divide(power, self.noise, out=ratio)
        ratio /= self._over
        np.divide(self._speech, self.noise, out=prior)
        prior *= self._weight / self._over
        np.subtract(ratio, 1, out=gain)
        np.maximum(gain, 0, out=gain)
        gain *= 1 - self._weight
        prior += gain
        np.maximum(prior, _MIN_SNR, out=prior)
        np.add(prior, 1, out=gain)
        np.divide(prior, gain, out=gain)
        gain *= gain
        np.multiply(gain, power, out=self._speech)
        np.multiply(gain, ratio, out=prior)


class SpeechPresence:
    """A probability of speech from the SNR of the lower frequencies, where voices carry farthest.

    The score is the mean of log(1 + SNR) over 60 to 1000 Hz, smoothed with a fast rise and a slow
    fall; the logistic function of its logarithm is the probability.

    Args:
        bins: of a spectrum.
        sample_rate: in Hz.
    """

    def __init__(self, bins: int, sample_rate: int) -> None:
        width = sample_rate / 2 / (bins - 1)
        self._band = slice(math.ceil(_LOW_HZ / width), math.ceil(_HIGH_HZ / width))
        self._scratch = np.empty(self._band.stop - self._band.start, np.float32)
        self._score = 0.0

    def reset(self) -> None:
        """Forget what was heard."""
        self._score = 0.0

    def update(self, prior: Spectrum) -> float:
        """Probability of speech in a frame, from the a-priori SNR of its bins."""
        np.log1p(prior[self._band], out=self._scratch)
        now = float(np.add.reduce(self._scratch)) / self._scratch.size
        keep = _RISE if now > self._score else _FALL
        self._score = keep * self._score + (1 - keep) * now
        return self._score**2 / (self._score**2 + _HALF**2)

"""What is noise and what is voice in each frequency of each frame: one estimate, several users.

The noise power is tracked with soft decisions on speech presence (Gerkmann & Hendriks, "Unbiased
MMSE-based noise power estimation with low complexity and low tracking delay", IEEE TASL 20(4),
2012), and is never below the least smoothed power of some seconds (Martin, "Noise power spectral
density estimation based on optimal smoothing and minimum statistics", IEEE TSAP 9(5), 2001). The
a-priori SNR is decision-directed (Ephraim & Malah, IEEE TASSP 32(6), 1984) and refined in a second
step that removes its delay of one frame (Plapous, Marro & Scalart, "Improved signal-to-noise ratio
estimation for speech enhancement", IEEE TASLP 14(6), 2006).
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
_MIN_SNR = 10**-2.5
_MIN_POWER = 2.5e-7  # of a bin: white noise at -90 dBFS, quieter than any microphone
_LEAST_MS = 2500  # noise is no less than the least smoothed power of one to two of these
_FIRST_BINS, _FIRST_RANK = 17, 4  # of so many bins the fifth smallest is the first noise
_LOW_HZ, _HIGH_HZ = 60, 1000  # where voices stand out of noise longest
_RISE, _FALL = 0.5, 0.8  # smoothing of the presence a frame
_HALF = 0.21  # what is called a probability of one half


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
        self._ratio = np.empty(bins, np.float32)
        self._scratch = np.empty(bins, np.float32)
        self._over = np.float32(over)
        self._weight = np.float32(smoothing ** (hop_ms / 8))
        self._forget_noise = np.float32(1 - math.exp(-hop_ms / _NOISE_MEMORY_MS))
        self._remember = np.float32(0.9 ** (hop_ms / 16))
        self._slope = np.float32(-_PRESENT_SNR / (1 + _PRESENT_SNR))
        self._offset = np.float32(math.log(1 + _PRESENT_SNR))
        self._smooth = np.empty(bins, np.float32)  # power
        self._least = np.empty(bins, np.float32)  # of it, lately
        self._earlier = np.empty(bins, np.float32)  # and in the time before
        self._frames = self._left = max(round(_LEAST_MS / hop_ms), 1)
        self._begun = False

    def reset(self) -> None:
        """Forget the noise."""
        self._begun = False

    def update(self, power: Spectrum) -> None:
        """Take the power of every bin of the next frame; raises it to a least value in place."""
        np.maximum(power, _MIN_POWER, out=power)
        if not self._begun:
            self._begun = True
            self.noise[:] = _first_noise(power)
            self._speech[:] = 0
            self._smooth[:] = power
            self._least[:] = np.inf
            self._earlier[:] = 0  # nothing is known of the time before
            self._left = self._frames
        self._track(power)
        self._refine(power)

    def _track(self, power: Spectrum) -> None:
        absent, step = self._ratio, self._scratch
        np.divide(power, self.noise, out=absent)
        absent *= self._slope
        absent += self._offset
        # The chance of absence, e / (1 + e), is what moves the noise.
        np.exp(absent, out=absent)
        np.add(absent, 1, out=step)
        absent /= step
        np.subtract(power, self.noise, out=step)
        step *= absent
        step *= self._forget_noise
        self.noise += step
        self._keep_up(power)

    def _keep_up(self, power: Spectrum) -> None:
        """Not to be stuck: noise that grew tenfold at once looks like speech, but that pauses."""
        step = self._scratch
        np.subtract(power, self._smooth, out=step)
        step *= 1 - self._remember
        self._smooth += step
        np.minimum(self._least, self._smooth, out=self._least)
        np.minimum(self._least, self._earlier, out=step)
        np.maximum(self.noise, step, out=self.noise)
        self._left -= 1
        if not self._left:
            self._left = self._frames
            self._earlier[:] = self._least
            self._least[:] = self._smooth

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


def _first_noise(power: Spectrum) -> Spectrum:
    """From one frame: a low rank among neighbours, since voices are peaks.

    Of n exponentially distributed powers the mean of rank k is that of all times sum 1/(n - i). The
    first half of the frame is empty, so this is half the noise: voice from the first sample on is
    hurt less by too little than noise is helped by enough.
    """
    padded = np.pad(power, _FIRST_BINS // 2, mode="edge")
    near = np.lib.stride_tricks.sliding_window_view(padded, _FIRST_BINS)
    low = np.partition(near, _FIRST_RANK, axis=1)[:, _FIRST_RANK]
    share = sum(1 / (_FIRST_BINS - i) for i in range(_FIRST_RANK + 1))
    first: Spectrum = low * np.float32(1 / share)
    return first


class SpeechPresence:
    """A probability of speech from the SNR of the lower frequencies, where voices carry farthest.

    The score is the mean of log(1 + SNR) over 60 to 1000 Hz, its own log(1 + x) so that loud speech
    does not take longer to fade, smoothed with a fast rise and a slow fall. The probability is the
    logistic function of twice its logarithm, one half at 0.21.

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
        now = math.log1p(float(np.add.reduce(self._scratch)) / self._scratch.size)
        keep = _RISE if now > self._score else _FALL
        self._score = keep * self._score + (1 - keep) * now
        return self._score**2 / (self._score**2 + _HALF**2)

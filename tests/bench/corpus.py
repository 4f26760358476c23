"""Speech and noise for the audio benchmarks, made here: nothing is downloaded.

Speech: espeak-ng (formant synthesis, six voices in four languages) and flite (`slt` and `rms`,
built from recordings of two people), sentences with pauses of 0.3 to 1.5 s between them. It is
cleaner and more regular than people are, so absolute figures are optimistic; ratios between
methods on the same clips are what the tables are for. Noise: white, pink (1/f), babble (eight
espeak-ng speakers at once), and pink that swells and fades by 10 dB within seconds.
"""

from __future__ import annotations

import functools
import io
import itertools
import shutil
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr

RATE = 16000
FRAME = 160  # labels: one every 10 ms

_SENTENCES = {
    "en": (
        "Turn on the light in the kitchen, please.",
        "The birch canoe slid on the smooth planks.",
        "Yes.",
        "What is the weather going to be like tomorrow afternoon?",
        "Glue the sheet to the dark blue background.",
        "Stop the music and call me back at seven.",
    ),
    "de": (
        "Mach bitte das Licht in der Küche an.",
        "Ja.",
        "Wie wird das Wetter morgen Nachmittag?",
        "Am blauen Himmel ziehen die Wolken schnell vorbei.",
    ),
    "fr": (
        "Allume la lumière dans la cuisine, s'il te plaît.",
        "Oui.",
        "Quel temps fera-t-il demain après-midi ?",
        "Arrête la musique et rappelle-moi à sept heures.",
    ),
    "es": (
        "Enciende la luz de la cocina, por favor.",
        "Sí.",
        "¿Qué tiempo hará mañana por la tarde?",
        "Apaga la música y llámame a las siete.",
    ),
}
_VOICES = (
    ("espeak-ng", "en-us", "en"),
    ("espeak-ng", "en-gb+f3", "en"),
    ("espeak-ng", "en-us+m7", "en"),
    ("espeak-ng", "de", "de"),
    ("espeak-ng", "fr+f2", "fr"),
    ("espeak-ng", "es+m3", "es"),
    ("flite", "slt", "en"),
    ("flite", "rms", "en"),
)
_CROWD = ("en-us+f4", "en-gb+m2", "de+f1", "es+f5", "fr+m5", "en-us+m4", "it+f3", "pt+m1")


@dataclass(frozen=True)
class Clip:
    """Clean speech at 16 kHz with what is speech in it."""

    name: str
    samples: np.ndarray
    """float32, the speech at -26 dBFS"""
    active: np.ndarray
    """bool, one for every 10 ms; silences shorter than 100 ms between sounds count as speech"""


def _require(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        sys.exit(f"the audio benchmarks need {program}: apt-get install espeak-ng flite")
    return path


@functools.cache
def _say(program: str, voice: str, text: str) -> np.ndarray:
    if program == "flite":
        command = [_require(program), "-voice", voice, "-t", text, "-o", "/dev/stdout"]
    else:
        command = [_require(program), "-v", voice, "-s", "160", "--stdout", text]
    wav = subprocess.run(command, capture_output=True, check=True).stdout
    header, data = wav[:44], wav[44:]
    rate = int.from_bytes(header[24:28], "little")
    samples, _ = soundfile.read(
        io.BytesIO(data[: len(data) // 2 * 2]),
        samplerate=rate,
        channels=1,
        format="RAW",
        subtype="PCM_16",
    )
    return soxr.resample(samples, rate, RATE, quality="VHQ")


def _activity(samples: np.ndarray) -> np.ndarray:
    frames = samples[: samples.size // FRAME * FRAME].reshape(-1, FRAME)
    level = 10 * np.log10((frames**2).mean(axis=1) + 1e-12)
    active = level > np.percentile(level[level > -80], 95) - 35
    edges = np.flatnonzero(np.diff(active))
    for end, start in itertools.pairwise(edges):
        if active[end] and start - end < 10:
            active[end : start + 1] = True
    return active


@functools.cache
def clips() -> tuple[Clip, ...]:
    """About two minutes of speech, 55 to 60 % of it active, from eight voices."""
    made = []
    for n, (program, voice, language) in enumerate(_VOICES):
        rng = np.random.default_rng(n)
        parts = [np.zeros(int(RATE * rng.uniform(0.3, 1.5)))]
        for text in _SENTENCES[language]:
            parts += [_say(program, voice, text), np.zeros(int(RATE * rng.uniform(0.3, 1.5)))]
        samples = np.concatenate(parts)
        samples = samples[: samples.size // FRAME * FRAME]
        active = _activity(samples)
        samples *= 0.05 / np.sqrt((samples.reshape(-1, FRAME)[active] ** 2).mean())
        made.append(Clip(f"{program} {voice}", samples.astype(np.float32), active))
    return tuple(made)


def _pink(n: int, rng: np.random.Generator) -> np.ndarray:
    spectrum = np.fft.rfft(rng.standard_normal(n))
    hz = np.fft.rfftfreq(n, 1 / RATE)
    return np.fft.irfft(spectrum / np.sqrt(np.maximum(hz, 20)), n)


def _babble(n: int, rng: np.random.Generator) -> np.ndarray:
    total = np.zeros(n)
    for voice in _CROWD:
        language = voice[:2] if voice[:2] in _SENTENCES else "en"
        speech = np.concatenate([_say("espeak-ng", voice, t) for t in _SENTENCES[language]])
        speech = np.resize(np.roll(speech, int(rng.integers(speech.size))), n)
        total += speech / np.sqrt((speech**2).mean())
    return total


def noise(kind: str, n: int, seed: int) -> np.ndarray:
    """`n` samples of noise with power 1: "white", "pink", "babble" or "swelling"."""
    rng = np.random.default_rng([seed, 77])
    if kind == "white":
        made = rng.standard_normal(n)
    elif kind == "pink":
        made = _pink(n, rng)
    elif kind == "babble":
        made = _babble(n, rng)
    else:
        made = _pink(n, rng) * 10 ** (0.25 * np.sin(2 * np.pi * np.arange(n) / RATE / 4))
    return made / np.sqrt((made**2).mean())


def mix(clip: Clip, kind: str, snr_db: float, seed: int = 0) -> np.ndarray:
    """Speech with noise, SNR of the whole clip, pauses included; "clean" adds nothing."""
    if kind == "clean":
        return clip.samples
    gain = np.sqrt((clip.samples.astype(np.float64) ** 2).mean()) * 10 ** (-snr_db / 20)
    return (clip.samples + gain * noise(kind, clip.samples.size, seed)).astype(np.float32)

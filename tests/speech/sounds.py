"""Speech with known words for the tests, and sound without any."""

import gzip
import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mullama_media.frames import AudioFrame

RATE = 16000
PROMPTS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
TEXTS = Path("/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")

recorded = pytest.mark.skipif(
    not PROMPTS.exists(), reason="needs apt-get install asterisk-core-sounds-en-wav"
)
spoken = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="needs apt-get install espeak-ng"
)


def prompt(name):
    """A recorded prompt and its words."""
    lines = gzip.decompress(TEXTS.read_bytes()).decode("utf-8", "replace").splitlines()
    text = next(line for line in lines if line.startswith(f"{name}: ")).partition(": ")[2]
    return PROMPTS / f"{name}.wav", text


def say(text, voice="en-us", speed=150):
    """A made sentence, at 22050 Hz."""
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "--stdout", text]
    wav = subprocess.run(command, capture_output=True, check=True).stdout
    samples, rate = soundfile.read(
        io.BytesIO(wav[44:]),
        dtype="float32",
        samplerate=22050,
        channels=1,
        format="RAW",
        subtype="PCM_16",
    )
    return AudioFrame(samples, rate, text)


def silence(seconds, rate=RATE):
    return np.zeros(round(seconds * rate), np.float32)


def without_words(kind, seconds=4.0):
    """Sound that nobody spoke, at 16 kHz and -20 dBFS."""
    n = round(seconds * RATE)
    t = np.arange(n) / RATE
    rng = np.random.default_rng(5)
    if kind == "silence":
        return silence(seconds)
    if kind == "white":
        made = rng.standard_normal(n)
    elif kind == "pink":
        spectrum = np.fft.rfft(rng.standard_normal(n))
        hertz = np.fft.rfftfreq(n, 1 / RATE)
        made = np.fft.irfft(spectrum / np.sqrt(np.maximum(hertz, 20)), n)
    elif kind == "hum":
        made = sum(np.sin(2 * np.pi * 50 * k * t) / k for k in range(1, 9))
    elif kind == "clicks":
        made = np.zeros(n)
        made[:: RATE // 3] = 1
        made = np.convolve(made, np.hanning(64) * np.sin(np.arange(64)), "same")
    else:  # chords of a melody, each struck and dying away
        made = np.zeros(n)
        for at, root in enumerate((220, 277.2, 329.6, 440, 329.6, 277.2, 220, 164.8)):
            start = at * RATE // 2
            length = min(RATE // 2, n - start)
            if length <= 0:
                break
            fade = np.exp(-4 * t[:length])
            made[start : start + length] = fade * sum(
                np.sin(2 * np.pi * root * ratio * k * t[:length]) / k
                for ratio in (1, 1.25, 1.5)
                for k in (1, 2, 3)
            )
    return (0.1 * made / np.sqrt((made**2).mean())).astype(np.float32)

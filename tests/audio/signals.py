"""Signals made for the tests: something like speech, and noise."""

import numpy as np

RATE = 16000


def noise(n, level=0.01, seed=0):
    return (level * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def voice(n, rate=RATE, hz=140.0, level=0.1):
    """Harmonics of a pitch that wanders, as a vowel has them."""
    t = np.arange(n) / rate
    phase = 2 * np.pi * (hz * t + 3 * np.sin(2 * np.pi * 2 * t))
    tone = sum(np.sin(k * phase) / k for k in range(1, 20) if k * hz * 1.2 < rate / 2)
    return (level * tone / np.sqrt((tone**2).mean())).astype(np.float32)


def talk(*seconds, rate=RATE, level=0.1):
    """Silence and voice in turns, silence first; each in seconds."""
    parts = []
    for n, length in enumerate(seconds):
        size = round(length * rate)
        parts.append(voice(size, rate, level=level) if n % 2 else np.zeros(size, np.float32))
    return np.concatenate(parts)


def db(samples):
    return 10 * np.log10((np.asarray(samples, np.float64) ** 2).mean() + 1e-30)

"""A voice that hums."""

from __future__ import annotations

import time
from collections.abc import Generator

import numpy as np

from mullama_media.frames import AudioChunk
from mullama_media.speech.voices.voice import chunk_of

__all__ = ["ScriptedVoice"]


class ScriptedVoice:
    """A `Voice` that says every word as a tone of the same length, each higher than the last.

    Args:
        sample_rate: in Hz.
        word_ms: length of a word.
        chunk_ms: length of the chunks.
        delay_ms: real time that it thinks before each chunk.
        fails_on: a text that contains this makes it raise `error`.
        error: what.
    """

    def __init__(
        self,
        *,
        sample_rate: int = 16_000,
        word_ms: float = 200.0,
        chunk_ms: float = 50.0,
        delay_ms: float = 0.0,
        fails_on: str | None = None,
        error: Exception | None = None,
    ) -> None:
        self.sample_rate = sample_rate
        self.texts: list[str] = []
        """What it was asked to say"""
        self._word = round(sample_rate * word_ms / 1000)
        self._chunk = max(1, round(sample_rate * chunk_ms / 1000))
        self._delay_s = delay_ms / 1000
        self._fails_on, self._error = fails_on, error

    def speak(self, text: str) -> Generator[AudioChunk]:
        """The sound of a text."""
        self.texts.append(text)
        if self._fails_on is not None and self._fails_on in text:
            raise self._error or RuntimeError(f"{text!r} is not for me")
        times = np.arange(self._word) / self.sample_rate
        tones = [
            0.3 * np.sin(2 * np.pi * (200 + 20 * (k % 50)) * times)
            for k in range(len(text.split()))
        ]
        samples = np.concatenate([np.zeros(0), *tones]).astype(np.float32)
        for begin in range(0, samples.size, self._chunk):
            if self._delay_s:
                time.sleep(self._delay_s)
            yield chunk_of(samples[begin : begin + self._chunk], begin, self.sample_rate)

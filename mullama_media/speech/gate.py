"""Silence and noise are not transcribed: what is handed on is what a detector takes for speech."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from mullama_media.audio.chain import Chain
from mullama_media.audio.config import AudioStreamConfig
from mullama_media.audio.decode import SoundFile, SoundReader
from mullama_media.audio.gain import level_db
from mullama_media.frames import AudioFrame, SpeechEvent, Utterance
from mullama_media.speech.params import TranscriptionParams

__all__ = ["speech_ms", "utterances", "why_quiet"]

Samples = npt.NDArray[np.float32]

_LEVEL_MS = 100


def utterances(
    sound: AudioFrame | SoundFile,
    ear: AudioStreamConfig,
    progress: Callable[[float], object],
) -> Iterator[Utterance]:
    """Speech in a recording, as it is found; a file is read piece by piece.

    Args:
        sound: a recording, or what `SoundReader` reads.
        ear: how speech is found.
        progress: called with the seconds behind which nothing waits any more.

    Raises:
        MediaError: it cannot be decoded, here or further on.
        MissingExtraError: a library or the detector is missing.
    """
    if isinstance(sound, AudioFrame):
        rate = sound.sample_rate
        blocks = (sound.samples[at : at + rate] for at in range(0, sound.samples.size, rate))
        yield from _found(Chain(ear, rate), blocks, progress)
        return
    with SoundReader(sound) as reader:
        yield from _found(Chain(ear, reader.sample_rate), reader.blocks(), progress)


def _found(
    chain: Chain, blocks: Iterator[Samples], progress: Callable[[float], object]
) -> Iterator[Utterance]:
    def told(events: list[SpeechEvent]) -> Iterator[Utterance]:
        yield from (event for event in events if isinstance(event, Utterance))

    for block in blocks:
        yield from told(chain.push(block))
        if not chain.speaking:
            progress(chain.at_sample / chain.sample_rate)
    yield from told(chain.finish())
    progress(chain.at_sample / chain.sample_rate)


def why_quiet(utterance: Utterance, params: TranscriptionParams, *, found: bool) -> str | None:
    """Why there is nothing to transcribe; None if there is.

    Args:
        utterance: what is to be transcribed.
        params: the limits.
        found: whether `params.ear` has found speech in it already.
    """
    if _loudest_db(utterance.samples, utterance.sample_rate) < params.min_level_db:
        return "too quiet"
    if found:
        return None
    heard = speech_ms(utterance.samples, utterance.sample_rate, params.ear)
    least = params.ear.segmenter.min_speech_ms
    return "no speech" if heard < max(least, 1) else None


def speech_ms(samples: Samples, sample_rate: int, ear: AudioStreamConfig) -> float:
    """How much of it the ear's detectors take for speech, in milliseconds."""
    chain = Chain(ear, sample_rate)
    chain.push(samples)
    chain.finish()
    return 1000 * chain.metrics.voice_ratio * samples.size / sample_rate


def _loudest_db(samples: Samples, sample_rate: int) -> float:
    size = min(samples.size, sample_rate * _LEVEL_MS // 1000)
    frames = samples[: samples.size // size * size].reshape(-1, size)
    return max(level_db(frame) for frame in frames)

"""Speak, augment and encode the recordings: one shard of encoder features per take.

A training take says every phrase once, each in a voice drawn at random; a test take says every
phrase in one held-out voice and keeps the WAV files too. Shards are made in order and seeded by
their number, so that more takes can be added later without changing the first.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import soundfile as sf
import speech
import torch
from tasks import NOTHING_HEARD, PHRASES
from whisper import WhisperEncoder, log_mel, mel_filters

SEED = 20_261_123
SILENCES_PER_TAKE = 1


class FeatureMaker:
    """Turns recordings into Whisper encoder features in half precision."""

    def __init__(self, model_bin: Path) -> None:
        self._encoder = WhisperEncoder(model_bin, torch.bfloat16)
        self._filters = mel_filters()

    def __call__(self, recordings: list[speech.Samples]) -> np.ndarray:
        """Features of shape (recordings, 1500, 384), float16."""
        mels = torch.stack([log_mel(x, self._filters) for x in recordings])
        parts = [self._encoder.encode(piece) for piece in mels.split(3)]
        return torch.cat(parts).to(torch.float16).numpy()


def train_take(number: int) -> tuple[list[speech.Samples], list[str]]:
    """Every phrase once and some silence, in random voices."""
    recordings, answers = [], []
    for i, phrase in enumerate(PHRASES):
        rng = np.random.default_rng((SEED, 0, number, i))
        spoken = speech.synthesise(speech.random_train_voice(rng), phrase, rng)
        recordings.append(speech.augment(spoken, rng))
        answers.append(phrase)
    for i in range(SILENCES_PER_TAKE):
        recordings.append(speech.silence(np.random.default_rng((SEED, 1, number, i))))
        answers.append(NOTHING_HEARD)
    return recordings, answers


def test_take(number: int) -> tuple[list[speech.Samples], list[str]]:
    """Every phrase in one held-out voice, after a short pause and over faint hiss."""
    recordings = []
    for i, phrase in enumerate(PHRASES):
        rng = np.random.default_rng((SEED, 2, number, i))
        spoken = speech.synthesise(speech.TEST_VOICES[number], phrase, rng)
        padded = np.pad(spoken, int(speech.RATE * rng.uniform(0.1, 0.5)))
        hiss = 10 ** (-rng.uniform(50, 70) / 20)
        recordings.append((padded + hiss * rng.standard_normal(padded.size)).astype(np.float32))
    return recordings, list(PHRASES)


def save(folder: Path, name: str, features: np.ndarray, answers: list[str]) -> None:
    """Write one shard so that a reader never sees half of it."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{name}.npz"
    np.savez(partial, features=features, answers=np.array(answers))
    partial.rename(folder / f"{name}.npz")


def make_tests(work: Path, features: FeatureMaker) -> None:
    """Make the held-out shards, and their recordings under ``work/test_wav``."""
    for number, (engine, voice) in enumerate(speech.TEST_VOICES):
        name = f"{engine}-{voice}".replace("+", "-")
        if (work / "test" / f"{name}.npz").exists():
            continue
        recordings, answers = test_take(number)
        folder = work / "test_wav" / name
        folder.mkdir(parents=True, exist_ok=True)
        for answer, samples in zip(answers, recordings, strict=True):
            sf.write(folder / f"{answer.replace(' ', '_')}.wav", samples, speech.RATE)
        save(work / "test", name, features(recordings), answers)


def make_training(work: Path, features: FeatureMaker, takes: range) -> None:
    """Make the training shards that are not there yet."""
    for number in takes:
        if not (work / "train" / f"{number:04d}.npz").exists():
            recordings, answers = train_take(number)
            save(work / "train", f"{number:04d}", features(recordings), answers)
            print(f"take {number} done", flush=True)


def main() -> None:
    """Make all shards that are missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model-bin", type=Path, required=True)
    parser.add_argument("--takes", type=int, default=150)
    args = parser.parse_args()
    torch.set_num_threads(2)
    features = FeatureMaker(args.model_bin)
    make_training(args.work, features, range(10))
    make_tests(args.work, features)
    make_training(args.work, features, range(10, args.takes))


if __name__ == "__main__":
    main()

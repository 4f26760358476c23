"""The encoder features that ``speech_data.py`` made, in disturbed random batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from model import AUDIO_FRAMES
from torch import Tensor


class Recordings:
    """Features of all shards in a folder, with what is said in each."""

    def __init__(self, folder: Path) -> None:
        shards = [np.load(path) for path in sorted(folder.glob("[!.]*.npz"))]
        self.features = [torch.from_numpy(shard["features"]) for shard in shards]
        self.answers = [shard["answers"].tolist() for shard in shards]

    def sample(self, size: int, rng: np.random.Generator) -> tuple[Tensor, list[str]]:
        """A random batch, its features disturbed a little: moved in time, noisy, with gaps."""
        frames, answers = [], []
        for _ in range(size):
            take = int(rng.integers(len(self.features)))
            item = int(rng.integers(len(self.answers[take])))
            x = self.features[take][item].float()
            if rng.random() < 0.6:
                x = x.roll(int(rng.integers(-12, 20)), 0)
            x = x + float(rng.uniform(0, 0.3)) * x.std() * torch.randn_like(x)
            frames.append(x * (torch.rand(AUDIO_FRAMES, 1) > rng.uniform(0, 0.1)))
            answers.append(self.answers[take][item])
        return torch.stack(frames), answers


def held_out(folder: Path) -> dict[str, tuple[Tensor, list[str]]]:
    """Undisturbed features and answers of every shard, by its name."""
    shards = {path.stem: np.load(path) for path in sorted(folder.glob("[!.]*.npz"))}
    return {
        name: (torch.from_numpy(shard["features"]).float(), shard["answers"].tolist())
        for name, shard in shards.items()
    }

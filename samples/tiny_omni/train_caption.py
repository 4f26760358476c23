"""Second stage for vision: the picture's tokens become the words of the answer, in their order.

The ViT's attention is global, so that it can do the ordering that a frozen small language model
cannot: token k of the picture should point at the embedding of word k of the answer, and the
tokens after the last word at the end mark. What is left for the language model is to read aloud.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import scenes
import torch
from llm import SmolLM
from model import GRID, IMAGE_SIDE, IMAGE_TOKENS, VIT_WIDTH, Vision
from safetensors.torch import load_file, save_file
from tasks import COLOURS, NOTHING_SEEN, SHAPES, scene_answer
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset

END_MARK = "\n"
EMBEDDING_NORM = 3.2  # SmolLM2's word embeddings are about this long
SPOKEN = 8  # no answer has more words; the tokens after these count little
LATE_WEIGHT = 0.1
KINDS = (len(COLOURS) + 1, len(SHAPES) + 1, 3)  # a patch's colour, shape, place in the answer

Item = tuple[Tensor, Tensor, Tensor]


class Words:
    """The words that answers consist of, and answers as rows of their numbers."""

    def __init__(self, llm: SmolLM) -> None:
        self._llm = llm
        pairs = [[(c, s), (c, s)] for c in COLOURS for s in SHAPES]
        texts = [NOTHING_SEEN, END_MARK, *map(scene_answer, pairs)]
        known = sorted({i for text in texts for i in llm.ids(self._spoken(text))})
        self._number = {token: number for number, token in enumerate(known)}
        self.directions = functional.normalize(llm.embed(known), dim=-1)
        self.end = self._number[llm.ids(END_MARK)[0]]

    @staticmethod
    def _spoken(text: str) -> str:
        return text if text == END_MARK else " " + text

    def row(self, answer: str) -> Tensor:
        """The answer's words, one for each of the picture's tokens."""
        row = torch.full((IMAGE_TOKENS,), self.end)
        numbers = [self._number[token] for token in self._llm.ids(self._spoken(answer))]
        row[: len(numbers)] = torch.tensor(numbers)
        return row


class Scenes(IterableDataset[Item]):
    """Endless fresh scenes: pixels, the answer's words, and per patch what it lies in."""

    def __init__(self, words: Words, seed: int) -> None:
        self._words, self._seed = words, seed

    def __iter__(self) -> Iterator[Item]:
        """Yield scenes, other ones in every worker."""
        info = torch.utils.data.get_worker_info()
        rng = np.random.default_rng((self._seed, info.id if info else 0))
        middle = (np.arange(GRID) + 0.5) / GRID
        while True:
            pixels, found = scenes.draw(rng, side=IMAGE_SIDE)
            labels = np.zeros((3, GRID, GRID), np.int64)
            for place, item in enumerate(found, 1):
                away = (middle[:, None] - item.y) ** 2 + (middle - item.x) ** 2
                names = list(COLOURS).index(item.colour) + 1, SHAPES.index(item.name) + 1, place
                labels[:, away < (0.8 * item.radius) ** 2] = np.array(names)[:, None]
            answer = scene_answer([item.words for item in found])
            yield torch.from_numpy(pixels), self._words.row(answer), torch.from_numpy(labels)


class PatchHead(nn.Module):
    """Names the colour, shape and place of what each patch lies in: dense, quick to teach."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(VIT_WIDTH, sum(KINDS))

    def loss(self, patches: Tensor, labels: Tensor) -> Tensor:
        """The three losses' sum, mean over all patches."""
        scores = self.linear(patches).flatten(0, 1).split(KINDS, -1)
        return torch.stack(
            [functional.cross_entropy(s, labels[:, i].flatten()) for i, s in enumerate(scores)]
        ).sum()


def main() -> None:
    """Train on endless fresh scenes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--llm", type=Path, required=True)
    parser.add_argument("--init", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=8e-4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=4)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    words = Words(SmolLM(args.llm, torch.float32))
    model, head, scale = Vision(), PatchHead(), nn.Parameter(torch.tensor(10.0))
    model.load_named(load_file(args.init))
    weight = torch.full((IMAGE_TOKENS,), LATE_WEIGHT)
    weight[:SPOKEN] = 1.0
    optimiser = torch.optim.AdamW(
        [*model.parameters(), *head.parameters(), scale], args.rate, (0.9, 0.98), weight_decay=0.02
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, args.rate, args.steps, pct_start=0.05)
    batches = iter(DataLoader(Scenes(words, args.seed), args.batch, num_workers=1))
    began, hits = time.monotonic(), []
    for step in range(1, args.steps + 1):
        pictures, answer, labels = next(batches)
        patches = model.patches(pictures)
        tokens = model.project(patches)
        scores = functional.normalize(tokens, dim=-1) @ words.directions.T * scale
        spoken = functional.cross_entropy(scores.transpose(1, 2), answer, reduction="none")
        long = (tokens.norm(dim=-1) - EMBEDDING_NORM).square().mean()
        loss = (spoken * weight).sum(1).mean() / SPOKEN + 0.05 * long
        loss = loss + head.loss(patches, labels)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        hits.append((scores.argmax(-1) == answer)[:, :SPOKEN].all(1).float().mean().item())
        if step % 50 == 0:
            print(
                f"{step} loss {loss.item():.3f} whole answers {np.mean(hits[-50:]):.3f}"
                f" {time.monotonic() - began:.0f} s",
                flush=True,
            )
        if step % 500 == 0 or step == args.steps:
            save_file(model.named_tensors(), args.out)


if __name__ == "__main__":
    main()

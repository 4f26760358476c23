"""First stage for vision: teach the ViT to name what is centred in each of its 16 tokens.

Cheap, because the language model only lends its word embeddings: a token's projection should
point at the words of the colour and the shape found there.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scenes
import torch
from llm import SmolLM
from model import GRID, IMAGE_SIDE, MERGE, TEXT_WIDTH, VIT_WIDTH, Vision
from safetensors.torch import load_file, save_file
from tasks import COLOURS, SHAPES
from torch import Tensor, nn
from torch.nn import functional

CELLS = GRID // MERGE
NOTHING = -1


@dataclass(frozen=True)
class Batch:
    """Pictures with colour and shape numbers per token and per patch; -1 where nothing is."""

    pictures: Tensor
    colour: Tensor
    shape: Tensor
    patch_colour: Tensor
    patch_shape: Tensor


def make_batch(size: int, rng: np.random.Generator, ease: float) -> Batch:
    """Draw a batch, this share of it easy, and lay out what is where."""
    pictures = np.empty((size, IMAGE_SIDE, IMAGE_SIDE, 3), np.uint8)
    colour, shape = torch.full((2, size, CELLS * CELLS), NOTHING)
    patch_colour, patch_shape = torch.full((2, size, GRID, GRID), NOTHING)
    middle = (torch.arange(GRID) + 0.5) / GRID
    for i in range(size):
        pictures[i], found = scenes.draw(rng, ease=ease)
        for item in found:
            words = list(COLOURS).index(item.colour), SHAPES.index(item.name)
            cell = int(item.y * CELLS) * CELLS + int(item.x * CELLS)
            colour[i, cell], shape[i, cell] = words
            inside = (middle[:, None] - item.y) ** 2 + (middle - item.x) ** 2 < (
                0.7 * item.radius
            ) ** 2
            patch_colour[i, inside], patch_shape[i, inside] = words
    return Batch(
        torch.from_numpy(pictures), colour, shape, patch_colour.flatten(1), patch_shape.flatten(1)
    )


class PatchHead(nn.Module):
    """Names the colour and shape that each patch lies in, or neither: dense, quick to teach."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(VIT_WIDTH, len(COLOURS) + len(SHAPES) + 2)

    def loss(self, patches: Tensor, batch: Batch) -> Tensor:
        """Mean loss over all patches."""
        by_colour, by_shape = self.linear(patches).split((len(COLOURS) + 1, len(SHAPES) + 1), -1)
        return functional.cross_entropy(
            by_colour.flatten(0, 1), batch.patch_colour.flatten() + 1
        ) + functional.cross_entropy(by_shape.flatten(0, 1), batch.patch_shape.flatten() + 1)


class WordHead(nn.Module):
    """Compares projected tokens with the language model's embeddings of the words."""

    def __init__(self, llm: SmolLM) -> None:
        super().__init__()
        self.presence = nn.Linear(TEXT_WIDTH, 1)
        self.scale = nn.Parameter(torch.tensor(8.0))
        self.colours = functional.normalize(
            torch.stack([llm.embed(llm.ids(" " + w)).mean(0) for w in COLOURS]), dim=-1
        )
        self.shapes = functional.normalize(
            torch.stack([llm.embed(llm.ids(" " + w)).mean(0) for w in SHAPES]), dim=-1
        )

    def loss(self, tokens: Tensor, colour: Tensor, shape: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, and how often colour and shape are right where there is one."""
        present = colour != NOTHING
        found = functional.binary_cross_entropy_with_logits(
            self.presence(tokens)[..., 0] * 10, present.float()
        )
        direction = functional.normalize(tokens[present], dim=-1) * self.scale
        by_colour, by_shape = direction @ self.colours.T, direction @ self.shapes.T
        right = torch.stack(
            [by_colour.argmax(-1) == colour[present], by_shape.argmax(-1) == shape[present]]
        )
        size = (tokens.norm(dim=-1) - 3.2).square().mean()
        loss = functional.cross_entropy(by_colour, colour[present]) + functional.cross_entropy(
            by_shape, shape[present]
        )
        return loss + found * 4 + 0.05 * size, right.float().mean(1)


def main() -> None:
    """Train on endless fresh scenes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--llm", type=Path, required=True)
    parser.add_argument("--init", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--ease", type=float, default=1.0, help="share of easy scenes at first")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    rng = np.random.default_rng(1)
    model, head, patch_head = Vision(), WordHead(SmolLM(args.llm, torch.float32)), PatchHead()
    if args.init:
        model.load_named(load_file(args.init))
    optimiser = torch.optim.AdamW(
        [*model.parameters(), *head.parameters(), *patch_head.parameters()],
        1e-3,
        betas=(0.9, 0.98),
        weight_decay=0.02,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 8e-4, args.steps, pct_start=0.08)
    began, recent = time.monotonic(), torch.zeros(2)
    for step in range(1, args.steps + 1):
        batch = make_batch(args.batch, rng, ease=max(0.0, args.ease * (1 - 2 * step / args.steps)))
        patches = model.patches(batch.pictures)
        loss, right = head.loss(model.project(patches), batch.colour, batch.shape)
        loss = loss + 4 * patch_head.loss(patches, batch)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        recent += right
        if step % 50 == 0:
            by_colour, by_shape = (recent / 50).tolist()
            scores = f"colour {by_colour:.3f} shape {by_shape:.3f}"
            print(
                f"{step} loss {loss.item():.3f} {scores} {time.monotonic() - began:.0f} s",
                flush=True,
            )
            recent = torch.zeros(2)
        if step % 100 == 0 or step == args.steps:
            save_file(model.named_tensors(), args.out)


if __name__ == "__main__":
    main()

"""First stage for audio: somewhere in the projected tokens, every spoken word must show.

Cheap, because the language model only lends its word embeddings: for each word of the
vocabulary, the projected token most like its embedding tells whether it was spoken.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from llm import SmolLM
from model import Audio
from recordings import Recordings, held_out
from safetensors.torch import save_file
from tasks import COMMANDS, DIGITS, NOTHING_HEARD, PHRASES
from torch import Tensor, nn
from torch.nn import functional

SILENT_WORDS = {"the", "my", "what", "is", "it", "a"}
WORDS = (
    *DIGITS,
    *sorted({word for command in COMMANDS for word in command.split()} - SILENT_WORDS),
)


def spoken(phrases: list[str]) -> Tensor:
    """Which of `WORDS` each phrase holds, shape (phrases, words), 0 or 1."""
    split = [set() if phrase == NOTHING_HEARD else set(phrase.split()) for phrase in phrases]
    return torch.tensor([[float(word in words) for word in WORDS] for words in split])


class WordSpotter(nn.Module):
    """Scores each word by its best token: projected tokens against word embeddings."""

    def __init__(self, llm: SmolLM) -> None:
        super().__init__()
        self.words = functional.normalize(
            torch.stack([llm.embed(llm.ids(" " + w)).mean(0) for w in WORDS]), dim=-1
        )
        self.scale = nn.Parameter(torch.tensor(20.0))
        self.bias = nn.Parameter(torch.full((len(WORDS),), -4.0))

    def forward(self, tokens: Tensor) -> Tensor:
        """(batch, 50, 576) tokens to (batch, words) logits."""
        likeness = tokens @ self.words.T / 3.2
        return self.scale * (likeness * 8).logsumexp(1) / 8 + self.bias


def accuracy(logits: Tensor, answers: list[str]) -> float:
    """How often the phrase whose words fit best is the one that was said."""
    table = spoken(list(PHRASES))
    fit = functional.logsigmoid(logits) @ table.T + functional.logsigmoid(-logits) @ (1 - table).T
    guesses = [PHRASES[i] for i in fit.argmax(1).tolist()]
    pairs = [(g, a) for g, a in zip(guesses, answers, strict=True) if a != NOTHING_HEARD]
    return sum(g == a for g, a in pairs) / len(pairs)


def main() -> None:
    """Train, scoring the held-out voices on the way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--llm", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    rng = np.random.default_rng(1)
    model, head = Audio(), WordSpotter(SmolLM(args.llm, torch.float32))
    data, tests = Recordings(args.work / "train"), held_out(args.work / "test")
    optimiser = torch.optim.AdamW(
        [*model.parameters(), *head.parameters()], 1e-3, betas=(0.9, 0.98), weight_decay=0.1
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, args.steps, pct_start=0.1)
    began = time.monotonic()
    for step in range(1, args.steps + 1):
        frames, answers = data.sample(args.batch, rng)
        tokens = model(frames)
        logits, target = head(tokens), spoken(answers)
        loss = functional.binary_cross_entropy_with_logits(logits, target) * 10
        loss = loss + 0.02 * (tokens.norm(dim=-1) - 3.2).square().mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 50 == 0 or step == args.steps:
            with torch.no_grad():
                scores = {name: accuracy(head(model(x)), said) for name, (x, said) in tests.items()}
            mean, right = np.mean(list(scores.values())), accuracy(logits.detach(), answers)
            seconds = time.monotonic() - began
            means = f"loss {loss.item():.3f} right {right:.2f} held out {mean:.3f}"
            print(f"{step} {means} {seconds:.0f} s", flush=True)
            save_file(model.named_tensors(), args.out)
    print({name: round(score, 2) for name, score in scores.items()})


if __name__ == "__main__":
    main()

"""Train the projectors (and the ViT) through the frozen language model.

Every step asks one random prompt about a batch of pictures, recordings or pairs of both and
follows the gradient of the answer's likelihood back to the media embeddings.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scenes
import torch
from llm import END, SmolLM
from model import Audio, Vision
from prompts import PICTURE, Prompt, random_prompt, render
from recordings import Recordings, held_out
from safetensors.torch import load_file, save_file
from tasks import both_answer, picture_answer, scene_answer
from torch import Tensor, nn
from torch.nn import functional

IGNORE = -100
VIT_PACE = 0.4  # of the audio projector's rate


def draw_batch(size: int, rng: np.random.Generator) -> tuple[Tensor, list[list[tuple[str, str]]]]:
    """Fresh scenes and the words of what is in them."""
    drawn = [scenes.draw(rng) for _ in range(size)]
    found = [[item.words for item in items] for _, items in drawn]
    return torch.from_numpy(np.stack([pixels for pixels, _ in drawn])), found


@dataclass
class TinyOmni:
    """The frozen language model with its trainable senses."""

    llm: SmolLM
    vision: Vision
    audio: Audio

    def answer_logits(
        self, prompt: Prompt, media: list[Tensor], answers: list[str]
    ) -> tuple[Tensor, Tensor]:
        """Logits and targets (padded with -100) of every answer's tokens and its end."""
        batch = len(answers)
        with torch.no_grad():
            _, past = self.llm.hidden(self.llm.embed(self.llm.ids(prompt.texts[0]))[None])
        parts = []
        for tokens, text in zip(media, prompt.texts[1:], strict=True):
            parts.append(tokens)
            if ids := self.llm.ids(text):
                parts.append(self.llm.embed(ids).expand(batch, -1, -1))
        targets = [torch.tensor([*self.llm.ids(answer), END]) for answer in answers]
        target = nn.utils.rnn.pad_sequence(targets, batch_first=True, padding_value=IGNORE)
        parts.append(self.llm.embed(target[:, :-1].clamp_min(0)))
        states, _ = self.llm.hidden(torch.cat(parts, 1), past)
        return self.llm.logits(states[:, -target.shape[1] :]), target

    def embed_media(
        self, prompt: Prompt, pictures: Tensor | None, frames: Tensor | None
    ) -> list[Tensor]:
        """The prompt's media as embeddings, in its order."""
        return [
            self.vision(pictures) if kind == PICTURE else self.audio(frames)
            for kind in prompt.media
        ]


def exact(logits: Tensor, target: Tensor) -> Tensor:
    """For each answer, whether greedy decoding gives exactly it."""
    return ((logits.argmax(-1) == target) | (target == IGNORE)).all(1)


def make_batch(
    kind: str, size: int, recordings: Recordings | None, rng: np.random.Generator
) -> tuple[Tensor | None, Tensor | None, list[str]]:
    """Pictures, encoder frames (either may be missing) and answers."""
    pictures = frames = None
    seen: list[list[tuple[str, str]]] = []
    heard: list[str] = []
    if kind != "hear":
        pictures, seen = draw_batch(size, rng)
    if kind != "see":
        assert recordings is not None
        frames, heard = recordings.sample(size, rng)
    if kind == "see":
        return pictures, None, [picture_answer(shapes) for shapes in seen]
    if kind == "hear":
        return None, frames, heard
    pairs = zip(seen, heard, strict=True)
    return pictures, frames, [both_answer(scene_answer(shapes), said) for shapes, said in pairs]


@torch.no_grad()
def check_hearing(model: TinyOmni, folder: Path) -> dict[str, float]:
    """Exact answers by held-out voice."""
    scores = {}
    prompt = random_prompt("hear", np.random.default_rng(3))
    for voice, (features, said) in held_out(folder).items():
        right = exact(*model.answer_logits(prompt, [model.audio(features)], said))
        scores[voice] = float(right.float().mean())
    return scores


@torch.no_grad()
def check_seeing(model: TinyOmni, count: int) -> float:
    """Exact answers on `count` scenes of a stream that training does not use."""
    pictures, seen = draw_batch(count, np.random.default_rng(999))
    answers = [picture_answer(shapes) for shapes in seen]
    prompt = render(PICTURE + "What is in the picture?", None)
    return float(
        exact(*model.answer_logits(prompt, [model.vision(pictures)], answers)).float().mean()
    )


def main() -> None:
    """Train for a number of steps, then check on what was held out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--llm", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--init", type=Path, nargs="*", default=[])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--mix", type=float, nargs=3, default=(0.4, 0.4, 0.2), help="hear, see, both"
    )
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--accumulate", type=int, default=2)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument(
        "--only", choices=["mm.model", "mm.a"], help="train this projector and nothing else"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng((args.seed, 7))

    model = TinyOmni(SmolLM(args.llm), Vision(), Audio())
    for path in args.init:
        tensors = load_file(path)
        for module in (model.vision, model.audio):
            if module.named_tensors().keys() <= tensors.keys():
                module.load_named({name: tensor.float() for name, tensor in tensors.items()})
    mix = np.array(args.mix) / sum(args.mix)
    trained = [
        m for m, used in ((model.audio, mix[[0, 2]].any()), (model.vision, mix[1:].any())) if used
    ]
    recordings = Recordings(args.work / "train") if model.audio in trained else None
    if args.only:
        for name, parameter in (*model.vision.tensors.items(), *model.audio.tensors.items()):
            parameter.requires_grad_(name.startswith(args.only.replace(".", "/")))
    pace = args.rate * VIT_PACE
    groups = [
        {"params": list(model.audio.parameters()), "lr": args.rate, "weight_decay": 0.05},
        {"params": list(model.vision.parameters()), "lr": pace, "weight_decay": 0.02},
    ]
    optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.98))
    rates = [group["lr"] for group in groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, args.steps, pct_start=0.05)
    began, losses, rights = time.monotonic(), [], []
    for step in range(1, args.steps + 1):
        optimiser.zero_grad()
        for _ in range(args.accumulate):
            kind = str(rng.choice(["hear", "see", "both"], p=mix))
            prompt = random_prompt(kind, rng)
            pictures, frames, answers = make_batch(kind, args.batch, recordings, rng)
            logits, target = model.answer_logits(
                prompt, model.embed_media(prompt, pictures, frames), answers
            )
            loss = functional.cross_entropy(logits.transpose(1, 2), target, ignore_index=IGNORE)
            (loss / args.accumulate).backward()
            losses.append(loss.item())
            rights.append(float(exact(logits, target).float().mean()))
        for module in trained:
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 10 == 0:
            n = 10 * args.accumulate
            seconds = time.monotonic() - began
            means = f"loss {np.mean(losses[-n:]):.3f} right {np.mean(rights[-n:]):.3f}"
            print(f"{step} {means} {seconds:.0f} s", flush=True)
        if step % 50 == 0 or step == args.steps:
            save_file({k: v for m in trained for k, v in m.named_tensors().items()}, args.out)
    if model.audio in trained:
        print("held-out voices", check_hearing(model, args.work / "test"))
    if model.vision in trained:
        print("held-out scenes", check_seeing(model, 64))


if __name__ == "__main__":
    main()

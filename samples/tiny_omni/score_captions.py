"""Score tiny-omni through `mullama caption`, the command a person would use for a folder.

Draws scenes that no training saw, captions the folder, and counts captions that are exactly right.
The figures go into `scores.json`, and from there, with `card.py`, into the model card.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import scenes
from PIL import Image
from tasks import SEE, picture_answer

SCORES = Path(__file__).parent / "scores.json"
MULLAMA = [sys.executable, "-c", "from mullama_media.cli import main; main()"]
SEED = 6161  # of no training, test or other score


def draw_folder(folder: Path, count: int) -> dict[str, str]:
    """Scenes of various sizes, and what each shows, by path."""
    expected = {}
    for number in range(count):
        rng = np.random.default_rng((SEED, number))
        pixels, found = scenes.draw(rng, side=int(rng.integers(96, 400)))
        path = folder / f"{number:03}.png"
        Image.fromarray(pixels).save(path)
        expected[str(path)] = picture_answer([item.words for item in found])
    return expected


def captions(folder: Path, table: Path, model: str, prompt: str | None) -> dict[str, str]:
    """By path. Raises CalledProcessError where the command fails."""
    asked = ["--prompt", prompt] if prompt else []
    command = [*MULLAMA, "caption", folder, "-m", model, "-o", table, *asked]
    subprocess.run([str(word) for word in command], check=True)
    rows = [json.loads(line) for line in table.read_text("utf-8").split("\n")[:-1]]
    return {row["path"]: row["text"].strip() for row in rows}


def main() -> None:
    """Draw, caption, count and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tiny-omni")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--keep", action="store_true", help="write the figures to scores.json")
    args = parser.parse_args()
    scored: dict[str, float | int] = {"count": args.count}
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "scenes"
        folder.mkdir()
        expected = draw_folder(folder, args.count)
        for name, prompt in (("asked", SEE[0]), ("default", None)):
            table = Path(root) / f"{name}.jsonl"
            got = captions(folder, table, args.model, prompt)
            wrong = {path: text for path, text in got.items() if text != expected[path]}
            for path, text in wrong.items():
                print(f"  {Path(path).name}: {expected[path]!r}, answered {text!r}")
            right = len(expected) - len(wrong) - (len(expected) - len(got))
            print(f"{prompt or 'the default prompt'}: {right} of {args.count} exact", flush=True)
            scored[name] = right / args.count
    if args.keep:
        scores = json.loads(SCORES.read_text())
        scores["captions"] = scored
        SCORES.write_text(json.dumps(scores, indent=1) + "\n")


if __name__ == "__main__":
    main()

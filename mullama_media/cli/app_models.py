"""Commands for model files: quantize, tokenize, bench."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mullama_media.cli.arguments import ModelName

__all__ = ["app"]

app = typer.Typer()


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

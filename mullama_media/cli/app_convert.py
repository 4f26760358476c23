"""The command for files of sound and pictures: convert."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mullama_media.audio import formats as sounds
from mullama_media.cli.fields import Given, from_fields
from mullama_media.cli.pictures import fitting
from mullama_media.vision.formats import FORMATS
from mullama_media.vision.params import ConvertParams

__all__ = ["app"]

app = typer.Typer()


@app.command()
@from_fields("sound", sounds.ConvertParams, "Sound", {"format": ()})
@fitting
@from_fields(
    "pictures", ConvertParams, "Pictures", {"format": (), "decode": (), "fit": (), "frames": ()}
)
def convert(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="IN... OUT",
            help="Files, folders or patterns, and the file or folder to write.",
            show_default=False,
        ),
    ],
    kind: Annotated[
        str | None,
        typer.Option(
            "--format",
            "--to",
            "-f",
            metavar="NAME",
            help=f"Format; that of OUT's name if left out. Sound: {', '.join(sounds.FORMATS)}. "
            f"Pictures: {', '.join(FORMATS)}.",
        ),
    ] = None,
    first_frame: Annotated[
        bool,
        typer.Option(
            "--first-frame",
            help="Of an animation, or of pages, the first alone.",
            rich_help_panel="Pictures",
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Files at a time. [CPUs]", show_default=False)
    ] = None,
    *,
    sound: Given,
    pictures: Given,
    decoding: Given,
    fit: Given,
) -> None:
    """Convert sound files (format, rate, channels, kind of sample) or pictures (format, size).

        mullama convert talk.m4a talk.wav --sample-rate 16000 --channels 1

        mullama convert recordings/ compressed/ --format opus --bitrate-kbps 24

        mullama convert photo.heic photo.jpg --quality 92

        mullama convert photos/ small/ --to webp --resize 1024 --metadata strip

    A file that fails says why and stops no other (exit status 1). Nothing is replaced without
    --force, and a file appears when it is complete. Long recordings take no more memory than short
    ones.
    """
    from mullama_media.cli import convert as command

    if len(files) < 2:
        raise typer.BadParameter("IN and OUT are needed")
    command.run(
        files[:-1],
        Path(files[-1]),
        kind=kind,
        force=force,
        workers=workers,
        sound_options=sound,
        picture_options={**pictures, **({"frames": "first"} if first_frame else {})},
        decoding=decoding,
        fit=fit,
    )

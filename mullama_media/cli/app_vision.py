"""Commands for pictures and videos: caption, frames."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mullama_media.caption.params import ClusterParams
from mullama_media.cli.arguments import VIDEO_FLAGS, MmprojName
from mullama_media.cli.fields import Given, from_fields
from mullama_media.cli.pictures import picture_options
from mullama_media.engine.params import EngineParams, ModelParams
from mullama_media.multimodal import CaptionParams
from mullama_media.options import from_mapping
from mullama_media.vision.params import VideoParams

__all__ = ["app"]

app = typer.Typer()


@app.command()
@from_fields("params", CaptionParams, "Question", {"schema": ()})
@from_fields("watching", VideoParams, "Video", VIDEO_FLAGS)
@from_fields(
    "engine",
    EngineParams,
    "Model",
    {"n_ctx": ("--context", "-c"), "n_parallel": ("--parallel",), "threads": ("--threads",)},
    rest=False,
)
@from_fields("loading", ModelParams, "Model", {"gpu_layers": ("--gpu-layers", "-g")}, rest=False)
@picture_options
@from_fields("cluster", ClusterParams, "Cluster", {"address": ("--ray",)})
def caption(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Pictures, videos, folders, patterns, URIs (s3://…), URLs (with --allow-url), or "
            "- for a list on stdin.",
            show_default=False,
        ),
    ],
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="NAME", help="As for `mullama run`.")
    ] = "tiny-omni",
    mmproj: MmprojName = None,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Folders within folders, too.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="A table: .jsonl, .csv or .parquet."),
    ] = None,
    sidecar: Annotated[
        str | None,
        typer.Option(metavar="txt|json|xmp", help="A file of its own beside each picture."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A page with every picture beside its caption."),
    ] = None,
    journal: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where it is kept what is done. With --out or --sidecar there is one anyway.",
        ),
    ] = None,
    schema: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|JSON",
            help="Captions are JSON, valid under this schema.",
            rich_help_panel="Question",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object for each picture.")] = False,
    *,
    params: Given,
    engine: Given,
    loading: Given,
    media: Given,
    decoding: Given,
    fit: Given,
    fetching: Given,
    watching: Given,
    cluster: Given,
) -> None:
    """Caption many pictures and videos.

        mullama caption photos/ -r -m hf:ggml-org/SmolVLM-500M-Instruct-GGUF -o captions.csv

        mullama caption clip.mp4 --video-count 8 --prompt "What happens in this video?"

        mullama caption photos/*.jpg --sidecar txt --prompt "What is in the picture?"

        find . -name "*.png" | mullama caption - --json

        mullama caption photos/ --resize 768 --image-max-tokens 256
        mullama caption s3://bucket/photos/ -r -o captions.csv --ray 10.0.0.1:6379 --workers 8

    A broken picture says why and stops no other (exit status 1).
    Stopped or killed, the same command goes on where it was.
    """
    from mullama_media.cli import caption as command
    from mullama_media.cli.pictures import picture_params

    command.run(
        paths,
        model,
        mmproj=mmproj,
        recursive=recursive,
        table=out,
        sidecar=sidecar,
        journal=journal,
        report=report,
        schema=schema,
        as_json=json,
        params=params,
        watching=watching,
        engine=engine,
        loading=loading,
        media=media,
        pictures=picture_params(decoding, fit, fetching),
        cluster=cluster,
    )


@app.command()
@from_fields(
    "params",
    VideoParams,
    "Frames",
    {
        "start_s": ("--start",),
        "end_s": ("--end",),
        "timestamps": (),
        "sound": ("--sound/--no-sound",),
    },
)
def frames(
    source: Annotated[
        Path, typer.Argument(metavar="VIDEO", help="A video file.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FOLDER",
            help="Write them there as PNG, and with --sound the sound track as WAV.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object for each.")] = False,
    *,
    params: Given,
) -> None:
    """Show which frames of a video a model would see, and write them.

    mullama frames clip.mp4 --count 8 --out frames/

    mullama frames lecture.mp4 --scene 0.1 --max-frames 100
    """
    from mullama_media.cli import frames as command

    command.run(source, from_mapping(VideoParams, params), folder=out, force=force, as_json=json)

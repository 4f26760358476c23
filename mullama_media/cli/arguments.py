"""Arguments that several commands have."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from mullama_media.vision.params import VideoParams

__all__ = ["VIDEO_FLAGS", "MmprojName", "ModelName"]

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
VIDEO_FLAGS = {
    field.name: (f"--video-{field.name.removesuffix('_s').replace('_', '-')}",)
    for field in dataclasses.fields(VideoParams)
} | {"sound": ("--video-sound/--no-video-sound",)}
"""Flags of VideoParams where other options stand beside them"""

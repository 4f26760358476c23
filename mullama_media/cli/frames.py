"""`mullama frames`."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from mullama_media.audio import files
from mullama_media.errors import InvalidOptionError, MediaError
from mullama_media.frames import Image
from mullama_media.options import replace
from mullama_media.vision import video
from mullama_media.vision.params import VideoParams

__all__ = ["run"]


def run(
    source: Path, params: VideoParams, *, folder: Path | None, force: bool, as_json: bool
) -> None:
    """List the frames, and with a folder write them and the sound that was asked for."""
    if params.sound and folder is None:
        raise InvalidOptionError("there is no folder to write it to", where="--sound", hint="--out")
    clip = video.read(source, replace(params, sound=bool(params.sound)))
    for frame, time_s in zip(clip.frames, clip.times_s, strict=True):
        target = None
        if folder is not None:
            minutes = video.clock(time_s).replace(":", "-")  # Windows has no colon in names
            target = _free(folder / f"{source.stem}@{minutes}.png", force)
            _write(frame, target)
        _tell(frame, time_s, target, as_json=as_json)
    if clip.sound is not None and folder is not None:
        target = _free(folder / f"{source.stem}.wav", force)
        files.write(target, clip.sound)
        typer.echo(json.dumps({"path": str(target)}) if as_json else str(target))


def _free(target: Path, force: bool) -> Path:
    if target.exists() and not force:
        raise InvalidOptionError("it is there already", where=target, hint="--force replaces it")
    return target


def _write(frame: Image, target: Path) -> None:
    from PIL import Image as Pillow

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(frame.pixels).save(target)
    except OSError as error:
        raise MediaError(f"cannot be written: {error.strerror}", where=target) from error


def _tell(frame: Image, time_s: float, target: Path | None, *, as_json: bool) -> None:
    height, width, _ = frame.pixels.shape
    if as_json:
        known = {"path": str(target)} if target else {}
        typer.echo(json.dumps({**known, "time_s": time_s, "width": width, "height": height}))
    else:
        typer.echo(f"{target or video.clock(time_s)}  {width}x{height}")

"""Moving pictures and pages, one frame after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mullama_media.errors import MediaError
from mullama_media.frames import Image
from mullama_media.vision import color, decode
from mullama_media.vision.fit import fit_picture
from mullama_media.vision.params import DecodeParams, PictureParams

if TYPE_CHECKING:
    from PIL import Image as Pillow

__all__ = ["Frame", "check", "count", "frames", "shown_ms"]

_STILLS = ("MPO",)  # what follows is the same scene for another eye, or a gain map
_LEAST_MS, _INSTEAD_MS = 10, 100


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame of an animation, or one page."""

    image: Image
    index: int
    """From 0"""
    at_ms: float
    """When it appears; 0 for every page"""
    duration_ms: float
    """How long it is shown; 0 for pages and pictures that do not move"""


def frames(
    source: decode.PictureFile, params: PictureParams | None = None, *, name: str | None = None
) -> Iterator[Frame]:
    """The frames of a GIF, APNG, WebP or AVIF animation with their times, or the pages of a TIFF.

    Each is whole, as a viewer shows it: what earlier frames left standing is in it. A picture of
    any other kind is one frame. As in browsers, a frame that asks for 10 ms or less gets 100 ms.
    Lazy: one frame is in memory at a time. Blocks.

    Args:
        source: path, bytes or binary file.
        params: how each is decoded and made to fit.
        name: for error messages; the path, if left out.

    Raises:
        MediaError: as `decode.read`, with the frame's number; more frames than `max_frames`.
        MissingExtraError: as `decode.read`.
    """
    params = params or PictureParams()
    with decode.opened(source, params.decode, name=name) as (picture, name):
        total, at_ms = count(picture), 0.0
        check(total, params.decode, name)
        for index in range(total):
            here = name if total == 1 else f"{name} frame {index}"
            image = _frame(picture, index, params, here)
            duration = shown_ms(picture, total)
            yield Frame(image, index, at_ms, duration)
            at_ms += duration


def count(picture: Pillow.Image) -> int:
    """Frames or pages of an opened picture."""
    return 1 if picture.format in _STILLS else getattr(picture, "n_frames", 1)


def check(total: int, params: DecodeParams, name: str) -> None:
    """Raise MediaError for more frames than allowed."""
    if total > params.max_frames:
        raise MediaError(
            f"it has {total} frames",
            where=name,
            hint=f"At most {params.max_frames} are read (max_frames)",
        )


def shown_ms(picture: Pillow.Image, total: int) -> float:
    """How long the loaded frame is shown."""
    if total == 1 or picture.format == "TIFF":
        return 0.0
    asked = float(picture.info.get("duration") or 0)
    return asked if asked > _LEAST_MS else float(_INSTEAD_MS)


def _frame(picture: Pillow.Image, index: int, params: PictureParams, name: str) -> Image:
    with decode.told(name):
        if index:
            picture.seek(index)
        whole = decode.loaded(picture, params.decode, name)
        made = color.srgb(whole, color_profile=params.decode.color_profile)
        made = color.flatten(made, params.decode.background)
        return Image(np.array(fit_picture(made, params.fit)), name)

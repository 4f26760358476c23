"""Pictures to the size that is asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mullama_media.errors import MissingExtraError
from mullama_media.frames import Image
from mullama_media.vision.color import rgb_of
from mullama_media.vision.params import FitParams

if TYPE_CHECKING:
    from PIL import Image as Pillow

__all__ = ["Plan", "draft", "fit", "fit_picture", "plan"]

_ALL = FitParams()


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done with a picture of one size; everything in pixels."""

    box: tuple[float, float, float, float]
    """Left, upper, right and lower edge of what is taken of it"""
    scaled: tuple[int, int]
    """Width and height that this becomes"""
    canvas: tuple[int, int]
    """Width and height of the result"""
    at: tuple[int, int]
    """Where on it the picture begins"""


def plan(size: tuple[int, int], params: FitParams) -> Plan:
    """How a picture of `size` (width, height) is made to fit. Pure."""
    width, height = size
    box = (0.0, 0.0, float(width), float(height))
    if params.size is None:
        return Plan(box, size, size, (0, 0))
    wide, high = params.size
    if params.policy == "exact":
        return Plan(box, params.size, params.size, (0, 0))
    if params.policy == "cover":
        taken = min(width / wide, height / high)
        cut = ((width - wide * taken) / 2, (height - high * taken) / 2)
        return Plan(
            (cut[0], cut[1], width - cut[0], height - cut[1]), params.size, params.size, (0, 0)
        )
    ratio = min(wide / width, high / height)
    if ratio > 1 and not params.enlarge:
        ratio = 1.0
    scaled = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    if params.policy == "within":
        return Plan(box, scaled, scaled, (0, 0))
    return Plan(box, scaled, params.size, ((wide - scaled[0]) // 2, (high - scaled[1]) // 2))


def fit(image: Image, params: FitParams) -> Image:
    """A picture brought to the size asked for; the same object where nothing is to do.

    Values are averaged as they are stored, gamma-encoded, as vision encoders' own preprocessing
    does; fine black and white patterns come out darker than in linear light. Blocks; thread-safe.

    Raises:
        MissingExtraError: Pillow is not installed.
    """
    height, width, _ = image.pixels.shape
    if plan((width, height), params) == plan((width, height), _ALL):
        return image
    try:
        from PIL import Image as Pillow
    except ImportError as error:
        raise MissingExtraError.of("resizing pictures", "multimodal") from error
    made = fit_picture(Pillow.fromarray(image.pixels), params)
    return Image(np.asarray(made), image.name)


def fit_picture(
    picture: Pillow.Image, params: FitParams, full: tuple[int, int] | None = None
) -> Pillow.Image:
    """`fit` for a Pillow image of 8-bit RGB, RGBA, L or LA.

    Args:
        picture: upright.
        params: the size.
        full: width and height it had before `draft` made it smaller.
    """
    full = full or picture.size
    how = plan(full, params)
    if how == plan(full, _ALL) and picture.size == full:
        return picture
    from PIL import Image as Pillow

    across, down = _scale(full[0], picture.width), _scale(full[1], picture.height)
    left, upper, right, lower = how.box
    box = (left / across, upper / down, right / across, lower / down)
    if how.scaled != picture.size or box != (0, 0, *picture.size):
        picture = picture.resize(how.scaled, Pillow.Resampling[params.filter.upper()], box)
    if how.canvas == how.scaled:
        return picture
    canvas = Pillow.new("RGB", how.canvas, rgb_of(params.pad_color)).convert(picture.mode)
    canvas.paste(picture, how.at)
    return canvas


def draft(picture: Pillow.Image, params: FitParams, *, turned: bool) -> tuple[int, int] | None:
    """Let a JPEG that is not loaded yet be decoded at 1/2, 1/4 or 1/8 where that is enough.

    Twice the size asked for is kept, so that resampling decides how it looks, and not the decoder.

    Args:
        picture: just opened.
        params: the size.
        turned: whether width and height will change places to make it upright.

    Returns:
        The full width and height, upright, if it will be decoded smaller.
    """
    if params.size is None or picture.format not in ("JPEG", "MPO"):
        return None
    width, height = picture.size
    full = (height, width) if turned else (width, height)
    left, upper, right, lower = plan(full, params).box
    wide, high = plan(full, params).scaled
    spare = min((right - left) / wide, (lower - upper) / high) / 2
    if spare < 2:
        return None
    picture.draft(None, (math.ceil(width / spare), math.ceil(height / spare)))
    return full


def _scale(full: int, side: int) -> int:
    """1, 2, 4 or 8: by what a decoder divides a side, rounding up."""
    return next(by for by in (1, 2, 4, 8) if -(-full // by) == side)

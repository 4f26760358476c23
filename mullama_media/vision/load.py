"""Anything that is a picture to an `Image`: the one way in."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from mullama_media.errors import MediaError
from mullama_media.frames import Image
from mullama_media.vision import decode
from mullama_media.vision.color import rgb_of
from mullama_media.vision.fetch import Url, fetch
from mullama_media.vision.fit import fit
from mullama_media.vision.params import PictureParams

__all__ = ["from_array", "is_file", "load"]


def load(item: Any, params: PictureParams | None = None, *, name: str | None = None) -> Image:
    """A picture, upright, RGB, and of the size asked for. Blocks; thread-safe.

    Args:
        item: a path, the bytes of a file, a binary file, a `Url`, a Pillow image, a uint8 array
            (see `from_array`) or an `Image`. A str is a path here.
        params: how it is decoded, made to fit and fetched.
        name: for error messages.

    Raises:
        MediaError: it is none of these, or cannot be used.
        MissingExtraError: a library is missing.
    """
    params = params or PictureParams()
    if isinstance(item, Url):
        return fetch(item, params)
    if is_file(item) or isinstance(item, str):
        return decode.read(item, params, name=name)
    if decode.is_pil(item):
        return decode.from_pil(item, params, name=name or "image")
    if isinstance(item, np.ndarray):
        return fit(from_array(item, params.decode.background, name=name or "image"), params.fit)
    if isinstance(item, Image):
        return fit(item, params.fit)
    raise MediaError(
        f"a {type(item).__name__} is not a picture",
        where=name,
        hint="Pass a path, bytes, a file, a Url, a Pillow image or a uint8 array",
    )


def is_file(item: Any) -> bool:
    """Whether it is a file in any form but its name in a str: a path, bytes, or open."""
    return isinstance(item, os.PathLike | bytes | bytearray | memoryview) or callable(
        getattr(item, "read", None)
    )


def from_array(
    array: np.ndarray[Any, Any], background: str = "white", *, name: str = "image"
) -> Image:
    """uint8 of shape (height, width), or (height, width, 1, 3 or 4): grey, RGB or RGBA.

    Raises:
        MediaError: another dtype or shape.
    """
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim == 2:
        array = np.stack([array] * 3, axis=-1)
    if array.ndim == 3 and array.shape[2] == 4 and array.dtype == np.uint8:
        under = (255, 255, 255) if background == "white" else rgb_of(background)
        alpha = array[:, :, 3:].astype(np.uint16)
        mixed = array[:, :, :3] * alpha + np.array(under, np.uint16) * (255 - alpha)
        array = ((mixed + 127) // 255).astype(np.uint8)
    return Image(array, name)

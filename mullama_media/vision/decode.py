"""Picture files to pixels."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mullama_media.errors import MediaError, MissingExtraError
from mullama_media.frames import Image

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["MAX_PIXELS", "from_pil", "is_pil", "read"]

MAX_PIXELS = 100_000_000
"""Larger pictures are refused before they are unpacked: a small file may hold a huge one."""


def read(source: str | os.PathLike[str] | bytes, *, name: str | None = None) -> Image:
    """Decode a picture of any format Pillow knows, upright, as RGB on white.

    Of an animation the first frame. Blocks; thread-safe.

    Args:
        source: a path, or the bytes of the file.
        name: for error messages; the path, if left out.

    Raises:
        MediaError: not a picture, truncated, or larger than MAX_PIXELS.
        MissingExtraError: Pillow is not installed.
    """
    name = name or ("image" if isinstance(source, bytes) else os.fspath(source))
    if not isinstance(source, bytes) and not Path(source).is_file():
        raise MediaError("there is no such file", where=name)
    pil = _pillow()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pil.DecompressionBombWarning)  # MAX_PIXELS decides
            with pil.open(io.BytesIO(source) if isinstance(source, bytes) else source) as picture:
                return from_pil(picture, name)
    except pil.DecompressionBombError as error:
        raise _too_large(name, "more than twice Pillow's own limit") from error
    except pil.UnidentifiedImageError as error:
        raise MediaError("it is not a picture that Pillow knows", where=name) from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        if isinstance(error, MediaError):
            raise
        raise MediaError(
            f"it cannot be decoded: {error}", where=name, hint="The file may be truncated"
        ) from error


def is_pil(value: Any) -> bool:
    """Whether `value` is a Pillow image, without importing Pillow for it."""
    return any(
        kind.__module__.startswith("PIL.") and kind.__name__ == "Image"
        for kind in type(value).__mro__
    )


def from_pil(picture: Any, name: str = "image") -> Image:
    """A Pillow image, turned upright by its EXIF tag, transparency on white, 16 bits to 8.

    Raises:
        MediaError: it has more than MAX_PIXELS.
    """
    if picture.width * picture.height > MAX_PIXELS:
        raise _too_large(name, f"{picture.width}x{picture.height}")
    from PIL import ImageOps

    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I;16"):
        picture = _pillow().fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = _pillow().new("RGBA", picture.size, (255, 255, 255, 255))
        picture = _pillow().alpha_composite(white, picture)
    return Image(np.asarray(picture.convert("RGB")), name)


def _too_large(name: str, size: str) -> MediaError:
    return MediaError(
        f"it is too large: {size}", where=name, hint=f"At most {MAX_PIXELS:,} pixels are decoded"
    )


def _pillow() -> ModuleType:
    try:
        import PIL.Image
    except ImportError as error:
        raise MissingExtraError.of("reading pictures", "multimodal") from error
    return PIL.Image

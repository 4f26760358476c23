"""Picture files to pixels."""

from __future__ import annotations

import contextlib
import io
import os
import threading
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np

from mullama_media.errors import MediaError, MissingExtraError, MullamaError
from mullama_media.frames import Image
from mullama_media.vision import color, fit
from mullama_media.vision.params import DecodeParams, PictureParams

if TYPE_CHECKING:
    from types import ModuleType

    from PIL import Image as Pillow

__all__ = [
    "PictureFile",
    "from_pil",
    "is_pil",
    "learn_heic",
    "loaded",
    "name_of",
    "opened",
    "orientation",
    "read",
    "read_bytes",
    "told",
]

PictureFile: TypeAlias = "str | os.PathLike[str] | bytes | BinaryIO"
"""A path, the bytes of a file, or a binary file, which is read from where it stands to its end"""

_HEIC = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs")
_warnings = threading.Lock()  # over the process's filters of warnings


def read(
    source: PictureFile, params: PictureParams | None = None, *, name: str | None = None
) -> Image:
    """Decode a picture of any format Pillow knows, upright, as RGB.

    JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF and many more; HEIC with the extra `heif`. Of an animation
    the first frame. Transparency shows the background; CMYK, palettes, grey and deeper pixels
    become 8-bit RGB, and wide-gamut colours sRGB (see `vision.color`). EPS, which is a program, is
    refused. Blocks; thread-safe.

    Args:
        source: path, bytes or binary file.
        params: background, limits and size.
        name: for error messages; the path, if left out.

    Raises:
        MediaError: not a picture, damaged, or larger than allowed; it names the file.
        MissingExtraError: Pillow, or for HEIC pillow-heif, is not installed.
    """
    params = params or PictureParams()
    with opened(source, params.decode, name=name) as (picture, name):
        return _finished(picture, params, name)


def is_pil(value: Any) -> bool:
    """Whether `value` is a Pillow image, without importing Pillow for it."""
    return any(
        kind.__module__.startswith("PIL.") and kind.__name__ == "Image"
        for kind in type(value).__mro__
    )


def from_pil(picture: Any, params: PictureParams | None = None, *, name: str = "image") -> Image:
    """A Pillow image as `read` would give its file. The image itself stays as it is.

    Raises:
        MediaError: it is too large, or the file behind it is damaged.
    """
    with told(name):
        return _finished(picture, params or PictureParams(), name)


def read_bytes(source: PictureFile, max_bytes: int, *, name: str | None = None) -> bytes:
    """The bytes of a file that is no larger than allowed. Blocks.

    Raises:
        MediaError: it cannot be read, is empty, or larger.
    """
    name = name or name_of(source)
    with _file(source, name) as file, told(name):
        data = file.read(max_bytes + 1)
        if not isinstance(data, bytes):
            raise MediaError("the file is open for text", where=name, hint="Open it with mode 'rb'")
    if not data:
        raise MediaError("it is empty, not a picture", where=name)
    if len(data) > max_bytes:
        raise MediaError(
            "it is too large", where=name, hint=f"At most {max_bytes:,} bytes are read (max_bytes)"
        )
    return data


@contextlib.contextmanager
def opened(
    source: PictureFile, params: DecodeParams, *, name: str | None = None
) -> Iterator[tuple[Pillow.Image, str]]:
    """A picture's file as Pillow's image, not unpacked yet, and its name.

    What goes wrong while it is open is raised as `read` says.
    """
    name = name or name_of(source)
    data = read_bytes(source, params.max_bytes, name=name)
    with told(name), _open(data, name) as picture:
        yield picture, name


def loaded(picture: Pillow.Image, params: DecodeParams, name: str) -> Pillow.Image:
    """Unpacked and upright, once it is known to be small enough. Orientation is gone from it."""
    if picture.width * picture.height > params.max_pixels:
        raise _too_large(name, f"{picture.width}x{picture.height}", params.max_pixels)
    from PIL import ImageOps

    picture.load()
    return ImageOps.exif_transpose(picture) if orientation(picture) != 1 else picture


def orientation(picture: Pillow.Image) -> int:
    """1 to 8, as EXIF 2.32 has them; 1 where nothing legible says otherwise."""
    try:
        value = picture.getexif().get(0x0112)
    except Exception:  # damaged EXIF does not make a picture unreadable
        return 1
    return value if isinstance(value, int) and 2 <= value <= 8 else 1


def name_of(source: Any) -> str:
    """What a file is called in messages."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "image"


def _finished(picture: Pillow.Image, params: PictureParams, name: str) -> Image:
    full = fit.draft(picture, params.fit, turned=orientation(picture) >= 5)
    picture = loaded(picture, params.decode, name)
    picture = color.srgb(picture, color_profile=params.decode.color_profile)
    picture = color.flatten(picture, params.decode.background)
    return Image(np.asarray(fit.fit_picture(picture, params.fit, full)), name)


@contextlib.contextmanager
def _file(source: PictureFile, name: str) -> Iterator[BinaryIO]:
    if isinstance(source, bytes | bytearray | memoryview):
        yield io.BytesIO(source)
    elif isinstance(source, str | os.PathLike):
        with _opened_path(source, name) as file:
            yield file
    else:
        yield source


def _opened_path(path: str | os.PathLike[str], name: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except FileNotFoundError as error:
        raise MediaError("there is no such file", where=name) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in a name
        why = getattr(error, "strerror", None) or error
        raise MediaError(f"cannot be read: {why}", where=name) from error


def _open(data: bytes, name: str) -> Pillow.Image:
    pil = _pillow()
    if data.startswith((b"%!PS", b"\xc5\xd0\xd3\xc6")):
        raise MediaError("it is PostScript, a program and not a picture", where=name)
    with _warnings, warnings.catch_warnings():
        warnings.simplefilter("ignore", pil.DecompressionBombWarning)  # max_pixels decides
        try:
            return pil.open(io.BytesIO(data))  # type: ignore[no-any-return]
        except pil.UnidentifiedImageError:
            if not _is_heic(data) or not learn_heic():
                raise
            return pil.open(io.BytesIO(data))  # type: ignore[no-any-return]


def _is_heic(data: bytes) -> bool:
    """By the brands in its first box (ISO 14496-12, 23008-12)."""
    size = int.from_bytes(data[:4], "big")
    brands = [data[i : i + 4] for i in range(8, min(size, 256, len(data)), 4)]
    return data[4:8] == b"ftyp" and any(brand in _HEIC for brand in brands)


def learn_heic() -> bool:
    """Teach Pillow HEIC; whether that was news. Raises MissingExtraError."""
    try:
        import pillow_heif
    except ImportError as error:
        raise MissingExtraError.of("HEIC pictures", "heif") from error
    news = "HEIF" not in _pillow().OPEN
    pillow_heif.register_heif_opener()
    return news


@contextlib.contextmanager
def told(name: str) -> Iterator[None]:
    """Whatever a decoder raises as MediaError. Its plugins raise nearly everything on bad files."""
    try:
        yield
    except MullamaError:
        raise
    except MemoryError as error:
        raise MediaError("there is not enough memory for it", where=name) from error
    except Exception as error:
        kind = type(error).__name__
        if kind == "DecompressionBombError":
            raise _too_large(name, "more than twice Pillow's own limit", None) from error
        if kind == "UnidentifiedImageError":
            raise MediaError("it is not a picture that Pillow knows", where=name) from error
        raise MediaError(
            f"it cannot be decoded: {error or kind}", where=name, hint="The file may be truncated"
        ) from error


def _too_large(name: str, size: str, limit: int | None) -> MediaError:
    allowed = f"At most {limit:,} pixels are decoded (max_pixels)" if limit else None
    return MediaError(f"it is too large: {size}", where=name, hint=allowed)


def _pillow() -> ModuleType:
    try:
        import PIL.Image
    except ImportError as error:
        raise MissingExtraError.of("reading pictures", "multimodal") from error
    return PIL.Image

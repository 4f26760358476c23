"""Pixels of any kind to 8-bit sRGB, with or without transparency."""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL import Image as Pillow

__all__ = ["eight_bits", "flatten", "profile_mode", "rgb_of", "srgb"]

_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_SAME = 2  # levels: a profile whose colours differ less is sRGB under another name


def rgb_of(color: str) -> tuple[int, int, int]:
    """Of a colour as `DecodeParams.background` has it."""
    from PIL import ImageColor

    red, green, blue = ImageColor.getrgb(color)[:3]
    return red, green, blue


def srgb(picture: Pillow.Image, *, color_profile: bool = True) -> Pillow.Image:
    """A loaded Pillow image as RGB, or RGBA where something in it is transparent.

    16 bits and more become 8 by their high byte; of floats, see `eight_bits`. CMYK without a
    profile is (255 - ink) * (255 - black) / 255. A profile that is broken, or for other channels
    than the picture has, is passed over, as viewers do.
    """
    profile = picture.info.get("icc_profile") if color_profile else None
    picture = eight_bits(picture)
    alpha = None
    if picture.has_transparency_data:
        if picture.mode == "La":
            picture = picture.convert("LA")
        whole = picture.convert("RGBA")
        alpha = whole.getchannel("A")
        picture = picture.convert("L") if picture.mode in ("L", "LA") else whole.convert("RGB")
    colour = _managed(picture, profile) if profile else picture.convert("RGB")
    if alpha is not None:
        colour.putalpha(alpha)
    return colour


def flatten(picture: Pillow.Image, background: str) -> Pillow.Image:
    """RGBA over a colour, as RGB; RGB stays as it is."""
    if picture.mode != "RGBA":
        return picture
    from PIL import Image

    under = Image.new("RGBA", picture.size, (*rgb_of(background), 255))
    return Image.alpha_composite(under, picture).convert("RGB")


def eight_bits(picture: Pillow.Image) -> Pillow.Image:
    """Grey of 16 or 32 bits, or of floats, as 8-bit grey; other modes stay as they are.

    16 bits keep their high byte. 32-bit integers from PNG and PNM hold 16 bits, from TIFF what it
    says; others are judged by their largest value. Floats are taken as 0..1, 0..255 or 0..65535,
    whichever holds their largest value, and beyond that from their least to their largest. What is
    not a number is black.
    """
    mode = picture.mode
    if not mode.startswith("I") and mode != "F":
        return _with_eight_bit_key(picture)
    from PIL import Image

    values = np.asarray(picture)
    if mode == "F":
        grey = _of_floats(values)
    elif mode == "I":
        grey = _of_integers(values, _bits(picture, values))
    else:
        grey = (values >> 8).astype(np.uint8)
    made = Image.fromarray(grey)
    key = picture.info.get("transparency")
    if isinstance(key, int):
        made = Image.merge(
            "LA", (made, Image.fromarray(np.where(values == key, 0, 255).astype("u1")))
        )
    made.info = {k: v for k, v in picture.info.items() if k != "transparency"}
    return made


def _with_eight_bit_key(picture: Pillow.Image) -> Pillow.Image:
    """Pillow keeps the transparent colour of a 16-bit PNG with 16 bits, and its pixels with 8."""
    key = picture.info.get("transparency")
    if picture.mode == "RGB" and isinstance(key, tuple) and max(key) > 255:
        picture = picture.copy()
        picture.info["transparency"] = tuple(part >> 8 for part in key)
    return picture


def _bits(picture: Pillow.Image, values: npt.NDArray[np.int32]) -> int:
    most = int(values.max(initial=0))
    if picture.format == "TIFF":
        bits = picture.tag_v2.get(258, (32,))[0]  # type: ignore[attr-defined]
        return int(bits)
    if picture.format is not None:
        return 16 if most <= 0xFFFF else 32
    return 8 if most <= 0xFF else 16 if most <= 0xFFFF else 32


def _of_integers(values: npt.NDArray[np.int32], bits: int) -> npt.NDArray[np.uint8]:
    shift = {8: 0, 16: 8}.get(bits, 23)  # 32 bits are signed
    kept: npt.NDArray[np.int64] = np.clip(values, 0, (256 << shift) - 1) >> shift
    return kept.astype(np.uint8)


def _of_floats(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    finite = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = 0.0, float(finite.max(initial=0))
    if high > 65535:
        low = float(finite.min())
    else:
        high = next(limit for limit in (1.0, 255.0, 65535.0) if high <= limit)
    scaled = (finite - np.float32(low)) * np.float32(255 / (high - low))
    levels: npt.NDArray[np.float32] = np.rint(np.clip(scaled, 0, 255))
    return levels.astype(np.uint8)


def profile_mode(profile: bytes) -> str | None:
    """Pillow's mode of the pixels a profile is for: RGB, L or CMYK; None where it is broken."""
    from PIL import ImageCms

    try:
        space = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    return _MODES.get(space.strip())


def _managed(picture: Pillow.Image, profile: bytes) -> Pillow.Image:
    from PIL import ImageCms

    mode = profile_mode(profile)
    try:
        if mode == "RGB" and not (picture.mode == "CMYK" or _is_srgb(profile)):
            return _transformed(picture.convert("RGB"), profile)
        if mode in ("L", "CMYK") and picture.mode == mode:
            return _transformed(picture, profile)
    except (ImageCms.PyCMSError, OSError, ValueError):
        pass
    return picture.convert("RGB")


def _transformed(picture: Pillow.Image, profile: bytes) -> Pillow.Image:
    from PIL import ImageCms

    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), picture.mode, "RGB")
    made = ImageCms.applyTransform(picture, transform)
    assert made is not None  # noqa: S101 (it is in place alone that gives nothing)
    return made


@functools.lru_cache(maxsize=32)
def _is_srgb(profile: bytes) -> bool:
    """Whether a profile changes no colour that matters: most pictures that have one have sRGB's."""
    from PIL import Image

    steps = np.linspace(0, 255, 6).astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(36, 6, 3)
    made = np.asarray(_transformed(Image.fromarray(grid), profile))
    return bool(np.abs(made.astype(int) - grid).max() <= _SAME)

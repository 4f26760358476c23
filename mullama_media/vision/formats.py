"""The formats of picture files that can be written."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FORMATS", "SUFFIXES", "PictureFormat"]


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """What one format can hold."""

    suffixes: tuple[str, ...]
    pillow: str
    """Pillow's name for it"""
    modes: tuple[str, ...]
    """Of Pillow's modes those that are used: L and LA grey, I;16 deep grey, RGB, RGBA"""
    quality: int | None = None
    """By default; None where nothing is lost"""
    moves: bool = False
    """Whether it holds animations, or pages"""
    holds: tuple[str, ...] = ()
    """Of metadata: exif, xmp, icc_profile, dpi"""


_ALL = ("exif", "xmp", "icc_profile", "dpi")
FORMATS = {
    "jpeg": PictureFormat((".jpg", ".jpeg", ".jpe"), "JPEG", ("L", "RGB"), 90, False, _ALL),
    "png": PictureFormat(
        (".png", ".apng"), "PNG", ("L", "LA", "I;16", "RGB", "RGBA"), None, True,
        ("exif", "icc_profile", "dpi"),
    ),
    "webp": PictureFormat((".webp",), "WEBP", ("RGB", "RGBA"), 85, True, _ALL[:3]),
    "avif": PictureFormat((".avif",), "AVIF", ("RGB", "RGBA"), 75, True, _ALL[:3]),
    "heic": PictureFormat((".heic", ".heif"), "HEIF", ("RGB", "RGBA"), 90, False, _ALL[:3]),
    "gif": PictureFormat((".gif",), "GIF", ("L", "RGB", "RGBA"), None, True),
    "tiff": PictureFormat(
        (".tif", ".tiff"), "TIFF", ("L", "LA", "I;16", "RGB", "RGBA"), None, True,
        ("exif", "icc_profile", "dpi"),
    ),
    "bmp": PictureFormat((".bmp", ".dib"), "BMP", ("L", "RGB"), None, False, ("dpi",)),
    "ppm": PictureFormat((".ppm", ".pgm", ".pnm"), "PPM", ("L", "RGB")),
}  # fmt: skip
"""What can be written"""

_READ = "jp2 ico tga qoi pbm"
SUFFIXES = frozenset(suffix for known in FORMATS.values() for suffix in known.suffixes) | frozenset(
    f".{name}" for name in _READ.split(" ")
)
"""Endings by which pictures in a folder are known; a file that is named may have any"""

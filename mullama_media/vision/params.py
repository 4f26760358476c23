"""How pictures are decoded, made to fit, fetched and written, and which frames of a video are."""

from __future__ import annotations

import re
from typing import Any

from mullama_media.errors import InvalidOptionError
from mullama_media.options import option, options
from mullama_media.vision.formats import FORMATS

__all__ = [
    "FILTERS",
    "ConvertParams",
    "DecodeParams",
    "FetchParams",
    "FitParams",
    "PictureParams",
    "VideoParams",
]

FILTERS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
"""Resampling filters, from the quickest to the sharpest"""

_NAMES = ("black", "gray", "grey", "green", "red", "blue", "white", "yellow", "magenta", "cyan")


def _colour(value: Any) -> Any:
    """A name or #rrggbb in one spelling; anything else goes on to be refused."""
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    if text in _NAMES:
        return text
    if re.fullmatch("#(?:[0-9a-f]{3}|[0-9a-f]{6})", text):
        return text if len(text) == 7 else "#" + "".join(2 * digit for digit in text[1:])
    raise InvalidOptionError(
        f"{value!r} is no colour", hint=f"Give #rrggbb or one of {', '.join(_NAMES)}"
    )


def _size(value: Any) -> Any:
    """768, "768" and "768x512" as (width, height)."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = (value, value)
    if isinstance(value, str):
        found = re.fullmatch(r"\s*(\d{1,6})(?:\s*[xX]\s*(\d{1,6}))?\s*", value)
        if found is None:
            raise InvalidOptionError(
                f"{value!r} is no size", hint="Give pixels: 768, or 768x512 for width and height"
            )
        value = (int(found[1]), int(found[2] or found[1]))
    if isinstance(value, tuple | list) and not all(
        isinstance(side, int) and 1 <= side <= 32_768 for side in value
    ):
        raise InvalidOptionError(f"{value!r} must be 1 to 32768 pixels")
    return value


@options
class DecodeParams:
    """How picture files become pixels."""

    background: str = option(
        default="white",
        doc="What shows through transparent pixels: #rrggbb or a name such as black.",
        convert=_colour,
    )
    color_profile: bool = option(
        default=True,
        doc="Turn the colours of a picture with an ICC profile of its own into sRGB.",
        source="ICC.1:2022, IEC 61966-2-1",
    )
    max_pixels: int = option(
        default=100_000_000,
        doc="Larger pictures are refused before they are unpacked: a small file may hold a huge "
        "one. Pillow itself refuses the highest value here.",
        ge=1,
        le=178_956_970,
    )
    max_bytes: int = option(
        default=256 * 2**20, doc="Larger files are refused, in bytes.", ge=1, le=2**34
    )
    max_frames: int = option(
        default=10_000, doc="Most frames of an animation, or pages.", ge=1, le=1_000_000
    )


@options
class FitParams:
    """To what size pictures are brought before a model, or a file, gets them.

    By default to none: a vision encoder has its own size and resizes by itself. Smaller pictures
    help where an encoder works at any resolution and a photo would become thousands of tokens (see
    also `MediaParams.image_max_tokens`), and where huge photos are many: a JPEG that is to be
    smaller is decoded smaller.
    """

    size: tuple[int, int] | None = option(
        default=None,
        doc="Pixels: 768 (both sides), or 768x512 for width and height; if left out, as it is.",
        convert=_size,
    )
    policy: str = option(
        default="within",
        doc="within: as large as fits; cover: fills, and what stands over is cut off evenly; pad: "
        "as within, with bars around; exact: stretched.",
        choices=("within", "cover", "pad", "exact"),
    )
    enlarge: bool = option(
        default=False,
        doc="Make larger what is smaller, with within and pad; the others always do.",
    )
    filter: str = option(
        default="lanczos",
        doc="Resampling filter. All but nearest take in every pixel that becomes one.",
        choices=FILTERS,
    )
    pad_color: str = option(
        default="white", doc="Of the bars of pad: #rrggbb or a name.", convert=_colour
    )


@options
class FetchParams:
    """What may be fetched from where. `data:` URLs are always read; http(s) is opt-in."""

    allow: bool = option(default=False, doc="Fetch pictures named by http and https URLs.")
    max_bytes: int = option(
        default=32 * 2**20, doc="Most bytes of a fetched or inlined picture.", ge=1, le=2**30
    )
    timeout_s: float = option(
        default=20.0, doc="Seconds a fetch may take, redirects included.", gt=0, le=3600
    )
    max_redirects: int = option(default=5, doc="Redirects to follow.", ge=0, le=20)
    allow_private: bool = option(
        default=False,
        doc="Fetch from this machine and private networks, too; without it every address is "
        "checked, that of each redirect included.",
    )


@options
class PictureParams:
    """Everything on the way from what was given to the pixels a model gets."""

    decode: DecodeParams = option(default=DecodeParams(), doc="How files become pixels.")
    fit: FitParams = option(default=FitParams(), doc="To what size they are brought.")
    fetch: FetchParams = option(default=FetchParams(), doc="What may be fetched.")


@options
class ConvertParams:
    """What becomes of a picture file; what is left out stays as it is."""

    format: str | None = option(
        default=None, doc="Format; that of the file's name if left out.", choices=tuple(FORMATS)
    )
    quality: int | None = option(
        default=None,
        doc="Of a format with loss, 1 to 100; if left out, JPEG and HEIC 90, WebP 85, AVIF 75.",
        ge=1,
        le=100,
    )
    lossless: bool = option(default=False, doc="WebP without loss.")
    metadata: str = option(
        default="keep",
        doc="EXIF, XMP, colour profile and resolution: keep what the format can hold, or strip. "
        "Either way the picture is turned upright and its orientation tag removed.",
        choices=("keep", "strip"),
    )
    frames: str = option(
        default="all",
        doc="Of an animation, or of pages, where the format can hold them.",
        choices=("all", "first"),
    )
    decode: DecodeParams = option(default=DecodeParams(), doc="How the source is decoded.")
    fit: FitParams = option(default=FitParams(), doc="To what size it is brought.")


@options
class VideoParams:
    """How a video becomes frames. One of `fps`, `count` and `scene` chooses them."""

    fps: float | None = option(
        default=None,
        doc="Frames for each second of the video; 1 if no other way to choose is given. If they "
        "were more than max_frames, that many are spread evenly.",
        gt=0,
        le=1000,
    )
    count: int | None = option(
        default=None,
        doc="So many frames, from the middles of as many equal stretches.",
        ge=1,
        le=4096,
    )
    scene: float | None = option(
        default=None,
        doc="The first frame, and the first after each cut: where the picture changes by more than "
        "this, 0 to 1. 0.1 finds hard cuts.",
        source="the measure of FFmpeg's filter scdet, see docs/video.md",
        gt=0,
        le=1,
    )
    max_frames: int | None = option(
        default=None,
        doc="Most frames, of scenes those with the greatest changes; 16 if left out, by count "
        "as many as that.",
        ge=1,
        le=4096,
    )
    max_side: int = option(
        default=1024, doc="Longer side of a frame in pixels; larger ones are reduced.", ge=16
    )
    start_s: float = option(default=0.0, doc="Second of the video to begin at.", ge=0)
    end_s: float | None = option(
        default=None, doc="Second of the video to end at; its end if left out.", gt=0
    )
    timestamps: bool = option(
        default=True, doc="A text such as [00:01.5] before each frame in the prompt."
    )
    sound: bool | None = option(
        default=None,
        doc="The sound track behind the frames in the prompt; if left out, where there is one and "
        "the model takes recordings.",
    )

    def __post_init__(self) -> None:
        ways = [name for name in ("fps", "count", "scene") if getattr(self, name) is not None]
        if len(ways) > 1:
            raise InvalidOptionError(
                "frames are chosen one way", where=f"VideoParams.{ways[1]}", hint=f"Or {ways[0]}"
            )
        if self.end_s is not None and self.end_s <= self.start_s:
            raise InvalidOptionError(
                f"it ends at {self.end_s:g} s, before it begins at {self.start_s:g} s",
                where="VideoParams.end_s",
            )

    @property
    def most(self) -> int:
        """The bound on frames that is in force."""
        if self.count is not None:
            return min(self.count, self.max_frames or self.count)
        return self.max_frames or 16

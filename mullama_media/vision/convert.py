"""Picture files from one format and size to another."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from mullama_media.errors import InvalidOptionError, MediaError, MullamaError
from mullama_media.parallel import each
from mullama_media.vision import animation, color, decode, fit
from mullama_media.vision.formats import FORMATS, PictureFormat
from mullama_media.vision.params import ConvertParams

if TYPE_CHECKING:
    from PIL import Image as Pillow

__all__ = ["PictureConversion", "convert", "convert_many", "format_of"]

_MAX_ANIMATION = 250_000_000  # pixels of all frames together: 1 GB with transparency
_GREY = ("1", "L", "LA", "La", "I", "F")
_DESCRIPTIVE = (270, 271, 272, 305, 306, 315, 33432, 34665, 34853)  # TIFF tags not of its layout
_ORIENTATION, _EXIF_IFD, _GPS_IFD, _WIDTH, _HEIGHT = 0x0112, 0x8769, 0x8825, 0xA002, 0xA003


@dataclass(frozen=True, slots=True)
class PictureConversion:
    """What became of one file."""

    source: str
    target: str
    width: int = 0
    """Of the target, in pixels"""
    height: int = 0
    frames: int = 0
    """Written"""
    error: MullamaError | None = None
    """Why nothing was written"""


def convert(
    source: decode.PictureFile,
    target: str | os.PathLike[str] | BinaryIO,
    params: ConvertParams | None = None,
    *,
    overwrite: bool = False,
) -> PictureConversion:
    """Convert one picture. Between formats without loss, 8-bit pixels come out as they went in.

    Upright. Grey stays grey, and 16-bit grey deep in PNG and TIFF, where the size stays; other deep
    pixels, CMYK and palettes become 8-bit RGB. Transparency stays where the format has it, and is
    laid on the background elsewhere. A colour profile is kept beside pixels as they are where the
    format can; otherwise colours become sRGB. Blocks; thread-safe.

    Args:
        source: path, bytes or binary file.
        target: path (appears when complete) or binary file.
        params: format, quality, size.
        overwrite: whether a path may exist already.

    Raises:
        MediaError: the source cannot be read, or the target written or exists.
        InvalidOptionError: the format cannot do what was asked.
        MissingExtraError: Pillow, or for HEIC pillow-heif, is not installed.
    """
    params = params or ConvertParams()
    path = Path(target) if isinstance(target, str | os.PathLike) else None
    kind = FORMATS[format_of(path, params)]
    _check(kind, params)
    name = str(path) if path is not None else "image"
    if path is not None and path.exists() and not overwrite:
        raise MediaError("it exists already", where=name, hint="Allow it to be replaced")
    with decode.opened(source, params.decode) as (picture, read_from):
        made, options = _made(picture, kind, params, read_from)
        options |= {"format": kind.pillow}
        if kind.quality is not None:
            options |= {"quality": params.quality or kind.quality, "lossless": params.lossless}
        if isinstance(target, str | os.PathLike):
            _save(made, Path(target), options, name)
        else:
            _save(made, target, options, name)
        return PictureConversion(read_from, name, *made[0].size, len(made))


def convert_many(
    files: Iterable[tuple[str | os.PathLike[str], str | os.PathLike[str]]],
    params: ConvertParams | None = None,
    *,
    overwrite: bool = False,
    workers: int | None = None,
    progress: Callable[[PictureConversion], None] | None = None,
) -> list[PictureConversion]:
    """Convert many files at once; one that fails says why and stops no other.

    Args:
        files: (source, target) paths.
        params: for all of them.
        overwrite: whether targets may exist already.
        workers: files at a time; as many as there are CPUs if left out.
        progress: called on this thread as each is done, in the order of `files`.

    Returns:
        What became of each, in the order of `files`.
    """

    def one(pair: tuple[Any, Any]) -> PictureConversion:
        try:
            return convert(*pair, params, overwrite=overwrite)
        except MullamaError as error:
            return PictureConversion(os.fspath(pair[0]), os.fspath(pair[1]), error=error)

    return each(one, files, workers, progress)


def format_of(path: Path | None, params: ConvertParams) -> str:
    """Which of FORMATS is to be written.

    Raises:
        InvalidOptionError: neither the ending nor the params say it.
    """
    if params.format is not None:
        return params.format
    suffix = path.suffix.lower() if path is not None else ""
    for kind, known in FORMATS.items():
        if suffix in known.suffixes:
            return kind
    raise InvalidOptionError(
        f"no format of pictures is known for the ending {suffix!r}",
        where=str(path or "format"),
        hint=f"Say one of {', '.join(FORMATS)}",
    )


def _check(kind: PictureFormat, params: ConvertParams) -> None:
    if params.quality is not None and kind.quality is None:
        raise InvalidOptionError(f"{kind.pillow} loses nothing", where="quality")
    if params.lossless and kind.quality is not None and kind.pillow != "WEBP":
        raise InvalidOptionError(f"{kind.pillow} is written with loss here", where="lossless")
    if kind.pillow == "HEIF":
        decode.learn_heic()


def _made(
    picture: Pillow.Image, kind: PictureFormat, params: ConvertParams, name: str
) -> tuple[list[Pillow.Image], dict[str, Any]]:
    """Frames as they are written, and the options to write them with."""
    total = animation.count(picture) if kind.moves and params.frames == "all" else 1
    if total > params.decode.max_frames:
        raise MediaError(
            f"it has {total} frames",
            where=name,
            hint=f"At most {params.decode.max_frames} are read",
        )
    made: list[Pillow.Image] = []
    durations: list[int] = []
    pixels = 0
    options = {"loop": picture.info.get("loop", 1)} if total > 1 else {}
    for index in range(total):
        if index:
            picture.seek(index)
        full = fit.draft(picture, params.fit, turned=decode.orientation(picture) >= 5)
        upright = decode.loaded(picture, params.decode, name)
        durations.append(round(animation.shown_ms(picture, total)))
        frame, profile = _pixels(upright, kind, params)
        made.append(fit.fit_picture(frame, params.fit, full))
        if index == 0 and params.metadata == "keep":
            options |= _metadata(picture, upright, profile, made[0].size, kind)
        pixels += made[-1].width * made[-1].height
        if pixels > _MAX_ANIMATION:
            raise MediaError(
                f"its {total} frames are too large together",
                where=name,
                hint="Make them smaller, or convert the first one (frames='first')",
            )
    if total > 1:
        options |= {"save_all": True, "append_images": made[1:]}
        if kind.pillow != "TIFF":
            options |= {"duration": durations}
        if kind.pillow == "GIF" and any(frame.mode == "RGBA" for frame in made):
            options |= {"disposal": 2}  # or what shows through would be the frame before
    return made, options


def _pixels(
    picture: Pillow.Image, kind: PictureFormat, params: ConvertParams
) -> tuple[Pillow.Image, bytes | None]:
    """In a mode that the format can hold, and the profile they are in, if that is kept."""
    profile = picture.info.get("icc_profile")
    if picture.mode.startswith("I;16") and "I;16" in kind.modes and params.fit.size is None:
        return picture.convert("I;16"), profile
    grey = (picture.mode in _GREY or picture.mode.startswith("I;16")) and "L" in kind.modes
    if params.metadata == "strip" or "icc_profile" not in kind.holds:
        profile = None
    if profile is not None and (
        picture.mode == "CMYK" or color.profile_mode(profile) != ("L" if grey else "RGB")
    ):
        profile = None
    managed = profile is None and params.decode.color_profile
    made = color.srgb(picture, color_profile=managed)
    if made.mode == "RGBA" and "RGBA" not in kind.modes:
        made = color.flatten(made, params.decode.background)
        grey = grey and len(set(color.rgb_of(params.decode.background))) == 1
    if grey and "LA" not in kind.modes:
        grey = made.mode == "RGB"
    if grey:
        made = made.convert("LA" if made.mode == "RGBA" else "L")
    made.info = {}  # Pillow would write some of it unasked
    return made, profile


def _metadata(
    source: Pillow.Image,
    upright: Pillow.Image,
    profile: bytes | None,
    size: tuple[int, int],
    kind: PictureFormat,
) -> dict[str, Any]:
    found = {
        "exif": _exif(source, upright, size),
        "xmp": upright.info.get("xmp"),
        "icc_profile": profile,
        "dpi": upright.info.get("dpi"),
    }
    return {what: value for what, value in found.items() if value and what in kind.holds}


def _exif(source: Pillow.Image, upright: Pillow.Image, size: tuple[int, int]) -> bytes | None:
    """Without orientation and thumbnail, and with the size that the picture has now."""
    from PIL import Image

    try:
        found = upright.getexif()
        kept = Image.Exif()
        for tag, value in found.items():
            if tag not in (_ORIENTATION, _EXIF_IFD, _GPS_IFD) and (
                source.format != "TIFF" or tag in _DESCRIPTIVE
            ):
                kept[tag] = value
        for ifd in (_EXIF_IFD, _GPS_IFD):
            inner = dict(found.get_ifd(ifd))
            for tag, side in ((_WIDTH, size[0]), (_HEIGHT, size[1])):
                if ifd == _EXIF_IFD and tag in inner:
                    inner[tag] = side
            if inner:
                kept.get_ifd(ifd).update(inner)
        return kept.tobytes() if len(kept) else None
    except Exception:  # damaged EXIF is left behind
        return None


def _save(
    frames: list[Pillow.Image], target: Path | BinaryIO, options: dict[str, Any], name: str
) -> None:
    part = target.with_name(f".{target.name}.part") if isinstance(target, Path) else None
    try:
        if isinstance(target, Path) and part is not None:
            with part.open("w+b") as file:
                frames[0].save(file, **options)
            os.replace(part, target)
        else:
            frames[0].save(target, **options)
    except Exception as error:  # encoders raise nearly everything
        if part is not None:
            part.unlink(missing_ok=True)
        why = getattr(error, "strerror", None) or error
        raise MediaError(f"cannot be written: {why}", where=name) from error

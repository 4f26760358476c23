"""Options for pictures that several commands have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mullama_media.cli.fields import Given, from_fields
from mullama_media.engine.params import MediaParams
from mullama_media.options import from_mapping
from mullama_media.vision.params import DecodeParams, FetchParams, FitParams, PictureParams

__all__ = ["as_content", "fitting", "flag_of", "picture_options", "picture_params"]

_FIT = {
    "size": ("--resize",),
    "policy": ("--resize-policy",),
    "enlarge": ("--enlarge",),
    "filter": ("--resize-filter",),
    "pad_color": ("--pad-color",),
}
_FETCH = {
    "allow": ("--allow-url",),
    "max_bytes": ("--url-max-bytes",),
    "timeout_s": ("--url-timeout-s",),
    "max_redirects": ("--url-max-redirects",),
    "allow_private": ("--allow-private-url",),
}
_TOKENS = {
    "image_min_tokens": ("--image-min-tokens",),
    "image_max_tokens": ("--image-max-tokens",),
}


def fitting(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of decoding and size, as `decoding` and `fit`."""
    command = from_fields("fit", FitParams, "Pictures", _FIT)(command)
    return from_fields("decoding", DecodeParams, "Pictures", {"max_frames": ()})(command)


def picture_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add `fitting`, fetching as `fetching`, and the budget of tokens as `media`."""
    command = from_fields("media", MediaParams, "Pictures", _TOKENS, rest=False)(command)
    command = from_fields("fetching", FetchParams, "Pictures", _FETCH)(command)
    return fitting(command)


def picture_params(decoding: Given, fit: Given, fetching: Given) -> PictureParams:
    """Of what was given on the command line."""
    return from_mapping(
        PictureParams,
        {
            "decode": from_mapping(DecodeParams, decoding),
            "fit": from_mapping(FitParams, fit),
            "fetch": from_mapping(FetchParams, fetching),
        },
    )


def flag_of(field: str) -> str:
    """The flag of a field of `FitParams`, or of any other class."""
    return _FIT.get(field, (f"--{field.replace('_', '-')}",))[0]


def as_content(pictures: Sequence[str]) -> list[Any]:
    """What `--image` names: URLs, and otherwise files."""
    from mullama_media.vision.fetch import Url, is_url

    return [Url(text) if is_url(text) else Path(text) for text in pictures]

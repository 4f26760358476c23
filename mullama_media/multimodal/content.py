"""What a caller may put into a prompt, and what becomes of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mullama_media.audio import files
from mullama_media.engine.prompt import Message
from mullama_media.errors import MediaError
from mullama_media.frames import AudioFrame, Image
from mullama_media.vision import decode, load, video
from mullama_media.vision.fetch import Url
from mullama_media.vision.params import PictureParams, VideoParams

__all__ = ["Content", "Input", "medium", "messages", "watched"]

Content = Any
"""What a prompt may hold: str (always text), a pathlib.Path, bytes or a binary file (a picture,
sound file or video, told apart by its content), a `Url`, `Video` where options go with it, a Pillow
image, a uint8 array (height, width[, 3 or 4]) as picture, `(samples, sample_rate)` as recording,
`Image`, `AudioFrame`, `Clip`."""

Input = str | Sequence[Content]
"""A text; a list of Content, which becomes one user message; or a list of Message."""


def messages(content: Input) -> list[Message]:
    """A text or list of content as one user message; messages as they are."""
    if isinstance(content, (str, bytes)) or not isinstance(content, Sequence):
        alone: Any = content
        return [Message("user", [alone])]
    if content and all(isinstance(item, Message) for item in content):
        return list(content)
    return [Message("user", content)]


def watched(item: Content, params: VideoParams | None = None) -> video.Video | video.Clip | None:
    """The item if it is a video; a file becomes one with these options."""
    if isinstance(item, (video.Video, video.Clip)):
        return item
    if isinstance(item, (Path, bytes)) and video.is_video(item):
        return video.Video(item, params or VideoParams())
    return None


def medium(item: Content, pictures: PictureParams | None = None) -> Image | AudioFrame:
    """One picture or recording, decoded.

    Args:
        item: what the caller gave.
        pictures: how pictures are decoded, made to fit and fetched.

    Raises:
        MediaError: it is neither, or broken.
    """
    pictures = pictures or PictureParams()
    if isinstance(item, AudioFrame):
        return item
    if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], np.ndarray):
        return _samples(*item)
    if load.is_file(item):
        return _decode(item, pictures)
    if isinstance(item, (Image, Url, np.ndarray)) or decode.is_pil(item):
        return load.load(item, pictures)
    raise MediaError(
        f"a prompt cannot hold a {type(item).__name__}",
        hint="Use str for text; Path, bytes, Url, a Pillow image or arrays for pictures and sound",
    )


def _decode(source: Any, pictures: PictureParams) -> Image | AudioFrame:
    """A file is a recording or a picture by its first bytes."""
    name = decode.name_of(source)
    if not isinstance(source, os.PathLike):
        source = decode.read_bytes(source, pictures.decode.max_bytes, name=name)
    head = source[:16] if isinstance(source, bytes) else _head(Path(source))
    if files.is_audio(head):
        return files.read(source)
    return load.load(source, pictures, name=name)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(16)
    except OSError as error:
        raise MediaError(f"it cannot be opened: {error.strerror}", where=path) from error


def _samples(array: np.ndarray, sample_rate: int) -> AudioFrame:
    if array.dtype == np.int16:
        array = array.astype(np.float32) / 32768
    if array.ndim == 2:
        array = array.mean(axis=1)
    return AudioFrame(array.astype(np.float32), int(sample_rate))

"""What a caller may put into a prompt, and what becomes of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mullama_media.audio import files
from mullama_media.engine.prompt import Message
from mullama_media.errors import MediaError
from mullama_media.frames import AudioFrame, Image
from mullama_media.vision import decode, video
from mullama_media.vision.params import VideoParams

__all__ = ["Content", "Input", "medium", "messages", "watched"]

Content = Any
"""What a prompt may hold: str (always text), a pathlib.Path or bytes (a picture, sound file or
video, told apart by its content), `Video` where options go with it, a Pillow image, a uint8 array
(height, width[, 3 or 4]) as picture, `(samples, sample_rate)` as recording, `Image`, `AudioFrame`,
`Clip`."""

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


def medium(item: Content) -> Image | AudioFrame:
    """One picture or recording, decoded.

    Raises:
        MediaError: it is neither, or broken.
    """
    if isinstance(item, (Image, AudioFrame)):
        return item
    if isinstance(item, (Path, bytes)):
        return _decode(item)
    if decode.is_pil(item):
        return decode.from_pil(item)
    if isinstance(item, np.ndarray):
        return _pixels(item)
    if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], np.ndarray):
        return _samples(*item)
    raise MediaError(
        f"a prompt cannot hold a {type(item).__name__}",
        hint="Use str for text; Path, bytes, a Pillow image or arrays for pictures and sound",
    )


def _decode(source: Path | bytes) -> Image | AudioFrame:
    head = source[:16] if isinstance(source, bytes) else _head(source)
    return files.read(source) if files.is_audio(head) else decode.read(source)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(16)
    except OSError as error:
        raise MediaError(f"it cannot be opened: {error.strerror}", where=path) from error


def _pixels(array: np.ndarray) -> Image:
    if array.ndim == 2:
        array = np.stack([array] * 3, axis=-1)
    if array.ndim == 3 and array.shape[2] == 4 and array.dtype == np.uint8:
        alpha = array[:, :, 3:].astype(np.uint16)
        array = ((array[:, :, :3] * alpha + 255 * (255 - alpha)) // 255).astype(np.uint8)
    return Image(array)


def _samples(array: np.ndarray, sample_rate: int) -> AudioFrame:
    if array.dtype == np.int16:
        array = array.astype(np.float32) / 32768
    if array.ndim == 2:
        array = array.mean(axis=1)
    return AudioFrame(array.astype(np.float32), int(sample_rate))

"""Sound files to samples."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mullama_media.errors import MediaError, MissingExtraError
from mullama_media.frames import AudioFrame

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["is_audio", "read"]


def is_audio(head: bytes) -> bool:
    """Whether a file that begins with these bytes (16 will do) is sound that `read` may know."""
    return (
        (head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE")
        or head[:4] in (b"fLaC", b"OggS", b"FORM", b".snd", b"caff")
        or head[:3] == b"ID3"
        or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 in (0xE2, 0xE4))  # MPEG audio
    )


def read(source: str | os.PathLike[str] | bytes) -> AudioFrame:
    """Decode WAV, FLAC, OGG (Vorbis, Opus), MP3, AIFF, AU or CAF to mono at the file's own rate.

    Channels are folded by their mean; integers are scaled to -1..1. Blocks; thread-safe.

    Raises:
        MediaError: not sound, damaged, empty, or of a format that is not known.
        MissingExtraError: soundfile is not installed.
    """
    name = "audio" if isinstance(source, bytes) else os.fspath(source)
    if not isinstance(source, bytes) and not Path(source).is_file():
        raise MediaError("there is no such file", where=name)
    soundfile = _soundfile()
    try:
        samples, rate = soundfile.read(
            io.BytesIO(source) if isinstance(source, bytes) else name,
            dtype="float32",
            always_2d=True,
        )
    except soundfile.SoundFileError as error:
        raise MediaError(
            f"it cannot be decoded: {error}",
            where=name,
            hint="WAV, FLAC, OGG, Opus, MP3, AIFF, AU and CAF are known",
        ) from error
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)
    return AudioFrame(np.ascontiguousarray(mono), int(rate), name)


def _soundfile() -> ModuleType:
    try:
        import soundfile
    except ImportError as error:
        raise MissingExtraError.of("reading sound files", "multimodal") from error
    return soundfile  # type: ignore[no-any-return, unused-ignore]

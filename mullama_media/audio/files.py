"""Sound files to samples and back, whole."""

from __future__ import annotations

import io
import os
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from mullama_media.audio.decode import SoundFile, SoundReader
from mullama_media.audio.encode import SoundWriter
from mullama_media.audio.formats import EncodeParams
from mullama_media.errors import MediaError
from mullama_media.frames import AudioFrame
from mullama_media.options import replace

__all__ = ["encode", "is_audio", "read", "write"]


_MP4 = {b"M4A", b"M4B", b"iso", b"mp4", b"qt ", b"3gp", b"3g2", b"f4a"}


def is_audio(head: bytes) -> bool:
    """Whether a file that begins with these bytes (16 will do) is sound that `read` may know.

    Some of these containers hold video as often: tell that first.
    """
    return (
        (head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE")
        or head[:4] in (b"fLaC", b"OggS", b"FORM", b".snd", b"caff", b"\x1a\x45\xdf\xa3")
        or head[:3] == b"ID3"
        or (head[4:8] == b"ftyp" and head[8:11] in _MP4)
        or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 in (0xE2, 0xE4))  # MPEG audio
        or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0)  # AAC
    )


def read(source: SoundFile) -> AudioFrame:
    """Decode a sound file to mono at its own rate.

    WAV, FLAC, OGG (Vorbis, Opus), MP3, AIFF, AU and CAF; with the extra `format-conversion` also
    AAC, M4A, WebM and whatever else FFmpeg knows. Channels are folded by their mean; integers are
    scaled to -1..1. Blocks; thread-safe.

    Raises:
        MediaError: not sound, damaged, empty, or of a format that is not known.
        MissingExtraError: soundfile is not installed.
    """
    with SoundReader(source) as reader:
        blocks = [
            block[:, 0] if reader.channels == 1 else block.mean(axis=1, dtype=np.float32)
            for block in reader.blocks()
        ]
        mono = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
        return AudioFrame(mono, reader.sample_rate, reader.name)


def write(
    target: str | os.PathLike[str] | BinaryIO,
    samples: AudioFrame | npt.NDArray[np.float32],
    sample_rate: int | None = None,
    params: EncodeParams | None = None,
) -> None:
    """Encode samples into a file; its name's ending says the format, or `params.format` does.

    Args:
        target: a path (the file appears when it is complete) or a binary file.
        samples: a recording, or float32 of shape (n,) or (n, channels).
        sample_rate: of an array, in Hz.
        params: format and quality.

    Raises:
        InvalidOptionError: a format, rate or number of channels that cannot be written.
        MediaError: an array of another shape or dtype, or without a rate; the disk is full.
        MissingExtraError: a library is missing.
    """
    frames, rate = _frames(samples, sample_rate)
    with SoundWriter(target, rate, frames.shape[1], params) as writer:
        writer.write(frames)


def encode(
    samples: AudioFrame | npt.NDArray[np.float32],
    kind: str,
    sample_rate: int | None = None,
    params: EncodeParams | None = None,
) -> bytes:
    """`write` to bytes; `kind` is one of `mullama_media.audio.encode.FORMATS`."""
    buffer = io.BytesIO()
    write(buffer, samples, sample_rate, replace(params or EncodeParams(), format=kind))
    return buffer.getvalue()


def _frames(
    samples: AudioFrame | npt.NDArray[np.float32], sample_rate: int | None
) -> tuple[npt.NDArray[np.float32], int]:
    if isinstance(samples, AudioFrame):
        return samples.samples[:, None], samples.sample_rate
    if samples.dtype != np.float32 or samples.ndim not in (1, 2) or sample_rate is None:
        raise MediaError(
            f"samples to write are float32 of shape (n,) or (n, channels) with a sample_rate, not "
            f"{samples.dtype} of shape {samples.shape} at {sample_rate} Hz"
        )
    return samples.reshape(len(samples), -1), sample_rate

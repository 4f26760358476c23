"""The formats of sound files, and how one is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from mullama_media.options import option, options

__all__ = ["FORMATS", "SAMPLE_BYTES", "SUFFIXES", "ConvertParams", "EncodeParams", "SoundFormat"]


@dataclass(frozen=True, slots=True)
class SoundFormat:
    """How one format is written."""

    suffixes: tuple[str, ...]
    subtypes: dict[str, str]
    """Sample format to libsndfile's name; the first is the default"""
    codec: str = ""
    """FFmpeg's encoder, where libsndfile is not used"""
    container: str = ""
    max_channels: int = 64


_PCM = {"int16": "PCM_16", "int24": "PCM_24", "int32": "PCM_32", "float32": "FLOAT"}
FORMATS = {
    "wav": SoundFormat((".wav", ".wave"), _PCM | {"uint8": "PCM_U8"}),
    "flac": SoundFormat((".flac",), {"int16": "PCM_16", "int24": "PCM_24"}, max_channels=8),
    "ogg": SoundFormat((".ogg", ".oga"), {"": "VORBIS"}, max_channels=8),
    "aiff": SoundFormat((".aiff", ".aif"), _PCM),
    "au": SoundFormat((".au", ".snd"), _PCM),
    "caf": SoundFormat((".caf",), _PCM),
    "mp3": SoundFormat((".mp3",), {}, "libmp3lame", "mp3", 2),
    "opus": SoundFormat((".opus",), {}, "libopus", "ogg", 8),
    "aac": SoundFormat((".aac",), {}, "aac", "adts", 8),
    "m4a": SoundFormat((".m4a", ".mp4"), {}, "aac", "ipod", 8),
    "webm": SoundFormat((".webm", ".weba"), {}, "libopus", "webm", 8),
}
"""What can be written"""

SUFFIXES = frozenset(suffix for known in FORMATS.values() for suffix in known.suffixes)
"""Endings by which sound files in a folder are known"""

SAMPLE_BYTES = {"uint8": 1, "int16": 2, "int24": 3, "int32": 4, "float32": 4}
"""Of each sample format"""


@options
class EncodeParams:
    """How sound is written."""

    format: str | None = option(
        default=None, doc="Format; that of the file's name if left out.", choices=tuple(FORMATS)
    )
    sample_format: str | None = option(
        default=None,
        doc="Samples of a format without loss; int16 if left out.",
        choices=tuple(SAMPLE_BYTES),
    )
    bitrate_kbps: float | None = option(
        default=None, doc="Of a format with loss, in kbit/s.", ge=6, le=512
    )


@options
class ConvertParams(EncodeParams):
    """What becomes of a recording; what is left out stays as it is."""

    sample_rate: int | None = option(
        default=None,
        doc="In Hz; if left out that of the source, or the next the format can have.",
        ge=1000,
        le=768_000,
    )
    channels: int | None = option(
        default=None, doc="1 folds by the mean, 2 from 5.1 mixes as ITU-R BS.775 does.", ge=1, le=64
    )

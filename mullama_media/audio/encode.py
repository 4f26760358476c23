"""Sound files written piece by piece: libsndfile for PCM and Vorbis, FFmpeg for the rest."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self, cast

import numpy as np
import numpy.typing as npt

from mullama_media.audio.decode import av_module, soundfile_module
from mullama_media.errors import InvalidOptionError, MediaError
from mullama_media.options import option, options

__all__ = ["FORMATS", "EncodeParams", "SoundWriter", "nearest_rate"]


@dataclass(frozen=True, slots=True)
class _Format:
    suffixes: tuple[str, ...]
    subtypes: dict[str, str]  # sample format -> libsndfile's name; the first is the default
    codec: str = ""  # FFmpeg's encoder, where libsndfile is not used
    container: str = ""
    max_channels: int = 64


_PCM = {"int16": "PCM_16", "int24": "PCM_24", "int32": "PCM_32", "float32": "FLOAT"}
FORMATS = {
    "wav": _Format((".wav", ".wave"), _PCM | {"uint8": "PCM_U8"}),
    "flac": _Format((".flac",), {"int16": "PCM_16", "int24": "PCM_24"}, max_channels=8),
    "ogg": _Format((".ogg", ".oga"), {"": "VORBIS"}, max_channels=8),
    "aiff": _Format((".aiff", ".aif"), _PCM),
    "au": _Format((".au", ".snd"), _PCM),
    "caf": _Format((".caf",), _PCM),
    "mp3": _Format((".mp3",), {}, "libmp3lame", "mp3", 2),
    "opus": _Format((".opus",), {}, "libopus", "ogg", 8),
    "aac": _Format((".aac",), {}, "aac", "adts", 8),
    "m4a": _Format((".m4a", ".mp4"), {}, "aac", "ipod", 8),
    "webm": _Format((".webm", ".weba"), {}, "libopus", "webm", 8),
}
"""What can be written"""

_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_CODEC_BLOCK = 4096  # frames given to an encoder at a time
_BYTES = {"uint8": 1, "int16": 2, "int24": 3, "int32": 4, "float32": 4}
_WAV_BYTES = 0xFFFF_FF00  # its sizes have 32 bits


@options
class EncodeParams:
    """How sound is written."""

    format: str | None = option(
        default=None, doc="Format; that of the file's name if left out.", choices=tuple(FORMATS)
    )
    sample_format: str | None = option(
        default=None,
        doc="Samples of a format without loss; int16 if left out.",
        choices=tuple(_BYTES),
    )
    bitrate_kbps: float | None = option(
        default=None, doc="Of a format with loss, in kbit/s.", ge=6, le=512
    )


class SoundWriter:
    """Samples to a sound file, in memory that does not grow with it. Not thread-safe.

    As a context manager it completes the file at the end; if an error leaves the block, a path is
    not touched.

    Args:
        target: a path (written beside it and moved there when complete) or a binary file.
        sample_rate: in Hz.
        channels: in each frame.
        params: format and quality.

    Raises:
        InvalidOptionError: a format, rate or number of channels that cannot be written.
        MediaError: the file cannot be written.
        MissingExtraError: a library is missing.
    """

    def __init__(
        self,
        target: str | os.PathLike[str] | BinaryIO,
        sample_rate: int,
        channels: int,
        params: EncodeParams | None = None,
    ) -> None:
        params = params or EncodeParams()
        self._path = Path(target) if isinstance(target, str | os.PathLike) else None
        self.name = str(self._path) if self._path else "audio"
        self.format = format_of(self._path, params)
        self.channels = channels
        _check(self.format, channels, params, self.name)
        self._part = self._path.with_name(f".{self._path.name}.part") if self._path else None
        self._frames = 0
        with self._errors():
            # A file of our own, since both libraries guess from names.
            self._file = cast(BinaryIO, self._part.open("w+b") if self._part else target)
        try:
            known = FORMATS[self.format]
            make = _AvWriter if known.codec else _SndfileWriter
            with self._errors():
                self._backend = make(self._file, self.format, sample_rate, channels, params)
        except BaseException:
            self._drop()
            raise

    def write(self, frames: npt.NDArray[np.float32]) -> None:
        """Append frames, shape (n, channels), full scale at -1 and 1; what is beyond is clipped."""
        if frames.ndim != 2 or frames.shape[1] != self.channels:
            raise InvalidOptionError(
                f"frames of shape {frames.shape} where (n, {self.channels}) is needed",
                where=self.name,
            )
        with self._errors():
            for start in range(0, len(frames), _CODEC_BLOCK):
                self._backend.write(frames[start : start + _CODEC_BLOCK])

    def close(self) -> None:
        """Complete the file. A path is there from now on."""
        with self._errors():
            self._backend.close()
            if self._part is not None and self._path is not None:
                self._file.close()
                os.replace(self._part, self._path)

    def abort(self) -> None:
        """Forget what was written."""
        with contextlib.suppress(Exception):
            self._backend.close()
        self._drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            try:
                self.close()
            except BaseException:
                self._drop()
                raise
        else:
            self.abort()

    def _drop(self) -> None:
        if self._part is not None:
            self._file.close()
            self._part.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (MediaError, InvalidOptionError):
            raise
        except (OSError, RuntimeError, ValueError) as error:  # those of both libraries
            raise MediaError(f"it cannot be written: {error}", where=self.name) from error


def format_of(path: Path | None, params: EncodeParams) -> str:
    """The format asked for, or that of a file name."""
    if params.format is not None:
        return params.format
    suffix = path.suffix.lower() if path else ""
    for name, known in FORMATS.items():
        if suffix in known.suffixes:
            return name
    raise InvalidOptionError(
        f"no format is known for the ending {suffix!r}" if path else "a format is needed",
        where=str(path) if path else None,
        hint=f"Formats are {', '.join(FORMATS)}",
    )


def nearest_rate(kind: str, sample_rate: int) -> int:
    """The rate in Hz that the format can have and that loses least: the next higher one."""
    rates = sorted(_rates(kind))
    return (
        next((rate for rate in rates if rate >= sample_rate), rates[-1]) if rates else sample_rate
    )


def _rates(kind: str) -> list[int]:
    codec = FORMATS[kind].codec
    return list(av_module().Codec(codec, "w").audio_rates or []) if codec else []


def _check(kind: str, channels: int, params: EncodeParams, name: str) -> None:
    known = FORMATS[kind]
    if not 1 <= channels <= known.max_channels:
        raise InvalidOptionError(
            f"{kind} has 1 to {known.max_channels} channels, not {channels}", where=name
        )
    wanted = params.sample_format
    if wanted is not None and wanted not in known.subtypes:
        choices = ", ".join(filter(None, known.subtypes)) or "a bit rate instead"
        raise InvalidOptionError(
            f"{kind} cannot hold {wanted}", where="sample_format", hint=f"It has {choices}"
        )
    if params.bitrate_kbps is not None and not known.codec:
        raise InvalidOptionError(
            f"{kind} has no bit rate to choose", where="bitrate_kbps", hint="Leave it out"
        )


class _SndfileWriter:
    def __init__(
        self, file: BinaryIO, kind: str, rate: int, channels: int, params: EncodeParams
    ) -> None:
        subtypes = FORMATS[kind].subtypes
        self._sample_format = params.sample_format or next(iter(subtypes))
        self._room = _WAV_BYTES if kind == "wav" else None
        self._file = soundfile_module().SoundFile(
            file,
            "w",
            samplerate=rate,
            channels=channels,
            format=kind.upper(),
            subtype=subtypes[self._sample_format],
        )

    def write(self, frames: npt.NDArray[np.float32]) -> None:
        values = _quantized(frames, self._sample_format)
        if self._room is not None:
            self._room -= values.size * _BYTES[self._sample_format]
            if self._room < 0:
                raise MediaError("WAV ends at 4 GiB", hint="Write FLAC or CAF")
        self._file.write(values)

    def close(self) -> None:
        self._file.close()


def _quantized(frames: npt.NDArray[np.float32], sample_format: str) -> npt.NDArray[Any]:
    """Samples as the integers the file will hold, so that reading and writing changes nothing.

    libsndfile reads integers as i / 2^(n-1) but writes x * (2^(n-1) - 1); its own scaling would
    move a sample by one.
    """
    bits = {"uint8": 8, "int16": 16, "int24": 24, "int32": 32}.get(sample_format)
    if bits is None:
        return frames if sample_format else frames.clip(-1, 1)
    full = 2.0 ** (bits - 1)
    finite = np.nan_to_num(frames.astype(np.float64), posinf=1, neginf=-1)
    values = np.rint(finite * full).clip(-full, full - 1)
    if bits <= 16:
        return (values * 2.0 ** (16 - bits)).astype(np.int16)
    return (values * 2.0 ** (32 - bits)).astype(np.int32)


class _AvWriter:
    def __init__(
        self, file: BinaryIO, kind: str, rate: int, channels: int, params: EncodeParams
    ) -> None:
        av = av_module()
        known = FORMATS[kind]
        codec = av.Codec(known.codec, "w")
        if codec.audio_rates and rate not in codec.audio_rates:
            raise InvalidOptionError(
                f"{kind} cannot have {rate} Hz",
                where="sample_rate",
                hint=f"It can have {', '.join(map(str, sorted(codec.audio_rates)))}",
            )
        self._av, self._rate, self._at = av, rate, 0
        self._layout = _LAYOUTS[channels]
        self._container = av.open(file, "w", format=known.container)
        self._stream = self._container.add_stream(known.codec, rate=rate, layout=self._layout)
        if params.bitrate_kbps is not None:
            self._stream.bit_rate = round(params.bitrate_kbps * 1000)
        frame_size = self._stream.codec_context.frame_size or None
        self._resampler = av.AudioResampler(
            self._stream.format.name, self._layout, rate, frame_size=frame_size
        )

    def write(self, frames: npt.NDArray[np.float32]) -> None:
        packed = np.ascontiguousarray(np.clip(frames, -1, 1)).reshape(1, -1)
        frame = self._av.AudioFrame.from_ndarray(packed, "flt", self._layout)
        frame.sample_rate = self._rate
        frame.pts = self._at
        self._at += len(frames)
        self._encode(self._resampler.resample(frame))

    def _encode(self, frames: list[Any]) -> None:
        for frame in frames:
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        if self._at:
            self._encode(self._resampler.resample(None))
        self._container.mux(self._stream.encode(None))
        self._container.close()

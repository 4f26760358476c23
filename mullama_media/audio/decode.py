"""Sound files read piece by piece: libsndfile where it knows the format, else FFmpeg."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from mullama_media.errors import MediaError, MissingExtraError

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["SoundFile", "SoundReader", "av_module", "name_of", "soundfile_module"]

SoundFile: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO
"""What a sound may be read from: a path, the bytes themselves, or a binary file"""

_BLOCK = 16384
_KNOWN = "WAV, FLAC, OGG, Opus, MP3, AAC, M4A, WebM, AIFF, AU and CAF are known"


class SoundReader:
    """The samples of a sound file in order, in memory that does not grow with the file.

    Not thread-safe. A file object given is left open; one that cannot seek is read once, forwards.

    Raises:
        MediaError: not sound, damaged, or of a format that is not known.
        MissingExtraError: a library is missing.
    """

    sample_rate: int
    """Hertz"""
    channels: int
    frames: int | None
    """Length if the file says it, exact for formats without loss"""
    format: str
    """Of the file, as the library names it"""

    def __init__(self, source: SoundFile) -> None:
        self.name = name_of(source)
        if isinstance(source, str | os.PathLike) and not Path(source).is_file():
            raise MediaError("there is no such file", where=self.name)
        opened = io.BytesIO(source) if isinstance(source, bytes) else source
        self._backend = _open(opened, self.name)
        self.sample_rate = self._backend.sample_rate
        self.channels = self._backend.channels
        self.frames = self._backend.frames
        self.format = self._backend.format

    def blocks(self, frames: int = _BLOCK) -> Iterator[npt.NDArray[np.float32]]:
        """The rest of the file in blocks of so many frames, the last one shorter.

        Each has shape (n, channels), full scale at -1 and 1, and is the caller's own.

        Raises:
            MediaError: the file is damaged from here on.
        """
        with self._backend.errors():
            yield from _regular(self._backend.pieces(frames), frames)

    def close(self) -> None:
        """Let go of the file. Idempotent."""
        self._backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def name_of(source: SoundFile) -> str:
    """What error messages call a source."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "audio"


def _regular(
    pieces: Iterator[npt.NDArray[np.float32]], frames: int
) -> Iterator[npt.NDArray[np.float32]]:
    """Pieces of any length as blocks of one length."""
    waiting: list[npt.NDArray[np.float32]] = []
    held = 0
    for piece in pieces:
        if not held and len(piece) == frames:
            yield piece
            continue
        waiting.append(piece)
        held += len(piece)
        if held >= frames:
            joined = np.concatenate(waiting)
            whole = held // frames * frames
            for start in range(0, whole, frames):
                yield joined[start : start + frames].copy()
            waiting, held = [joined[whole:]], held - whole
    if held:
        yield np.concatenate(waiting)


class _Sndfile:
    """libsndfile: WAV, FLAC, OGG (Vorbis, Opus), MP3, AIFF, AU, CAF and more without loss."""

    def __init__(self, source: Any, name: str) -> None:
        self._name = name
        module = soundfile_module()
        self._error = module.SoundFileError
        self._file = module.SoundFile(source)
        self.sample_rate = int(self._file.samplerate)
        self.channels = int(self._file.channels)
        self.frames: int | None = int(self._file.frames) if self._file.seekable() else None
        self.format = str(self._file.format).lower()

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        try:
            yield
        except self._error as error:
            raise _damaged(self._name, error) from error

    def pieces(self, frames: int) -> Iterator[npt.NDArray[np.float32]]:
        while len(block := self._file.read(frames, dtype="float32", always_2d=True)):
            yield block

    def close(self) -> None:
        self._file.close()


class _Av:
    """FFmpeg: everything else, and what cannot seek."""

    def __init__(self, source: Any, name: str) -> None:
        self._name = name
        self._av = av_module()
        with self.errors():
            self._container = self._av.open(os.fspath(source) if _is_path(source) else source)
        try:
            self._look(name)
        except BaseException:
            self._container.close()
            raise

    def _look(self, name: str) -> None:
        if not self._container.streams.audio:
            raise MediaError("there is no sound in it", where=name)
        self._stream = self._container.streams.audio[0]
        context = self._stream.codec_context
        if context is None:
            raise MediaError("FFmpeg has no decoder for it", where=name, hint=_KNOWN)
        self.sample_rate = int(context.sample_rate or 0)
        self.channels = len(context.layout.channels)
        if not self.sample_rate or not self.channels:
            raise MediaError("it does not say its sample rate or channels", where=name)
        duration, base = self._stream.duration, self._stream.time_base
        known = duration is not None and base is not None
        self.frames: int | None = round(duration * base * self.sample_rate) if known else None
        self.format = str(self._container.format.name).split(",")[0]

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        try:
            yield
        except (self._av.FFmpegError, ValueError, EOFError) as error:
            if isinstance(error, MediaError):
                raise
            raise _damaged(self._name, error) from error

    def pieces(self, _: int) -> Iterator[npt.NDArray[np.float32]]:
        layout = self._stream.codec_context.layout.name
        resampler = self._av.AudioResampler(
            "flt", layout, self.sample_rate
        )  # packs; no rate change
        for frame in self._container.decode(self._stream):
            frame.pts = None
            yield from self._packed(resampler.resample(frame))
        yield from self._packed(resampler.resample(None))

    def _packed(self, frames: list[Any]) -> Iterator[npt.NDArray[np.float32]]:
        for frame in frames:
            yield frame.to_ndarray().reshape(-1, self.channels)

    def close(self) -> None:
        self._container.close()


def _open(source: Any, name: str) -> _Sndfile | _Av:
    seekable = _is_path(source) or (hasattr(source, "seekable") and source.seekable())
    if not seekable:
        return _Av(source, name)
    start = None if _is_path(source) else source.tell()
    try:
        return _Sndfile(source, name)
    except soundfile_module().SoundFileError as error:
        if start is not None:
            source.seek(start)
        try:
            return _Av(source, name)
        except MissingExtraError as missing:
            raise MediaError(
                f"it cannot be decoded: {error}",
                where=name,
                hint=f"{_KNOWN}; AAC, M4A and WebM need: pip install "
                "'mullama-media[format-conversion]'",
            ) from missing


def _is_path(source: Any) -> bool:
    return isinstance(source, str | os.PathLike)


def _damaged(name: str, error: Exception) -> MediaError:
    return MediaError(f"it cannot be decoded: {error}", where=name, hint=_KNOWN)


def soundfile_module() -> ModuleType:
    """soundfile, or MissingExtraError."""
    try:
        import soundfile
    except ImportError as error:
        raise MissingExtraError.of("reading sound files", "multimodal") from error
    return soundfile  # type: ignore[no-any-return, unused-ignore]


def av_module() -> ModuleType:
    """PyAV, or MissingExtraError."""
    try:
        import av
    except ImportError as error:
        raise MissingExtraError.of("this sound format", "format-conversion") from error
    return av

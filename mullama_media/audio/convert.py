"""Sound files from one format, rate, number of channels and kind of sample to another."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt

from mullama_media.audio.decode import SoundFile, SoundReader
from mullama_media.audio.encode import SoundWriter, format_of, nearest_rate
from mullama_media.audio.formats import ConvertParams, EncodeParams
from mullama_media.errors import InvalidOptionError, MediaError, MissingExtraError, MullamaError
from mullama_media.options import replace
from mullama_media.parallel import each

__all__ = ["Conversion", "convert", "convert_bytes", "convert_many"]

Progress: TypeAlias = Callable[[int, int | None], None]
"""(frames read so far, frames there are if that is known)"""

_BLOCK = 65536


@dataclass(frozen=True, slots=True)
class Conversion:
    """What became of one file."""

    source: str
    target: str
    frames: int = 0
    """Written"""
    sample_rate: int = 0
    """Of the target, in Hz"""
    channels: int = 0
    error: MullamaError | None = None
    """Why nothing was written"""

    @property
    def seconds(self) -> float:
        """Length of what was written."""
        return self.frames / self.sample_rate if self.sample_rate else 0.0


def convert(
    source: SoundFile,
    target: str | os.PathLike[str] | BinaryIO,
    params: ConvertParams | None = None,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Conversion:
    """Convert one recording, in memory that does not grow with it.

    Between formats without loss, samples that fit come out as they went in. Rates are changed by
    soxr's HQ recipe. Blocks; thread-safe.

    Args:
        source: path, bytes or binary file.
        target: path (appears when complete) or binary file.
        params: what to change.
        overwrite: whether a path may exist already.
        progress: called now and then on this thread; what it raises ends the conversion.

    Raises:
        MediaError: the source cannot be read, or the target written or exists.
        InvalidOptionError: the format cannot do what was asked.
        MissingExtraError: a library is missing.
    """
    params = params or ConvertParams()
    path = Path(target) if isinstance(target, str | os.PathLike) else None
    kind = format_of(path, params)
    if path is not None and path.exists() and not overwrite:
        raise MediaError("it exists already", where=str(path), hint="Allow it to be replaced")
    with SoundReader(source) as reader:
        rate = params.sample_rate or nearest_rate(kind, reader.sample_rate)
        channels = params.channels or reader.channels
        mix = _mixer(reader.channels, channels)
        with SoundWriter(target, rate, channels, _encoding(params)) as writer:
            total = 0
            blocks = (mix(block) for block in _watched(reader, progress))
            for block in _resampled(blocks, reader.sample_rate, rate, channels):
                writer.write(block)
                total += len(block)
        return Conversion(reader.name, writer.name, total, rate, channels)


def convert_bytes(data: bytes, kind: str, params: ConvertParams | None = None) -> bytes:
    """`convert` from memory to memory; `kind` is one of `FORMATS`."""
    buffer = io.BytesIO()
    convert(data, buffer, replace(params or ConvertParams(), format=kind))
    return buffer.getvalue()


def convert_many(
    files: Iterable[tuple[str | os.PathLike[str], str | os.PathLike[str]]],
    params: ConvertParams | None = None,
    *,
    overwrite: bool = False,
    workers: int | None = None,
    progress: Callable[[Conversion], None] | None = None,
) -> list[Conversion]:
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

    def one(pair: tuple[Any, Any]) -> Conversion:
        try:
            return convert(*pair, params, overwrite=overwrite)
        except MullamaError as error:
            return Conversion(os.fspath(pair[0]), os.fspath(pair[1]), error=error)

    return each(one, files, workers, progress)


def _encoding(params: ConvertParams) -> EncodeParams:
    return EncodeParams(
        format=params.format,
        sample_format=params.sample_format,
        bitrate_kbps=params.bitrate_kbps,
    )


def _watched(reader: SoundReader, progress: Progress | None) -> Iterator[npt.NDArray[np.float32]]:
    at = 0
    for block in reader.blocks(_BLOCK):
        yield block
        at += len(block)
        if progress is not None:
            progress(at, reader.frames)


def _mixer(have: int, want: int) -> Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]:
    if have == want:
        return lambda block: block
    if want == 1:
        return lambda block: block.mean(axis=1, keepdims=True, dtype=np.float32)
    if have == 1:
        return lambda block: np.repeat(block, want, axis=1)
    if (have, want) == (6, 2):
        return lambda block: block @ _SURROUND_TO_STEREO
    raise InvalidOptionError(
        f"there is no one way from {have} channels to {want}", where="channels", hint="1 folds all"
    )


# ITU-R BS.775-3, annex 4: L + 0.71 C + 0.71 Ls, here scaled so that nothing can clip. Channels
# are in the order of WAV (L R C LFE Ls Rs); LFE is left out, as the recommendation does.
_HALF = 0.5**0.5
_SURROUND_TO_STEREO = (
    np.array([[1, 0], [0, 1], [_HALF, _HALF], [0, 0], [_HALF, 0], [0, _HALF]]) / (1 + 2 * _HALF)
).astype(np.float32)


def _resampled(
    blocks: Iterable[npt.NDArray[np.float32]], have: int, want: int, channels: int
) -> Iterator[npt.NDArray[np.float32]]:
    if have == want:
        yield from blocks
        return
    try:
        import soxr
    except ImportError as error:
        raise MissingExtraError.of("resampling", "multimodal") from error
    stream = soxr.ResampleStream(have, want, channels, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(block).reshape(-1, channels)
    rest = stream.resample_chunk(np.zeros((0, channels), np.float32), last=True)
    yield rest.reshape(-1, channels)

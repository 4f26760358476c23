"""What a source gives, kept in a sound file on its way."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Self

import numpy as np

from mullama_media.audio.encode import SoundWriter
from mullama_media.audio.formats import EncodeParams
from mullama_media.frames import AudioChunk, AudioFormat, Discontinuity, Source, SourceItem

__all__ = ["RecordedSource"]

_FULL_SCALE = {"int16": 32768, "float32": 1}
_HOLE = 1 << 16  # frames of silence written at a time


class RecordedSource:
    """Another source, whose samples are also written to a file, as they are read.

    Lost frames are silence there, so that sample k of the file is that of index k. The file is
    complete when the source has ended or `finish` was called; until then it has another name.
    Writing happens where samples are read, never where they come from. Thread-safe as the source.

    Args:
        source: where samples come from.
        file: to write; the ending says the format.
        params: of the file; 16-bit samples are written without loss by default.

    Raises:
        InvalidOptionError: at open, a format that cannot hold the samples.
        MediaError: the file cannot be written.
    """

    def __init__(
        self,
        source: Source,
        file: str | os.PathLike[str],
        params: EncodeParams | None = None,
    ) -> None:
        self._source = source
        self._target = file
        self._params = params
        self._writer: SoundWriter | None = None

    @property
    def format(self) -> AudioFormat:
        """That of the source."""
        return self._source.format

    @property
    def ended(self) -> bool:
        """That of the source."""
        return self._source.ended

    def open(self) -> Self:
        """Open source and file."""
        self._source.open()
        if self._writer is None:
            layout = self._source.format
            self._writer = SoundWriter(
                self._target, layout.sample_rate, layout.channels, self._params
            )
        return self

    def close(self) -> None:
        """Close the source; what is buffered can still be read, and is still written."""
        self._source.close()

    def finish(self) -> None:
        """Complete the file; nothing is written any more. Idempotent, once nobody reads."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def read(self, timeout_ms: float | None = None) -> SourceItem | None:
        """As the source's."""
        self.open()
        item = self._source.read(timeout_ms)
        self._keep(item)
        return item

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()
        self.finish()

    def __iter__(self) -> Iterator[SourceItem]:
        self.open()
        for item in self._source:
            self._keep(item)
            yield item
        self.finish()

    async def __aiter__(self) -> AsyncIterator[SourceItem]:
        self.open()
        async for item in self._source:
            self._keep(item)
            yield item
        self.finish()

    def _keep(self, item: SourceItem | None) -> None:
        if self._writer is None:
            return
        if isinstance(item, AudioChunk):
            scale = np.float32(_FULL_SCALE[item.format.dtype])
            self._writer.write(item.samples.astype(np.float32) / scale)
        elif isinstance(item, Discontinuity):
            for at in range(0, item.lost, _HOLE):
                shape = (min(_HOLE, item.lost - at), self._writer.channels)
                self._writer.write(np.zeros(shape, np.float32))


if TYPE_CHECKING:
    _is_a_source: type[Source] = RecordedSource

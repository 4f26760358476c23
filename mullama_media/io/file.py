"""A sound file as a source: at the speed of sound, or as fast as it can be read."""

from __future__ import annotations

import os
import threading
import time
from typing import BinaryIO

from mullama_media.audio.decode import SoundReader
from mullama_media.errors import MullamaError
from mullama_media.frames import AudioFormat, SourceItem
from mullama_media.io.source import RingSource

__all__ = ["FileSource"]

_BLOCK_MS = 20


class FileSource(RingSource):
    """Samples of a sound file, float32 at the file's own rate and channels.

    Args:
        file: path, bytes or binary file; any format `mullama_media.audio.decode` reads.
        paced: hand them out in real time, as a microphone would: a reader that is slower than
            the buffer is long loses frames, and they are counted. Otherwise the file waits for
            its reader and nothing is lost.
        speed: of a paced source; 2 is twice real time.
        buffer_ms: as for every source.

    Raises:
        MediaError: at open, if the file cannot be read; at the read where a damaged one breaks.
        MissingExtraError: at open, where a library is missing.
    """

    def __init__(
        self,
        file: str | os.PathLike[str] | bytes | BinaryIO,
        *,
        paced: bool = False,
        speed: float = 1.0,
        buffer_ms: float = 10_000,
    ) -> None:
        super().__init__(None, buffer_ms=buffer_ms)
        self._file = file
        self._seconds_each = 1 / speed if paced else 0.0
        self._failure: MullamaError | None = None
        self._thread: threading.Thread | None = None

    def _poll(self) -> SourceItem | None:
        item = super()._poll()
        if self._ended and self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        return item

    def _start(self) -> None:
        reader = SoundReader(self._file)
        try:
            self._make_ring(AudioFormat(reader.sample_rate, reader.channels))
        except BaseException:
            reader.close()
            raise
        self._thread = threading.Thread(
            target=self._feed, args=(reader,), name="mullama-file", daemon=True
        )
        self._thread.start()

    def _stop(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def _feed(self, reader: SoundReader) -> None:
        began = time.monotonic()
        at = 0
        try:
            with reader:
                for block in reader.blocks(self.format.frames(_BLOCK_MS)):
                    at += len(block)
                    due = began + at / self.format.sample_rate * self._seconds_each
                    if self._seconds_each and self._closing.wait(max(0.0, due - time.monotonic())):
                        break
                    waiting = not self._seconds_each
                    if not self._ring.write(block, wait=waiting, stop=self._closing.is_set):
                        break
        except MullamaError as error:
            self._failure = error
        finally:
            self._ring.finish()

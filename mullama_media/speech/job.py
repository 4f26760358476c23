"""One transcription on its way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from concurrent import futures
from typing import Any

from mullama_media.errors import RequestCancelledError
from mullama_media.speech.mailbox import Mailbox
from mullama_media.speech.transcript import Segment, Transcript

__all__ = ["TranscriptJob"]

_ALL = 1 << 62  # segments are small, and whoever wants the transcript alone reads none


class TranscriptJob:
    """What `Transcriber.transcribe` gives: `await` it, or ask for its `result()`.

    Iterated, blocking or with `async for`, it gives the segments as they are found, once, to one
    reader. Other methods are thread-safe. The methods with an underscore are for transcribers.
    """

    def __init__(self) -> None:
        self._future: futures.Future[Transcript] = futures.Future()
        self._future.set_running_or_notify_cancel()
        self._segments: Mailbox[Segment] = Mailbox(_ALL)
        self._cancelled = threading.Event()
        self._seconds = 0.0

    @property
    def seconds(self) -> float:
        """How much of the sound is done, from its beginning."""
        return self._seconds

    @property
    def done(self) -> bool:
        """Whether there is a transcript or an error."""
        return self._future.done()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block until there is a transcript or an error, or the time is over; whether there is."""
        return bool(futures.wait([self._future], timeout_s).done)

    def result(self, timeout_s: float | None = None) -> Transcript:
        """The transcript. Blocks.

        Raises:
            MediaError: the sound cannot be decoded.
            RequestCancelledError: it was cancelled.
            TimeoutError: it takes longer than `timeout_s`; it goes on.
        """
        return self._future.result(timeout_s)

    def __await__(self) -> Generator[Any, None, Transcript]:
        return self._wait().__await__()

    async def _wait(self) -> Transcript:
        try:
            return await asyncio.wrap_future(self._future)
        except asyncio.CancelledError:
            self.cancel()
            raise

    def __iter__(self) -> Iterator[Segment]:
        while (segment := self._segments.take()) is not None:
            yield segment

    async def __aiter__(self) -> AsyncIterator[Segment]:
        while (segment := await self._segments.take_async()) is not None:
            yield segment

    def cancel(self) -> None:
        """Stop at the next segment; nothing is given then. Idempotent; does not wait."""
        self._cancelled.set()

    def _check(self) -> None:
        if self._cancelled.is_set():
            raise RequestCancelledError("the transcription was cancelled")

    def _found(self, segment: Segment) -> None:
        self._segments.put(segment)

    def _progress(self, seconds: float) -> None:
        self._check()
        self._seconds = seconds

    def _finish(self, transcript: Transcript) -> None:
        self._future.set_result(transcript)
        self._segments.close()

    def _fail(self, error: BaseException) -> None:
        self._future.set_exception(error)
        self._segments.close(error)

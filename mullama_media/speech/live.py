"""Transcripts of a stream: interim ones while somebody speaks, the final one at the end."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from mullama_media.errors import RequestCancelledError
from mullama_media.frames import Partial, Pause, Utterance
from mullama_media.speech.agreement import LocalAgreement, aligned, worded, words_of
from mullama_media.speech.job import TranscriptJob
from mullama_media.speech.mailbox import Mailbox
from mullama_media.speech.params import TranscriptionParams
from mullama_media.speech.processor import StreamEvent, StreamingAudioProcessor
from mullama_media.speech.transcriber import Transcriber
from mullama_media.speech.transcript import Transcript, Word

__all__ = ["LiveMetrics", "LiveTranscriber"]

_WAITING = 8  # utterances that may wait before the ear is made to


@dataclass(frozen=True, slots=True)
class LiveMetrics:
    """What a live transcription has done so far."""

    finals: int
    interims: int
    skipped: int
    """Interim transcripts that were not made, because something newer was there already"""
    waiting: int
    """Utterances not transcribed yet"""
    lag_ms: float
    """From having the last utterance to having its transcript"""
    real_time_factor: float
    """Time the transcriber was busy over the time of the utterances; from 1 on it falls behind"""


class LiveTranscriber:
    """Transcribes what an ear hears.

        ear = StreamingAudioProcessor(Microphone(), AudioStreamConfig.preset("dictation",
            segmenter={"partial_ms": 500}))
        with LiveTranscriber(ear, load_transcriber()) as live:
            for transcript in live:
                print(transcript.text, transcript.is_final)

    Interim transcripts come at every pause of a speaker and, with `SegmenterConfig.partial_ms`,
    that often in between. Their `confirmed` beginning stays as it is (LocalAgreement-2, see
    `agreement`), in the final transcript, too. There is one final transcript for each utterance
    with speech in it.

    The ear is never waited for: where the transcriber falls behind, interim transcripts are skipped
    and counted; final ones wait, and when too many do, the ear's own limits hold and say what is
    lost. Iterate with `for` or `async for`, one reader; other methods are thread-safe.

    Args:
        ear: what hears; it is started and stopped here.
        transcriber: what transcribes; it stays open.
        params: what is asked of it.
        on_event: called with everything the ear tells, on a thread of this class; must be quick.
        max_transcripts: that may wait to be read.
    """

    def __init__(
        self,
        ear: StreamingAudioProcessor,
        transcriber: Transcriber,
        params: TranscriptionParams | None = None,
        *,
        on_event: Callable[[StreamEvent], object] | None = None,
        max_transcripts: int = 256,
    ) -> None:
        self._ear = ear
        self._transcriber = transcriber
        self._params = params or TranscriptionParams()
        self._on_event = on_event
        self._out: Mailbox[Transcript] = Mailbox(max_transcripts)
        self._state = threading.Condition()  # over all below
        self._finals: deque[tuple[Utterance, float]] = deque()
        self._interim: Utterance | None = None
        self._running: TranscriptJob | None = None  # of an interim transcript
        self._ended: BaseException | bool = False
        self._threads: list[threading.Thread] = []
        self._agreement = LocalAgreement()
        self._agreed_start = -1
        self._count = {"finals": 0, "interims": 0, "skipped": 0}
        self._lag_s = self._busy_s = self._spoken_s = 0.0

    def start(self) -> Self:
        """Start the ear and begin. Does nothing if it has begun. Raises what the ear's does."""
        with self._state:
            if not self._threads:
                self._ear.start()
                self._threads = [
                    threading.Thread(target=target, name=f"mullama-{name}", daemon=True)
                    for name, target in (("live", self._listen), ("transcripts", self._work))
                ]
                for thread in self._threads:
                    thread.start()
        return self

    def stop(self) -> None:
        """Stop the ear, and transcribe what was heard until then. Idempotent; blocks for it.

        What has not been read yet can still be.
        """
        self._ear.stop()
        self._out.unbind()
        for thread in self._threads:
            thread.join()

    @property
    def metrics(self) -> LiveMetrics:
        """Of now."""
        with self._state:
            return LiveMetrics(
                **self._count,
                waiting=len(self._finals),
                lag_ms=1000 * self._lag_s,
                real_time_factor=self._busy_s / self._spoken_s if self._spoken_s else 0.0,
            )

    def __iter__(self) -> Iterator[Transcript]:
        self.start()
        while (transcript := self._out.take()) is not None:
            yield transcript

    async def __aiter__(self) -> AsyncIterator[Transcript]:
        self.start()
        while (transcript := await self._out.take_async()) is not None:
            yield transcript

    def _listen(self) -> None:
        """The thread that reads the ear; it waits for nothing but too many utterances."""
        end: BaseException | bool = True
        try:
            for event in self._ear:
                if self._on_event is not None:
                    self._on_event(event)
                if isinstance(event, Utterance):
                    self._final(event)
                elif isinstance(event, Partial | Pause):
                    self._newest(event)
        except BaseException as error:  # whatever it was, the reader has to know
            end = error
        with self._state:
            self._ended = end
            self._state.notify_all()

    def _newest(self, event: Partial | Pause) -> None:
        with self._state:
            self._count["skipped"] += self._interim is not None
            self._interim = _so_far(event)
            self._state.notify_all()

    def _final(self, utterance: Utterance) -> None:
        with self._state:
            self._count["skipped"] += self._interim is not None
            self._interim = None
            if self._running is not None:
                self._running.cancel()
            self._state.wait_for(lambda: len(self._finals) < _WAITING or bool(self._ended))
            self._finals.append((utterance, time.monotonic()))
            self._state.notify_all()

    def _work(self) -> None:
        """The thread that has one transcript made after the other."""
        try:
            while (task := self._next()) is not None:
                utterance, since = task
                began = time.monotonic()
                transcript = self._transcribed(utterance, final=since is not None)
                with self._state:
                    self._busy_s += time.monotonic() - began
                    if since is not None:
                        self._lag_s = time.monotonic() - since
                        self._spoken_s += utterance.duration_ms / 1000
                if transcript is not None:
                    self._out.put(transcript)
        except BaseException as error:
            with self._state:
                self._ended = error
                self._state.notify_all()
            self._out.close(error)
            self._ear.stop()
        else:
            self._out.close()

    def _next(self) -> tuple[Utterance, float | None] | None:
        """What to transcribe now, and for a final one since when it waits; None at the end."""
        with self._state:
            self._state.wait_for(lambda: self._finals or self._interim or self._ended)
            if isinstance(self._ended, BaseException) and not self._finals:
                raise self._ended
            if self._finals:
                task = self._finals.popleft()
                self._state.notify_all()
                return task
            if self._interim is None:
                return None
            interim, self._interim = self._interim, None
            return interim, None

    def _transcribed(self, utterance: Utterance, *, final: bool) -> Transcript | None:
        job = self._transcriber.transcribe(utterance, self._params)
        if not final:
            with self._state:
                self._running = job
                if self._finals:
                    job.cancel()
        try:
            heard = job.result()
        except RequestCancelledError:
            if final:
                raise
            with self._state:
                self._count["skipped"] += 1
            return None
        finally:
            with self._state:
                self._running = None
        if not final:
            return self._grown(heard)
        return self._finished(heard, split=utterance.ended_by == "max_utterance")

    def _grown(self, heard: Transcript) -> Transcript | None:
        """An interim transcript with its confirmed beginning; None if there is no text yet."""
        if heard.start != self._agreed_start:
            self._agreement, self._agreed_start = LocalAgreement(), heard.start
        words = words_of(heard)
        rest = self._agreement.add(words)
        confirmed = self._agreement.confirmed
        if not confirmed and not rest:
            return None
        with self._state:
            self._count["interims"] += 1
        grown = worded(heard, confirmed, len(words) - len(rest))
        said = "".join(word.text for word in confirmed).strip()
        return replace(grown, is_final=False, confirmed=said)

    def _finished(self, heard: Transcript, *, split: bool) -> Transcript | None:
        """The final transcript, which begins with what was confirmed; None if nothing was said.

        Where an utterance was split, what was confirmed may reach into the next.
        """
        words = words_of(heard)
        confirmed: tuple[Word, ...] = ()
        if heard.start == self._agreed_start:
            confirmed = self._agreement.confirmed
            if split:
                confirmed = confirmed[: aligned(words, confirmed)]
        if not words and not confirmed:
            return None
        with self._state:
            self._count["finals"] += 1
        return worded(heard, confirmed, aligned(confirmed, words))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _so_far(event: Partial | Pause) -> Utterance:
    return Utterance(
        samples=event.samples,
        sample_rate=event.sample_rate,
        start=event.start,
        end=event.end,
        speech_start=event.start,
        speech_end=event.end,
        decided=event.end,
        index_rate=event.index_rate,
        ended_by="end",
    )

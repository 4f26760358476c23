"""An answer spoken while it is still being written."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import itertools
import threading
import time
import weakref
from collections.abc import AsyncIterable, Iterable, Iterator
from dataclasses import replace
from typing import Self

import numpy as np

from mullama_media.errors import InvalidOptionError
from mullama_media.frames import AudioChunk
from mullama_media.loudspeaker import Loudspeaker, Played, Speech
from mullama_media.options import option, options
from mullama_media.speech.sentences import Piece, SentenceParams, SentenceSplitter
from mullama_media.speech.spoken import Spoken, SpokenPiece
from mullama_media.speech.voices.voice import Voice

__all__ = ["Narration", "NarrationParams", "speak_stream", "speak_stream_async", "synthesize"]

_WAIT_S = 0.05  # how long a wait leaves signals unseen


@options
class NarrationParams:
    """How an answer is spoken while it is written."""

    sentences: SentenceParams = option(default=SentenceParams(), doc="Where it is cut.")
    max_pieces: int = option(
        default=32, doc="Sentences that may wait for the voice before the writer waits.", ge=1
    )
    gap_ms: float = option(
        default=0.0, doc="Silence between sentences, besides what the voice makes.", ge=0, le=10_000
    )


class Narration:
    """Text in, speech out: each sentence is made while the ones before it play.

        with Narration(voice, speaker) as narration:
            for token in stream:
                if not narration.feed(str(token)):
                    break  # somebody stopped it
            spoken = narration.wait()

    How far the voice is ahead of the loudspeaker is bounded by the loudspeaker's buffer, and how
    far the text is ahead of the voice by `max_pieces`. `stop`, of it or of its loudspeaker, ends it
    at once. One thread feeds; all else is thread-safe.

    Args:
        voice: makes the sound, on a thread of this object.
        speaker: plays it.
        params: how.
    """

    def __init__(
        self, voice: Voice, speaker: Loudspeaker, params: NarrationParams | None = None
    ) -> None:
        self.params = params or NarrationParams()
        self._speaker = speaker
        self._splitter = SentenceSplitter(self.params.sentences)
        self._speech = speaker.begin(voice.sample_rate)
        self._texts: list[str] = []
        self._work = _Work(voice, self._speech, self.params)
        weakref.finalize(self, self._work.stop)
        threading.Thread(target=self._work.run, name="mullama-voice", daemon=True).start()

    def feed(self, text: str) -> bool:
        """Add the text of a token. Blocks while too many sentences wait for the voice.

        Returns:
            False once it was stopped; the rest is not spoken.

        Raises:
            InvalidOptionError: it was finished.
            VoiceError, AudioDeviceError: voice or loudspeaker failed.
        """
        if self._work.finished:
            raise InvalidOptionError("the text was finished", where="Narration")
        self._texts.append(text)
        return self._work.offer(self._splitter.feed(text))

    @property
    def full(self) -> bool:
        """Whether `feed` would wait for the voice."""
        return self._work.full

    def finish(self) -> None:
        """The text ends here. Blocks like `feed`."""
        if not self._work.finished:
            self._work.offer(self._splitter.flush())
            self._work.finish()

    def wait(self, timeout_s: float | None = None) -> Spoken:
        """Finish, and wait until all was heard, it was stopped, or the time is over.

        Raises what `feed` raises.
        """
        end = float("inf") if timeout_s is None else time.monotonic() + timeout_s
        self.finish()
        if self._work.wait(end) and not self._work.stopped:
            self._speech.drain(None if timeout_s is None else end - time.monotonic())
        return self.spoken

    def stop(self) -> Spoken:
        """Silence at once, and how far it came. Stops everything that its loudspeaker plays."""
        self._work.stop()
        self._speaker.stop()
        return self.spoken

    @property
    def spoken(self) -> Spoken:
        """How far it has come: by what the loudspeaker was given, word by word an estimate."""
        played = self._speech.played
        said, at, done = self._work.progress(played)
        sentences = words = end = 0
        for piece in said:
            words = piece.words_until(at)
            if words:
                end = piece.piece.words[words - 1].source_end
            if words < len(piece.piece.words):
                break
            end = piece.piece.end
            sentences, words = sentences + 1, 0
        whole = "".join(self._texts)
        complete = done and sentences == len(said)
        return Spoken(
            text=whole if complete else whole[:end],
            sentences=sentences,
            words=words,
            complete=complete,
            played=played,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop what still plays; `wait` first to hear it all."""
        if not (self._work.made and self._speech.played.complete):
            self.stop()


class _Work:
    """What the voice's thread does. It holds nothing of the narration, which may be dropped."""

    def __init__(self, voice: Voice, speech: Speech, params: NarrationParams) -> None:
        self._voice, self._speech, self._params = voice, speech, params
        self._waiting: collections.deque[Piece] = collections.deque()
        self._said: list[SpokenPiece] = []
        self._samples = 0
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self.finished = False  # nothing more is fed
        self.stopped = False
        self.made = False  # the voice is done, or will not go on

    @property
    def full(self) -> bool:
        over = self.made or self.stopped
        return len(self._waiting) >= self._params.max_pieces and not over

    def offer(self, pieces: list[Piece]) -> bool:
        for piece in pieces:
            with self._changed:
                while self.full:
                    self._changed.wait(_WAIT_S)
                if not (self.made or self.stopped):
                    self._waiting.append(piece)
                    self._changed.notify_all()
        self._raise()
        return not (self.made or self.stopped)

    def finish(self) -> None:
        with self._changed:
            self.finished = True
            self._changed.notify_all()

    def stop(self) -> None:
        with self._changed:
            self.stopped = True
            self._waiting.clear()
            self._changed.notify_all()

    def wait(self, end: float) -> bool:
        with self._changed:
            while not self.made and time.monotonic() < end:
                self._changed.wait(_WAIT_S)
        self._raise()
        return self.made

    def progress(self, played: Played) -> tuple[list[SpokenPiece], float, bool]:
        """What was made, to which sample of the voice it was played, and whether that is all."""
        with self._changed:
            done = self.finished and self.made and not self.stopped
            said, samples = list(self._said), self._samples
        if done and played.complete:
            return said, samples, True
        return said, played.handed * self._voice.sample_rate / played.sample_rate, done

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def run(self) -> None:
        try:
            while (piece := self._next()) is not None and self._say(piece):
                pass
            if not self.stopped:
                self._speech.finish()
        except BaseException as error:  # whatever it was, who feeds has to know
            self._error = error
        finally:
            with self._changed:
                self.made = True
                self._waiting.clear()
                self._changed.notify_all()

    def _next(self) -> Piece | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self.finished or self.stopped)
            if self.stopped or not self._waiting:
                return None
            piece = self._waiting.popleft()
            self._changed.notify_all()
            return piece

    def _say(self, piece: Piece) -> bool:
        rate = self._voice.sample_rate
        if self._said and self._params.gap_ms:
            gap = np.zeros(round(rate * self._params.gap_ms / 1000), np.float32)
            self._samples += gap.size
            if not self._speech.write(gap):
                return self._end()
        said = SpokenPiece(piece, self._samples, rate)
        with self._changed:
            self._said.append(said)
        with contextlib.closing(self._voice.speak(piece.text)) as chunks:
            for chunk in chunks:
                samples = chunk.mono()
                said.add(samples)
                self._samples += samples.size
                if not self._speech.write(samples):
                    return self._end()
        said.whole = True
        return True

    def _end(self) -> bool:
        self.stopped = True
        return False


def synthesize(
    texts: Iterable[object], voice: Voice, params: SentenceParams | None = None
) -> Iterator[AudioChunk]:
    """The sound of a text that comes in pieces, sentence by sentence, without a loudspeaker.

    Indices go on from chunk to chunk. Raises VoiceError.
    """
    splitter = SentenceSplitter(params)
    at = 0
    for pieces in itertools.chain((splitter.feed(str(text)) for text in texts), [None]):
        for piece in splitter.flush() if pieces is None else pieces:
            for chunk in voice.speak(piece.text):
                yield replace(chunk, at_sample=at)
                at += len(chunk.samples)


def speak_stream(
    tokens: Iterable[object],
    voice: Voice,
    speaker: Loudspeaker,
    params: NarrationParams | None = None,
) -> Spoken:
    """Speak what comes, sentence by sentence, and wait until it was heard.

    Args:
        tokens: texts, or tokens of a TokenStream (what `str` makes of them). Once the loudspeaker
            is stopped, no more are taken.
        voice: makes the sound.
        speaker: plays it; another thread may `stop` it.
        params: how.

    Returns:
        What was really spoken.

    Raises:
        VoiceError, AudioDeviceError: voice or loudspeaker failed.
    """
    with Narration(voice, speaker, params) as narration:
        for token in tokens:
            if not narration.feed(str(token)):
                break
        return narration.wait()


async def speak_stream_async(
    tokens: AsyncIterable[object],
    voice: Voice,
    speaker: Loudspeaker,
    params: NarrationParams | None = None,
) -> Spoken:
    """`speak_stream` for asyncio: a cancelled task stops the loudspeaker."""
    narration = await asyncio.to_thread(Narration, voice, speaker, params)
    try:
        async for token in tokens:
            text = str(token)
            if narration.full:  # or it does not block, and a thread for each token costs more
                go_on = await asyncio.to_thread(narration.feed, text)
            else:
                go_on = narration.feed(text)
            if not go_on:
                break
        return await asyncio.to_thread(narration.wait)
    finally:
        await asyncio.shield(asyncio.to_thread(narration.__exit__))

"""The loop between an ear, a model and a loudspeaker."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Self, TypeAlias

from mullama_media.assistant.answering import Answering
from mullama_media.assistant.events import Answer, Asked, Problem
from mullama_media.assistant.params import ChatParams
from mullama_media.errors import InvalidOptionError, SessionError
from mullama_media.frames import AudioFrame, DeviceChange, NoAudio, SpeechStarted, Utterance
from mullama_media.loudspeaker import Loudspeaker
from mullama_media.multimodal import MultimodalProcessor
from mullama_media.speech.parts import SpeechParts
from mullama_media.speech.processor import StreamEvent, StreamingAudioProcessor
from mullama_media.speech.transcriber import Transcriber
from mullama_media.speech.transcript import Transcript as Transcribed
from mullama_media.speech.turns import (
    Action,
    Commit,
    Discard,
    Dropped,
    EndOfTurn,
    EndProbability,
    Interrupt,
    JudgeTurn,
    Muted,
    PausePlayback,
    ResumePlayback,
    StopAnswer,
    TraceLog,
    Transcript,
    TurnEvent,
    TurnParams,
    TurnTaker,
    TurnTrace,
    Typed,
)
from mullama_media.speech.voices import Voice

__all__ = ["LiveChat", "LiveEvent"]

LiveEvent: TypeAlias = StreamEvent | TurnEvent | Action | TurnTrace | Asked | Answer | Problem
"""Everything that happens, in order: what the ear hears, what is done about it, what is answered,
and, when an answer is over, how long it took."""

_TICK_S = 0.02  # how often silence and the loudspeaker are looked at
_UNREAD = 1024  # events that may wait before the ear has to


class LiveChat:
    """Hears, answers, and is interrupted. Iterate it: that runs it, and tells what happens.

        ear = StreamingAudioProcessor(Microphone())
        async with LiveChat(ear, processor, voice=load_voice(), speaker=Speaker()) as chat:
            async for event in chat:
                match event:
                    case Token(): print(event.text, end="")

    Without a transcriber the model itself hears, and takes speech in parts while it is spoken;
    with one it gets the text. Without a voice answers are text alone. It ends when the source of
    the ear does, after the last answer; leave the block and everything stops. What it was given
    stays open, but for the ear. All methods are for the event loop it runs on. Once.

    Args:
        ear: what hears. Started and stopped here.
        processor: what answers.
        params: how it goes.
        transcriber: what writes down speech for a model that does not hear.
        voice: what makes speech of answers; needs a speaker.
        speaker: what plays them.
        judge: says how likely the user has finished, for `TurnParams.end_threshold`.

    Raises:
        ModelCapabilityError: the model takes no recordings, and there is no transcriber.
        InvalidOptionError: params want words and there is no transcriber, or a judge and there is
            none; or of voice and speaker one is missing.
        OverloadedError: the engine has no sequence left to reserve.
    """

    def __init__(
        self,
        ear: StreamingAudioProcessor,
        processor: MultimodalProcessor,
        params: ChatParams | None = None,
        *,
        transcriber: Transcriber | None = None,
        voice: Voice | None = None,
        speaker: Loudspeaker | None = None,
        judge: Callable[[JudgeTurn], float] | None = None,
    ) -> None:
        self.params = params or ChatParams()
        self.ear = ear
        self._transcriber, self._judge = transcriber, judge
        self._speaker = speaker
        if transcriber is None:
            processor.require("audio", "conversation")
        _check(self.params.turns, transcriber, judge)
        if (voice is None) != (speaker is None):
            raise InvalidOptionError(
                "a voice needs a speaker, and a speaker a voice",
                where="LiveChat",
                hint="Give both, or neither for answers that are text alone",
            )
        # One sequence is always left to others, so a lone one cannot be reserved.
        self.conversation = processor.conversation(
            reserve=processor.engine.params.n_parallel > 1,
            when_full=self.params.history,
            **self.params.ask_options(),
        )
        self._say = (voice, speaker) if voice is not None and speaker is not None else None
        self._parts = SpeechParts(self.params.parts)
        self._base: tuple[AudioFrame, ...] = ()  # of a turn that was reopened
        self._given: tuple[AudioFrame, ...] = ()  # with the last question
        self._typed: list[tuple[tuple[Any, ...], asyncio.Future[int]]] = []  # for the next one
        self._jobs: dict[int, asyncio.Task[Transcribed | None]] = {}
        self._answering: Answering | None = None
        self._out: collections.deque[LiveEvent] = collections.deque()
        self._news = asyncio.Event()
        self._read = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._taker: TurnTaker | None = None
        self._rate = 0
        self._listening: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._starved = False  # the source gives nothing
        self._mute = False  # the speech that goes on began while the ear was mute
        self.traces: TraceLog | None = None

    # What a user may do beside speaking

    @property
    def running(self) -> bool:
        """Whether it hears now, and takes questions."""
        return (
            self._taker is not None and self._listening is not None and not self._listening.done()
        )

    def ask(self, *content: Any) -> asyncio.Future[int]:
        """Ask something that was not said: text, pictures, recordings, in their order.

        An answer that goes on is interrupted. What somebody is just saying is asked with it, as
        soon as they have finished. Errors of the content are told as `Problem`.

        Returns:
            The generation id of its answer, once it is asked. Cancelled if the chat ends before.

        Raises:
            SessionError: the chat is not running.
            InvalidOptionError: no content.
        """
        if not self.running:
            raise SessionError(
                "it is not running", where="LiveChat", hint="Iterate over it, and ask meanwhile"
            )
        if not content:
            raise InvalidOptionError("there is nothing to ask", where="LiveChat.ask")
        asked: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._typed.append((content, asked))
        self.tell(Typed(self.now))
        return asked

    def stop_answer(self) -> None:
        """Interrupt the answer."""
        self.tell(StopAnswer(self.now))

    def mute(self, muted: bool = True) -> None:
        """Whether what is said counts."""
        self.tell(Muted(muted, self.now))

    def commit(self) -> None:
        """The turn ends with what is being said, without waiting for silence."""
        self.tell(Commit(self.now))

    @property
    def now(self) -> int:
        """Index of the source's samples up to which the ear has told everything."""
        if self._taker is None:
            return 0
        metrics = self.ear.metrics
        if metrics.waiting:
            return self._taker.now
        delay = round(metrics.delay_ms * self._rate / 1000)
        return max(self._taker.now, metrics.samples + metrics.lost - delay)

    # The loop

    async def __aiter__(self) -> AsyncIterator[LiveEvent]:
        listening = self._listening = self._spawn(self._listen())
        listening.add_done_callback(lambda _: self._news.set())
        try:
            while True:
                while self._out:
                    yield self._out.popleft()
                    self._read.set()
                if listening.done():
                    break
                self._news.clear()
                await self._news.wait()
            if self._failure is not None:
                raise self._failure
            listening.result()
        finally:
            await self.aclose()

    async def _listen(self) -> None:
        if self._speaker is not None:
            await asyncio.to_thread(self._speaker.open)
        async with self.ear as ear:
            assert ear.source is not None  # started  # noqa: S101
            rate = self._rate = ear.source.format.sample_rate
            segmenter = ear.config.segmenter
            self._taker = TurnTaker(self.params.turns, rate, segmenter=segmenter)
            self.traces = TraceLog(rate)
            ticking = self._spawn(self._tick())
            ticking.add_done_callback(self._ticked)
            async for event in ear:
                while len(self._out) >= _UNREAD:
                    self._read.clear()
                    await self._read.wait()
                self._hear(event)
            if self._jobs:
                await asyncio.wait(self._jobs.values())
            self._apply(self._taker.finish())
            while self._answering is not None and not self._answering.over:
                await asyncio.sleep(_TICK_S)
            ticking.cancel()

    def _ticked(self, ticking: asyncio.Task[None]) -> None:
        """Without it no turn would end any more."""
        if not ticking.cancelled() and (error := ticking.exception()) is not None:
            self._failure = error
            if self._listening is not None:
                self._listening.cancel()

    async def _tick(self) -> None:
        taker = self._taker
        assert taker is not None  # noqa: S101
        while True:
            await asyncio.sleep(_TICK_S)
            before = taker.now
            if not self.ear.metrics.waiting:
                self._apply(taker.advance(self.now))
            if self._starved and taker.now == before:  # silences go on without samples
                self._apply(taker.starve(round(_TICK_S * self._rate)))
            if self._answering is not None:
                self._answering.look()

    async def aclose(self) -> None:
        """Stop everything. Idempotent."""
        if self._answering is not None:
            self._answering.cut()
        for _, asked in self._typed:
            asked.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self.ear.stop)
        await asyncio.to_thread(self.conversation.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def emit(self, event: LiveEvent) -> None:
        """Have it read."""
        self._out.append(event)
        self._news.set()

    # What is heard

    def _hear(self, event: StreamEvent) -> None:
        self.emit(event)
        if isinstance(event, Utterance) and self._transcriber is not None:
            self._jobs[event.start] = self._spawn(self._transcribe(event))
        assert self._taker is not None  # noqa: S101
        self._starved = isinstance(event, NoAudio)
        if isinstance(event, SpeechStarted | Utterance):
            self._mute = self._taker.ear.was_mute(event.speech_start)
        if not isinstance(event, DeviceChange) and not self._mute and self._parts.push(event):
            self._prefill()
        self._apply(self._taker.push(event))

    async def _transcribe(self, utterance: Utterance) -> Transcribed | None:
        assert self._transcriber is not None  # noqa: S101
        try:
            transcript = await self._transcriber.transcribe(utterance)
        except Exception as error:  # of a transcriber of the user's, too
            self.emit(Problem(error))
            return None
        self.tell(Transcript(utterance.start, transcript.text, self.now))
        return transcript

    def _prefill(self) -> None:
        """Let the model have what was said so far, unless it is answering."""
        recordings = (*self._base, *self._parts.parts)
        busy = self._answering is not None and not self._answering.over
        if self._transcriber is not None or busy or not recordings:
            return
        if self.params.parts.while_speaking:
            with contextlib.suppress(SessionError):
                self.conversation.prefill(self._content(recordings))

    def _content(self, recordings: tuple[AudioFrame, ...]) -> list[Any]:
        return [*recordings, *([self.params.question] if self.params.question else [])]

    # What is done about it

    def tell(self, event: TurnEvent) -> bool:
        """Something happened to the turn; whether anybody still wants to know."""
        if self._taker is None:
            return False
        actions = self._taker.push(event)
        wanted = not any(isinstance(action, Dropped) for action in actions)
        if wanted:
            self.emit(event)
            self.trace(event)
        self._apply(actions)
        return wanted

    def trace(self, item: TurnEvent | Action, at_ms: float | None = None) -> None:
        """Note when it happened, by default now."""
        assert self.traces is not None  # noqa: S101
        now = 1000 * time.monotonic() if at_ms is None else at_ms
        if (trace := self.traces.tell(item, now)) is not None:
            self.emit(trace)

    def _apply(self, actions: list[Action]) -> None:
        for action in actions:
            self.emit(action)
            self.trace(action)
            match action:
                case EndOfTurn():
                    self._answer(action)
                case Interrupt():
                    self._interrupted(action)
                case PausePlayback() if self._speaker is not None:
                    self._speaker.pause()
                case ResumePlayback() if self._speaker is not None:
                    self._speaker.resume()
                case JudgeTurn() if self._judge is not None:
                    self._spawn(self._ask_judge(self._judge, action))
                case Discard() if action.reason != "muted":  # that never came into the parts
                    self._parts.clear()

    async def _ask_judge(self, judge: Callable[[JudgeTurn], float], asked: JudgeTurn) -> None:
        try:
            probability = await asyncio.to_thread(judge, asked)
            self.tell(EndProbability(asked.judgement, probability, self.now))
        except Exception as error:
            self.emit(Problem(error))

    def _answer(self, turn: EndOfTurn) -> None:
        self._given = (*self._base, *self._parts.parts)
        self._base = ()
        self._parts.clear()
        self._answering = Answering(
            turn.generation_id, self.conversation, self._say, self, lambda: self.now
        )
        typed: list[Any] = []
        for content, asked in self._typed:
            typed += content
            if not asked.done():
                asked.set_result(turn.generation_id)
        self._typed.clear()
        self._spawn(self._answering.run(self._question(turn, typed)))

    async def _question(self, turn: EndOfTurn, typed: list[Any]) -> Asked | None:
        """What the model is asked; None where nothing was said."""
        text = "\n".join(part for part in typed if isinstance(part, str))
        if self._transcriber is None:
            content = [*self._given, *typed] if typed else self._content(self._given)
            return Asked(turn.generation_id, text, tuple(content))
        said = await self._written(turn)
        text = "\n".join(filter(None, (said, text)))
        content = [said, *typed] if said else typed
        return Asked(turn.generation_id, text, tuple(content)) if content else None

    async def _written(self, turn: EndOfTurn) -> str:
        """What was said, by the transcriber."""
        jobs = [self._jobs[each.start] for each in turn.utterances if each.start in self._jobs]
        pending = not all(job.done() for job in jobs)
        found = await asyncio.gather(*jobs)
        if turn.utterances:
            first = turn.utterances[0].start  # this turn may be reopened, none before it
            self._jobs = {start: job for start, job in self._jobs.items() if start >= first}
        if not pending:
            return turn.text
        # The end of the turn came before its last words were written down.
        return " ".join(one.text.strip() for one in found if one is not None).strip()

    def _interrupted(self, action: Interrupt) -> None:
        if self._answering is not None and self._answering.id == action.generation_id:
            self._answering.cut(forget=action.reason == "reopened")
        if action.reason == "reopened":
            self._base = self._given
        if self._speaker is not None:
            self._speaker.resume()  # what was paused is gone; the next answer is to be heard
        self._prefill()


def _check(
    turns: TurnParams,
    transcriber: Transcriber | None,
    judge: Callable[[JudgeTurn], float] | None,
) -> None:
    """Refuse what would wait for ever for words or a judgement that nobody gives."""
    for name in ("wake_phrase", "min_interrupt_words"):
        if getattr(turns, name) and transcriber is None:
            raise InvalidOptionError(
                "it needs transcripts",
                where=f"TurnParams.{name}",
                hint="Give a transcriber, or leave it out",
            )
    if turns.end_threshold is not None and judge is None:
        raise InvalidOptionError(
            "nobody says how likely a turn is over",
            where="TurnParams.end_threshold",
            hint="Give a judge, such as speech.turns.model.EndOfTurnModel, or leave it out",
        )

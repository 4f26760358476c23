"""Whose turn it is: a pure state machine between the ear, the model and the loudspeaker.

    listening ──EndOfTurn──> answering ──Answered──> listening
        ^                       │  └─speech─> PausePlayback ──too little──> ResumePlayback
        └──────Interrupt────────┴───────────────────┘

It knows no clock, task or device. Time is the index of the ear's samples; what becomes due between
two events happens at its own index, so however time is cut, the same is told.
"""

from __future__ import annotations

from collections.abc import Callable

from mullama_media.audio.config import SegmenterConfig
from mullama_media.errors import InvalidOptionError
from mullama_media.frames import NoAudio, Pause, SpeechEnded, SpeechStarted, Utterance
from mullama_media.speech.turns.events import (
    Action,
    Answered,
    Commit,
    Discard,
    DiscardReason,
    Dropped,
    EndOfTurn,
    EndProbability,
    GenerationEnded,
    Interrupt,
    InterruptReason,
    JudgeTurn,
    Muted,
    MuteEar,
    NoAudioWarning,
    OfGeneration,
    PausePlayback,
    PlaybackEnded,
    PlaybackProgress,
    PlaybackStarted,
    ResumePlayback,
    StopAnswer,
    Transcript,
    TurnEvent,
    Typed,
    Woke,
    index_of,
)
from mullama_media.speech.turns.params import TurnParams
from mullama_media.speech.turns.state import Answer, Ear, Turn
from mullama_media.speech.turns.wake import Wake
from mullama_media.speech.turns.words import is_backchannel, normalized

__all__ = ["TurnTaker"]

_Timer = tuple[int, Callable[[], None]]


class TurnTaker:
    """Tells when the user has finished, when an answer is interrupted, and what came too late.

    Give it everything that happens, in the order it happened: the ear's events to the last, and of
    every generation its tokens and playback under the id that `EndOfTurn` gave. Between events tell
    it with `advance` how far the ear has heard, some ten times a second: silences end in between.
    Do what comes back, in its order. Not thread-safe; never blocks.

    Every utterance is in one `EndOfTurn` (that of a reopened turn repeated, under the same turn id)
    or in one `Discard`; one generation is wanted at a time; ids only grow, from 1.

    Args:
        params: when it is whose turn.
        index_rate: of the ear's indices, in Hz: that of the source.
        segmenter: of the ear; it says how late the ear tells of pauses and ends.
    """

    def __init__(
        self,
        params: TurnParams | None = None,
        index_rate: int = 16_000,
        *,
        segmenter: SegmenterConfig | None = None,
    ) -> None:
        if index_rate <= 0:
            raise InvalidOptionError(f"{index_rate} Hz is not a rate", where="index_rate")
        self.params = params or TurnParams()
        self._rate = index_rate
        segmenter = segmenter or SegmenterConfig()
        self._silence = self._samples(segmenter.silence_ms)
        self._told_pause = self._samples(segmenter.pause_ms or segmenter.silence_ms)
        self._slack = self._samples(10)  # resampling moves indices a little
        self._now = 0
        self._heard = 0  # index up to which there are samples
        self._waited = 0  # for how many more nothing came
        self._warned = False
        self._turn: Turn | None = None
        self._answer: Answer | None = None
        self.ear = Ear()
        self._unmute_at: int | None = None
        self._wake = Wake(self.params, self._samples(self.params.awake_ms))
        self._turn_id = self._generation_id = self._judgement = 0
        self._dropped = 0
        self._actions: list[Action] = []

    def _samples(self, ms: int) -> int:
        return self._rate * ms // 1000

    @property
    def now(self) -> int:
        """Index that everything up to was dealt with."""
        return self._now

    @property
    def speaking(self) -> bool:
        """Whether the user speaks."""
        return self._turn is not None and self._turn.speaking

    @property
    def generation(self) -> int | None:
        """Id of the answer that is wanted now."""
        return None if self._answer is None else self._answer.id

    @property
    def awake(self) -> bool:
        """Whether a turn that begins now needs no wake phrase."""
        return self._is_awake(self._now)

    @property
    def dropped(self) -> int:
        """How many events of generations that were no longer wanted there were."""
        return self._dropped

    def push(self, event: TurnEvent) -> list[Action]:
        """Go on to the event's index, and by the event. One from before `now` counts as at `now`.

        Raises:
            InvalidOptionError: an index at another rate, or an id that was never given. The event
                is left out; what became due until it comes with the next call.
        """
        self._check_rate(event)
        self._reach(index_of(event))
        self._check_id(event)
        self._take(event)
        self._run()
        return self._told()

    def advance(self, now: int) -> list[Action]:
        """The ear has told all there was before index `now`.

        That is what was captured less what waits in its stages, `StreamMetrics.delay_ms`.
        """
        self._reach(now)
        return self._told()

    def starve(self, n: int) -> list[Action]:
        """No sample has come for the time of another `n`. Silences go on, the index does not."""
        self._waited += n
        self._run()
        return self._told()

    def finish(self) -> list[Action]:
        """The ear hears no more: what is being said is a turn as it is, or nothing."""
        if self._turn is not None:
            self._turn.speaking = False
            if self._answer is not None:
                self._not_interrupted("false_interruption")
            elif self._turn.utterances or self._turn.typed:
                self._end_turn()
        self._turn = None
        return self._told()

    def _told(self) -> list[Action]:
        actions, self._actions = self._actions, []
        return actions

    def _check_rate(self, event: TurnEvent) -> None:
        if (rate := getattr(event, "index_rate", self._rate)) != self._rate:
            raise InvalidOptionError(
                f"its indices count at {rate} Hz, not {self._rate} Hz", where=type(event).__name__
            )

    def _check_id(self, event: TurnEvent) -> None:
        asked = given = 0
        if isinstance(event, OfGeneration):
            asked, given = event.generation_id, self._generation_id
        elif isinstance(event, EndProbability):
            asked, given = event.judgement, self._judgement
        if asked > given:
            raise InvalidOptionError(f"{asked} was never given", where=type(event).__name__)

    # Time

    def _reach(self, index: int) -> None:
        if index > self._heard:
            self._heard, self._waited, self._warned = index, 0, False
        self._run()
        self._now = max(self._now, index)

    def _run(self) -> None:
        """Do what is due, the earliest first."""
        horizon = self._heard + self._waited
        while timers := self._timers():
            due, act = min(timers, key=lambda timer: timer[0])
            if due > horizon:
                return
            self._now = max(self._now, min(due, self._heard))
            act()

    def _timers(self) -> list[_Timer]:
        timers: list[_Timer] = []
        if self._unmute_at is not None:
            timers.append((self._unmute_at, self._unmute))
        if self._turn is not None and self._answer is not None:
            timers += self._contest_timers(self._turn, self._answer)
        elif self._turn is not None and not self._turn.speaking:
            timers.append((self._turn_end(self._turn), self._end_turn))
        if self._waited and not self._warned:
            patience = self._samples(self.params.no_audio_timeout_ms)
            timers.append((self._heard + patience, self._warn))
        return timers

    def _warn(self) -> None:
        self._warned = True
        self._actions.append(NoAudioWarning(self._heard))

    # Events

    def _take(self, event: TurnEvent) -> None:
        if isinstance(event, OfGeneration):
            self._of_generation(event)
            return
        match event:
            case SpeechStarted():
                self._speech_started(event)
            case Pause():
                self._pause(event.speech_end)
            case Utterance():
                self._utterance(event)
            case SpeechEnded():
                self._speech_ended()
            case Transcript():
                self._transcript(event)
            case EndProbability():
                if self._turn is not None and self._turn.judgement == event.judgement:
                    self._turn.probability = event.probability
            case NoAudio():
                self._waited = max(self._waited, event.waited)
            case Muted():
                (self.ear.mute if event.muted else self.ear.unmute)("user", self._now)
            case StopAnswer():
                self._interrupt("asked")
            case Commit():
                if self._turn is not None:
                    self._turn.committed = True
            case Typed():
                self._typed()

    def _speech_started(self, event: SpeechStarted) -> None:
        if self.ear.was_mute(event.speech_start):
            return
        if self._turn is None:
            self._turn = self._reopened(event.speech_start) or self._new_turn(event.start)
        self._turn.hear(event.speech_start)

    def _typed(self) -> None:
        self._interrupt("asked")
        if self._turn is None:
            self._turn = self._new_turn(self._now)
            self._turn.speaking, self._turn.voiced_until = False, self._now
        self._turn.typed = self._turn.committed = True

    def _new_turn(self, start: int) -> Turn:
        self._turn_id += 1
        return Turn(self._turn_id, start, began=start, onset=start)

    def _reopened(self, speech_start: int) -> Turn | None:
        """The turn that was answered, if nobody has heard anything of the answer yet."""
        answer = self._answer
        if answer is None or answer.playing or answer.turn.typed or not self.params.resume_ms:
            return None
        if speech_start > answer.ended_turn + self._samples(self.params.resume_ms):
            return None
        self._interrupt("reopened")
        answer.turn.committed = False
        return answer.turn

    def _pause(self, speech_end: int) -> None:
        if self._turn is None or not self._turn.speaking:
            return
        self._turn.paused = True
        self._turn.voiced_until = max(self._turn.voiced_until, speech_end)
        self._interrupt_if_long()

    def _utterance(self, utterance: Utterance) -> None:
        if self.ear.was_mute(utterance.speech_start):
            self._actions.append(Discard((utterance,), "muted", self._now))
            return
        if self._turn is None:  # it began before the ear was no longer mute
            self._turn = self._new_turn(utterance.start)
            self._turn.hear(utterance.speech_start)
        self._turn.add(utterance)
        self._interrupt_if_long()

    def _speech_ended(self) -> None:
        turn = self._turn
        if turn is None or not turn.speaking:
            return
        turn.speaking = False
        if self._answer is not None and self.params.min_interrupt_words and turn.utterances:
            self._weigh_words()
        elif self._answer is not None:
            self._not_interrupted("false_interruption")
        elif turn.utterances:
            self._judge()
        elif not turn.typed:
            self._turn = None

    def _transcript(self, event: Transcript) -> None:
        turn = self._turn
        if turn is None or event.utterance < turn.start:
            turn = self._answer.turn if self._answer is not None else None
        if turn is None or event.utterance < turn.start:
            return
        turn.transcripts[event.utterance] = event
        if turn is not self._turn:
            return
        if self._answer is not None:
            self._weigh_words()
        elif not turn.speaking and event.final:
            self._judge()

    # The end of a turn

    def _judge(self) -> None:
        """Have the model say whether this is a whole turn, as far as it is known now."""
        turn = self._turn
        if turn is None or self.params.end_threshold is None or not self._is_awake(turn.began):
            return
        self._judgement += 1
        turn.judgement, turn.probability = self._judgement, None
        said = tuple(turn.utterances), turn.text
        self._actions.append(JudgeTurn(self._judgement, turn.id, *said, self._now))

    def _turn_end(self, turn: Turn) -> int:
        """Index at which it is over, as things are."""
        if turn.committed:
            return self._now
        silence_ms = turn.silence_ms(self.params, awake=self._is_awake(turn.began))
        return turn.voiced_until + self._samples(silence_ms)

    def _end_turn(self) -> None:
        turn = self._turn
        assert turn is not None  # noqa: S101 - timers of a turn exist only with one
        self._turn = None
        text: str | None = turn.text
        if not turn.typed and turn.speech < self._samples(self.params.min_turn_speech_ms):
            self._discard(turn, "too_short")
            return
        if self.params.wake_phrase and not turn.typed:
            text = self._without_phrase(turn)
        if text is None:
            return
        self._generation_id += 1
        self._answer = Answer(self._generation_id, turn, self._now)
        said = tuple(turn.utterances), text, turn.voiced_until
        self._actions.append(EndOfTurn(turn.id, self._generation_id, *said, self._now))

    def _discard(self, turn: Turn, reason: DiscardReason) -> None:
        self._actions.append(Discard(tuple(turn.utterances), reason, self._now))

    def _without_phrase(self, turn: Turn) -> str | None:
        """The text of a turn without the wake phrase; None if the turn was discarded."""
        text = self._wake.rest(turn)
        if text is None:
            self._discard(turn, "asleep" if turn.transcribed else "no_transcript")
            return None
        if not self._is_awake(turn.began) and not turn.woke:
            turn.woke = True
            self._actions.append(Woke(self._now))
        self._wake.stay(self._now)
        if turn.text and not text:
            self._discard(turn, "wake_phrase")
            return None
        return text

    def _is_awake(self, index: int) -> bool:
        return self._answer is not None or self._wake.at(index)

    # Speech during an answer

    def _contest_timers(self, turn: Turn, answer: Answer) -> list[_Timer]:
        """When speech is long enough to pause the answer, to interrupt it, or was nothing.

        That voice goes on is not told, only that it paused, a while later: it is certain up to that
        while ago, and, after a pause, when the pause did not become an end.
        """
        params = self.params
        if not turn.speaking:
            wait = self._samples(params.false_interrupt_ms)
            return [(turn.voiced_until + wait, lambda: self._not_interrupted("false_interruption"))]
        timers: list[_Timer] = []
        resumed = turn.voiced_until + self._silence + self._slack if turn.paused else 0
        if not answer.paused:
            pause = turn.onset + self._samples(params.pause_after_ms)
            timers.append((max(pause, resumed), self._pause_playback))
        if not params.min_interrupt_words:
            certain = turn.onset + self._samples(params.min_interrupt_ms) + self._told_pause
            timers.append((max(certain, resumed), lambda: self._interrupt("speech")))
        return timers

    def _pause_playback(self) -> None:
        if self._answer is not None:
            self._answer.paused = True
            self._actions.append(PausePlayback(self._answer.id, self._now))

    def _resume_playback(self) -> None:
        if self._answer is not None and self._answer.paused:
            self._answer.paused = False
            self._actions.append(ResumePlayback(self._answer.id, self._now))

    def _interrupt_if_long(self) -> None:
        """Now that the end of the speech so far is known."""
        turn = self._turn
        if turn is None or self._answer is None or self.params.min_interrupt_words:
            return
        if turn.voiced_until - turn.onset >= self._samples(self.params.min_interrupt_ms):
            self._interrupt("speech")

    def _weigh_words(self) -> None:
        """Whether the words of speech during an answer interrupt it, or cannot any more."""
        turn = self._turn
        assert turn is not None  # noqa: S101 - both callers have seen one
        words = normalized(turn.text)
        listening = is_backchannel(words, self.params.backchannels)
        if len(words) >= max(self.params.min_interrupt_words, 1) and not listening:
            self._interrupt("words")
        elif not turn.speaking and turn.transcribed:
            few: DiscardReason = "too_few_words" if words else "false_interruption"
            self._not_interrupted("backchannel" if listening else few)

    def _not_interrupted(self, reason: DiscardReason) -> None:
        turn, self._turn = self._turn, None
        if turn is not None and turn.utterances:
            self._discard(turn, reason)
        self._resume_playback()

    def _interrupt(self, reason: InterruptReason) -> None:
        answer = self._answer
        if answer is not None:
            heard = answer.heard_ms, answer.heard
            self._actions.append(Interrupt(answer.id, answer.turn.id, reason, *heard, self._now))
            self._let_go(answer)

    # Answers

    def _of_generation(self, event: OfGeneration) -> None:
        answer = self._answer
        if answer is None or answer.id != event.generation_id:
            self._dropped += 1
            name = type(event).__name__
            self._actions.append(Dropped(event.generation_id, name, self._now))
            return
        match event:
            case PlaybackStarted():
                self._hear_answer(answer)
            case PlaybackProgress():
                self._hear_answer(answer)
                answer.heard_ms, answer.heard = event.heard_ms, event.text
            case PlaybackEnded():
                self._answered(answer)
            case GenerationEnded() if not event.spoken:
                self._answered(answer)

    def _hear_answer(self, answer: Answer) -> None:
        if answer.playing:
            return
        answer.playing = True
        if self.params.half_duplex:
            self._unmute_at = None
            if self.ear.mute("answer", self._now):
                self._actions.append(MuteEar(True, self._now))

    def _answered(self, answer: Answer) -> None:
        self._resume_playback()  # the device had the rest already; the next one is to be heard
        self._actions.append(
            Answered(answer.id, answer.turn.id, answer.heard_ms, answer.heard, self._now)
        )
        self._let_go(answer)

    def _let_go(self, answer: Answer) -> None:
        """It is over, one way or the other."""
        self._answer = None
        self._wake.stay(self._now)
        if self.params.half_duplex and answer.playing:
            self._unmute_at = self._now + self._samples(self.params.half_duplex_tail_ms)
        if self._turn is not None and not self._turn.speaking:
            self._judge()  # what was said meanwhile is a turn like others

    def _unmute(self) -> None:
        self._unmute_at = None
        self.ear.unmute("answer", self._now)
        self._actions.append(MuteEar(False, self._now))

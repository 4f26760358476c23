"""What a TurnTaker is told beside what the ear tells, and what it tells to do.

Each has its moment as an index of the ear's samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from mullama_media.errors import InvalidOptionError
from mullama_media.frames import (
    DeviceChange,
    Discontinuity,
    NoAudio,
    Partial,
    Pause,
    SpeechEnded,
    SpeechEvent,
    SpeechStarted,
    Utterance,
)

__all__ = [
    "Action",
    "Answered",
    "Commit",
    "Discard",
    "DiscardReason",
    "Dropped",
    "EndOfTurn",
    "EndProbability",
    "GenerationEnded",
    "GenerationStarted",
    "Interrupt",
    "InterruptReason",
    "JudgeTurn",
    "MuteEar",
    "Muted",
    "NoAudioWarning",
    "OfGeneration",
    "PausePlayback",
    "PlaybackEnded",
    "PlaybackProgress",
    "PlaybackStarted",
    "ResumePlayback",
    "StopAnswer",
    "Token",
    "Transcript",
    "TurnEvent",
    "Typed",
    "Woke",
    "index_of",
]


# What it is told


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said in an utterance, as far as it is known. A later one of it takes its place."""

    utterance: int
    """`start` of the utterance"""
    text: str
    at: int
    final: bool = True
    """Whether it will not change any more"""


@dataclass(frozen=True, slots=True)
class EndProbability:
    """What the end-of-turn model says to a `JudgeTurn`."""

    judgement: int
    """Of the `JudgeTurn`"""
    probability: float
    """That the user has finished, 0..1"""
    at: int

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise InvalidOptionError(
                f"{self.probability!r} is not a probability", where="EndProbability"
            )


@dataclass(frozen=True, slots=True)
class GenerationStarted:
    """The prompt is encoded, evaluation goes on."""

    generation_id: int
    at: int


@dataclass(frozen=True, slots=True)
class Token:
    """A token of an answer has come."""

    generation_id: int
    at: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class GenerationEnded:
    """The last token of an answer has come."""

    generation_id: int
    at: int
    spoken: bool = True
    """Whether it is played, so that the answer is over with `PlaybackEnded`; if not it is now"""


@dataclass(frozen=True, slots=True)
class PlaybackStarted:
    """The first sound of an answer is heard."""

    generation_id: int
    at: int


@dataclass(frozen=True, slots=True)
class PlaybackProgress:
    """So much of an answer was heard."""

    generation_id: int
    at: int
    heard_ms: float
    """Milliseconds of its sound that left the loudspeaker"""
    text: str = ""
    """The part of its text that was spoken by then, if that is known"""


@dataclass(frozen=True, slots=True)
class PlaybackEnded:
    """The last sound of an answer was heard: it is over."""

    generation_id: int
    at: int


@dataclass(frozen=True, slots=True)
class Muted:
    """The user muted or unmuted the microphone."""

    muted: bool
    at: int


@dataclass(frozen=True, slots=True)
class StopAnswer:
    """The answer is to stop, by a button rather than by voice."""

    at: int


@dataclass(frozen=True, slots=True)
class Commit:
    """The turn ends with what is being said, without waiting for silence: push to talk."""

    at: int


@dataclass(frozen=True, slots=True)
class Typed:
    """A question was typed: it stops an answer, and is a turn, with what is being said."""

    at: int


OfGeneration: TypeAlias = (
    GenerationStarted | Token | GenerationEnded | PlaybackStarted | PlaybackProgress | PlaybackEnded
)
TurnEvent: TypeAlias = (
    SpeechEvent
    | DeviceChange
    | Transcript
    | EndProbability
    | OfGeneration
    | Muted
    | StopAnswer
    | Commit
    | Typed
)


def index_of(event: TurnEvent) -> int:
    """When it happened, in samples of the ear."""
    match event:
        case SpeechStarted() | Utterance() | SpeechEnded():
            return event.decided
        case Pause() | Partial():
            return event.end
        case Discontinuity():
            return event.at_sample + event.lost
        case NoAudio() | DeviceChange():
            return event.at_sample
    return event.at


# What it tells to do


@dataclass(frozen=True, slots=True)
class JudgeTurn:
    """Ask the end-of-turn model whether this is a whole turn; answer with `EndProbability`."""

    judgement: int
    turn_id: int
    utterances: tuple[Utterance, ...]
    text: str
    """As far as transcripts are there"""
    at: int


@dataclass(frozen=True, slots=True)
class EndOfTurn:
    """The user has finished: generate the answer, under this id.

    A turn that was reopened ends again, with more utterances and another generation.
    """

    turn_id: int
    generation_id: int
    utterances: tuple[Utterance, ...]
    text: str
    """Transcripts joined, without the wake phrase; empty where there are none"""
    speech_end: int
    """Index after the last sample of speech, or of the moment it was typed"""
    at: int


@dataclass(frozen=True, slots=True)
class PausePlayback:
    """Somebody speaks: hold the answer, or do not begin to play it."""

    generation_id: int
    at: int


@dataclass(frozen=True, slots=True)
class ResumePlayback:
    """It was nothing: go on where it was paused."""

    generation_id: int
    at: int


InterruptReason: TypeAlias = Literal["speech", "words", "reopened", "asked"]
"""Speech was long enough; it had words enough; the user goes on with the turn that was answered;
`StopAnswer` or `Typed`."""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Cancel generation and playback of an answer, and drop what of it waits."""

    generation_id: int
    turn_id: int
    """That it answers"""
    reason: InterruptReason
    heard_ms: float
    """As the last `PlaybackProgress` said"""
    heard: str
    """The text that goes with it"""
    at: int


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer is over: it was heard to its end, or written."""

    generation_id: int
    turn_id: int
    heard_ms: float
    heard: str
    at: int


DiscardReason: TypeAlias = Literal[
    "muted",
    "too_short",
    "false_interruption",
    "backchannel",
    "too_few_words",
    "asleep",
    "wake_phrase",
    "no_transcript",
]
"""Why utterances became no turn: said while the ear was mute; less than `min_turn_speech_ms`;
during an answer and too little to interrupt it (no words or no length, backchannels alone, or too
few words); no wake phrase was said, or nothing else, or it is not known."""


@dataclass(frozen=True, slots=True)
class Discard:
    """These utterances are in no turn."""

    utterances: tuple[Utterance, ...]
    reason: DiscardReason
    at: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """Something of a generation that is no longer wanted: do not show or play it."""

    generation_id: int
    what: str
    """Name of the event's class"""
    at: int


@dataclass(frozen=True, slots=True)
class MuteEar:
    """Give the ear silence instead of sound, or sound again (half duplex)."""

    muted: bool
    at: int


@dataclass(frozen=True, slots=True)
class NoAudioWarning:
    """No samples have come for `no_audio_timeout_ms`. Told once, until some come again."""

    at: int
    """Index of the sample that is waited for"""


@dataclass(frozen=True, slots=True)
class Woke:
    """The wake phrase was said."""

    at: int


Action: TypeAlias = (
    JudgeTurn
    | EndOfTurn
    | PausePlayback
    | ResumePlayback
    | Interrupt
    | Answered
    | Discard
    | Dropped
    | MuteEar
    | NoAudioWarning
    | Woke
)

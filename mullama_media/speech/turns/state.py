"""What a TurnTaker remembers: the turn that is spoken, the answer, and when the ear is mute."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from mullama_media.frames import Utterance
from mullama_media.speech.turns.events import Transcript
from mullama_media.speech.turns.params import TurnParams

__all__ = ["Answer", "Ear", "Turn"]


@dataclass(slots=True)
class Turn:
    """What the user says until it is answered or discarded."""

    id: int
    start: int
    """Index of its first sample"""
    began: int
    """Index of its first speech"""
    onset: int
    """Index of the first sample of the speech that goes on, or was last"""
    speaking: bool = True
    voiced_until: int = 0
    """Index after its last speech that is known of"""
    paused: bool = False
    """Whether the last thing known is a pause in the speech"""
    utterances: list[Utterance] = field(default_factory=list)
    transcripts: dict[int, Transcript] = field(default_factory=dict)
    judgement: int | None = None
    """The one whose answer is waited for, or was had"""
    probability: float | None = None
    committed: bool = False
    typed: bool = False
    """Whether a typed question goes with it"""
    woke: bool = False
    """Whether its wake phrase was found"""

    def silence_ms(self, params: TurnParams, *, awake: bool) -> int:
        """That ends it, as things are."""
        silence = params.end_silence_ms
        if self.judgement is not None and (self.probability or 0) < (params.end_threshold or 0):
            silence = params.max_end_silence_ms
        if params.wake_phrase and not awake and not self.transcribed:
            silence += params.transcript_wait_ms
        return silence

    def hear(self, onset: int) -> None:
        """Speech goes on at `onset`."""
        self.speaking, self.paused, self.onset = True, False, onset
        self.judgement = self.probability = None

    def add(self, utterance: Utterance) -> None:
        """It has one more utterance."""
        self.utterances.append(utterance)
        self.voiced_until = max(self.voiced_until, utterance.speech_end)

    @property
    def speech(self) -> int:
        """Samples of speech in its utterances."""
        return sum(each.speech_end - each.speech_start for each in self.utterances)

    @property
    def text(self) -> str:
        """Its transcripts in order."""
        texts = (self.transcripts[start].text.strip() for start in sorted(self.transcripts))
        return " ".join(text for text in texts if text)

    @property
    def transcribed(self) -> bool:
        """Whether there is a final transcript of every utterance."""
        known = {start for start, each in self.transcripts.items() if each.final}
        return all(utterance.start in known for utterance in self.utterances)


@dataclass(slots=True)
class Answer:
    """A generation that is wanted, and its playback."""

    id: int
    turn: Turn
    ended_turn: int
    """Index at which the turn was over"""
    playing: bool = False
    """Whether any of it was heard"""
    paused: bool = False
    heard_ms: float = 0.0
    heard: str = ""


class Ear:
    """When it is mute: for the user's wish, or because an answer plays."""

    def __init__(self) -> None:
        self._causes: set[str] = set()
        self._since = 0
        self._spans: deque[tuple[int, int]] = deque(maxlen=256)  # more than fit in an utterance

    def mute(self, cause: str, now: int) -> bool:
        """From `now` on, until every cause is gone. Gives whether this one is new."""
        new = cause not in self._causes
        if not self._causes:
            self._since = now
        self._causes.add(cause)
        return new

    def unmute(self, cause: str, now: int) -> None:
        """One cause is gone."""
        if self._causes == {cause}:
            self._spans.append((self._since, now))
        self._causes.discard(cause)

    def was_mute(self, index: int) -> bool:
        """Whether it was at that sample."""
        if self._causes and index >= self._since:
            return True
        return any(begin <= index < end for begin, end in self._spans)

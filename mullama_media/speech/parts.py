"""Speech in parts that a model may take while the speaker goes on: a pure state machine.

A `Pause` gives everything said since the last part as a part for now. If nothing follows it, the
utterance is that part, sample for sample, and the model has it already when the silence has become
long enough to be an end. If the speaker goes on, a part that is long enough stays and the next one
begins behind it; a shorter one is taken back, for every part costs an encoder window and a cut.
"""

from __future__ import annotations

from mullama_media.frames import (
    AudioFrame,
    Discontinuity,
    NoAudio,
    Partial,
    Pause,
    SpeechEnded,
    SpeechEvent,
    SpeechStarted,
    Utterance,
)
from mullama_media.options import option, options

__all__ = ["PartParams", "SpeechParts"]


@options
class PartParams:
    """How speech is cut for a model that listens while it is spoken."""

    while_speaking: bool = option(
        default=True, doc="Give parts at pauses; otherwise whole utterances alone."
    )
    min_part_ms: int = option(
        default=8000,
        doc="Speech between two pauses that stays a part of its own when the speaker goes on. What "
        "is shorter is encoded again with what follows.",
        ge=0,
        le=28_000,
    )


class SpeechParts:
    """The recordings that are a turn so far. Fed with the ear's events in order; not thread-safe.

    `parts` are the turn: those at its beginning stay the same objects for as long as they stay.
    Their samples joined are those of the turn's utterances, once these are there, but for silence
    behind a pause that nothing followed.
    """

    def __init__(self, params: PartParams | None = None) -> None:
        self._params = params or PartParams()
        self.clear()

    def clear(self) -> None:
        """The next event begins another turn."""
        self._stay: list[AudioFrame] = []
        self._last: AudioFrame | None = None  # as of the last pause
        self._taken = 0  # samples of this speech in `_stay`
        self._before = 0  # samples of this speech in utterances that ended
        self._ended_at: int | None = None  # index after the last of those
        self._speech_end: int | None = None  # as of the last pause
        self._open = False  # speech goes on behind the last utterance

    @property
    def parts(self) -> tuple[AudioFrame, ...]:
        """The turn as far as it can be given: before the first pause nothing."""
        return (*self._stay, *([self._last] if self._last is not None else []))

    @property
    def whole(self) -> bool:
        """Whether `parts` hold everything that was said, as far as is known."""
        return not self._open

    def push(self, event: SpeechEvent) -> bool:
        """Take one event; whether `parts` changed by it."""
        before = self.parts
        if isinstance(event, SpeechStarted):
            self._keep_last()
            self._taken = self._before = 0
            self._ended_at = self._speech_end = None
            self._open = True
        elif isinstance(event, Pause):
            if self._params.while_speaking:
                self._pause(event)
        elif isinstance(event, Utterance):
            self._utterance(event)
        elif isinstance(event, SpeechEnded):
            self._open = False
        elif not isinstance(event, (Discontinuity, NoAudio, Partial)):
            raise TypeError(f"{type(event).__name__} is no event of speech")
        after = self.parts
        return len(after) != len(before) or any(
            a is not b for a, b in zip(after, before, strict=True)
        )

    def _pause(self, pause: Pause) -> None:
        if self._last is not None and self._last.duration_ms >= self._params.min_part_ms:
            self._keep_last()
        self._last = self._behind(pause)
        self._speech_end = pause.speech_end

    def _utterance(self, utterance: Utterance) -> None:
        end = self._before + utterance.samples.size
        held = self._taken + (self._last.samples.size if self._last is not None else 0)
        # Where no speech follows the last pause its part is the utterance, but for silence; where
        # more is held, speech was split before the pause.
        if utterance.speech_end != self._speech_end and held < end:
            if self._last is not None and self._last.duration_ms >= self._params.min_part_ms:
                self._keep_last()
            self._last = self._behind(utterance)
        self._keep_last()
        self._before = end
        self._ended_at = utterance.end

    def _behind(self, event: Pause | Utterance) -> AudioFrame | None:
        """What of it is in no part yet."""
        if self._ended_at is not None and event.start > self._ended_at:  # silence was left out
            skipped = event.start - self._ended_at
            self._before += round(skipped * event.sample_rate / event.index_rate)
            self._ended_at = event.start
        fresh = event.samples[max(0, self._taken - self._before) :]
        self._taken = max(self._taken, self._before)
        if not fresh.size:
            return None
        return AudioFrame(fresh, event.sample_rate, f"speech at {event.start}")

    def _keep_last(self) -> None:
        if self._last is not None:
            self._stay.append(self._last)
            self._taken += self._last.samples.size
            self._last = None

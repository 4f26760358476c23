"""Where the time between a question and its answer goes.

    speech_end ─> end_of_turn ─> encoded ─> first_token ─> first_audio ─> done

The first step is sound and counted in samples; the others are work and counted on a clock, whose
readings the caller gives. Every latency is counted from the last sample of speech, with the silence
that had to be waited for in it.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import IO, Literal

import numpy as np

from mullama_media.errors import InvalidOptionError
from mullama_media.speech.turns.events import (
    Action,
    Answered,
    EndOfTurn,
    GenerationEnded,
    GenerationStarted,
    Interrupt,
    PlaybackStarted,
    Token,
    TurnEvent,
)

__all__ = ["TraceLog", "TurnTrace"]

LATENCIES = (
    "end_of_turn_delay_ms",
    "encode_ms",
    "first_token_ms",
    "first_audio_ms",
    "done_ms",
)
"""What a `TurnTrace` says about speed, in the order it happens."""


@dataclass(frozen=True, slots=True)
class TurnTrace:
    """One turn and its answer. Readings of the clock are None where it never got so far."""

    turn_id: int
    generation_id: int
    index_rate: int
    """Hertz that the indices count in"""
    speech_end: int
    """Index after the last sample of speech"""
    end_of_turn: int
    """Index at which the turn was over"""
    end_of_turn_at_ms: float
    """When `EndOfTurn` was told, by the caller's clock, as all that end in `_at_ms`"""
    encoded_at_ms: float | None = None
    """`GenerationStarted`"""
    first_token_at_ms: float | None = None
    first_audio_at_ms: float | None = None
    """`PlaybackStarted`"""
    generated_at_ms: float | None = None
    """`GenerationEnded`"""
    done_at_ms: float | None = None
    """`Answered` or `Interrupt`"""
    outcome: Literal["open", "answered", "speech", "words", "reopened", "asked"] = "open"
    """Answered, or why it was interrupted"""
    tokens: int = 0

    @property
    def end_of_turn_delay_ms(self) -> float:
        """From the last sample of speech to the end of the turn: silence waited for."""
        return 1000 * (self.end_of_turn - self.speech_end) / self.index_rate

    @property
    def encode_ms(self) -> float | None:
        """From the end of the turn to the prompt being encoded."""
        return None if self.encoded_at_ms is None else self.encoded_at_ms - self.end_of_turn_at_ms

    @property
    def first_token_ms(self) -> float | None:
        """From the last sample of speech to the first token."""
        return self._since_speech(self.first_token_at_ms)

    @property
    def first_audio_ms(self) -> float | None:
        """From the last sample of speech to the first sound of the answer: what a user waits."""
        return self._since_speech(self.first_audio_at_ms)

    @property
    def done_ms(self) -> float | None:
        """From the last sample of speech to the end of the answer."""
        return self._since_speech(self.done_at_ms)

    def _since_speech(self, at_ms: float | None) -> float | None:
        if at_ms is None:
            return None
        return self.end_of_turn_delay_ms + at_ms - self.end_of_turn_at_ms

    def to_json(self) -> str:
        """One line: every field, and every latency."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return json.dumps(values | {name: getattr(self, name) for name in LATENCIES})


class TraceLog:
    """Traces of turns, made from what a TurnTaker is told and tells. Not thread-safe.

        for action in taker.push(event):
            log.tell(action, clock_ms)
        log.tell(event, clock_ms)

    Args:
        index_rate: of the ear's indices, in Hz.
        lines: where every trace is written as a line of JSON when its answer is over.
        keep: how many of the last ones are kept.
    """

    def __init__(
        self, index_rate: int, *, lines: IO[str] | None = None, keep: int = 10_000
    ) -> None:
        self._rate = index_rate
        self._lines = lines
        self._open: TurnTrace | None = None
        self._done: deque[TurnTrace] = deque(maxlen=keep)

    def tell(self, item: TurnEvent | Action, at_ms: float) -> TurnTrace | None:
        """Note what has to do with speed; the trace, once it is complete.

        Args:
            item: an event or action. Those of other generations are passed over.
            at_ms: when it happened, in milliseconds of any clock that does not go back.
        """
        if isinstance(item, EndOfTurn):
            self._open = TurnTrace(
                item.turn_id, item.generation_id, self._rate, item.speech_end, item.at, at_ms
            )
            return None
        trace = self._open
        if trace is None or getattr(item, "generation_id", None) != trace.generation_id:
            return None
        self._open = trace = _noted(trace, item, at_ms)
        if trace.outcome == "open":
            return None
        self._open = None
        self._done.append(trace)
        if self._lines is not None:
            self._lines.write(trace.to_json() + "\n")
        return trace

    @property
    def traces(self) -> tuple[TurnTrace, ...]:
        """Those that are complete, oldest first."""
        return tuple(self._done)

    def percentiles(self, latency: str, of: Iterable[float] = (50, 95)) -> tuple[float, ...]:
        """Percentiles of one latency, in ms, over the turns that got so far; nan if none did.

        Args:
            latency: a name in `LATENCIES`.
            of: which, 0..100; between two values they are interpolated.

        Raises:
            InvalidOptionError: there is no such latency.
        """
        if latency not in LATENCIES:
            raise InvalidOptionError(
                f"there is no latency {latency!r}", hint=f"There are: {', '.join(LATENCIES)}"
            )
        values = [getattr(trace, latency) for trace in self._done]
        known = [value for value in values if value is not None]
        if not known:
            return tuple(float("nan") for _ in of)
        return tuple(float(value) for value in np.percentile(known, list(of)))

    def __str__(self) -> str:
        rows = [f"{'ms':22}{'p50':>8}{'p95':>8}"]
        for name in LATENCIES:
            half, most = self.percentiles(name)
            rows.append(f"{name.removesuffix('_ms'):22}{half:8.0f}{most:8.0f}")
        return "\n".join(rows)


def _noted(trace: TurnTrace, item: TurnEvent | Action, at_ms: float) -> TurnTrace:
    match item:
        case GenerationStarted():  # the last one told knows best
            return replace(trace, encoded_at_ms=at_ms)
        case Token():
            first = at_ms if trace.first_token_at_ms is None else trace.first_token_at_ms
            return replace(trace, first_token_at_ms=first, tokens=trace.tokens + 1)
        case PlaybackStarted() if trace.first_audio_at_ms is None:
            return replace(trace, first_audio_at_ms=at_ms)
        case GenerationEnded():
            return replace(trace, generated_at_ms=at_ms)
        case Answered():
            return replace(trace, done_at_ms=at_ms, outcome="answered")
        case Interrupt():
            return replace(trace, done_at_ms=at_ms, outcome=item.reason)
    return trace

"""Traces: where the time of a turn went."""

import io
import json
import math

import numpy as np
import pytest

from mullama_media.errors import InvalidOptionError
from mullama_media.speech.turns import (
    Answered,
    Dropped,
    EndOfTurn,
    GenerationEnded,
    GenerationStarted,
    Interrupt,
    PlaybackStarted,
    Token,
    TraceLog,
)

RATE = 16_000


def run(log, n=1, wait=8000, steps=(40, 90, 240, 700, 1500)):
    """A turn whose end was told at 1000 ms, and what came after it."""
    log.tell(EndOfTurn(n, n, (), "", 16_000, 16_000 + wait), 1000)
    encoded, token, audio, generated, done = (1000 + step for step in steps)
    log.tell(GenerationStarted(n, 0), encoded)
    log.tell(Token(n, 0), token)
    log.tell(Token(n, 0), token + 10)
    log.tell(PlaybackStarted(n, 0), audio)
    log.tell(PlaybackStarted(n, 0), audio + 500)
    log.tell(GenerationEnded(n, 0), generated)
    return log.tell(Answered(n, n, 1.0, "", 0), done)


def test_every_latency_counts_from_the_last_sample_of_speech():
    trace = run(TraceLog(RATE))
    assert trace.end_of_turn_delay_ms == 500
    assert (trace.encode_ms, trace.first_token_ms) == (40, 590)
    assert (trace.first_audio_ms, trace.done_ms) == (740, 2000)
    assert (trace.tokens, trace.outcome, trace.generated_at_ms) == (2, "answered", 1700)


def test_what_never_came_has_no_latency_and_other_generations_do_not_count():
    log = TraceLog(RATE)
    assert log.tell(Token(1, 0), 5) is None
    log.tell(EndOfTurn(2, 7, (), "", 0, 1600), 1000)
    log.tell(Token(6, 0), 1010)
    log.tell(Dropped(6, "Token", 0), 1011)
    log.tell(Token(7, 0), 1200)
    trace = log.tell(Interrupt(7, 2, "words", 0.0, "", 0), 1300)
    assert (trace.outcome, trace.tokens, trace.first_token_ms) == ("words", 1, 300)
    assert trace.encode_ms is trace.first_audio_ms is None
    assert log.tell(Token(7, 0), 1400) is None
    assert math.isnan(log.percentiles("encode_ms")[0])


def test_percentiles_are_those_of_numpy():
    log = TraceLog(RATE)
    waits = np.random.default_rng(0).integers(100, 20_000, 41)
    for n, wait in enumerate(waits, 1):
        run(log, n, int(wait))
    delays = 1000 * waits / RATE
    assert log.percentiles("end_of_turn_delay_ms") == pytest.approx(np.percentile(delays, [50, 95]))
    assert log.percentiles("first_audio_ms", [90]) == pytest.approx(np.percentile(delays, 90) + 240)
    shown = str(log).splitlines()
    assert shown[0].split() == ["ms", "p50", "p95"]
    assert shown[1].split()[1] == f"{np.median(delays):.0f}"
    with pytest.raises(InvalidOptionError, match="There are: end_of_turn_delay_ms"):
        log.percentiles("speed")


def test_every_trace_is_a_line_of_json_and_the_last_ones_are_kept():
    lines = io.StringIO()
    log = TraceLog(RATE, lines=lines, keep=2)
    for n in (1, 2, 3):
        run(log, n)
    assert [trace.turn_id for trace in log.traces] == [2, 3]
    first, *_ = map(json.loads, lines.getvalue().splitlines())
    assert (first["turn_id"], first["speech_end"], first["outcome"]) == (1, 16_000, "answered")
    assert (first["first_audio_ms"], first["first_audio_at_ms"]) == (740, 1240)
    assert lines.getvalue().count("\n") == 3

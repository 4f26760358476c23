"""The scripted device: every trouble of a real one, the same each time."""

import numpy as np
import pytest

from mullama_media.errors import InvalidOptionError
from mullama_media.frames import AudioChunk, AudioFormat, DeviceChange, Discontinuity
from mullama_media.testing import (
    Burst,
    Die,
    ManualClock,
    Overflow,
    Pause,
    Play,
    Revive,
    ScriptedSource,
    Skip,
)

FORMAT = AudioFormat(16000, 1, "int16")
SECOND = np.arange(16000, dtype=np.int16)


def shape_of(items):
    """Chunks that join are one; (kind, index, length)."""
    out = []
    for item in items:
        if isinstance(item, AudioChunk):
            if out and out[-1][0] == "play" and sum(out[-1][1:]) == item.at_sample:
                out[-1] = ("play", out[-1][1], out[-1][2] + len(item.samples))
            else:
                out.append(("play", item.at_sample, len(item.samples)))
        elif isinstance(item, Discontinuity):
            out.append((item.reason, item.at_sample, item.lost))
        else:
            out.append(("back" if item.connected else "gone", item.at_sample, 0))
    return out


def run(*script, **options):
    return shape_of(ScriptedSource(script, FORMAT, **options))


def test_a_flagged_overflow_is_told_where_it_happened():
    # The device's clock is known after a second, so the size of the loss is too.
    play = (Play(SECOND), Play(SECOND), Overflow(lost=480), Play(SECOND))
    assert run(*play) == [("play", 0, 32000), ("device", 32000, 480), ("play", 32480, 16000)]
    early = run(Play(SECOND[:320]), Overflow(lost=480), Play(SECOND[:320]))
    assert early == [("play", 0, 320), ("device", 320, 0), ("play", 320, 320)]


def test_a_silent_loss_is_found_within_two_seconds():
    found = run(*[Play(SECOND)] * 3, Skip(lost=8000), *[Play(SECOND)] * 3)
    (_, _, before), (kind, at, lost), (_, _, after) = found
    assert (kind, lost) == ("device", 8000)
    assert 48000 <= at <= 48000 + 32000
    assert before + after == 6 * 16000


def test_a_burst_longer_than_the_buffer_is_an_overrun():
    found = run(Play(SECOND[:320]), Burst(np.tile(SECOND, 2)), buffer_ms=500)
    assert [kind for kind, _, _ in found] == ["play", "overrun", "play"]
    assert sum(n for _, _, n in found) == 32320
    assert run(Pause(50.0), Burst(SECOND), buffer_ms=1500) == [("play", 0, 16000)]


def test_death_and_return_are_told_around_the_loss():
    found = run(Play(SECOND[:640]), Die(), Revive(after_ms=250), Play(SECOND[:320]))
    assert found == [
        ("play", 0, 640),
        ("gone", 640, 0),
        ("device", 640, 4000),
        ("back", 4640, 0),
        ("play", 4640, 320),
    ]
    events = [e for e in ScriptedSource([Die("pulled out")], FORMAT) if isinstance(e, DeviceChange)]
    assert [(e.connected, e.why) for e in events] == [(False, "pulled out")]


def test_a_clock_decides_when():
    clock = ManualClock()
    source = ScriptedSource([Play(SECOND)], FORMAT, clock=clock).open()
    assert source.read(0) is None
    clock.advance(19.9)
    assert source.read(0) is None
    clock.advance(0.1)
    assert len(source.read(0).samples) == 320
    clock.advance(980)
    assert sum(len(item.samples) for item in iter(lambda: source.read(0), None)) == 16000 - 320
    clock.advance(1)
    assert source.read(0) is None
    assert source.ended


def test_a_reader_that_stalls_is_an_overrun():
    clock = ManualClock(100.0)
    source = ScriptedSource([Play(np.tile(SECOND, 5))], FORMAT, clock=clock, buffer_ms=1000).open()
    clock.advance(40)
    assert source.read(0).at_sample == 0
    clock.advance(6000)
    items = list(source)
    gap = next(item for item in items if isinstance(item, Discontinuity))
    meter = source.meter
    assert gap.lost == meter.overrun > 0
    assert meter.delivered + meter.overrun == meter.written == 80_000
    assert items[-1].end_sample == 80_000


def test_time_does_not_go_back():
    with pytest.raises(InvalidOptionError):
        ManualClock().advance(-1)

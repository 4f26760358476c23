"""The ring to a loudspeaker, from Python; `ext/tests/playback_test.cpp` has what it does inside."""

import threading
import time

import numpy as np
import pytest

from mullama_media.audio.playback import PlaybackRing
from mullama_media.errors import InvalidOptionError

RATE = 16_000


def ring(**options):
    return PlaybackRing(RATE, **{"dtype": "float32", "capacity_ms": 100, "fade_ms": 0, **options})


def ones(n, value=0.5):
    return np.full(n, value, np.float32)


def test_what_does_not_fit_is_not_taken():
    playback = ring()
    speech = playback.begin()
    assert playback.write(speech, ones(1500)) == 1500
    assert playback.write(speech, ones(1500)) == 100
    assert playback.write(speech, ones(1500)) == 0
    playback.stop()
    assert playback.write(speech, ones(1)) is None


def test_the_device_gets_its_dtype_and_channels():
    playback = ring(dtype="int16", channels=2)
    playback.write(playback.begin(), ones(3))
    out = playback.render(5, at_ns=0)
    assert out.dtype == np.int16
    assert out.tolist() == [[16384] * 2] * 3 + [[0] * 2] * 2


@pytest.mark.parametrize("what", ["room", "played", "settled"])
def test_who_waits_wakes_when_it_is_time(what):
    playback = ring()
    speech = playback.begin()
    playback.write(speech, ones(1600))
    epoch = playback.stop() if what == "settled" else 0
    waits = {
        "room": lambda: playback.wait_room(speech, 100, 0.05),
        "played": lambda: playback.wait_played(speech, 100, 0.05),
        "settled": lambda: playback.wait_settled(epoch, 0.05),
    }
    assert not waits[what]()
    device = threading.Timer(0.02, lambda: playback.render(160, at_ns=0))
    device.start()
    end = time.monotonic() + 10
    while not waits[what]() and time.monotonic() < end:
        pass
    assert waits[what]()
    device.join()


def test_the_meter_adds_up():
    playback = ring()
    playback.write(playback.begin(), ones(1000))
    playback.render(400, at_ns=0, latency_ns=20_000_000, underflow=True)
    playback.stop()
    playback.render(160, at_ns=0)
    playback.write(playback.begin(), ones(50))
    meter = playback.meter
    assert (meter.written, meter.played, meter.dropped, meter.backlog) == (1050, 400, 600, 50)
    assert (meter.buffers, meter.device_flags, meter.underruns) == (2, 1, 0)
    assert 0 < meter.mean_buffer_us <= meter.max_buffer_us


def test_other_samples_and_sizes_are_refused():
    playback = ring()
    for wrong in (np.zeros(4), np.zeros((4, 1), np.float32)):
        with pytest.raises(TypeError):
            playback.write(playback.begin(), wrong)
    for options in ({"channels": 0}, {"channels": 65}, {"dtype": "int24"}, {"capacity_ms": 1e12}):
        with pytest.raises(InvalidOptionError):
            ring(**options)

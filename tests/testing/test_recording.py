"""A loudspeaker in virtual time: the contract of the real one, 50 times as fast."""

import threading
import time

import numpy as np
import pytest

from mullama_media.errors import AudioDeviceError
from mullama_media.testing import ManualClock, RecordingSpeaker

RATE = 16_000
BLOCK = 160  # 10 ms
FADE = 80  # 5 ms


def wave(n, seed=0):
    return np.random.default_rng(seed).uniform(0.25, 0.9, n).astype(np.float32)


@pytest.fixture
def clock():
    return ManualClock()


def test_the_clock_plays(clock):
    with RecordingSpeaker(clock, latency_ms=30) as speaker:
        speech = speaker.begin()
        speech.write(wave(4000))
        speech.finish()
        assert speech.played.handed == 0
        clock.advance(95)  # buffers at 0, 10, ... 90 ms
        assert speech.played.handed == 10 * BLOCK
        assert speech.played.heard == 65 * RATE // 1000
        clock.advance(1000)
        played = speech.played
        assert played.complete
        assert played.handed == played.heard == 4000
        np.testing.assert_array_equal(speaker.recording[:4000], wave(4000))
        assert not speaker.recording[4000:].any()
        assert len(speaker.recording) == 110 * BLOCK
        assert speaker.meter.underruns == 0
        speaker.stop()


def test_a_stop_is_exact_and_the_next_speech_is_on_time(clock):
    with RecordingSpeaker(clock) as speaker:
        speech = speaker.begin()
        speech.write(wave(RATE))
        clock.advance(205)
        played = speaker.stop()
        assert played == speech.played
        assert (played.handed, played.written) == (21 * BLOCK + FADE, RATE)
        assert played.seconds == pytest.approx(0.215)
        assert not played.complete
        assert not speech.write(wave(10))
        speaker.write(wave(1000, 1))
        clock.advance(500)
        start = 22 * BLOCK  # the stop took the buffer of 210 ms
        np.testing.assert_array_equal(speaker.recording[start : start + 1000], wave(1000, 1))
        sound = speaker.recording[21 * BLOCK : start]
        assert np.all(np.diff(sound[:FADE] / wave(RATE)[21 * BLOCK :][:FADE]) < 0)
        assert not sound[FADE:].any()


def test_pause_and_resume_lose_and_repeat_nothing(clock):
    with RecordingSpeaker(clock, fade_ms=0) as speaker:
        speech = speaker.begin()
        speech.write(wave(RATE))
        clock.advance(95)
        speaker.pause()
        clock.advance(500)
        assert speech.played.handed == 10 * BLOCK
        speaker.resume()
        clock.advance(2000)
        sound = speaker.recording
        np.testing.assert_array_equal(sound[sound != 0], wave(RATE))
        assert np.flatnonzero(np.diff((sound != 0).astype(int))).tolist() == [
            10 * BLOCK - 1,
            60 * BLOCK - 1,
            RATE + 50 * BLOCK - 1,
        ]
        speaker.stop()


def test_a_stop_tells_of_the_speech_that_was_playing(clock):
    with RecordingSpeaker(clock) as speaker:
        assert speaker.stop().speech == 0
        first, second = speaker.begin(), speaker.begin()
        first.write(wave(1600))
        first.finish()
        second.write(wave(8000))
        clock.advance(195)
        played = speaker.stop()
        assert played.speech == second.number
        assert first.played.complete
        assert played.handed == 20 * BLOCK - 1600 + FADE
        third = speaker.begin()
        third.write(wave(8000))
        fourth = speaker.begin()
        fourth.write(wave(8000))
        clock.advance(100)
        assert speaker.stop().speech == third.number
        assert fourth.played.handed == 0


def test_without_a_clock_it_plays_as_fast_as_it_is_waited_for():
    began = time.monotonic()
    with RecordingSpeaker(latency_ms=40, buffer_ms=100) as speaker:
        speech = speaker.begin(8000)
        speech.write(wave(80_000))  # 10 s through a buffer of 0.1 s
        played = speech.drain()
    assert played.complete
    assert played.seconds == pytest.approx(10)
    assert time.monotonic() - began < 5


def test_other_threads_wait_in_virtual_time(clock):
    with RecordingSpeaker(clock, buffer_ms=200) as speaker:
        results = []

        def speak():
            speech = speaker.begin()
            speech.write(wave(3 * RATE))
            results.append(speech.drain())

        speaking = threading.Thread(target=speak)
        speaking.start()
        began = time.monotonic()
        while speaking.is_alive() and time.monotonic() - began < 20:
            clock.advance(10)
            time.sleep(0.0002)
        assert results[0].complete
        np.testing.assert_array_equal(speaker.recording[speaker.recording != 0], wave(3 * RATE))


def test_what_is_closed_says_so(clock):
    speaker = RecordingSpeaker(clock)
    speaker.open()
    speech = speaker.begin()
    speaker.close()
    speaker.close()
    with pytest.raises(AudioDeviceError, match=r"closed|finished"):
        speech.write(wave(10))

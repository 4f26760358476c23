"""A source read on a thread: the same events as the chain gives, whatever the reader does."""

import asyncio
import dataclasses
import gc
import threading
import time

import numpy as np
import pytest

from mullama_media.audio.chain import Chain
from mullama_media.audio.config import AudioStreamConfig
from mullama_media.errors import AudioDeviceError, MediaError
from mullama_media.frames import DeviceChange, Discontinuity, NoAudio, Utterance
from mullama_media.speech import StreamingAudioProcessor
from mullama_media.testing import Die, ManualClock, Pause, Play, Revive, ScriptedSource, Skip
from tests.audio.signals import RATE, talk

RAW = AudioStreamConfig.preset("raw")
TALK = talk(0.5, 1.0, 1.0, 0.7, 1.2)


def source(*script):
    return ScriptedSource(script or [Play(TALK)])


def plain(event):
    """An event as something that can be compared."""
    fields = {f.name: getattr(event, f.name) for f in dataclasses.fields(event)}
    fields = {k: v.tobytes() if isinstance(v, np.ndarray) else v for k, v in fields.items()}
    return type(event).__name__, fields


def expected(samples=TALK, config=RAW):
    chain = Chain(config, RATE)
    return [plain(event) for event in (*chain.push(samples), *chain.finish())]


def test_it_tells_what_the_chain_tells():
    got = [plain(event) for event in StreamingAudioProcessor(source(), RAW)]
    assert [kind for kind, _ in got].count("Utterance") == 2
    assert got == expected()


def test_asyncio_reads_the_same():
    async def main():
        async with StreamingAudioProcessor(source(), RAW) as ear:
            return [plain(event) async for event in ear]

    assert asyncio.run(main()) == expected()


def test_utterances_alone():
    def spans(utterances):
        return [(u.start, u.end) for u in utterances]

    got = spans(StreamingAudioProcessor(source(), RAW).utterances())

    async def main():
        ear = StreamingAudioProcessor(source(), RAW)
        return [utterance async for utterance in ear.utterances_async()]

    assert spans(asyncio.run(main())) == got
    assert len(got) == 2


def test_a_reader_that_is_away_loses_nothing_and_bounds_what_waits():
    ear = StreamingAudioProcessor(source(), RAW, max_events=2).start()
    time.sleep(0.3)
    assert ear.metrics.waiting == 2
    assert [plain(event) for event in ear] == expected()


def test_a_stalled_reader_makes_the_ring_drop_and_every_frame_is_counted():
    clock = ManualClock()
    samples = np.tile(TALK, 4)
    late = ScriptedSource([Play(samples)], clock=clock, buffer_ms=500)
    ear = StreamingAudioProcessor(late, RAW, max_events=1).start()
    clock.advance(1000 * len(samples) / RATE + 1000)
    events = list(ear)
    lost = sum(event.lost for event in events if isinstance(event, Discontinuity))
    assert lost > 0
    assert ear.metrics.samples + lost == len(samples)
    assert ear.metrics.lost == lost
    assert ear.metrics.gaps == sum(isinstance(event, Discontinuity) for event in events)


def test_stop_tells_what_was_heard_until_then():
    clock = ManualClock()
    ear = StreamingAudioProcessor(ScriptedSource([Play(TALK)], clock=clock), RAW, max_events=1)
    with ear:
        clock.advance(1200)  # in the middle of the first utterance, and nobody reads
        while ear.metrics.samples < 1.1 * RATE:
            time.sleep(0.01)
    assert not ear.running
    last = [event for event in ear if isinstance(event, Utterance)]
    assert [event.ended_by for event in last] == ["end"]


def test_gaps_and_devices_come_in_the_order_of_their_samples():
    half = len(TALK) // 2
    script = [Play(TALK[:half]), Die("unplugged"), Revive(500), Play(TALK[half:])]
    events = list(StreamingAudioProcessor(source(*script), RAW))
    changes = [event for event in events if isinstance(event, DeviceChange)]
    assert [change.connected for change in changes] == [False, True]
    gap = next(event for event in events if isinstance(event, Discontinuity))
    assert (gap.at_sample, gap.lost) == (half, RATE // 2)
    starts = [event.start for event in events if isinstance(event, Utterance)]
    assert starts == sorted(starts)
    assert starts[-1] >= half + RATE // 2  # the pre-roll ends at the gap


def test_a_device_that_falls_silent_is_noticed():
    config = dataclasses.replace(RAW, segmenter=dataclasses.replace(RAW.segmenter, no_audio_ms=200))
    clock = ManualClock()
    quiet = ScriptedSource([Play(TALK[:RATE]), Pause(60_000)], clock=clock)
    with StreamingAudioProcessor(quiet, config) as ear:
        clock.advance(1500)
        event = next(event for event in ear if isinstance(event, NoAudio))
    assert event.waited >= RATE // 5


def test_a_stream_starts_again_with_a_function_that_makes_its_source():
    ear = StreamingAudioProcessor(lambda: source(), RAW)
    once = [plain(event) for event in ear]
    assert [plain(event) for event in ear] == once
    single = StreamingAudioProcessor(source(), RAW)
    list(single)
    with pytest.raises(AudioDeviceError, match="begin twice"):
        single.start()


def test_an_error_reaches_the_reader_behind_what_was_heard():
    broken = np.concatenate([TALK, np.full(400, np.nan, np.float32)])
    ear = StreamingAudioProcessor(source(Play(broken)), RAW)
    events = []
    with pytest.raises(MediaError):  # noqa: PT012 - what came before the error counts
        for event in ear:
            events.append(event)  # noqa: PERF402
    assert sum(isinstance(event, Utterance) for event in events) >= 1
    assert not ear.running


def test_dropping_it_ends_its_thread():
    clock = ManualClock()
    ear = StreamingAudioProcessor(ScriptedSource([Pause(60_000)], clock=clock), RAW).start()
    before = threading.active_count()
    del ear
    gc.collect()
    for _ in range(300):
        if threading.active_count() < before:
            return
        time.sleep(0.01)
    pytest.fail("its thread is still there")


def test_metrics():
    ear = StreamingAudioProcessor(source(Play(TALK), Skip(0)))
    assert ear.metrics.sound is None
    utterances = list(ear.utterances())
    metrics = ear.metrics
    assert metrics.samples == len(TALK)
    assert metrics.utterances == len(utterances)
    assert 0 < metrics.latency_ms <= metrics.latency_max_ms
    assert 0 < metrics.real_time_factor < 1
    assert 0.2 < metrics.sound.voice_ratio < 0.8

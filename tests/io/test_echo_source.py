"""A source without the echo: a source like others, that does not hear itself."""

import asyncio

import numpy as np
import pytest

from mullama_media.audio.echo import EchoCanceller, EchoConfig
from mullama_media.errors import InvalidOptionError
from mullama_media.frames import AudioChunk, AudioFormat, DeviceChange, Discontinuity, Utterance
from mullama_media.io import EchoCancelled
from mullama_media.speech import StreamingAudioProcessor
from mullama_media.testing import Die, Overflow, Play, Revive, ScriptedSource, Skip
from tests.audio.signals import RATE
from tests.audio.test_echo import FAR, HISS, chunk, echo_of

NEAR = 0.3 * echo_of(FAR) + 10 * HISS


def microphone(samples=NEAR, **options):
    pcm = np.rint(np.clip(samples, -1, 1) * 32767).astype(np.int16)
    return ScriptedSource([Play(pcm)], AudioFormat(RATE, 1, "int16"), **options), pcm


def test_it_gives_what_the_stage_gives_every_sample_once():
    source, pcm = microphone(block_ms=17)
    ear = EchoCancelled(source)
    ear.played(chunk(FAR))
    items = list(ear)
    assert [item.at_sample for item in items[1:]] == [item.end_sample for item in items[:-1]]
    stage = EchoCanceller(EchoConfig(), RATE)
    stage.played(chunk(FAR))
    want = np.concatenate([stage.process(pcm.astype(np.float32) / 32768), stage.flush()])
    np.testing.assert_array_equal(np.concatenate([item.samples[:, 0] for item in items]), want)
    assert (ear.ended, ear.late, ear.read()) == (True, 0, None)
    assert {item.format for item in items} == {AudioFormat(RATE)}


def test_the_ear_does_not_hear_what_is_played():
    def heard(played):
        ear = EchoCancelled(microphone()[0])
        if played:
            ear.played(chunk(FAR))
        with StreamingAudioProcessor(ear) as stream:
            found = list(stream.utterances())
        return [u for u in found if u.speech_start > RATE]

    assert len(heard(False)) >= 3
    assert heard(True) == []


def test_gaps_and_lost_devices_are_those_of_the_source():
    def source():
        pcm = np.tile(microphone()[1], 2)
        script = [Play(pcm[: 3 * RATE]), Skip(8000), Play(pcm[3 * RATE : 6 * RATE])]
        script += [Overflow(100), Play(pcm[:RATE]), Die(), Revive(100), Play(pcm[:4000])]
        return ScriptedSource(script, AudioFormat(RATE, 1, "int16"))

    def told(items):
        at, events = 0, []
        for item in items:
            if isinstance(item, DeviceChange):
                events.append((at, item))
                continue
            assert item.at_sample == at
            if isinstance(item, Discontinuity):
                events.append((at, item))
            at += len(item.samples) if isinstance(item, AudioChunk) else item.lost
        return at, events

    ear = EchoCancelled(source())
    ear.played(chunk(FAR))
    end, events = told(ear)
    assert (end, events) == told(source())
    assert {event.lost for _, event in events if isinstance(event, Discontinuity)} >= {8000, 1600}


def test_it_reads_in_a_task_and_in_time():
    async def main():
        return [item async for item in EchoCancelled(microphone()[0])]

    assert sum(len(item.samples) for item in asyncio.run(main())) == NEAR.size


def test_what_stops_playing_is_heard_again():
    ear = EchoCancelled(microphone()[0])
    ear.played(chunk(FAR))
    ear.unplay(0)
    with StreamingAudioProcessor(ear) as stream:
        assert sum(isinstance(event, Utterance) for event in stream) >= 3


def test_rates_without_whole_frames_are_refused():
    source = ScriptedSource([Play(np.zeros(100, np.int16))], AudioFormat(11_025, 1, "int16"))
    with pytest.raises(InvalidOptionError, match="10 ms"):
        EchoCancelled(source).open()

"""A recording made on the way: sample k of the file is that of index k."""

import asyncio

import numpy as np
import pytest
import soundfile

from mullama_media.audio.config import AudioStreamConfig
from mullama_media.errors import MediaError
from mullama_media.frames import AudioFormat, Discontinuity
from mullama_media.io import RecordedSource
from mullama_media.speech import StreamingAudioProcessor
from mullama_media.testing import Die, Overflow, Play, Revive, ScriptedSource

RATE = 16000
WAVE = np.random.default_rng(0).integers(-32768, 32767, (9000, 2)).astype(np.int16)
FORMAT = AudioFormat(RATE, 2, "int16")


def script(*steps):
    return ScriptedSource(steps or [Play(WAVE)], FORMAT)


def samples(path):
    return soundfile.read(path, dtype="int16")[0]


def test_the_file_is_there_when_it_is_complete_and_holds_every_sample(tmp_path):
    path = tmp_path / "kept.wav"
    source = RecordedSource(script(), path)
    items = iter(source)
    first = next(items).copy()
    assert not path.exists()
    rest = [item.copy() for item in items]
    heard = np.concatenate([chunk.samples for chunk in (first, *rest)])
    np.testing.assert_array_equal(heard, WAVE)
    np.testing.assert_array_equal(samples(path), WAVE)


def test_asyncio_keeps_the_same(tmp_path):
    async def main():
        return sum([len(item.samples) async for item in RecordedSource(script(), path)])

    path = tmp_path / "kept.flac"
    assert asyncio.run(main()) == len(WAVE)
    np.testing.assert_array_equal(samples(path), WAVE)


def test_what_was_lost_is_silence(tmp_path):
    path = tmp_path / "kept.wav"
    steps = [Play(WAVE[:4000]), Overflow(70_000), Play(WAVE[4000:]), Die(), Revive(500), Play(WAVE)]
    items = RecordedSource(script(*steps), path)
    holes = [(item.at_sample, item.lost) for item in items if isinstance(item, Discontinuity)]
    kept = samples(path)
    assert len(holes) == 2
    assert sum(lost for _, lost in holes) == len(kept) - 2 * len(WAVE)
    for at, lost in holes:
        assert not kept[at : at + lost].any()
    last = sum(holes[-1])
    np.testing.assert_array_equal(kept[last:], WAVE)


def test_the_block_completes_the_file_with_what_was_read(tmp_path):
    path = tmp_path / "kept.wav"
    with RecordedSource(script(), path) as source:
        size = len(source.read(1000).samples)
    assert 0 < size < len(WAVE)
    np.testing.assert_array_equal(samples(path), WAVE[:size])


def test_an_ear_can_be_recorded_and_stopped(tmp_path):
    path = tmp_path / "kept.wav"
    source = RecordedSource(script(), path)
    with StreamingAudioProcessor(source, AudioStreamConfig.preset("raw")) as ear:
        list(ear)
    assert not path.exists()
    source.finish()
    source.finish()
    np.testing.assert_array_equal(samples(path), WAVE)


def test_a_file_that_cannot_be_written_is_an_error_at_open(tmp_path):
    with pytest.raises(MediaError, match="cannot be written"):
        RecordedSource(script(), tmp_path / "none" / "kept.wav").open()

"""Files as sources: pace, backpressure, damage."""

import io
import time

import numpy as np
import pytest

from mullama_media.audio import files
from mullama_media.errors import MediaError
from mullama_media.frames import AudioChunk, Discontinuity
from mullama_media.io import FileSource

RATE = 8000
WAVE = np.random.default_rng(0).uniform(-0.5, 0.5, (RATE, 2)).astype(np.float32)


@pytest.fixture
def wav():
    return files.encode(WAVE, "wav", RATE)


def test_a_paced_file_takes_its_time(wav):
    began = time.monotonic()
    with FileSource(wav, paced=True, speed=2) as source:
        first = source.read()
        at_first = time.monotonic() - began
        assert isinstance(first, AudioChunk)
        while source.read() is not None:
            pass
    assert time.monotonic() - began >= 0.49
    assert at_first < 0.4


def test_a_paced_file_overruns_as_a_microphone_does(wav):
    with FileSource(wav, paced=True, speed=10, buffer_ms=100) as source:
        time.sleep(0.4)
        items = list(iter(lambda: source.read(1000), None))
    gap = next(item for item in items if isinstance(item, Discontinuity))
    assert gap.reason == "overrun"
    assert source.meter.delivered + gap.lost == RATE


def test_a_file_that_is_not_paced_waits_for_its_reader(wav):
    with FileSource(wav, buffer_ms=100) as source:
        time.sleep(0.2)
        assert source.meter.written < RATE / 2
        samples = np.concatenate([c.samples.copy() for c in iter(lambda: source.read(2000), None)])
    assert source.format.channels == 2
    np.testing.assert_allclose(samples, WAVE, atol=2**-15)


def test_any_format_and_any_kind_of_file(wav, tmp_path):
    path = tmp_path / "x.flac"
    path.write_bytes(files.encode(WAVE, "flac", RATE))
    for source in (path, str(path), wav, io.BytesIO(wav)):
        assert sum(len(chunk.samples) for chunk in FileSource(source)) == RATE


def test_what_is_no_sound_is_an_error_at_open(tmp_path):
    for source in (tmp_path / "none.wav", b"not sound"):
        with pytest.raises(MediaError):
            FileSource(source).open()


def test_damage_is_told_where_it_is():
    whole = files.encode(np.tile(WAVE, (5, 1)), "flac", RATE)
    broken = whole[: len(whole) // 2] + bytes(1000) + whole[len(whole) // 2 + 1000 :]
    source = FileSource(broken)
    with pytest.raises(MediaError, match="cannot be decoded"):
        list(source)
    assert 0 < source.meter.delivered < 5 * RATE

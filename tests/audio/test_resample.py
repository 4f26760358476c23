"""Resampling: the band survives, what would alias does not, whole or streamed."""

import numpy as np
import pytest
import soxr

from mullama_media import AudioFrame
from mullama_media.audio.resample import Resampler, fold, map_index, resample
from mullama_media.errors import InvalidOptionError, MediaError


def tone(hz, rate, seconds=1.0):
    t = np.arange(int(rate * seconds)) / rate
    return AudioFrame(np.sin(2 * np.pi * hz * t).astype(np.float32), rate)


def db(samples):
    return 20 * np.log10(np.sqrt(np.mean(np.square(samples[500:-500], dtype=np.float64))) + 1e-12)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 96000])
def test_length_and_band_are_kept(rate):
    out = resample(tone(1000, rate), 16000)
    assert out.sample_rate == 16000
    assert out.samples.dtype == np.float32
    assert abs(out.samples.size - 16000) <= 1
    np.testing.assert_allclose(
        out.samples[500:-500], tone(1000, 16000).samples[: out.samples.size][500:-500], atol=1e-3
    )


def test_what_is_above_the_new_band_is_gone():
    assert db(resample(tone(12000, 48000), 16000).samples) < -90


def test_the_same_rate_is_the_same_frame():
    frame = tone(440, 16000)
    assert resample(frame, 16000) is frame


def test_a_silly_rate_is_refused():
    with pytest.raises(InvalidOptionError):
        resample(tone(440, 16000), 0)


RATES = [
    (48000, 16000),
    (44100, 16000),
    (22050, 16000),
    (8000, 16000),
    (16000, 24000),
    (16001, 16000),
]


def streamed(samples, from_rate, to_rate, size):
    stage = Resampler(from_rate, to_rate)
    parts = [stage.process(samples[n : n + size]) for n in range(0, samples.size, size)]
    return np.concatenate([*parts, stage.flush()])


@pytest.mark.parametrize(("from_rate", "to_rate"), RATES)
@pytest.mark.parametrize("n", [0, 1, 2, 3, 479, 480, 481, 50_001])
def test_a_stream_is_the_whole_and_of_the_exact_length(from_rate, to_rate, n):
    samples = np.random.default_rng(n).standard_normal(n).astype(np.float32)
    out = streamed(samples, from_rate, to_rate, 441)
    assert out.size == -(-n * to_rate // from_rate)
    if n:
        whole = soxr.resample(samples, from_rate, to_rate, quality="HQ")
        common = min(out.size, whole.size)
        assert out.size - common <= 1
        np.testing.assert_array_equal(out[:common], whole[:common])


def test_a_streamed_alias_is_below_90_db_and_the_band_is_exact():
    for hz in (8100, 9000, 12000, 15900, 23000):
        assert db(streamed(tone(hz, 48000).samples, 48000, 16000, 960)) < -90
    out = streamed(tone(6000, 48000).samples, 48000, 16000, 960)
    error = out - tone(6000, 16000).samples
    assert db(error) - db(out) < -90


def test_a_stretch_begins_anew_after_the_flush():
    stage = Resampler(48000, 16000)
    a, b = tone(500, 48000).samples, tone(900, 48000).samples
    first = np.concatenate([stage.process(a), stage.flush()])
    second = np.concatenate([stage.process(b), stage.flush()])
    np.testing.assert_array_equal(first, streamed(a, 48000, 16000, 100))
    np.testing.assert_array_equal(second, streamed(b, 48000, 16000, 100))


def test_the_same_rate_passes_through_at_once():
    stage = Resampler(16000, 16000)
    samples = tone(440, 16000).samples
    assert stage.process(samples) is samples
    assert (stage.flush().size, stage.delay) == (0, 0)


def test_indices_map_exactly_for_years():
    year = 365 * 86400
    assert map_index(year * 44100, 44100, 16000) == year * 16000
    assert map_index(year * 44100 - 1, 44100, 16000) == year * 16000 - 1
    assert map_index(1, 16000, 48000) == 3
    assert [map_index(n, 48000, 16000) for n in range(5)] == [0, 0, 0, 1, 1]


def test_folding_takes_what_devices_give():
    ints = np.array([[32767, -32768], [16384, 0]], np.int16)
    np.testing.assert_allclose(fold(ints), [-0.5 / 32768, 0.25], atol=1e-9)
    np.testing.assert_array_equal(fold(ints[:, 1]), [-1, 0])
    floats = np.array([[0.5, 0.25, 0.0]], np.float32)
    np.testing.assert_allclose(fold(floats), [0.25])
    np.testing.assert_allclose(fold(np.array([0.1, -0.1]), gain=2), [0.2, -0.2], rtol=1e-6)
    assert fold(ints).dtype == fold(floats).dtype == np.float32
    mine = np.zeros(3, np.float32)
    assert not np.shares_memory(fold(mine), mine)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros(3, np.int32),
        np.zeros((2, 2, 2), np.float32),
        np.zeros((4, 0), np.float32),
        np.array(["x"]),
        np.array([0, np.nan], np.float32),
        np.array([[0, np.inf]]),
        np.array([0, 20000.0]),
    ],
)
def test_what_is_no_sound_is_refused(bad):
    with pytest.raises(MediaError):
        fold(bad)

"""Resampling: the band survives, what would alias does not."""

import numpy as np
import pytest

from mullama_media import AudioFrame
from mullama_media.audio.resample import resample
from mullama_media.errors import InvalidOptionError


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

"""pydub segments: there and back."""

import sys

import numpy as np
import pytest

from mullama_media.audio.pydub import from_pydub, to_pydub
from mullama_media.errors import MediaError, MissingExtraError
from mullama_media.frames import AudioFrame

WHOLE = np.random.default_rng(0).integers(-32768, 32768, 1000).astype(np.int16)
FRAME = AudioFrame((WHOLE / 32768).astype(np.float32), 22050)


def test_there_and_back_changes_no_sample():
    segment = to_pydub(FRAME)
    assert (segment.frame_rate, segment.channels, segment.sample_width) == (22050, 1, 2)
    assert segment.get_array_of_samples().tolist() == WHOLE.tolist()
    np.testing.assert_array_equal(from_pydub(segment).samples, FRAME.samples)


@pytest.mark.parametrize("width", [1, 2, 4])
def test_widths(width):
    back = from_pydub(to_pydub(FRAME, sample_bytes=width))
    assert np.abs(back.samples - FRAME.samples).max() <= 2.0 ** (1 - 8 * width)


def test_channels_are_folded():
    segment = to_pydub(FRAME)
    stereo = segment.from_mono_audiosegments(segment, segment.apply_gain(-120))
    folded = from_pydub(stereo)
    np.testing.assert_allclose(folded.samples, FRAME.samples / 2, atol=2**-15)


def test_an_empty_segment_is_refused():
    with pytest.raises(MediaError, match="empty"):
        from_pydub(to_pydub(FRAME)[:0])


def test_without_pydub_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydub", None)
    with pytest.raises(MissingExtraError, match=r"mullama-media\[pydub\]"):
        to_pydub(FRAME)

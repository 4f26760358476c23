"""Cutting recordings: nothing lost, no piece too long, cuts in quiet places."""

import numpy as np
import pytest

from mullama_media import AudioFrame
from mullama_media.audio.split import split

RATE = 1000


def frame(n, seed=0):
    return AudioFrame(np.random.default_rng(seed).standard_normal(n).astype(np.float32), RATE)


@pytest.mark.parametrize("n", [1, 19, 20, 27_999, 28_000, 28_001, 56_000, 60_001, 150_000])
def test_the_pieces_are_the_recording(n):
    whole = frame(n)
    pieces = split(whole)
    assert all(0 < piece.samples.size <= 28 * RATE for piece in pieces)
    np.testing.assert_array_equal(np.concatenate([p.samples for p in pieces]), whole.samples)
    assert len(pieces) == 1 if n <= 28_000 else len(pieces) >= n / 28_000


def test_the_cut_is_where_it_is_quiet():
    whole = frame(40_000)
    whole.samples[26_500:26_700] = 0
    (first, _) = split(whole)
    assert 26_500 <= first.samples.size <= 26_700


def test_a_short_limit_still_makes_progress():
    pieces = split(frame(100), max_ms=10)
    assert [p.samples.size for p in pieces] == [10] * 10

"""The latest samples of a stream, compared with the whole of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mullama_media.audio.history import History


def sound(start, end):
    return np.arange(start, end, dtype=np.float32)


@given(
    st.integers(0, 10**6),
    st.lists(st.tuples(st.integers(0, 3000), st.integers(-10, 5000)), max_size=40),
)
def test_what_is_kept_is_the_stream(start, steps):
    history, end, kept = History(start), start, start
    for added, back in steps:
        history.append(sound(end, end + added))
        end += added
        history.drop(end - back)
        kept = max(kept, min(end - back, end))
        assert (history.start, history.end) == (kept, end)
        np.testing.assert_array_equal(history.view(kept, end), sound(kept, end))


def test_memory_is_that_of_the_widest_window():
    history = History()
    for n in range(0, 4_000_000, 1000):
        history.append(sound(n, n + 1000))
        history.drop(n - 5000)
    assert history._buffer.size <= 4 * 7000


def test_what_is_gone_or_to_come_is_not_given():
    history = History(10)
    history.append(sound(10, 20))
    history.drop(15)
    for start, end in ((14, 16), (16, 21), (18, 17)):
        with pytest.raises(IndexError):
            history.view(start, end)
    history.restart(100)
    assert (history.start, history.end) == (100, 100)

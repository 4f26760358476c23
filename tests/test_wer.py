"""The word error rate the tests and tables use, against counts made by hand."""

import pytest

from tests.wer import Tally, edits, words


@pytest.mark.parametrize(
    ("said", "heard", "count"),
    [
        ("a b c", "a b c", 0),
        ("a b c", "a x c", 1),
        ("a b c", "a c", 1),
        ("a b c", "a b b c", 1),
        ("a b c", "", 3),
        ("", "a b", 2),
        ("a b c d", "b c d e", 2),
        ("k i t t e n", "s i t t i n g", 3),
    ],
)
def test_edits(said, heard, count):
    assert edits(said.split(), heard.split()) == count


def test_numbers_and_punctuation_do_not_count():
    assert words("Press 2, don't 21! 100") == words("press two dont twenty one one zero zero")


def test_a_tally_is_over_all_words():
    tally = Tally()
    tally.add("one two three", "one two")
    tally.add("four", "four")
    assert (tally.errors, tally.words, tally.rate) == (1, 4, 0.25)

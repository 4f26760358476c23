"""LocalAgreement-2: what two transcripts in a row say is confirmed and never changes."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mullama_media.speech.agreement import LocalAgreement, aligned, worded, words_of
from mullama_media.speech.transcript import Segment, Transcript, Word, units
from tests.wer import edits


def said(text):
    return [Word(0, 1, 1, unit) for unit in units(text)]


def texts(found):
    return "".join(word.text for word in found).strip()


def run(*hypotheses):
    """Confirmed text and the rest after each hypothesis."""
    agreement = LocalAgreement()
    told = []
    for text in hypotheses:
        rest = agreement.add(said(text))
        told.append((texts(agreement.confirmed), texts(rest)))
    return told


def test_two_in_a_row_confirm_their_common_beginning():
    assert run("And", "And so my fellow", "And so, my fellow Americans", "And so my friend") == [
        ("", "And"),
        ("And", "so my fellow"),
        ("And so, my fellow", "Americans"),
        ("And so, my fellow", ""),
    ]


def test_one_alone_confirms_nothing():
    assert run("one two", "three four", "one two") == [
        ("", "one two"),
        ("", "three four"),
        ("", "one two"),
    ]


def test_what_is_confirmed_stays_when_later_ones_contradict_it():
    told = run("I scream", "I scream", "ice cream is cold", "ice cream is cold today")
    assert [confirmed for confirmed, _ in told] == [
        "",
        "I scream",
        "I scream",
        "I scream is cold",
    ]


def test_a_word_that_is_left_out_later_moves_nothing():
    told = run("a b c", "a b c", "a c d e", "a c d e")
    assert told[-1] == ("a b c d e", "")


@pytest.mark.parametrize(
    ("confirmed", "words", "behind"),
    [
        ("", "a b", 0),
        ("a b", "a b c", 2),
        ("a b", "a x b c", 3),
        ("a b c", "a c d e", 2),
        ("a b", "", 0),
        ("one two", "One, TWO. three", 2),
    ],
)
def test_where_a_transcript_goes_on(confirmed, words, behind):
    assert aligned(said(confirmed), said(words)) == behind


letters = st.lists(st.sampled_from("abc"), max_size=8)


@settings(max_examples=200, deadline=None)
@given(letters, letters)
def test_the_prefix_is_that_of_the_least_edit_distance(known, words):
    behind = aligned(said(" ".join(known)), said(" ".join(words)))
    costs = [edits(known, words[:n]) for n in range(len(words) + 1)]
    assert costs[behind] == min(costs)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_confirmed_words_only_grow(seed):
    rng = random.Random(seed)
    words = [rng.choice("abcdef") for _ in range(12)]
    agreement, before = LocalAgreement(), ""
    for n in range(1, 13):
        noisy = [w if rng.random() < 0.8 else rng.choice("xyz") for w in words[:n]]
        agreement.add(said(" ".join(noisy)))
        now = texts(agreement.confirmed)
        assert now.startswith(before)
        before = now


def test_a_transcript_takes_confirmed_words_into_its_segments():
    def segment(text, start):
        found = []
        for n, unit in enumerate(units(text)):
            found.append(Word(start + n, start + n + 1, 10, unit))
        return Segment(start, start + len(found), 10, text, tuple(found))

    transcript = Transcript(0, 9, 10, (segment("Go on.", 0), segment("And then stop", 4)), "x")
    assert texts(words_of(transcript)) == "Go on. And then stop"
    made = worded(transcript, said("go On, and"), 3)
    assert [one.text for one in made.segments] == ["go On,", "and then stop"]
    assert made.text == "go On, and then stop"
    assert made.segments[1].words[1].start == 5
    emptied = Transcript(0, 9, 10, (), "x")
    assert worded(emptied, said("kept"), 0).text == "kept"

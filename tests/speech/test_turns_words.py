"""What transcripts say about turns."""

import pytest

from mullama_media.speech.turns import TurnParams
from mullama_media.speech.turns.words import after_phrase, is_backchannel, normalized


def test_words_have_no_case_and_no_punctuation():
    assert normalized("Uh-huh, I DON'T … know!") == ["uh", "huh", "i", "don't", "know"]
    assert normalized(" ?! ") == []


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("uh-huh", True),
        ("Okay, okay. I see!", True),
        ("okay stop", False),
        ("I", False),
        ("", False),
    ],
)
def test_backchannels(text, is_one):
    assert is_backchannel(normalized(text), TurnParams().backchannels) == is_one


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("Hey Mullama, what's up?", "what's up?"),
        ("hey mu llama what's up", "what's up"),
        ("Hey, Mulama. What's up", "What's up"),
        ("hay mullama stop", "stop"),
        ("So then, hey mullama: stop", "stop"),
        ("hey mullama", ""),
        ("hey mullama hey mullama stop", "hey mullama stop"),
        ("hey there what's up", None),
        ("my llama is ill", None),
        ("", None),
    ],
)
def test_a_wake_phrase_is_found_as_it_is_misheard(text, rest):
    assert after_phrase(text, "Hey Mullama", 0.8) == rest


def test_similarity_and_place_can_be_asked_for():
    assert after_phrase("hey mulama stop", "hey mullama", 1.0) is None
    assert after_phrase("hey mullama stop", "hey mullama", 1.0) == "stop"
    assert after_phrase("say hey mullama stop", "hey mullama", 0.9, at_start=True) is None
    assert after_phrase("hey mullama stop", "hey mullama", 0.9, at_start=True) == "stop"

"""Transcripts as values: times in seconds, texts joined, JSON."""

import json

import pytest

from mullama_media.speech.transcript import Segment, Transcript, Word, join, units


def test_times_are_indices_and_seconds():
    word = Word(4000, 12_000, 8000, " hello")
    assert (word.start_s, word.end_s) == (0.5, 1.5)


@pytest.mark.parametrize(
    ("pieces", "joined"),
    [
        (["One.", " Two. ", "", "Three."], "One. Two. Three."),
        (["今日は。", "元気ですか？", "はい"], "今日は。元気ですか？はい"),  # noqa: RUF001
        ([], ""),
    ],
)
def test_pieces_are_joined_as_their_script_does(pieces, joined):
    assert join(pieces) == joined


def test_units_joined_are_the_text():
    for text in ("To be, or not to be", "今日は世界 ok"):
        assert "".join(units(text)) == text
    assert units("a  bc d") == ["a", "  bc", " d"]
    assert units("今日") == ["今", "日"]


def test_as_dict_is_json():
    words = (Word(0, 400, 1000, " Hi", 0.5), Word(400, 900, 1000, " there", 0.25))
    segment = Segment(0, 900, 1000, "Hi there", words, average_logprob=-0.123456)
    transcript = Transcript(0, 1000, 1000, (segment,), "scripted", language="en")
    found = json.loads(json.dumps(transcript.as_dict()))
    assert found["text"] == "Hi there" == transcript.text == str(transcript)
    assert found["segments"][0]["words"][1] == {
        "text": "there",
        "start": 400,
        "end": 900,
        "start_s": 0.4,
        "end_s": 0.9,
        "probability": 0.25,
    }
    assert found["segments"][0]["average_logprob"] == -0.1235
    assert transcript.words == words

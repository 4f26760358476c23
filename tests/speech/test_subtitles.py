"""Subtitles: what independent parsers read, cut where a reader would want it."""

import io
import itertools

import pytest
import srt as srt_parser
import webvtt
from hypothesis import given, settings
from hypothesis import strategies as st

from mullama_media.speech.subtitles import SubtitleParams, cues, srt, vtt
from mullama_media.speech.transcript import Segment, Transcript, Word, units

RATE = 1000


def segment(text, start=0, word_ms=300, pauses=()):
    """Words of one length each; `pauses` maps a word's number to milliseconds before it."""
    found, at = [], start
    for n, unit in enumerate(units(text)):
        at += dict(pauses).get(n, 0)
        found.append(Word(at, at + word_ms, RATE, unit))
        at += word_ms
    return Segment(start, at, RATE, text, tuple(found))


def transcript(*segments):
    end = segments[-1].end if segments else 0
    return Transcript(0, end, RATE, tuple(segments), "made")


LONG = (
    "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background, "
    "and then it is easy to tell the depth of a well. These days a chicken leg is a rare dish."
)


def test_parsers_read_back_what_was_written():
    found = cues(transcript(segment(LONG), segment("Tea & <cake> --> now?", 60_000)))
    read = list(srt_parser.parse(srt(found)))
    assert [c.index for c in read] == list(range(1, len(found) + 1))
    assert [c.content.split("\n") for c in read] == [list(c.lines) for c in found]
    assert [c.start.total_seconds() for c in read] == pytest.approx([c.start_s for c in found])
    assert [c.end.total_seconds() for c in read] == pytest.approx([c.end_s for c in found])
    captions = list(webvtt.from_buffer(io.StringIO(vtt(found))))
    assert len(captions) == len(found)
    for caption, cue in zip(captions, found, strict=True):
        seconds = caption.start_in_seconds + caption.start_time.milliseconds / 1000
        assert seconds == pytest.approx(cue.start_s, abs=0.001)
    assert "Tea &amp; &lt;cake&gt; --&gt; now?" in vtt(found)


def test_times_beyond_an_hour():
    found = cues(transcript(segment("Late.", 3_723_456)))
    assert "01:02:03,456 --> " in srt(found)
    assert "01:02:03.456 --> " in vtt(found)


def test_nothing_said_is_an_empty_file():
    assert srt(cues(transcript())) == ""
    assert list(webvtt.from_buffer(io.StringIO(vtt(cues(transcript()))))) == []


def test_a_cue_ends_with_a_sentence_before_it_ends_where_it_is_full():
    first, second, *_ = cues(transcript(segment(LONG)))
    assert " ".join(first.lines) == "The birch canoe slid on the smooth planks."
    assert " ".join(second.lines).startswith("Glue the sheet")


def test_a_pause_ends_a_cue():
    found = cues(transcript(segment("One two three four", pauses={2: 900})))
    assert [cue.lines for cue in found] == [("One two",), ("three four",)]
    assert len(cues(transcript(segment("One two three four", pauses={2: 700})))) == 1


def test_two_lines_are_of_about_one_length():
    text = "We went down to the river, and nobody was there to be seen"
    (cue,) = cues(transcript(segment(text, word_ms=200)))
    assert cue.lines == ("We went down to the river,", "and nobody was there to be seen")


def test_without_word_times_a_segment_deals_out_its_time():
    plain = Segment(2000, 14_000, RATE, LONG)
    found = cues(transcript(plain))
    assert found[0].start_s == 2.0
    assert found[-1].end_s == pytest.approx(14.0)
    for one, following in itertools.pairwise(found):
        assert one.end_s <= following.start_s + 1e-9


texts = st.text(alphabet="ab ,.?今日", min_size=1, max_size=300)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(texts, min_size=1, max_size=3),
    st.integers(8, 50),
    st.integers(1, 3),
    st.integers(50, 800),
)
def test_limits_hold_and_no_word_is_lost(said, max_chars, max_lines, word_ms):
    segments, at = [], 0
    for text in said:
        segments.append(segment(text.strip() or "a", at, word_ms))
        at = segments[-1].end
    params = SubtitleParams(max_chars=max_chars, max_lines=max_lines)
    found = cues(transcript(*segments), params)
    for cue in found:
        assert len(cue.lines) <= max_lines
        assert all(0 < len(line) <= max_chars for line in cue.lines)
        assert 0 < cue.end_s - cue.start_s <= max(params.max_cue_ms, word_ms) / 1000 + 1e-9
    for one, following in itertools.pairwise(found):
        assert one.end_s <= following.start_s + 1e-9
    shown = "".join("".join(cue.lines) for cue in found)
    assert shown.replace(" ", "") == "".join(s.text for s in segments).replace(" ", "")

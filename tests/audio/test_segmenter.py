"""The segmenter: numbers in, events out; nothing lost, nothing doubled, however it is cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mullama_media.audio.config import SegmenterConfig
from mullama_media.audio.segmenter import Segmenter
from mullama_media.errors import InvalidOptionError
from mullama_media.frames import NoAudio, Partial, Pause, SpeechEnded, SpeechStarted, Utterance

RATE = 1000  # a sample is a millisecond
CONFIG = SegmenterConfig(
    min_speech_ms=100,
    silence_ms=600,
    pause_ms=200,
    pre_roll_ms=300,
    post_roll_ms=200,
    max_utterance_ms=5000,
    split_search_ms=2000,
    no_audio_ms=1000,
)
SMALL = SegmenterConfig(
    min_speech_ms=20,
    silence_ms=60,
    pause_ms=25,
    pre_roll_ms=30,
    post_roll_ms=25,
    max_utterance_ms=1000,
    split_search_ms=300,
    no_audio_ms=100,
)

BARE = SegmenterConfig(
    min_speech_ms=0,
    silence_ms=20,
    pause_ms=0,
    pre_roll_ms=0,
    post_roll_ms=0,
    max_utterance_ms=1000,
    split_search_ms=20,
    no_audio_ms=20,
)


def sound(n, start=0):
    """Samples that say their index."""
    return np.arange(start, start + n, dtype=np.float32)


def feed(segmenter, *pieces):
    """Pieces of (milliseconds, probability)."""
    events = []
    for n, probability in pieces:
        events += segmenter.push(sound(n, segmenter.now), probability)
    return events


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def told(event):
    fields = {name: getattr(event, name) for name in type(event).__slots__ if name != "samples"}
    samples = getattr(event, "samples", np.empty(0))
    return type(event).__name__, fields, samples.tobytes()


def test_an_utterance_has_its_pre_roll_and_post_roll():
    events = feed(Segmenter(CONFIG, RATE), (1000, 0.0), (400, 0.9), (1000, 0.0))
    started, pause, utterance, ended = events
    assert started == SpeechStarted(700, 1000, 1100, RATE)
    assert (pause.start, pause.end, pause.speech_end) == (700, 1600, 1400)
    assert (utterance.start, utterance.end, utterance.ended_by) == (700, 1600, "silence")
    assert (utterance.speech_start, utterance.speech_end) == (1000, 1400)
    assert utterance.decided == 2000
    np.testing.assert_array_equal(utterance.samples, sound(900, 700))
    np.testing.assert_array_equal(pause.samples, utterance.samples)
    assert ended == SpeechEnded(700, 1600, 1400, 2000, RATE)
    assert utterance.duration_ms == 900
    np.testing.assert_array_equal(utterance.frame.samples, utterance.samples)


def test_pre_roll_stops_at_the_utterance_before():
    events = feed(Segmenter(CONFIG, RATE), (400, 0.9), (610, 0.0), (400, 0.9), (600, 0.0))
    first, second = of(Utterance, events)
    assert (first.start, first.end) == (0, 600)
    assert (second.start, second.speech_start) == (710, 1010)
    close = CONFIG.with_pre_roll_ms(600)
    events = feed(Segmenter(close, RATE), (400, 0.9), (610, 0.0), (400, 0.9), (600, 0.0))
    assert [u.start for u in of(Utterance, events)] == [0, 600]


@pytest.mark.parametrize(("speech", "told"), [(99, 0), (100, 1)])
def test_shorter_than_min_speech_is_none(speech, told):
    events = feed(Segmenter(CONFIG, RATE), (500, 0.1), (speech, 0.9), (2000, 0.1))
    assert len(of(Utterance, events)) == len(of(SpeechStarted, events)) == told


def test_speech_in_crumbs_counts_if_it_comes_within_twice_the_time():
    crumbs = [(20, 0.9), (15, 0.0)] * 5
    events = feed(Segmenter(CONFIG, RATE), *crumbs, (600, 0.0))
    assert of(SpeechStarted, events)[0] == SpeechStarted(0, 0, 160, RATE)
    thin = [(20, 0.9), (30, 0.0)] * 9
    assert feed(Segmenter(CONFIG, RATE), *thin, (600, 0.0)) == []


def test_giving_up_on_a_crumb_does_not_cost_the_word_after_it():
    config = CONFIG.with_pre_roll_ms(0)
    events = feed(Segmenter(config, RATE), (10, 0.9), (140, 0.0), (200, 0.9), (600, 0.0))
    assert of(SpeechStarted, events) == [SpeechStarted(150, 150, 250, RATE)]


def test_hysteresis_holds_between_the_thresholds():
    pieces = (300, 0.45), (200, 0.55), (300, 0.4), (100, 0.34), (100, 0.45), (500, 0.0)
    events = feed(Segmenter(CONFIG, RATE), *pieces)
    (utterance,) = of(Utterance, events)
    assert (utterance.speech_start, utterance.speech_end) == (300, 800)


def test_every_pause_is_told_once_and_begins_the_utterance():
    pieces = (400, 0.9), (250, 0.0), (300, 0.9), (150, 0.0), (300, 0.9), (700, 0.0)
    events = feed(Segmenter(CONFIG, RATE), *pieces)
    pauses = of(Pause, events)
    assert [p.end for p in pauses] == [600, 1600]
    (utterance,) = of(Utterance, events)
    for pause in pauses:
        assert pause.start == utterance.start
        np.testing.assert_array_equal(pause.samples, utterance.samples[: pause.samples.size])
    none = feed(Segmenter(CONFIG.with_pause_ms(0), RATE), *pieces)
    assert not of(Pause, none)


def test_speech_that_goes_on_is_told_again_and_again():
    config = CONFIG.with_partial_ms(250)
    pieces = (500, 0.0), (700, 0.9), (300, 0.0), (400, 0.9), (700, 0.0)
    events = feed(Segmenter(config, RATE), *pieces)
    partials = of(Partial, events)
    # Certain at 600; then every 250 ms of it, at once where that was over in a pause.
    assert [p.end for p in partials] == [850, 1100, 1500, 1750]
    (utterance,) = of(Utterance, events)
    for partial in partials:
        assert partial.start == utterance.start == 200
        np.testing.assert_array_equal(partial.samples, sound(partial.end - 200, 200))
    assert not of(Partial, feed(Segmenter(CONFIG, RATE), *pieces))


def test_partials_begin_anew_where_an_utterance_is_split():
    config = BARE.with_partial_ms(400)
    events = feed(Segmenter(config, RATE), (2300, 0.9), (100, 0.0))
    first, second, third = of(Utterance, events)
    starts = {first.start, second.start, third.start}
    partials = of(Partial, events)
    assert [p.end for p in partials] == [401, 801, 1400, 1800]
    assert {p.start for p in partials} <= starts
    for partial in partials:
        assert partial.end - partial.start == partial.samples.size <= 1000


def test_a_long_utterance_is_split_in_its_longest_silence():
    pieces = (3200, 0.9), (100, 0.0), (500, 0.9), (300, 0.0), (300, 0.9), (100, 0.0), (2000, 0.9)
    events = feed(Segmenter(CONFIG, RATE), *pieces, (600, 0.0))
    first, second = of(Utterance, events)
    assert first.ended_by == "max_utterance"
    assert (first.start, first.end, first.speech_end) == (0, 3950, 3800)
    assert (second.start, second.speech_start, second.ended_by) == (3950, 4100, "silence")
    joined = np.concatenate([first.samples, second.samples])
    np.testing.assert_array_equal(joined, sound(second.end))
    (ended,) = of(SpeechEnded, events)
    assert (ended.start, ended.end) == (0, second.end)
    assert len(of(SpeechStarted, events)) == 1


def test_without_a_silence_it_is_split_where_it_is_quietest():
    segmenter = Segmenter(CONFIG, RATE)
    samples = np.ones(5000, np.float32)
    samples[4000:4060] = 0.1
    (utterance,) = of(Utterance, segmenter.push(samples, 0.9))
    assert 4000 <= utterance.end <= 4060
    assert segmenter.speaking


def test_a_split_in_the_last_silence_leaves_no_empty_utterance():
    segmenter = Segmenter(CONFIG, RATE)
    events = feed(segmenter, (4500, 0.9), (1200, 0.0))
    (utterance,) = of(Utterance, events)
    (ended,) = of(SpeechEnded, events)
    assert utterance.ended_by == "max_utterance"
    assert utterance.end == ended.end == 4750
    assert ended.decided == 4500 + 600
    assert not segmenter.speaking


def test_no_answer_changes_nothing_and_loses_nothing():
    segmenter = Segmenter(CONFIG, RATE)
    assert feed(segmenter, (760, None)) == []
    events = feed(segmenter, (300, 0.9), (5, None), (700, 0.0))
    (utterance,) = of(Utterance, events)
    assert (utterance.start, utterance.speech_start, utterance.speech_end) == (460, 760, 1065)


def test_lost_samples_end_what_is_open_and_no_pre_roll_reaches_over_them():
    segmenter = Segmenter(CONFIG, RATE)
    feed(segmenter, (500, 0.9))
    utterance, ended = segmenter.gap(5000)
    assert (utterance.end, utterance.ended_by, ended.end) == (500, "gap", 500)
    assert segmenter.now == 5500
    started = feed(segmenter, (50, 0.0), (200, 0.9))[0]
    assert (started.start, started.speech_start) == (5500, 5550)
    assert Segmenter(CONFIG, RATE).gap(3) == []


def test_a_source_that_goes_quiet_ends_the_utterance_and_is_told_once():
    segmenter = Segmenter(CONFIG, RATE)
    feed(segmenter, (500, 0.9), (300, 0.0))
    assert segmenter.starve(999) == []
    utterance, ended, told = segmenter.starve(1)
    assert (utterance.ended_by, utterance.end, ended.decided) == ("no_audio", 700, 800)
    assert told == NoAudio(800, 1000, RATE)
    assert segmenter.starve(5000) == []
    feed(segmenter, (10, 0.0))
    assert of(NoAudio, segmenter.starve(1000)) == [NoAudio(810, 1000, RATE)]


def test_the_end_gives_what_is_open_and_allows_more():
    segmenter = Segmenter(CONFIG, RATE)
    feed(segmenter, (500, 0.9), (50, 0.0))
    utterance, _ = segmenter.finish()
    assert (utterance.end, utterance.ended_by) == (550, "end")
    assert segmenter.finish() == []
    (started,) = feed(segmenter, (150, 0.9))
    assert started.start == 550


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_refused_and_nothing_taken(probability):
    segmenter = Segmenter(CONFIG, RATE)
    with pytest.raises(InvalidOptionError, match="not a probability"):
        segmenter.push(sound(10), probability)
    assert segmenter.now == 0


probabilities = st.sampled_from([None, 0.0, 0.3, 0.4, 0.5, 0.9])
pushes = st.tuples(st.integers(1, 400), probabilities)
steps = st.one_of(
    pushes,
    pushes,
    pushes,
    st.tuples(st.integers(0, 50), st.just("gap")),
    st.tuples(st.integers(1, 120), st.just("starve")),
)


configs = st.sampled_from([SMALL, BARE, SMALL.with_partial_ms(35), BARE.with_partial_ms(1)])


def run(script, config=SMALL, cuts=None):
    """Events of a script, its pushes cut into pieces at random if a generator is given."""
    segmenter = Segmenter(config, RATE)
    events = []
    for n, what in script:
        if what == "gap":
            events += segmenter.gap(n)
        elif what == "starve":
            events += segmenter.starve(n)
        else:
            left = n
            while left:
                piece = left if cuts is None else int(cuts.integers(1, left + 1))
                events += segmenter.push(sound(piece, segmenter.now), what)
                left -= piece
    return events + segmenter.finish()


def speech_runs(script):
    """(first, last + 1) of every unbroken run of speech: hysteresis a sample at a time."""
    runs, now, active = [], 0, False
    for n, what in script:
        if what in ("gap", "starve"):
            now += n if what == "gap" else 0
            if what == "gap":
                active = False
            continue
        for _ in range(n):
            if what is not None:
                was, active = active, what >= (0.35 if active else 0.5)
                if active and not was:
                    runs.append([now, now])
            if active:
                runs[-1][1] = now + 1
            now += 1
    return runs


@settings(max_examples=300, deadline=None)
@given(st.lists(steps, max_size=25), st.integers(0, 2**32), configs)
def test_cutting_pushes_changes_nothing(script, seed, config):
    whole = [told(event) for event in run(script, config)]
    pieces = [told(event) for event in run(script, config, np.random.default_rng(seed))]
    assert whole == pieces


@settings(max_examples=300, deadline=None)
@given(st.lists(steps, max_size=25), configs)
def test_utterances_are_the_stream_and_their_story_is_whole(script, config):
    end = before = None
    open_, parts = None, []
    for event in run(script, config):
        if isinstance(event, SpeechStarted):
            assert open_ is None
            open_, end, parts = event, event.start, []
            assert before is None or event.start >= before
            assert event.start <= event.speech_start <= event.decided
        elif isinstance(event, Utterance):
            assert event.start == end
            assert event.end - event.start == event.samples.size <= 1000
            np.testing.assert_array_equal(event.samples, sound(event.samples.size, event.start))
            assert event.start <= event.speech_start < event.speech_end <= event.end
            for pause in parts:
                common = min(pause.samples.size, event.samples.size)
                assert pause.start == event.start
                np.testing.assert_array_equal(pause.samples[:common], event.samples[:common])
            if event.ended_by != "max_utterance":
                assert all(pause.end <= event.end for pause in parts)
            end, parts = event.end, []
        elif isinstance(event, Pause):
            assert open_ is not None
            parts.append(event)
        elif isinstance(event, SpeechEnded):
            assert event.start == open_.start
            assert event.end == end
            open_, before = None, end
    assert open_ is None


@settings(max_examples=300, deadline=None)
@given(st.lists(pushes, max_size=25), configs)
def test_no_speech_is_lost(script, config):
    kept = np.zeros(sum(n for n, _ in script) + 1, int)
    for event in run(script, config):
        if isinstance(event, Utterance):
            kept[event.start : event.end] += 1
    assert kept.max(initial=0) <= 1
    for first, last in speech_runs(script):
        if last - first >= config.min_speech_ms:
            assert kept[first:last].all()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"release_threshold": 0.6}, "release_threshold"),
        ({"post_roll_ms": 700}, "post_roll_ms"),
        ({"max_utterance_ms": 8200}, "silence_ms"),
        ({"pre_roll_ms": 5000, "max_utterance_ms": 12_000}, "pre_roll_ms"),
    ],
)
def test_limits_that_contradict_each_other_are_refused(change, field):
    with pytest.raises(InvalidOptionError, match="at most") as caught:
        SegmenterConfig(**change)
    assert caught.value.where == f"SegmenterConfig.{field}"

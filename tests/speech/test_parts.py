"""Parts of speech: what a model is given while somebody speaks is what was said."""

import numpy as np
import pytest

from mullama_media.audio.chain import Chain
from mullama_media.audio.config import AudioStreamConfig, SegmenterConfig
from mullama_media.frames import Pause, SpeechEnded, SpeechStarted, Utterance
from mullama_media.options import replace
from mullama_media.speech.parts import PartParams, SpeechParts
from tests.audio.signals import RATE, talk

RAW = AudioStreamConfig.preset("raw")
SHORT = PartParams(min_part_ms=1000)


def events_of(samples, config=RAW, rate=RATE):
    chain = Chain(config, rate)
    return [*chain.push(samples), *chain.finish()]


def joined(parts):
    return np.concatenate([part.samples for part in parts])


def said(events):
    return np.concatenate([e.samples for e in events if isinstance(e, Utterance)])


def test_one_phrase_is_given_at_the_pause_and_does_not_change():
    parts = SpeechParts()
    events = events_of(talk(0.5, 1.5, 1.0))
    given = [(type(event), parts.parts) for event in events if parts.push(event)]
    assert [kind for kind, _ in given] == [Pause]  # the utterance brought nothing new
    assert np.array_equal(joined(parts.parts), said(events))
    assert parts.whole


def test_short_speech_before_a_pause_is_taken_back():
    parts = SpeechParts(PartParams(min_part_ms=5000))
    counts = [len(parts.parts) for e in events_of(talk(0.5, 1.0, 0.5, 1.0, 1.0)) if parts.push(e)]
    assert counts == [1, 1]
    events = events_of(talk(0.5, 1.0, 0.5, 1.0, 1.0))
    assert sum(isinstance(event, Pause) for event in events) == 2
    assert np.array_equal(joined(parts.parts), said(events))


def test_long_speech_before_a_pause_stays_and_the_rest_follows():
    parts = SpeechParts(SHORT)
    events = events_of(talk(0.5, 2.0, 0.5, 1.5, 0.5, 0.4, 1.0))
    seen = [parts.parts for event in events if parts.push(event)]
    assert [len(one) for one in seen] == [1, 2, 3]
    assert seen[1][0] is seen[0][0]
    assert seen[2][:2] == seen[1]
    assert np.array_equal(joined(parts.parts), said(events))


def test_a_second_speech_of_the_same_turn_goes_behind_the_first():
    parts = SpeechParts()
    events = events_of(talk(0.5, 1.0, 1.0, 1.2, 1.0))
    assert sum(isinstance(event, SpeechStarted) for event in events) == 2
    for event in events:
        parts.push(event)
    assert len(parts.parts) == 2
    assert np.array_equal(joined(parts.parts), said(events))
    parts.clear()
    assert parts.parts == ()


def test_whole_utterances_alone_if_not_while_speaking():
    parts = SpeechParts(PartParams(while_speaking=False))
    changes = [type(e) for e in events_of(talk(0.5, 2.0, 0.5, 2.0, 1.0)) if parts.push(e)]
    assert changes == [Utterance]


def test_it_is_whole_only_between_speeches():
    parts = SpeechParts()
    states = []
    for event in events_of(talk(0.5, 1.0, 1.0)):
        parts.push(event)
        states.append((type(event), parts.whole))
    assert states[0] == (SpeechStarted, False)
    assert states[-1] == (SpeechEnded, True)
    assert (Pause, False) in states


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("rate", [RATE, 44100])
def test_whatever_is_said_nothing_is_lost_or_doubled(seed, rate):
    """Also over splits, whose place may be before a pause that was told already."""
    rng = np.random.default_rng(seed)
    lengths = [0.3]
    for _ in range(rng.integers(1, 9)):
        lengths += [float(rng.uniform(0.2, 3)), float(rng.choice([0.1, 0.25, 0.4, 0.9]))]
    segmenter = SegmenterConfig(
        max_utterance_ms=4000, split_search_ms=1500, pause_ms=200, post_roll_ms=200
    )
    config = replace(RAW, segmenter=segmenter)
    samples = talk(*lengths, 1.0)
    if rate != RATE:
        import soxr

        samples = soxr.resample(samples, RATE, rate).astype(np.float32)
    events = events_of(samples, config, rate)
    parts = SpeechParts(PartParams(min_part_ms=int(rng.integers(0, 3000))))
    before = ()
    for event in events:
        parts.push(event)
        now = parts.parts
        kept = len(before) - 1 if before else 0
        assert all(a is b for a, b in zip(before[:kept], now, strict=False))
        before = now
    whole = said(events) if any(isinstance(e, Utterance) for e in events) else np.zeros(0)
    got = joined(parts.parts) if parts.parts else np.zeros(0)
    assert np.array_equal(got[got != 0], whole[whole != 0])  # but for some of the silence

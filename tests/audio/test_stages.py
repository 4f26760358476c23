"""Every stage: the same output bit for bit however the input is cut, aligned and of its length."""

import numpy as np
import pytest

from mullama_media.audio.config import AgcConfig, DenoiseConfig, GateConfig
from mullama_media.audio.denoise import Denoiser
from mullama_media.audio.gain import Agc, Gate, Limiter
from mullama_media.audio.resample import Resampler
from tests.audio.signals import RATE, noise, talk

SOUND = talk(0.2, 0.3, 0.3, 0.5, 0.2)
SOUND = SOUND + noise(SOUND.size, 0.02)

STAGES = {
    "denoise": lambda: Denoiser(DenoiseConfig(), RATE),
    "denoise 44100": lambda: Denoiser(DenoiseConfig(method="subtraction", strength=0.5), 44100),
    "gate": lambda: Gate(GateConfig(threshold_db=-30, hold_ms=30, release_ms=50), RATE),
    "agc": lambda: Agc(AgcConfig(attack_ms=20, release_ms=50), RATE),
    "limiter": lambda: Limiter(-18, 5, RATE),
    "limiter, short": lambda: Limiter(-18, 0.1, RATE),
    "48 to 16": lambda: Resampler(48000, 16000),
    "44.1 to 16": lambda: Resampler(44100, 16000),
    "16 to 24": lambda: Resampler(16000, 24000),
    "8 to 16": lambda: Resampler(8000, 16000),
    "same rate": lambda: Resampler(16000, 16000),
}


def whole(stage, samples):
    return np.concatenate([stage.process(samples), stage.flush()])


def pieces(stage, samples, sizes):
    out, at = [], 0
    for size in sizes:
        out.append(stage.process(samples[at : at + size]))
        at += size
    assert at >= samples.size
    return np.concatenate([*out, stage.flush()])


@pytest.mark.parametrize("make", STAGES.values(), ids=STAGES)
@pytest.mark.parametrize("size", [1, 159, 160, 161, 255, 256, 257, 320, 1000])
def test_streaming_equals_offline_bit_for_bit(make, size):
    sound = SOUND[:9000] if size == 1 else SOUND
    sizes = [size] * -(-sound.size // size)
    np.testing.assert_array_equal(pieces(make(), sound, sizes), whole(make(), sound))


@pytest.mark.parametrize("make", STAGES.values(), ids=STAGES)
@pytest.mark.parametrize("seed", range(3))
def test_chunks_of_any_sizes_even_none_change_nothing(make, seed):
    rng = np.random.default_rng(seed)
    sizes = list(rng.integers(0, 900, 200))
    np.testing.assert_array_equal(pieces(make(), SOUND, sizes), whole(make(), SOUND))


@pytest.mark.parametrize("make", STAGES.values(), ids=STAGES)
def test_a_stage_waits_no_longer_than_it_says(make):
    stage = make()
    most = given = 0
    ratio = 1.0
    if isinstance(stage, Resampler):
        ratio = whole(make(), SOUND[:4000]).size / 4000
    for n in range(0, SOUND.size, 16):
        given += stage.process(SOUND[n : n + 16]).size
        most = max(most, n + 16 - given / ratio)
    slack = 0.001 * 48000 if isinstance(stage, Resampler) else 16
    assert stage.delay - slack <= most <= stage.delay + slack


@pytest.mark.parametrize("make", STAGES.values(), ids=STAGES)
def test_after_a_reset_a_stage_is_as_new(make):
    stage = make()
    first = whole(stage, SOUND)
    stage.process(noise(777, 0.5))
    stage.reset()
    np.testing.assert_array_equal(whole(stage, SOUND), first)


@pytest.mark.parametrize("name", ["denoise", "gate", "agc", "limiter"])
@pytest.mark.parametrize("n", [0, 1, 100, 160, 255, 256, 257, 5000])
def test_output_is_as_long_as_input(name, n):
    stage = STAGES[name]()
    assert whole(stage, SOUND[:n]).size == n
    assert whole(stage, SOUND[:n]).size == n, "and again in the next stretch"


def test_chunks_are_not_written_to_and_may_be_reused():
    for make in STAGES.values():
        stage, buffer = make(), np.empty(300, np.float32)
        out = []
        for n in range(0, 9000, 300):
            buffer[:] = SOUND[n : n + 300]
            buffer.flags.writeable = False
            out.append(stage.process(buffer).copy())
            buffer.flags.writeable = True
        out.append(stage.flush())
        np.testing.assert_array_equal(np.concatenate(out), whole(make(), SOUND[:9000]))

"""Noise reduction: its definition in float64, its promises, and no harm where there is no noise."""

import math

import numpy as np
import pytest
from scipy.signal import get_window

from mullama_media.audio.config import DenoiseConfig
from mullama_media.audio.denoise import Denoiser
from tests.audio.signals import RATE, db, noise, talk, voice
from tests.audio.test_stages import whole
from tests.bench.metrics import si_sdr

CLEAN = talk(1.0, 1.2, 0.5, 0.8, 0.6, 1.5, 0.4)


def denoise(samples, rate=RATE, **options):
    return whole(Denoiser(DenoiseConfig(**options), rate), samples)


def reference(samples, *, root, over, smoothing, floor_db, clean_db):
    """The papers' equations frame by frame in float64, gains applied to scipy's frames."""
    size, hop = 512, 256
    window = np.sqrt(get_window("hann", size))
    padded = np.concatenate([np.zeros(hop), samples.astype(np.float64), np.zeros(size)])
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    spectra = np.fft.rfft(frames * window)
    noise_power = speech = None
    weight = smoothing**2
    totals, out = [], np.zeros(padded.size)
    averages, average = [], None
    smooth = None
    peak = 0.0
    for n, spectrum in enumerate(spectra):
        power = np.maximum(np.abs(spectrum) ** 2, 2.5e-7)
        if noise_power is None:
            near = [np.sort(np.pad(power, 8, mode="edge")[k : k + 17])[4] for k in range(hop + 1)]
            noise_power = np.array(near) / sum(1 / (17 - i) for i in range(5))
            speech = np.zeros(hop + 1)
        # Gerkmann & Hendriks 2012, eq. 18, 22 to 24
        prior = 10**1.5
        chance = 1 / (1 + (1 + prior) * np.exp(-power / noise_power * prior / (1 + prior)))
        keep = math.exp(-16 / 152)
        noise_power = keep * noise_power + (1 - keep) * (
            chance * noise_power + (1 - chance) * power
        )
        average = power if average is None else 0.9 * average + 0.1 * power
        averages.append(average)
        # The least of this block of 156 frames and of the one before, once there was one.
        block = n // 156
        if block:
            since = max((block - 1) * 156 - 1, 0)
            noise_power = np.maximum(noise_power, np.min(averages[since:], axis=0))
        # Ephraim & Malah 1984, eq. 51; Plapous et al. 2006, eq. 14 and 17
        posterior = power / noise_power / over
        first = weight * speech / noise_power / over + (1 - weight) * np.maximum(posterior - 1, 0)
        first = np.maximum(first, 10**-2.5)
        speech = (first / (1 + first)) ** 2 * power
        second = (first / (1 + first)) ** 2 * posterior
        gain = second / (1 + second)
        gain = np.maximum(np.sqrt(gain) if root else gain, 10 ** (floor_db / 20))
        total = power.sum()
        smooth = total if smooth is None else (smooth + total) / 2
        totals.append(smooth)
        peak = max(smooth, peak * math.exp(-16 / 10_000))
        span = 10 * math.log10(peak / min(totals[-250:]))
        gain = gain ** min(max((clean_db - span) / 15, 0), 1)
        begin = n * hop
        out[begin : begin + size] += np.fft.irfft(spectrum * gain) * window
    return out[hop : hop + samples.size]


@pytest.mark.parametrize(("method", "over"), [("wiener", 1.0), ("subtraction", 2.0)])
def test_it_is_its_definition(method, over):
    noisy = CLEAN + noise(CLEAN.size, 0.03)
    options = {"smoothing": 0.97, "floor_db": -20.0}
    ours = denoise(noisy, method=method, over_subtraction=over, clean_snr_db=45.0, **options)
    theirs = reference(noisy, root=method == "subtraction", over=over, clean_db=45, **options)
    assert si_sdr(ours, theirs) > 80


def test_it_takes_noise_away_and_keeps_the_voice():
    noisy = CLEAN + noise(CLEAN.size, 0.05)
    out = denoise(noisy)
    assert si_sdr(out, CLEAN) > si_sdr(noisy, CLEAN) + 6
    silent = slice(round(0.5 * RATE), round(0.9 * RATE))
    assert db(out[silent]) < db(noisy[silent]) - 18
    spoken = slice(round(1.2 * RATE), round(2.0 * RATE))
    assert abs(db(out[spoken]) - db(CLEAN[spoken])) < 1


@pytest.mark.parametrize("strength", [0.0, 0.3, 0.7])
def test_strength_scales_what_is_taken_away(strength):
    hiss = noise(4 * RATE, 0.05)
    full, some = denoise(hiss), denoise(hiss, strength=strength)
    late = slice(2 * RATE, None)
    taken = db(hiss[late]) - db(some[late])
    assert taken == pytest.approx(strength * (db(hiss[late]) - db(full[late])), abs=1.5)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
def test_without_a_gain_the_frames_add_up_to_the_input(rate):
    sound = noise(rate, 0.3)
    np.testing.assert_allclose(denoise(sound, rate, strength=0), sound, atol=3e-7)
    stage = Denoiser(DenoiseConfig(), rate)
    stage.bypass = True
    np.testing.assert_allclose(whole(stage, sound), sound, atol=3e-7)


def test_what_is_clean_stays_clean():
    assert si_sdr(denoise(CLEAN), CLEAN) > 60
    faint = CLEAN + noise(CLEAN.size, 0.1 * 10 ** (-45 / 20))
    assert si_sdr(denoise(faint), CLEAN) > si_sdr(faint, CLEAN) - 0.5


def test_speech_from_the_first_sample_is_not_taken_for_noise():
    sound = voice(2 * RATE) + noise(2 * RATE, 0.01)
    out = denoise(sound)
    late = slice(RATE // 2, RATE)
    assert abs(db(out[late]) - db(sound[late])) < 2


def test_a_sudden_noise_is_learned():
    sound = np.concatenate([noise(2 * RATE, 1e-3), noise(6 * RATE, 0.05, 1)])
    out = denoise(sound)
    settled = slice(6 * RATE, 8 * RATE)
    assert db(out[settled]) < db(sound[settled]) - 15


def test_digital_silence_is_no_trouble():
    for sound in (np.zeros(RATE, np.float32), np.concatenate([np.zeros(RATE), CLEAN])):
        out = denoise(sound.astype(np.float32))
        assert np.isfinite(out).all()
        assert np.abs(out[: RATE // 2]).max() == 0


def test_presence_is_one_number_for_every_hop_and_knows_speech():
    noisy = CLEAN + noise(CLEAN.size, 0.05)
    stage = Denoiser(DenoiseConfig(), RATE)
    out = whole(stage, noisy)
    presence = np.array(stage.presence)
    assert presence.size == -(-out.size // stage.hop)
    middles = np.minimum((np.arange(presence.size) * stage.hop) + stage.hop // 2, CLEAN.size - 1)
    active = CLEAN[middles] != 0
    assert np.mean(presence[active] > 0.35) > 0.98
    assert np.mean(presence[~active] < 0.35) > 0.8
    assert stage.snr_db == pytest.approx(10 * math.log10(1 + (0.1 / 0.05) ** 2), abs=2)


def test_what_it_learned_lasts_over_the_end_of_a_stretch():
    stage = Denoiser(DenoiseConfig(), RATE)
    whole(stage, noise(2 * RATE, 0.05))
    again = whole(stage, noise(RATE // 2, 0.05, 1))
    assert db(again) < db(noise(RATE // 2, 0.05, 1)) - 15

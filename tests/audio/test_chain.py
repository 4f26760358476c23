"""The chain: events at the source's own indices, the same for any chunks, over gaps and silence."""

import dataclasses

import numpy as np
import pytest

from mullama_media.audio.chain import Chain
from mullama_media.audio.config import (
    AgcConfig,
    AudioStreamConfig,
    DenoiseConfig,
    GateConfig,
    VadConfig,
)
from mullama_media.errors import InvalidOptionError, MediaError
from mullama_media.frames import (
    AudioChunk,
    AudioFormat,
    Discontinuity,
    NoAudio,
    Partial,
    Pause,
    SpeechEnded,
    SpeechStarted,
    Utterance,
)
from tests.audio.signals import RATE, db, noise, talk
from tests.bench.metrics import si_sdr

PLAIN = AudioStreamConfig.preset("raw")
CONFIGS = {
    "default": AudioStreamConfig(),
    "raw": PLAIN,
    "everything": AudioStreamConfig(
        gain_db=3,
        gate=GateConfig(enabled=True, threshold_db=-50),
        vad=VadConfig(backends=("energy", "webrtc", "neural"), agreement="any"),
    ),
    "webrtc at 24 kHz": AudioStreamConfig(
        sample_rate=24000,
        denoise=DenoiseConfig(enabled=False),
        vad=VadConfig(backends=("webrtc",)),
    ),
}


class Threshold:
    """A `Vad` that knows: what is loud is speech. Frames of 10 ms."""

    def __init__(self, sample_rate=RATE, frame_samples=160):
        self.sample_rate = sample_rate
        self.frame_samples = frame_samples

    def probability(self, frame):
        return float(np.abs(frame).max() > 0.05)

    def reset(self):
        pass


def story(rate):
    sound = talk(1.0, 0.9, 1.2, 0.5, 0.4, 0.6, 1.0, rate=rate)
    return sound + noise(sound.size, 0.003)


def run(chain, samples, size):
    events = []
    for n in range(0, samples.size, size):
        events += chain.push(samples[n : n + size])
    return events + chain.finish()


def told(event):
    fields = [(f.name, getattr(event, f.name)) for f in dataclasses.fields(event)]
    return type(event).__name__, [
        (name, value.tobytes() if isinstance(value, np.ndarray) else value)
        for name, value in fields
    ]


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_events_are_the_same_for_any_chunks(config, rate):
    sound = story(rate)
    whole = [told(event) for event in run(Chain(config, rate), sound, sound.size)]
    assert whole
    for size in (rate // 50, 997, 319):
        assert [told(event) for event in run(Chain(config, rate), sound, size)] == whole


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_indices_are_those_of_the_source(rate):
    events = run(Chain(AudioStreamConfig(), rate), story(rate), rate // 50)
    starts, ends = of(SpeechStarted, events), of(SpeechEnded, events)
    for event, seconds in zip(starts, (1.0, 3.1), strict=True):
        assert event.index_rate == rate
        assert event.speech_start / rate == pytest.approx(seconds, abs=0.04)
        assert (event.speech_start - event.start) / rate == pytest.approx(0.3, abs=0.001)
    for event, seconds in zip(ends, (1.9, 4.6), strict=True):
        assert event.speech_end / rate == pytest.approx(seconds, abs=0.25)
    for utterance in of(Utterance, events):
        assert utterance.sample_rate == 16000
        assert utterance.samples.size == pytest.approx(
            (utterance.end - utterance.start) * 16000 / rate, abs=2
        )


@pytest.mark.parametrize("rate", [16000, 48000])
def test_an_utterance_holds_the_very_samples_between_its_indices(rate):
    sound = story(rate)
    events = run(Chain(PLAIN, rate, vads=[Threshold()]), sound, 700)
    assert len(of(Utterance, events)) == 2
    for utterance in of(Utterance, events):
        expected = sound[utterance.start : utterance.end : rate // 16000]
        if rate == 16000:
            np.testing.assert_array_equal(utterance.samples, expected)
        assert si_sdr(utterance.samples, expected) > 25


def test_delays_of_all_stages_are_made_up_for():
    sound = talk(1.0, 1.0, 1.5)
    config = AudioStreamConfig(
        denoise=DenoiseConfig(strength=0),
        gate=GateConfig(enabled=True, threshold_db=-80),
        agc=AgcConfig(max_gain_db=0, min_gain_db=0, ceiling_db=0),
    )
    chain = Chain(config, RATE, vads=[Threshold()])
    events = run(chain, sound, 320)
    (utterance,) = of(Utterance, events)
    assert utterance.speech_start == RATE
    expected = sound[utterance.start : utterance.end]
    np.testing.assert_allclose(utterance.samples, expected, atol=1e-6)
    assert chain.delay_ms == pytest.approx(32 + 20 + 10 + 15)


def test_a_detector_may_want_another_rate_and_frame():
    sound = story(RATE)
    for vad in (Threshold(8000, 80), Threshold(48000, 1440), Threshold(16000, 1000)):
        starts = of(SpeechStarted, run(Chain(PLAIN, RATE, vads=[vad]), sound, 320))
        for event, seconds in zip(starts, (1.0, 3.1), strict=True):
            assert event.speech_start / RATE == pytest.approx(seconds, abs=0.065)


def test_a_word_in_the_last_part_of_a_frame_is_heard():
    chain = Chain(PLAIN, RATE, vads=[Threshold(RATE, 4000)])
    (utterance,) = of(Utterance, run(chain, talk(1.0, 0.2), 320))
    assert (utterance.speech_start, utterance.end) == (RATE, round(1.2 * RATE))


@pytest.mark.parametrize("extra", range(5))
def test_the_end_of_the_stream_is_the_last_index(extra):
    sound = talk(0.2, 1.0, rate=44100)[: 52000 + extra]
    (utterance,) = of(Utterance, run(Chain(PLAIN, 44100, vads=[Threshold()]), sound, 441))
    assert utterance.end == utterance.speech_end == 52000 + extra


def test_detectors_with_different_frames_agree_on_every_sample():
    config = PLAIN.with_vad({"agreement": "all"})
    vads = [Threshold(16000, 160), Threshold(16000, 1000)]
    events = run(Chain(config, RATE, vads=vads), talk(1.0, 1.0, 1.5), 320)
    assert of(SpeechStarted, events)[0].speech_start == RATE
    assert of(SpeechEnded, events)[0].speech_end == 2 * RATE


def chunk(samples, at, rate=RATE):
    return AudioChunk(samples[:, None], at, AudioFormat(rate))


@pytest.mark.parametrize("rate", [16000, 48000])
def test_lost_samples_move_the_index_and_end_what_is_open(rate):
    sound = talk(1.0, 1.0, 0.5, rate=rate)
    cut = round(1.6 * rate)
    chain = Chain(PLAIN, rate, vads=[Threshold()], at_sample=1000)
    events = chain.push(chunk(sound[:cut], 1000, rate))
    hole = Discontinuity(1000 + cut, 7777, "overrun")
    late = chain.push(hole)
    assert late[-1] is hole
    utterance, ended = late[-3:-1]
    assert (utterance.ended_by, utterance.end, ended.end) == ("gap", 1000 + cut, 1000 + cut)
    assert chain.at_sample == 1000 + cut + 7777
    events = chain.push(chunk(sound, chain.at_sample, rate)) + chain.finish()
    started = of(SpeechStarted, events)[0]
    assert started.speech_start == 1000 + cut + 7777 + rate
    assert chain.metrics.lost == 7777


def test_a_hole_between_chunks_is_found():
    chain = Chain(PLAIN, RATE)
    chain.push(chunk(noise(500), 0))
    (hole,) = of(Discontinuity, chain.push(chunk(noise(500), 800)))
    assert (hole.at_sample, hole.lost) == (500, 300)
    with pytest.raises(MediaError, match="was had before"):
        chain.push(chunk(noise(500), 100))
    with pytest.raises(MediaError, match="has 8000 Hz"):
        chain.push(chunk(noise(500), 1300, 8000))
    assert chain.at_sample == 1300


def test_a_source_that_goes_quiet_gives_its_last_utterance():
    chain = Chain(AudioStreamConfig(), RATE)
    events = []
    sound = story(RATE)[: round(1.7 * RATE)]
    for n in range(0, sound.size, 320):
        events += chain.push(sound[n : n + 320])
    for _ in range(99):
        assert chain.starve(320) == []
    utterance, ended, quiet = chain.starve(320)
    assert isinstance(quiet, NoAudio)
    assert (utterance.ended_by, utterance.end) == ("no_audio", sound.size)
    assert (quiet.at_sample, quiet.waited) == (sound.size, 2 * RATE)
    assert ended.end == sound.size
    assert not chain.speaking
    events = run(chain, story(RATE), 320)
    assert of(SpeechStarted, events)[0].speech_start == pytest.approx(2.7 * RATE, abs=0.04 * RATE)


def test_bad_samples_are_refused_and_nothing_is_taken():
    chain = Chain(AudioStreamConfig(), RATE)
    with pytest.raises(MediaError, match="nan"):
        chain.push(np.array([0, np.nan], np.float32))
    assert chain.at_sample == 0


def test_it_needs_a_rate_and_a_detector():
    with pytest.raises(InvalidOptionError, match="not a rate"):
        Chain(AudioStreamConfig(), 0)
    with pytest.raises(InvalidOptionError, match="at least one"):
        Chain(AudioStreamConfig(), RATE, vads=[])


def test_int16_and_channels_are_the_same_sound():
    mono = np.round(story(RATE) * 32768) + 0.0  # no negative zeros
    stereo = np.stack([mono, mono], 1).astype(np.int16)
    a = run(Chain(PLAIN, RATE), stereo, 320)
    b = run(Chain(PLAIN, RATE), (mono / 32768).astype(np.float32), 320)
    assert [told(event) for event in a] == [told(event) for event in b]


def test_metrics_say_how_it_sounds():
    chain = Chain(AudioStreamConfig(), 48000)
    sound = story(48000)
    run(chain, sound, 960)
    metrics = chain.metrics
    assert metrics.seconds == pytest.approx(sound.size / 48000)
    assert metrics.voice_ratio == pytest.approx(2.0 / 5.6, abs=0.12)
    assert metrics.rms_db == pytest.approx(db(sound[-(sound.size % 960 or 960) :]), abs=0.01)
    assert metrics.peak_db > metrics.rms_db
    # A third of the noise at 48 kHz is left in the band of 16 kHz.
    assert metrics.snr_db == pytest.approx(10 * np.log10(3 * (0.1 / 0.003) ** 2), abs=2)
    assert Chain(PLAIN, RATE).metrics.snr_db is None


def test_a_pause_begins_the_utterance_to_come():
    events = run(Chain(AudioStreamConfig(), RATE), story(RATE), 320)
    pauses, utterances = of(Pause, events), of(Utterance, events)
    for utterance in utterances:
        mine = [pause for pause in pauses if pause.start == utterance.start]
        assert mine
        for pause in mine:
            np.testing.assert_array_equal(pause.samples, utterance.samples[: pause.samples.size])
        assert mine[-1].end == utterance.end, "nothing is left to prefill when it ends"


@pytest.mark.parametrize("rate", [16000, 44100])
def test_a_partial_begins_the_utterance_to_come_at_the_source(rate):
    config = AudioStreamConfig.preset("default", segmenter={"partial_ms": 200})
    events = run(Chain(config, rate), story(rate), rate // 50)
    partials, utterances = of(Partial, events), of(Utterance, events)
    assert len(partials) >= 5
    for partial in partials:
        (utterance,) = [u for u in utterances if u.start == partial.start]
        assert partial.index_rate == rate
        assert partial.end - partial.start == pytest.approx(
            partial.samples.size * rate / 16000, abs=rate / 16000 + 1
        )
        common = min(partial.samples.size, utterance.samples.size)
        np.testing.assert_array_equal(partial.samples[:common], utterance.samples[:common])

"""Echo cancellation: the echo goes, the voice stays, and cutting changes nothing."""

import importlib.util
import sys

import numpy as np
import pytest
import soundfile
from scipy.signal import fftconvolve

from mullama_media.audio.chain import Chain
from mullama_media.audio.config import AudioStreamConfig
from mullama_media.audio.echo import EchoCanceller, EchoConfig
from mullama_media.audio.resample import Resampler
from mullama_media.errors import InvalidOptionError, MediaError, MissingExtraError
from mullama_media.frames import AudioChunk, AudioFormat, Utterance
from tests.audio.signals import RATE, db, noise
from tests.conftest import SAMPLES

BACKENDS = [
    "pywebrtc-audio",
    pytest.param(
        "aec-audio-processing",
        marks=pytest.mark.skipif(
            importlib.util.find_spec("aec_audio_processing") is None,
            reason="pip install '.[aec-audio-processing]' compiles for minutes",
        ),
    ),
]


def speech(name, seconds, rate=RATE):
    """A recording over and over, as loud as speech is."""
    samples, at_rate = soundfile.read(SAMPLES / f"{name}.wav", dtype="float32")
    stage = Resampler(at_rate, rate)
    samples = np.concatenate([stage.process(samples), stage.flush()])
    return np.resize(0.1 * samples / samples.std(), seconds * rate)


def echo_of(far, delay_ms=40, rate=RATE):
    """In a made room: direct sound, then a tail that falls 60 dB in 200 ms."""
    n = rate // 5
    tail = np.random.default_rng(3).standard_normal(n) * 10 ** (-3 * np.arange(n) / n)
    tail[0] = 3
    room = np.concatenate([np.zeros(rate * delay_ms // 1000), 0.5 * tail / np.linalg.norm(tail)])
    return fftconvolve(far, room)[: far.size].astype(np.float32)


def chunk(samples, at=0, rate=RATE):
    return AudioChunk(samples.reshape(-1, 1), at, AudioFormat(rate))


def cancelled(near, far, rate=RATE, far_rate=RATE, **options):
    stage = EchoCanceller(EchoConfig(**options), rate)
    stage.played(chunk(far, rate=far_rate))
    out = np.concatenate([stage.process(near), stage.flush()])
    assert out.size == near.size
    assert stage.late == 0
    return out


def erle(near, out, begin, rate=RATE):
    """Echo return loss enhancement in dB, from `begin` seconds on."""
    return db(near[begin * rate :]) - db(out[begin * rate :])


FAR = np.concatenate([speech("command", 5), speech("seven", 5)])
HISS = noise(FAR.size, 1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("delay", [0, 40, 200])
def test_the_echo_goes(backend, delay):
    near = echo_of(FAR, delay) + HISS
    out = cancelled(near, FAR, backend=backend)
    print(f"{backend} {delay} ms: {erle(near, out, 2):.1f} dB")
    assert erle(near, out, 2) > 30


def test_nothing_is_taken_out_that_was_not_played():
    near = echo_of(FAR) + HISS
    out = cancelled(near, np.zeros_like(FAR))
    assert abs(erle(near, out, 2)) < 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_voice_stays_while_both_speak(backend):
    voice = np.concatenate([np.zeros(5 * RATE, np.float32), speech("command", 5)])
    echo = echo_of(FAR)
    out = cancelled(echo + voice + HISS, FAR, backend=backend)
    alone = cancelled(voice + HISS, np.zeros_like(FAR), backend=backend)
    both = slice(5 * RATE, None)  # "seven" is played over "command"
    kept = np.corrcoef(out[both], alone[both])[0, 1]
    before = np.corrcoef((echo + voice)[both], voice[both])[0, 1]
    level = db(out[both]) - db(alone[both])
    print(f"{backend}: correlation {before:.2f} -> {kept:.2f}, level {level:+.1f} dB")
    assert kept > max(0.87, before + 0.03)
    assert abs(level) < 2


def test_what_was_an_utterance_is_none_any_more():
    def utterances(samples):
        chain = Chain(AudioStreamConfig(), RATE)
        events = [*chain.push(samples), *chain.finish()]
        return [event for event in events if isinstance(event, Utterance)]

    near = 0.3 * echo_of(FAR) + 10 * HISS
    assert len(utterances(near)) >= 3
    late = [u for u in utterances(cancelled(near, FAR)) if u.speech_start > RATE]
    assert late == []


@pytest.mark.parametrize("rate", [8000, 24_000, 44_100, 48_000])
def test_other_rates_and_a_loudspeaker_at_another(rate):
    far = speech("command", 6, 24_000)
    stage = Resampler(24_000, rate)
    heard = np.concatenate([stage.process(far), stage.flush()])
    near = echo_of(heard, rate=rate) + noise(heard.size, 1e-4)
    out = cancelled(near, far, rate, 24_000)
    assert erle(near, out, 2, rate) > 25
    quiet = cancelled(near, np.zeros_like(far), rate, 24_000)
    lag = np.argmax(np.correlate(quiet[rate : 2 * rate], near[rate + 50 : 2 * rate - 50], "valid"))
    assert abs(lag - 50) <= 0.0005 * rate, "aligned"


@pytest.mark.parametrize("size", [1, 159, 160, 161, 1000])
def test_streaming_equals_offline_bit_for_bit(size):
    n = RATE if size == 1 else 3 * RATE
    far, near = FAR[:n], (echo_of(FAR) + HISS)[:n]
    whole = cancelled(near, far)
    stage, out, given = EchoCanceller(EchoConfig(), RATE), [], 0
    rng = np.random.default_rng(size)
    for at in range(0, n, size):
        part = near[at : at + size]
        while given < min(at + part.size, n):  # as a loudspeaker does: not late, in its own pieces
            more = int(rng.integers(1, 700))
            stage.played(chunk(far[given : given + more], given))
            given += more
        out.append(stage.process(part))
    np.testing.assert_array_equal(np.concatenate([*out, stage.flush()]), whole)
    assert stage.late == 0


def test_a_known_delay_is_bridged():
    near = echo_of(FAR, 900) + HISS
    assert erle(near, cancelled(near, FAR), 2) < 10
    assert erle(near, cancelled(near, FAR, delay_ms=800), 2) > 30


def test_indices_say_what_belongs_together():
    near = (echo_of(FAR) + HISS)[: 4 * RATE]
    whole = cancelled(near, FAR)
    stage = EchoCanceller(EchoConfig(), RATE, at_sample=5000)
    stage.played(chunk(FAR, 5000))
    np.testing.assert_array_equal(np.concatenate([stage.process(near), stage.flush()]), whole)
    assert stage.at_sample == 5000 + near.size


def test_a_gap_in_the_microphone_moves_it_on():
    near, lost = echo_of(FAR) + HISS, RATE // 2
    stage = EchoCanceller(EchoConfig(), RATE)
    stage.played(chunk(FAR))
    first = np.concatenate([stage.process(near[: 5 * RATE]), stage.flush()])
    stage.skip(lost)
    rest = near[5 * RATE + lost :]
    out = np.concatenate([stage.process(rest), stage.flush()])
    assert (first.size, out.size) == (5 * RATE, rest.size)
    assert stage.at_sample == near.size
    assert db(rest[RATE:]) - db(out[RATE:]) > 25


def test_the_end_of_a_stretch_forgets_nothing_that_is_still_to_be_played():
    near, outs = (echo_of(FAR) + HISS)[: 3 * RATE], []
    for pieces in (3 * RATE, 70):
        stage = EchoCanceller(EchoConfig(), RATE)
        for at in range(0, 3 * RATE, pieces):
            stage.played(chunk(FAR[at : at + pieces], at))
        parts = [stage.process(near[:12_345]), stage.flush(), stage.process(near[12_345:])]
        outs.append(np.concatenate(parts))
    np.testing.assert_array_equal(*outs)


def test_what_is_stopped_with_a_known_delay_is_stopped_where_it_is_heard():
    near = (echo_of(FAR, 300) + HISS)[: 2 * RATE]
    stopped, short = (EchoCanceller(EchoConfig(delay_ms=250), RATE) for _ in range(2))
    stopped.played(chunk(FAR))
    stopped.unplay(RATE)
    short.played(chunk(FAR[:RATE]))
    np.testing.assert_array_equal(stopped.process(near), short.process(near))


def test_what_is_played_late_is_counted_and_what_is_stopped_is_not_played():
    stage = EchoCanceller(EchoConfig(), RATE)
    stage.process(np.zeros(RATE, np.float32))
    stage.played(chunk(FAR[: RATE + 100]))
    assert stage.late == RATE

    stopped, silent = EchoCanceller(EchoConfig(), RATE), EchoCanceller(EchoConfig(), RATE)
    near = (echo_of(FAR) + HISS)[: 2 * RATE]
    stopped.played(chunk(FAR))
    stopped.unplay(RATE)
    silent.played(chunk(FAR[:RATE]))
    np.testing.assert_array_equal(stopped.process(near), silent.process(near))
    stopped.played(chunk(FAR, stopped.at_sample))
    assert stopped.late == 0


def test_after_a_reset_it_is_as_new():
    near = (echo_of(FAR) + HISS)[:RATE]
    stage = EchoCanceller(EchoConfig(), RATE)
    stage.played(chunk(FAR))
    first = stage.process(near)
    stage.reset()
    stage.played(chunk(FAR))
    np.testing.assert_array_equal(stage.process(near), first)


def test_what_cannot_be_is_refused(monkeypatch):
    with pytest.raises(InvalidOptionError, match="frames of 10 ms"):
        EchoCanceller(EchoConfig(), 22_050)
    stage = EchoCanceller(EchoConfig(), RATE)
    with pytest.raises(MediaError, match="nan"):
        stage.played(chunk(np.full(10, np.nan, np.float32)))
    monkeypatch.setitem(sys.modules, "pywebrtc_audio", None)
    with pytest.raises(MissingExtraError, match=r"mullama-media\[echo\]"):
        EchoCanceller(EchoConfig(), RATE)

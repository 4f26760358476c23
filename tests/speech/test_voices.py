"""Voices that are installed really speak."""

import os
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from mullama_media.errors import InvalidOptionError, MissingExtraError, VoiceError
from mullama_media.options import replace
from mullama_media.speech import VoiceParams, installed_voices, load_voice
from mullama_media.speech.voices import EspeakVoice, PiperVoice, piper_voices

TEXT = "Hello there, how are you today?"

needs_espeak = pytest.mark.skipif(
    not shutil.which("espeak-ng"),
    reason="espeak-ng is not installed, and scripts/apt.sh could not install it",
)


def sound(voice, text=TEXT):
    """All of it, with its indices checked."""
    at, parts = 0, [np.zeros(0, np.float32)]
    for chunk in voice.speak(text):
        assert chunk.at_sample == at
        assert chunk.format.sample_rate == voice.sample_rate
        assert chunk.samples.dtype == np.float32
        at = chunk.end_sample
        parts.append(chunk.mono())
    return np.concatenate(parts)


def seconds(voice, text=TEXT):
    return len(sound(voice, text)) / voice.sample_rate


def pitch_hz(voice):
    """Of the voiced frames, the median of the frequency at which they repeat."""
    samples, rate = sound(voice, "No, no, no, no."), voice.sample_rate
    found = []
    for frame in np.split(samples[: len(samples) // 1024 * 1024], len(samples) // 1024):
        repeats = np.correlate(frame, frame, "full")[1023:]
        lag = rate // 400 + int(np.argmax(repeats[rate // 400 : rate // 60]))
        if repeats[lag] > 0.5 * repeats[0] > 1:
            found.append(rate / lag)
    return float(np.median(found))


@needs_espeak
def test_espeak_speaks():
    voice = load_voice()
    assert isinstance(voice, EspeakVoice)
    assert voice.sample_rate == 22_050
    samples = sound(voice)
    assert 1.2 < len(samples) / voice.sample_rate < 3.5
    assert 0.3 < np.abs(samples).max() <= 1
    assert np.sqrt(np.mean(samples**2)) > 0.03
    np.testing.assert_array_equal(samples, sound(voice))
    assert not np.array_equal(samples, sound(voice, "Something else entirely."))


@needs_espeak
def test_espeak_honours_every_option():
    plain = load_voice()
    assert seconds(load_voice(VoiceParams(rate=2.0))) < 0.7 * seconds(plain)
    assert seconds(load_voice(VoiceParams(rate=0.5))) > 1.5 * seconds(plain)
    low, high = (pitch_hz(load_voice(VoiceParams(pitch=pitch))) for pitch in (0.2, 2.0))
    assert low < 0.9 * pitch_hz(plain) < 0.7 * high
    quiet = sound(load_voice(VoiceParams(volume=0.25)))
    np.testing.assert_allclose(quiet, sound(plain) * 0.25, atol=1e-6)
    german = load_voice(VoiceParams(language="de"))
    assert not np.array_equal(sound(german), sound(plain))
    woman = load_voice(VoiceParams(voice="en-us+f3"))
    assert not np.array_equal(sound(woman), sound(plain))


@needs_espeak
@pytest.mark.parametrize(
    "text", ["-w /tmp/never.wav hello", "$(touch x); hello | cat", "a\0b\x1bc", "--version", "日本"]
)
def test_no_text_is_anything_but_text(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert seconds(load_voice(), text) > 0.3
    assert not list(tmp_path.iterdir())


@needs_espeak
def test_brackets_are_not_phonemes():
    voice = load_voice()
    assert seconds(voice, "[[h@'loU]]") > 1.5 * seconds(voice, "hello")  # spelt, not said


@needs_espeak
def test_nothing_to_say_is_nothing():
    assert [seconds(load_voice(), text) for text in ("", "  ", "...", "-")] == [0] * 4


@needs_espeak
def test_a_speech_that_is_closed_ends_its_program():
    voice = load_voice()
    chunks = voice.speak("word " * 20_000)
    next(chunks)
    began = time.monotonic()
    chunks.close()
    assert time.monotonic() - began < 2
    command = ["ps", "-o", "args=", "--ppid", str(os.getpid())]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "ps -o" in done.stdout
    assert "espeak-ng" not in done.stdout


@needs_espeak
def test_several_speak_at_once():
    voice = load_voice()
    alone = sound(voice)
    heard = [None] * 4

    def speak(i):
        heard[i] = sound(voice)

    threads = [threading.Thread(target=speak, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for samples in heard:
        np.testing.assert_array_equal(samples, alone)


@needs_espeak
def test_what_espeak_cannot_do_is_said():
    with pytest.raises(VoiceError, match="nosuch"):
        load_voice(VoiceParams(voice="nosuch"))
    for options in (
        {"rate": 4.0},
        {"rate": 0.3},
        {"speaker": "x"},
        {"variation": 0.5},
        {"voice": "-w/tmp/x"},
        {"voice": "en", "language": "de"},
    ):
        with pytest.raises(InvalidOptionError, match=r"VoiceParams\."):
            load_voice(VoiceParams(engine="espeak", **options))


def test_without_the_program_it_is_said(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(VoiceError, match="apt install espeak-ng"):
        load_voice()


@pytest.fixture(scope="module")
def piper_params():
    pytest.importorskip("piper")
    return VoiceParams(voice=next(iter(piper_voices())), variation=0.0)


def test_piper_speaks(piper_params):
    voice = load_voice(piper_params)
    assert isinstance(voice, PiperVoice)
    assert voice.sample_rate == 22_050
    samples = sound(voice)
    assert 1 < len(samples) / voice.sample_rate < 3.5
    assert np.sqrt(np.mean(samples**2)) > 0.03
    np.testing.assert_array_equal(samples, sound(voice))  # without variation
    (path,) = piper_voices().values()
    quick = load_voice(VoiceParams(voice=str(path), variation=0.0, rate=2.0, volume=0.5))
    assert quick.name == voice.name
    assert seconds(quick) < 0.65 * len(samples) / voice.sample_rate
    assert np.abs(sound(quick)).max() == pytest.approx(0.5, abs=0.01)
    chunks = list(voice.speak("One sentence. And another."))
    assert len(chunks) == 2
    assert chunks[1].at_sample == len(chunks[0].samples)


def test_piper_refuses_what_it_cannot(piper_params, tmp_path):
    for options in ({"pitch": 1.5}, {"speaker": "nobody"}, {"speaker": "7"}):
        with pytest.raises(InvalidOptionError, match=r"VoiceParams\.|no speaker"):
            PiperVoice(replace(piper_params, **options))
    for name in ("nosuch", str(tmp_path / "none.onnx")):
        with pytest.raises(VoiceError):
            PiperVoice(VoiceParams(voice=name))
    with pytest.raises(VoiceError):
        PiperVoice(VoiceParams(language="xx"))
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    (tmp_path / "broken.onnx.json").write_text("{}")
    with pytest.raises(VoiceError, match="cannot be loaded"):
        load_voice(VoiceParams(voice=str(broken)))


def test_without_piper_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "piper", None)
    with pytest.raises(MissingExtraError, match="piper"):
        load_voice(VoiceParams(engine="piper"))


@needs_espeak
def test_installed_voices_are_listed(piper_params):
    voices = installed_voices()
    languages = {voice.language for voice in voices if voice.engine == "espeak"}
    assert {"de", "en-us", "fr-fr"} <= languages
    assert ("piper", "en_US-joe-medium", "en-US") in {
        (voice.engine, voice.name, voice.language) for voice in voices
    }

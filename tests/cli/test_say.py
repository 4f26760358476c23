"""`mullama say`, run as a user runs it."""

import json
import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

from mullama_media.audio import files
from mullama_media.io import SpeakerParams
from mullama_media.speech import VoiceParams, load_voice
from tests.cli.test_cli import MULLAMA, mullama
from tests.io.conftest import sound_card  # noqa: F401
from tests.io.test_speaker import monitor  # noqa: F401

needs_espeak = pytest.mark.skipif(
    not shutil.which("espeak-ng"),
    reason="espeak-ng is not installed, and scripts/apt.sh could not install it",
)
DEVICE = ["--device", "pulse", "--sample-rate", 16_000, "--channels", 1]


@needs_espeak
def test_a_file_holds_what_the_voice_says(tmp_path):
    done = mullama("say", "-o", "a.wav", "Hello there.", "**How** are you?", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    voice = load_voice()
    said = [c.mono() for text in ("Hello there.", "How are you?") for c in voice.speak(text)]
    kept = files.read(tmp_path / "a.wav")
    assert kept.sample_rate == voice.sample_rate
    np.testing.assert_allclose(kept.samples, np.concatenate(said), atol=1e-4)
    assert done.stdout.split()[:2] == ["a.wav", f"{kept.duration_ms / 1000:.2f}"]


@needs_espeak
def test_other_formats_and_options(tmp_path):
    options = ["--rate", 2, "--language", "de", "--volume", 0.5, "--json"]
    done = mullama("say", "-o", "a.opus", *options, stdin="Guten Tag, wie geht es?", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    seconds = json.loads(done.stdout)["seconds"]
    kept = files.read(tmp_path / "a.opus")  # which has 24 or 48 kHz, not 22.05
    assert kept.duration_ms / 1000 == pytest.approx(seconds, abs=0.1)
    voice = load_voice(VoiceParams(rate=2.0, language="de", volume=0.5))
    said = sum(len(c.samples) for c in voice.speak("Guten Tag, wie geht es?"))
    assert seconds == pytest.approx(said / voice.sample_rate, abs=0.01)


@needs_espeak
def test_stdin_is_spoken_as_it_comes(monitor):  # noqa: F811
    process = subprocess.Popen(
        [*MULLAMA, "say", *map(str, DEVICE), "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        os.write(process.stdin.fileno(), "It rains. Café".encode()[:-1])  # half a character
        end = time.monotonic() + 20
        while len(monitor.heard()) < 4000:
            assert time.monotonic() < end
            time.sleep(0.02)
        assert process.poll() is None
        out, err = process.communicate("Café.".encode()[-2:], timeout=30)
    assert process.returncode == 0, err
    result = json.loads(out)
    assert (result["text"], result["sentences"], result["complete"]) == ("It rains. Café.", 2, True)
    monitor.wait_silence()
    assert len(monitor.heard()) / 16_000 == pytest.approx(result["seconds"], abs=2.5)


@needs_espeak
def test_ctrl_c_is_silence(monitor):  # noqa: F811
    text = "One two three four five six seven eight nine ten. " * 10
    process = subprocess.Popen(
        [*MULLAMA, "say", *map(str, DEVICE), text], stderr=subprocess.PIPE, text=True
    )
    with process:
        end = time.monotonic() + 20
        while len(monitor.heard()) < 8000:
            assert time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert err == ""
    monitor.wait_silence(0.5)
    assert len(monitor.heard()) < 5 * 16_000  # of half a minute


@needs_espeak
def test_voices_are_listed():
    rows = [line.split() for line in mullama("say", "--list-voices").stdout.splitlines()]
    assert ["espeak", "de", "de", "German"] in rows


def test_every_option_of_voice_and_speaker_is_a_flag():
    shown = mullama("say", "--help").stdout
    for cls in (VoiceParams, SpeakerParams):
        for field in cls.__dataclass_fields__:
            assert f"--{field.replace('_', '-')}" in shown


@needs_espeak
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--voice", "nosuch", "-o", "a.wav"], "nosuch: espeak-ng gave no sound"),
        (["-o", "kept.wav"], "kept.wav: it exists already"),
        (["--device", "no such thing"], "loudspeaker"),
    ],
)
def test_what_cannot_be_said_is_one_line(tmp_path, args, message):
    (tmp_path / "kept.wav").write_bytes(b"kept")
    done = mullama("say", *args, "hello", cwd=tmp_path)
    assert done.returncode == 1
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["kept.wav"]
    assert (tmp_path / "kept.wav").read_bytes() == b"kept"

"""`mullama convert` and `mullama devices`, run as a user runs them."""

import json
import signal
import subprocess
import time

import numpy as np
import pytest
import soundfile

from mullama_media.audio import files
from mullama_media.audio.config import SegmenterConfig
from mullama_media.audio.formats import ConvertParams
from mullama_media.io import MicrophoneParams
from tests.audio.signals import noise, talk
from tests.cli.test_cli import MULLAMA, mullama
from tests.io.conftest import sound_card  # noqa: F401

RATE = 16000
TONE = (0.3 * np.sin(np.arange(RATE) / 8)).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in" / "deeper").mkdir(parents=True)
    for name in ("a.wav", "deeper/b.flac"):
        files.write(tmp_path / "in" / name, TONE, RATE)
    (tmp_path / "in" / "notes.txt").write_text("not sound")
    return tmp_path


def test_a_file_becomes_what_its_new_name_says(folder):
    done = mullama("convert", folder / "in/a.wav", folder / "a.mp3", "--bitrate-kbps", 64)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(folder / "a.mp3"))
    assert files.read(folder / "a.mp3").samples.size == pytest.approx(RATE, rel=0.1)
    refused = mullama("convert", folder / "in/a.wav", folder / "a.mp3")
    assert refused.returncode == 1
    assert "exists already" in refused.stderr
    again = mullama("convert", folder / "in/a.wav", folder / "a.mp3", "--force")
    assert again.returncode == 0


def test_a_folder_is_converted_with_its_subfolders(folder):
    options = ["-f", "wav", "--sample-rate", 8000, "--channels", 2, "--sample-format", "int24"]
    done = mullama("convert", folder / "in", folder / "out", *options)
    assert done.returncode == 0, done.stderr
    for name in ("a.wav", "deeper/b.wav"):
        info = soundfile.info(folder / "out" / name)
        assert (info.samplerate, info.channels, info.subtype) == (8000, 2, "PCM_24")


def test_one_bad_file_fails_alone(folder):
    (folder / "in/c.mp3").write_bytes(b"not sound at all")
    done = mullama("convert", folder / "in", folder / "out", "-f", "ogg")
    assert done.returncode == 1
    assert "in/c.mp3: it cannot be decoded" in done.stderr.replace("\n", "")
    assert (folder / "out/a.ogg").exists()
    assert (folder / "out/deeper/b.ogg").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["in/a.wav", "b.xyz"], "no format is known"),
        (["in", "out"], "need --format"),
        (["none.wav", "b.flac"], "no such file"),
        (["in/a.wav", "in/deeper/../a.wav", "out", "-f", "mp3"], "two files would become this"),
        (["in/a.wav", "b.flac", "--sample-format", "float32"], "cannot hold float32"),
    ],
)
def test_what_cannot_be_is_one_line(folder, args, message):
    done = mullama("convert", *args, cwd=folder)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_every_option_of_converting_is_a_flag():
    shown = mullama("convert", "--help").stdout
    for field in ConvertParams.__dataclass_fields__:
        assert f"--{field.replace('_', '-')}" in shown


def test_devices_are_listed(sound_card):  # noqa: F811
    text = mullama("devices").stdout
    assert "pulse" in text
    assert "ALSA" in text
    found = json.loads(mullama("devices", "--json").stdout)
    assert "pulse" in [device["name"] for device in found["inputs"]]
    assert found["outputs"]


SPOKEN = talk(0.5, 1.0, 1.0, 0.7, 1.2)
TALK = np.rint(32768 * (SPOKEN + noise(SPOKEN.size, 0.003))).astype(np.int16)


def test_a_file_is_heard_and_its_utterances_are_written(tmp_path):
    soundfile.write(tmp_path / "talk.wav", TALK, RATE)
    args = ["--source", "talk.wav", "-o", "heard", "--record", "kept.flac", "--plot", "talk.png"]
    done = mullama("listen", *args, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line.split()[-1] for line in done.stdout.splitlines()] == [
        "utterance-0001.wav",
        "utterance-0002.wav",
    ]
    assert "4.4 s heard, 2 utterances, 0 samples lost" in " ".join(done.stderr.split())
    spoken = [line for line in events(tmp_path / "heard") if line["event"] == "Utterance"]
    for line, speech in zip(spoken, (0.5, 2.5), strict=True):
        length = soundfile.info(tmp_path / "heard" / line["file"]).frames
        assert length == line["end"] - line["start"]
        assert line["speech_start_s"] == pytest.approx(speech, abs=0.05)
    np.testing.assert_array_equal(soundfile.read(tmp_path / "kept.flac", dtype="int16")[0], TALK)
    assert (tmp_path / "talk.png").stat().st_size > 10_000
    again = mullama("listen", "--source", "talk.wav", "-o", "heard", "--json", cwd=tmp_path)
    files_of = [json.loads(line).get("file") for line in again.stdout.splitlines()]
    assert [name for name in files_of if name] == ["utterance-0003.wav", "utterance-0004.wav"]


def test_options_of_the_stages_reach_them(tmp_path):
    soundfile.write(tmp_path / "talk.wav", TALK, RATE)
    (tmp_path / "ear.toml").write_text("[audio.segmenter]\nsilence_ms = 2000\n")

    def utterances(*args):
        done = mullama("listen", "--source", "talk.wav", *args, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return len(done.stdout.splitlines())

    assert utterances("--config", "ear.toml") == 1
    assert utterances("--config", "ear.toml", "--silence-ms", 500) == 2
    assert utterances("--min-speech-ms", 3000) == 0


def test_every_option_of_microphone_and_segmenter_is_a_flag():
    shown = mullama("listen", "--help").stdout
    for cls in (MicrophoneParams, SegmenterConfig):
        for field in cls.__dataclass_fields__:
            assert f"--{field.replace('_', '-')}" in shown
    assert "--no-reconnect" in shown


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--source", "none.wav"], "none.wav"),
        (["--source", "talk.wav", "--preset", "loud"], "there is no preset 'loud'"),
        (["--source", "talk.wav", "--threshold", 2], "SegmenterConfig.threshold"),
        (["--source", "talk.wav", "--preset", "raw", "--config", "x"], "not both"),
        (["--device", "no such thing"], "microphone"),
        (["--source", "talk.wav", "--out", "talk.wav"], "talk.wav: cannot be written"),
        (["--source", "talk.wav", "--plot", "talk.xyz"], "no picture is known"),
        (["--source", "talk.wav", "--plot", "none/talk.png"], "no such folder"),
    ],
)
def test_what_cannot_be_heard_is_one_line(tmp_path, args, message):
    soundfile.write(tmp_path / "talk.wav", TALK, RATE)
    done = mullama("listen", *args, cwd=tmp_path)
    assert done.returncode == 1
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_microphone_is_heard_until_ctrl_c(sound_card, tmp_path):  # noqa: F811
    process = subprocess.Popen(
        [*MULLAMA, "listen", "--device", "pulse", "-o", tmp_path, "--sample-rate", str(RATE)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert "native capture" in process.stderr.readline()
        twice = np.concatenate([SPOKEN, SPOKEN[: round(1.2 * RATE)]])
        playing = sound_card.play((32768 * twice).astype(np.int16))
        playing.wait()
        time.sleep(0.3)  # the end of what was played is on its way
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    ends = [line["ended_by"] for line in events(tmp_path) if line["event"] == "Utterance"]
    assert ends == ["silence", "silence", "end"]  # the last word was not over yet
    assert out.splitlines()[-1].endswith("utterance-0003.wav  (end)")
    assert "0 samples lost" in " ".join(err.split())


def events(folder):
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]

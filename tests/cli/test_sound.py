"""`mullama convert` and `mullama devices`, run as a user runs them."""

import json

import numpy as np
import pytest
import soundfile

from mullama_media.audio import files
from mullama_media.cli.convert import ConvertParams
from tests.cli.test_cli import mullama
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

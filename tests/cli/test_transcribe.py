"""`mullama transcribe`, run as a user runs it."""

import json
import shutil

import numpy as np
import pytest
import srt
import webvtt

from mullama_media.audio import files
from tests.cli.test_cli import mullama
from tests.conftest import SAMPLES
from tests.speech.sounds import RATE, silence, without_words
from tests.wer import edits, words


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in" / "deeper").mkdir(parents=True)
    shutil.copy(SAMPLES / "seven.wav", tmp_path / "in" / "seven.wav")
    command = files.read(SAMPLES / "command.wav").samples
    talk = np.concatenate([silence(2), command, silence(3), command])
    files.write(tmp_path / "in" / "deeper" / "talk.flac", talk, RATE)
    files.write(tmp_path / "in" / "noise.ogg", without_words("pink"), RATE)
    (tmp_path / "in" / "notes.txt").write_text("not sound")
    return tmp_path


def is_command(text):
    return edits(["open", "the", "door"], words(text)) <= 1  # it hears "opens" now and then


def test_one_file_is_written_to_stdout():
    done = mullama("transcribe", SAMPLES / "command.wav")
    assert done.returncode == 0, done.stderr
    assert is_command(done.stdout)
    assert "1 transcribed; 1.5 s of sound" in done.stderr
    assert "real-time factor" in done.stderr


def test_a_folder_in_every_format(folder):
    wanted = ["-f", "text,srt", "-f", "vtt", "-f", "json", "-o", folder / "out", "--word-times"]
    done = mullama("transcribe", folder / "in", "-r", *wanted)
    assert done.returncode == 0, done.stderr
    out = folder / "out"
    assert sorted(path.name for path in out.iterdir()) == sorted(
        f"{stem}.{kind}"
        for stem in ("seven", "talk", "noise")
        for kind in ("txt", "srt", "vtt", "json")
    )
    lines = (out / "talk.txt").read_text().splitlines()
    assert len(lines) == 2
    assert all(is_command(line) for line in lines)
    assert (out / "noise.txt").read_text() == (out / "noise.srt").read_text() == ""
    first, second = srt.parse((out / "talk.srt").read_text())
    assert first.start.total_seconds() == pytest.approx(2.1, abs=0.4)
    assert second.start.total_seconds() == pytest.approx(6.6, abs=0.4)
    captions = webvtt.read(out / "talk.vtt")
    assert [caption.text for caption in captions] == lines
    found = json.loads((out / "talk.json").read_text())
    spoken = found["segments"][1]["words"]
    assert is_command(" ".join(word["text"] for word in spoken))
    assert spoken[0]["start_s"] == pytest.approx(6.6, abs=0.4)
    assert found["file"].endswith("talk.flac")
    assert json.loads((out / "noise.json").read_text())["quiet"] == "no speech"


def test_what_is_there_is_left_out_and_a_broken_file_fails_alone(folder):
    (folder / "in" / "broken.mp3").write_bytes(b"not sound at all")
    out = folder / "out"
    out.mkdir()
    (out / "seven.txt").write_text("mine\n")
    done = mullama("transcribe", folder / "in", "-o", out)
    assert done.returncode == 1
    assert "broken.mp3: it cannot be decoded" in done.stderr
    assert "1 transcribed, 1 there already, 1 failed" in done.stderr
    assert (out / "seven.txt").read_text() == "mine\n"
    assert not (out / "broken.txt").exists()
    again = mullama("transcribe", folder / "in" / "seven.wav", "-o", out, "--force")
    assert again.returncode == 0
    assert words((out / "seven.txt").read_text()) == ["seven"]
    nothing = mullama("transcribe", folder / "in" / "seven.wav", "-o", out)
    assert nothing.returncode == 0
    assert "0 transcribed, 1 there already" in nothing.stderr


def test_a_model_with_ears_and_its_own_stages():
    options = ["--backend", "mtmd", "--denoise", 1, "--vad", "energy", "-f", "json"]
    done = mullama("transcribe", SAMPLES / "seven.wav", SAMPLES / "command.wav", *options)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["text"] for one in found] == ["seven", "open the door"]
    assert {one["backend"] for one in found} == {"mtmd"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-f", "doc"], "'doc' is no format"),
        (["-f", "srt", "-f", "vtt"], "several formats need a folder"),
        (["-l", "xx"], "does not know the language 'xx'"),
        (["--preset", "none"], "no preset 'none'"),
        (["--backend", "mtmd", "--beam-size", "3"], "mtmd has no such option"),
        (["-m", "whisper:huge"], "no such alias"),
    ],
)
def test_wrong_options_say_what_and_where(options, said):
    done = mullama("transcribe", SAMPLES / "seven.wav", *options)
    assert done.returncode == 1
    assert said in done.stderr
    assert not done.stdout


def test_two_files_of_one_name_do_not_become_one(folder):
    shutil.copy(SAMPLES / "seven.wav", folder / "in" / "deeper" / "seven.wav")
    done = mullama("transcribe", folder / "in", "-r", "-o", folder / "out")
    assert done.returncode == 1
    assert "two files would become this one" in done.stderr
    files.write(folder / "in" / "seven.flac", silence(1), RATE)
    pair = [folder / "in" / "seven.wav", folder / "in" / "seven.flac"]
    done = mullama("transcribe", *pair, "-o", folder / "out")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (folder / "out").iterdir()} == {"seven.wav.txt", "seven.flac.txt"}


def test_a_whisper_model_answers_no_questions():
    done = mullama("run", "whisper:tiny.en", "Hello?")
    assert done.returncode == 1
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr

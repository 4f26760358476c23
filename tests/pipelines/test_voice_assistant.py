"""pipelines/voice_assistant.py and `mullama assistant`, with the file in configs/."""

import dataclasses
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mullama_media.assistant import TABLES
from mullama_media.options import load_toml
from tests.conftest import ROOT, SAMPLES

PROGRAM = ROOT / "pipelines" / "voice_assistant.py"
CONFIG = ROOT / "configs" / "voice_assistant.toml"
MULLAMA = Path(sys.executable).parent / "mullama"


def quiet(folder):
    """The configuration without a loudspeaker, and answers that end."""
    text = CONFIG.read_text("utf-8").replace("speak = true", "speak = false")
    path = folder / "assistant.toml"
    path.write_text(text.replace("max_tokens = 64", "max_tokens = 4"), "utf-8")
    return path


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_tables_are_classes_and_keys_are_fields():
    content = tomllib.loads(CONFIG.read_text("utf-8"))
    for name, table in content.items():
        assert set(table) <= {field.name for field in dataclasses.fields(TABLES[name])}
    tables = load_toml(CONFIG, TABLES)
    assert tables["chat"].turns.end_silence_ms == 600
    assert tables["chat"].sampling.temperature == 0.7


def test_it_is_composition_only():
    assert len(PROGRAM.read_text("utf-8").splitlines()) < 100


def test_what_a_file_says_is_written_down_and_answered(tmp_path):
    done = run(sys.executable, PROGRAM, quiet(tmp_path), SAMPLES / "command.wav")
    assert done.returncode == 0, done.stderr
    asked, answer, *_ = done.stdout.splitlines()
    assert asked.lower().rstrip(".!") == "> open the door"
    assert answer.strip()
    assert "ms after the last word" in done.stderr


def test_the_command_tells_programs_what_happens(tmp_path):
    options = ["--no-speak", "--no-transcribe", "--json", "--config", quiet(tmp_path)]
    done = run(MULLAMA, "assistant", "--source", SAMPLES / "seven.wav", *options)
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [record["event"] for record in records]
    assert kinds[0] == "asked"
    assert kinds[-1] == "trace"
    tokens = "".join(record["text"] for record in records if record["event"] == "token")
    (answer,) = [record for record in records if record["event"] == "answer"]
    assert tokens == answer["text"]
    assert records[-1]["outcome"] == "answered"


def test_a_wrong_key_is_told_with_its_place(tmp_path):
    path = tmp_path / "wrong.toml"
    path.write_text("[chat.turns]\nend_silence = 5\n", "utf-8")
    done = run(MULLAMA, "assistant", "--config", path)
    assert done.returncode == 1
    assert "end_silence" in done.stderr
    assert "turns" in done.stderr


@pytest.mark.parametrize(("threshold", "least", "most"), [(1.0, 3950, 4100), (0.001, 590, 3500)])
def test_a_threshold_asks_the_model_whether_a_turn_is_over(tmp_path, threshold, least, most):
    """What it takes for unfinished waits for `max_end_silence_ms`."""
    text = quiet(tmp_path).read_text("utf-8")
    turns = f"end_silence_ms = 600\nend_threshold = {threshold}\nmax_end_silence_ms = 4000"
    path = tmp_path / "judged.toml"
    path.write_text(text.replace("end_silence_ms = 600", turns), "utf-8")
    sound = tmp_path / "command.wav"
    samples, rate = soundfile.read(SAMPLES / "command.wav")
    soundfile.write(sound, np.concatenate([samples, np.zeros(6 * rate)]), rate)
    done = run(MULLAMA, "assistant", "--source", sound, "--json", "--config", path)
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["event"] == "trace"
    assert least <= last["end_of_turn_delay_ms"] <= most

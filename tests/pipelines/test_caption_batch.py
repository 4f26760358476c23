"""pipelines/caption_batch.py on the samples, as its configuration in configs/ says."""

import dataclasses
import importlib.util
import json
import shutil
import subprocess
import sys
import tomllib

import pytest

from tests.conftest import ROOT, SAMPLES

PROGRAM = ROOT / "pipelines" / "caption_batch.py"
CONFIG = ROOT / "configs" / "caption_batch.toml"


@pytest.fixture(scope="module")
def program():
    spec = importlib.util.spec_from_file_location("caption_batch", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    sys.modules["caption_batch"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["caption_batch"]


def caption_batch(*args, cwd):
    command = [sys.executable, PROGRAM, *args]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


def test_tables_are_classes_and_keys_are_fields(program):
    content = tomllib.loads(CONFIG.read_text("utf-8"))
    assert list(content) == list(program.TABLES)
    for name, table in content.items():
        fields = {field.name for field in dataclasses.fields(program.TABLES[name])}
        assert table
        assert set(table) <= fields, name


def test_it_is_composition_only():
    assert len(PROGRAM.read_text("utf-8").splitlines()) < 100


def test_samples_are_captioned_and_then_not_asked_again(tmp_path):
    shutil.copytree(SAMPLES, tmp_path / "samples", ignore=shutil.ignore_patterns("tiny_omni"))
    (tmp_path / "samples" / "broken.png").write_text("no picture")
    done = caption_batch(CONFIG, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    table = (tmp_path / "captions.jsonl").read_text("utf-8").split("\n")[:-1]
    rows = [json.loads(line) for line in table]
    told = {row["path"].rpartition("/")[2]: row for row in rows}
    expected = json.loads((SAMPLES / "expected.json").read_text("utf-8"))["shapes.png"]
    assert told["shapes.png"]["text"] == expected["What is in the picture?"]
    assert "not a picture" in told["broken.png"]["error"]
    journal = tmp_path / "captions.jsonl.journal"
    before = journal.read_bytes()
    assert before.count(b"\n") == len(rows) - 1
    again = caption_batch(CONFIG, "samples/shapes.png", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert journal.read_bytes() == before
    assert json.loads((tmp_path / "captions.jsonl").read_text("utf-8")) == told["shapes.png"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[caption]\nprompts = 'x'\n", "c.toml [caption]: CaptionParams has no option 'prompts'"),
        ("[engine]\nn_parallel = 0\n", "c.toml [engine] n_parallel: 0 must be at least 1"),
        ("[captions]\nprompt = 'x'\n", "c.toml: nothing is known by the name 'captions'"),
        ("batch = 3\n", "c.toml [batch]: it is not a table"),
        ("[batch]\nsidecar = 'doc'\n", "c.toml [batch] sidecar: 'doc' must be one of txt"),
    ],
)
def test_an_error_names_file_table_and_key(tmp_path, text, message):
    (tmp_path / "c.toml").write_text(text)
    done = caption_batch("c.toml", cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr

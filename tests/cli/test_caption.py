"""`mullama caption`, run as a user runs it, and killed as an unlucky one."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest

from tests.caption.conftest import draw, tiny_model  # noqa: F401
from tests.cli.test_cli import MULLAMA, mullama
from tests.conftest import SAMPLES
from tests.stress import captions


@pytest.fixture
def base(tiny_model):  # noqa: F811
    model, mmproj = tiny_model
    return ["caption", "-m", model, "--mmproj", mmproj, "-c", 256, "--max-tokens", 6]


def test_pictures_are_captioned_and_the_broken_one_is_named(base, tmp_path):
    paths = [draw(tmp_path / f"{n}.png", n) for n in range(3)]
    (tmp_path / "x.jpg").write_text("no picture")
    done = mullama(*base, tmp_path, "-o", tmp_path / "t.jsonl", "--report", tmp_path / "r.html")
    assert done.returncode == 1
    assert "3 captions, 1 failed" in done.stderr
    assert "x.jpg: it is not a picture" in done.stderr
    rows = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().split("\n")[:-1]]
    assert [row["path"] for row in rows] == [*paths, str(tmp_path / "x.jpg")]
    assert (tmp_path / "r.html").read_text().count("<figure>") == 4
    again = mullama(*base, *paths, "-o", tmp_path / "t.jsonl")
    assert again.returncode == 0
    lines = (tmp_path / "t.jsonl").read_text().split("\n")[:-1]
    assert [json.loads(line) for line in lines] == rows[:3]


def test_a_list_on_stdin_and_text_on_stdout(base, tmp_path):
    paths = [draw(tmp_path / f"{n}.png", n) for n in range(2)]
    done = mullama(*base, "-", stdin="\n".join(paths) + "\n")
    assert sorted(line.partition(": ")[0] for line in done.stdout.splitlines()) == paths
    rows = mullama(*base, "-", "--json", stdin="\n".join(paths)).stdout.splitlines()
    assert sorted(json.loads(row)["path"] for row in rows) == paths


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_no_utf8_is_one_like_others(base, tmp_path):
    draw(tmp_path / "a.png", 0)
    odd = os.fsencode(tmp_path) + b"/caf\xe9.png"
    os.rename(tmp_path / "a.png", odd)
    broken = os.fsencode(tmp_path) + b"/\xff.jpg"
    Path(os.fsdecode(broken)).write_text("no picture")
    escaped = str(tmp_path) + "/caf\\udce9.png"
    for name in ("t.jsonl", "t.csv", "t.parquet"):
        done = mullama(*base, tmp_path, "-o", tmp_path / name, "--report", tmp_path / "r.html")
        assert "1 captions, 1 failed" in done.stderr
    row, error = map(json.loads, (tmp_path / "t.jsonl").read_text("utf-8").splitlines())
    assert row["path"] == os.fsdecode(odd)
    assert "it is not a picture" in error["error"]
    again = mullama(*base, tmp_path, "-o", tmp_path / "t.jsonl")  # the journal knows it
    assert json.loads((tmp_path / "t.jsonl").read_text("utf-8").splitlines()[0]) == row
    assert "1 captions, 1 failed" in again.stderr
    table = pyarrow.parquet.read_table(tmp_path / "t.parquet").to_pylist()
    assert table[0]["path"] == escaped
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        assert next(csv.DictReader(file))["path"] == escaped
    assert escaped in (tmp_path / "r.html").read_text("utf-8")
    command = [*MULLAMA, *map(str, base), "-"]
    plain = subprocess.run(command, input=odd + b"\n", capture_output=True, check=True)
    assert plain.stdout.startswith(odd + b": ")
    listed = subprocess.run(
        [*command, "--json"], input=odd + b"\n", capture_output=True, check=True
    )
    assert json.loads(listed.stdout)["path"] == os.fsdecode(odd)


def test_the_default_model_sees():
    asked = ["--prompt", "What is in the picture?"]
    done = mullama("caption", SAMPLES / "shapes.png", *asked)
    assert done.stdout.endswith("shapes.png: A red circle and a green star\n")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-o", "t.xlsx"], "no table is known"),
        (["--sidecar", "doc"], "no kind of file"),
        (["--schema", "none.json"], "none.json: cannot be read"),
        (["--schema", '{"type": "what"}'], "type"),
        (["empty"], "there is no picture in it"),
        (["--retries", 99], "CaptionParams.retries"),
    ],
)
def test_what_cannot_be_is_one_line(base, tmp_path, args, message):
    draw(tmp_path / "a.png", 0)
    (tmp_path / "empty").mkdir()
    done = mullama(*base, "a.png", *args, cwd=tmp_path)
    assert done.returncode == 1
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("kind", ["csv", "txt"])
def test_killed_again_and_again_every_picture_is_captioned_once(tmp_path, kind):
    run = captions.Run(tmp_path, kind, items=80, seed=7)
    known = []
    run.kill_often(6, known.append)
    run.finish()
    assert len(known) == 6

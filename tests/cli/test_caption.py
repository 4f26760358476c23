"""`mullama caption`, run as a user runs it, and killed as an unlucky one."""

import json

import pytest

from tests.caption.conftest import draw, tiny_model  # noqa: F401
from tests.cli.test_cli import mullama
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

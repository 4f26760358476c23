"""Videos on the command line: asked about, captioned, and taken apart."""

import json

import numpy as np
import PIL.Image
import pytest

from mullama_media.vision import video
from tests.caption.conftest import draw, tiny_model  # noqa: F401
from tests.cli.test_cli import mullama
from tests.conftest import SAMPLES
from tests.vision.clips import number, write

HOLDOUT = SAMPLES / "tiny_omni" / "holdout"
LABELS = json.loads((HOLDOUT / "labels.json").read_text("utf-8"))
SCENES = [name for name in LABELS if name.endswith(".png")][:3]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Three drawings, a second each, and a tone."""
    shown = [np.asarray(PIL.Image.open(HOLDOUT / name).convert("RGB")) for name in SCENES]
    height, width, _ = shown[0].shape
    path = tmp_path_factory.mktemp("videos") / "clip.mp4"
    times_s = [n / 10 for n in range(30)]
    return write(
        path, times_s, "libx264", lambda n: shown[n // 10], tone_hz=440, size=(width, height)
    )


@pytest.mark.parametrize("second", [0, 1, 2])
def test_the_default_model_says_what_a_video_shows_then(clip, second):
    stretch = ["--video-start", second, "--video-end", second + 1, "--no-video-sound"]
    done = mullama(
        "run", "tiny-omni", "What is in the picture?", "-v", clip, *stretch, "-t", 0, "--json"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["text"].strip() == LABELS[SCENES[second]]


def test_the_default_model_sees_and_hears_a_video():
    asked = ["What do you see and hear?", "-v", SAMPLES / "clip.mp4", "--video-count", 1]
    done = mullama("run", "tiny-omni", *asked, "-t", 0)
    assert done.returncode == 0, done.stderr
    assert "a red square" in done.stdout  # in the middle
    assert "seven" in done.stdout


def test_all_frames_their_times_and_the_sound_are_in_the_prompt(clip, processor):
    options = video.VideoParams(fps=2)
    prompt = processor.prepare([video.Video(clip, options), "What is in the picture?"])
    kinds = [kind for kind, _ in prompt.chunks if kind != "text"]
    assert kinds == ["image"] * 6 + ["audio"]
    said = processor.model.detokenize(
        [t for kind, ids in prompt.chunks if kind == "text" for t in ids]
    )
    assert "[00:00.0][00:00.5][00:01.0]" in said
    assert (
        processor.prepare([clip.read_bytes(), "?"]).n_tokens
        == processor.prepare([clip, "?"]).n_tokens
    )


def test_a_session_shows_the_video_again_without_looking(clip, tiny_files, tmp_path):
    ask = ["run", tiny_files.model, "--mmproj", tiny_files.mmproj, "--json", "-n", 4, "-t", 0]
    ask += ["--session", tmp_path / "talk.state", "-c", 1024]
    first = json.loads(mullama(*ask, "What?", "-v", clip, "--video-count", 2).stdout)
    second = json.loads(mullama(*ask, "And then?").stdout)
    assert second["timings"]["reused_tokens"] >= first["timings"]["prompt_tokens"]
    assert second["timings"]["encode_ms"] == 0


def test_videos_are_captioned_beside_pictures(tiny_model, clip, tmp_path):  # noqa: F811
    model, mmproj = tiny_model
    (tmp_path / "in").mkdir()
    picture = draw(tmp_path / "in" / "a.png", 0)
    (tmp_path / "in" / "b.mp4").write_bytes(clip.read_bytes())
    (tmp_path / "in" / "copy.mp4").write_bytes(clip.read_bytes())
    (tmp_path / "in" / "cut.mp4").write_bytes(clip.read_bytes()[:-3000])
    ask = [
        "caption",
        "-m",
        model,
        "--mmproj",
        mmproj,
        "-c",
        512,
        "--max-tokens",
        6,
        tmp_path / "in",
    ]
    ask += ["-o", tmp_path / "t.jsonl", "--report", tmp_path / "r.html"]
    done = mullama(*ask, "--video-count", 3)
    assert done.returncode == 1
    assert "3 captions, 1 of them copies, 1 failed" in done.stderr
    assert "cut.mp4" in done.stderr
    rows = {
        row["path"]: row for row in map(json.loads, (tmp_path / "t.jsonl").read_text().splitlines())
    }
    assert rows[picture]["text"]
    assert (
        rows[str(tmp_path / "in" / "copy.mp4")]["text"]
        == rows[str(tmp_path / "in" / "b.mp4")]["text"]
    )
    assert (tmp_path / "r.html").read_text().count("data:image/jpeg") == 3
    journal = tmp_path / "t.jsonl.journal"
    lines = journal.read_bytes()
    mullama(*ask, "--video-count", 3)
    assert journal.read_bytes() == lines
    mullama(*ask, "--video-count", 2)  # another question
    assert journal.read_bytes().count(b"\n") == 6


def test_the_default_model_captions_a_video(clip):
    asked = ["--video-count", 1, "--video-end", 1, "--prompt", "What is in the picture?"]
    asked.append("--no-video-sound")
    done = mullama("caption", clip, *asked)
    assert done.stdout == f"{clip}: {LABELS[SCENES[0]]}\n", done.stderr


def test_frames_are_written_with_their_times(tmp_path):
    source = write(tmp_path / "a.mkv", [n / 25 for n in range(100)], tone_hz=440)
    listed = mullama("frames", source, "--count", 2)
    assert listed.stdout == "00:01.000  64x48\n00:03.000  64x48\n"
    out = tmp_path / "new" / "out"
    done = mullama("frames", source, "--fps", 1, "--start", 2, "--out", out, "--sound", "--json")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row.get("time_s") for row in rows] == [2, 3, None]
    assert sorted(path.name for path in out.iterdir()) == [
        "a.wav",
        "a@00-02.000.png",
        "a@00-03.000.png",
    ]
    assert [number(np.asarray(PIL.Image.open(row["path"]))) for row in rows[:2]] == [50, 75]
    again = mullama("frames", source, "--start", 2, "--out", out)
    assert again.returncode == 1
    assert "it is there already" in again.stderr
    assert mullama("frames", source, "--start", 2, "--out", out, "--force").returncode == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["run", "tiny-omni", "Hi", "--video-fps", 2], "--video-fps: there is no video"),
        (["run", "tiny-omni", "Hi", "-v", "none.mp4"], "none.mp4: there is no such file"),
        (["frames", "none.mp4"], "none.mp4: there is no such file"),
        (["frames", SAMPLES / "seven.wav"], "seven.wav"),
        (["frames", "x.mp4", "--count", 2, "--fps", 1], "chosen one way"),
        (["frames", "x.mp4", "--sound"], "no folder to write it to"),
    ],
)
def test_what_cannot_be_is_one_line(args, message):
    done = mullama(*args)
    assert done.returncode == 1
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr

"""Pictures on the command line: `mullama convert`, `--image` by URL, sizes and token budgets."""

import base64
import json

import numpy as np
import pytest
from PIL import Image

from mullama_media.vision.params import ConvertParams, DecodeParams, FetchParams, FitParams
from tests import tiny
from tests.cli.test_cli import mullama
from tests.conftest import SAMPLES
from tests.vision.pictures import CORNERS, encoded, opened, oriented, smooth, stored_for
from tests.vision.test_fetch import server  # noqa: F401


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in" / "deeper").mkdir(parents=True)
    data = encoded(stored_for(6, CORNERS), "JPEG", exif=oriented(6), quality=95)
    (tmp_path / "in/a.jpg").write_bytes(data)
    (tmp_path / "in/deeper/b.png").write_bytes(encoded(smooth(64, 32), "PNG"))
    (tmp_path / "in/notes.txt").write_text("no picture")
    return tmp_path


def test_a_picture_becomes_what_its_new_name_says(folder):
    done = mullama("convert", "in/a.jpg", "a.webp", "--resize", 20, "--quality", 80, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "a.webp  20x15\n"
    made = opened(folder / "a.webp")
    assert (made.format, made.size) == ("WEBP", (20, 15))
    assert made.getexif().get(0x0112) is None
    assert "exists already" in mullama("convert", "in/a.jpg", "a.webp", cwd=folder).stderr
    forced = mullama("convert", "in/a.jpg", "a.webp", "--force", cwd=folder)
    assert forced.stdout == "a.webp  40x30\n"


def test_folders_and_patterns_are_converted_and_the_broken_one_is_named(folder):
    (folder / "in/c.png").write_bytes(b"no picture at all")
    done = mullama("convert", "in", "out", "--to", "jpg", "--background", "black", cwd=folder)
    assert done.returncode == 1
    assert "2 converted, 1 failed" in done.stderr
    assert "in/c.png: it is not a picture" in done.stderr
    names = sorted(str(path.relative_to(folder)) for path in (folder / "out").rglob("*.*"))
    assert names == ["out/a.jpg", "out/deeper/b.jpg"]
    done = mullama("convert", "in/**/*.png", "flat", "-f", "bmp", "--workers", 1, cwd=folder)
    assert done.returncode == 1
    np.testing.assert_array_equal(np.asarray(opened(folder / "flat/b.bmp")), smooth(64, 32))


def test_an_animation_or_its_first_frame(folder):
    pictures = [Image.fromarray(smooth(20, 20, n)) for n in range(3)]
    pictures[0].save(folder / "a.gif", save_all=True, append_images=pictures[1:], duration=50)
    assert mullama("convert", "a.gif", "a.webp", cwd=folder).stdout == "a.webp  20x20, 3 frames\n"
    done = mullama("convert", "a.gif", "b.webp", "--first-frame", cwd=folder)
    assert done.stdout == "b.webp  20x20\n"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["in/a.jpg", "b.xyz"], "no format is known"),
        (["in/a.jpg", "b", "-f", "xyz"], "'xyz' is no format"),
        (["in", "out"], "need --format"),
        (["none.png", "b.jpg"], "none.png: there is no such file"),
        (["no*.png", "out", "-f", "png"], "nothing matches"),
        (["in/a.jpg", "in/deeper/../a.jpg", "out", "-f", "png"], "two files would become this"),
        (["in/a.jpg", "b.jpg", "--resize", "0x3"], "FitParams.size"),
        (["in/a.jpg", "b.png", "--quality", "3"], "loses nothing"),
        (["in/a.jpg", "b.png", "--channels", "1"], "--channels: it is for sound"),
        (["in/a.jpg", "b.wav", "--resize", "9"], "--resize: it is for pictures"),
        (["in", "in/a.jpg/x", "-f", "png"], "cannot be made: Not a directory"),
        (["in/deeper", "out", "-f", "wav"], "there is no sound file in it"),
    ],
)
def test_what_cannot_be_is_one_line(folder, args, message):
    done = mullama("convert", *args, cwd=folder)
    assert done.returncode == 1
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_every_option_for_pictures_is_a_flag():
    shown = mullama("convert", "--help", env={"COLUMNS": "200", "PATH": ""}).stdout
    own = {"size": "resize", "policy": "resize-policy", "filter": "resize-filter"}
    for cls in (ConvertParams, DecodeParams, FitParams):
        for name in set(cls.__dataclass_fields__) - {"decode", "fit", "frames", "max_frames"}:
            assert f"--{own.get(name, name).replace('_', '-')}" in shown
    for command in ("run", "caption"):
        shown = mullama(command, "--help", env={"COLUMNS": "200", "PATH": ""}).stdout
        flags = ["--allow-url", "--allow-private-url", "--url-max-bytes", "--url-timeout-s"]
        flags += ["--url-max-redirects", "--image-min-tokens", "--image-max-tokens", "--resize"]
        assert all(flag in shown for flag in flags)
        assert len(FetchParams.__dataclass_fields__) == 5


@pytest.fixture(scope="module")
def dynamic(tmp_path_factory):
    """A model whose eyes make more tokens of larger pictures."""
    where = tmp_path_factory.mktemp("dynamic")
    model = tiny.write_model(where / "model.gguf")
    mmproj = tiny.write_dynamic_mmproj(where / "mmproj.gguf")
    return [model, "--mmproj", mmproj]


def test_budgets_and_sizes_change_what_a_picture_costs(dynamic, tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(smooth(160, 128), "PNG"))

    def cost(*options):
        asked = ["run", *dynamic, "x", "-i", "a.png", "-n", 1, "-c", 2048, "--json", *options]
        done = mullama(*asked, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["timings"]["prompt_tokens"]

    whole = cost()
    assert whole - cost("--image-max-tokens", 40) == 335 - 39  # 16 rows of 20 and 15 breaks
    assert cost("--image-min-tokens", 600) > whole + 250
    assert whole - cost("--resize", 80) == 335 - (8 * 10 + 7)
    assert whole == cost("--resize", 800)
    captioned = ["caption", "-m", dynamic[0], *dynamic[1:], "a.png", "-c", 128, "--max-tokens", 1]
    assert "the prompt takes 395 tokens" in mullama(*captioned, cwd=tmp_path).stderr
    done = mullama(*captioned, "--image-max-tokens", 40, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert mullama(*captioned, "--resize", 40, cwd=tmp_path).returncode == 0


def test_a_model_that_reads_pictures_by_url(server, tmp_path):  # noqa: F811
    asked = ["run", "tiny-omni", "What is in the picture?", "-t", 0, "-i"]
    shapes = encoded(opened(SAMPLES / "shapes.png").convert("RGB"), "JPEG", quality=90)
    (tmp_path / "shapes.jpg").write_bytes(shapes)
    plain = mullama(*asked, tmp_path / "shapes.jpg").stdout
    assert "circle" in plain
    data = base64.b64encode(shapes).decode()
    assert mullama(*asked, f"data:image/jpeg;base64,{data}").stdout == plain
    server.shapes = lambda to: server.send(to, shapes, "image/jpeg")
    url = f"{server.url}/shapes"
    refused = mullama(*asked, url)
    assert refused.returncode == 1
    assert "--allow-url" in refused.stderr
    assert "private" in mullama(*asked, url, "--allow-url").stderr
    assert mullama(*asked, url, "--allow-url", "--allow-private-url").stdout == plain


def test_a_list_of_urls_is_captioned(dynamic, server, tmp_path):  # noqa: F811
    paths = [f"{server.url}/good?n=1", f"{server.url}/missing", "data:image/png;base64,x"]
    base = ["caption", "-m", dynamic[0], *dynamic[1:], "-", "--max-tokens", 2, "-c", 512]
    allowed = ["--allow-url", "--allow-private-url", "--report", "r.html"]
    done = mullama(*base, *allowed, "--json", stdin="\n".join(paths), cwd=tmp_path)
    rows = {row["path"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert "error" not in rows[paths[0]]
    assert "404" in rows[paths[1]]["error"]
    assert "base64" in rows[paths[2]]["error"]
    assert (tmp_path / "r.html").read_text().count("<img") == 1
    refused = mullama(*base, stdin=paths[0], cwd=tmp_path)
    assert refused.returncode == 1
    assert "not allowed" in refused.stderr

"""Pictures in object stores: on an S3 server that is real but small, and as file:// URIs."""

import shutil
import sys

import pytest

from mullama_media.caption import Captioner, CaptionParams, storage
from mullama_media.caption.inputs import find
from mullama_media.caption.outputs import sidecar_path, write_sidecar
from mullama_media.caption.report import Report
from mullama_media.errors import InvalidOptionError, MediaError, MissingExtraError
from tests.caption.conftest import draw

BRIEF = CaptionParams(max_tokens=8)
NAMES = ("a.png", "b b#.PNG", ".hidden.png", "notes.txt", "deep/c.jpg", "deep/er/d.png")


@pytest.fixture(params=["s3", "file"])
def tree(request, tmp_path):
    """A folder of pictures, as a path and as a URI."""
    folder = tmp_path / "tree"
    for n, name in enumerate(NAMES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        draw(tmp_path / "x.png", n)
        shutil.copy(tmp_path / "x.png", folder / name)
    if request.param == "file":
        return folder, folder.as_uri()
    s3 = request.getfixturevalue("s3")
    for name in NAMES:
        with s3.open_output_stream(f"pics/{tmp_path.name}/{name}") as stream:
            stream.write((folder / name).read_bytes())
    return folder, f"s3://pics/{tmp_path.name}"


@pytest.mark.parametrize(
    ("name", "recursive", "expected"),
    [
        ("", False, ["a.png", "b%20b%23.PNG"]),
        ("/", True, ["a.png", "b%20b%23.PNG", "deep/c.jpg", "deep/er/d.png"]),
        ("/*.png", False, [".hidden.png", "a.png"]),
        ("/deep", True, ["deep/c.jpg", "deep/er/d.png"]),
        ("/notes.txt", False, ["notes.txt"]),
        ("/none.png", False, ["none.png"]),
    ],
)
def test_names(tree, name, recursive, expected):
    uri = tree[1]
    assert list(find([uri + name], recursive=recursive)) == [f"{uri}/{one}" for one in expected]


def test_nothing_found_is_said(tree):
    with pytest.raises(InvalidOptionError, match="no picture"):
        list(find([tree[1] + "/*.bmp"]))


def test_a_caption_is_that_of_the_same_file_on_disk(tree, seeing, tmp_path):
    folder, uri = tree
    captioner = Captioner(seeing, BRIEF)
    names = {"a.png": "a.png", "b%20b%23.PNG": "b b#.PNG", "deep/er/d.png": "deep/er/d.png"}
    captions = {c.path: c for c in captioner.run([f"{uri}/{name}" for name in names])}
    for name, local in names.items():
        expected = captioner.caption(folder / local)
        assert captions[f"{uri}/{name}"].text == expected.text
        assert captions[f"{uri}/{name}"].digest == expected.digest
    gone = captioner.caption(f"{uri}/gone.png")
    assert f"{uri}/gone.png: cannot be read" in gone.error
    caption = captions[f"{uri}/b%20b%23.PNG"]
    target = write_sidecar(caption, "txt")
    assert target == f"{uri}/b%20b%23.txt"
    assert storage.read(target).decode() == caption.text + "\n"
    storage.write(f"{uri}/b%20b%23.jpg", b"x")
    assert sidecar_path(caption.path, "txt") == f"{uri}/b%20b%23.PNG.txt"
    with Report(tmp_path / "r.html") as report:
        report.add(caption)
    assert "data:image/jpeg" in (tmp_path / "r.html").read_text()


def test_what_belongs_to_the_store_stays_behind_the_path():
    uri = "s3://pics/a.b/c.png?endpoint_override=127.0.0.1:9&scheme=http"
    assert storage.suffix(uri) == ".png"
    assert storage.renamed(uri, lambda path: path + ".txt") == uri.replace("png?", "png.txt?")
    assert not storage.is_uri("C:/a.png")
    assert not storage.is_uri("a.png")


def test_an_unknown_store_and_a_missing_extra_are_said(monkeypatch):
    with pytest.raises(MediaError, match=r"nope://a/b.png: cannot be read"):
        storage.read("nope://a/b.png")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match="object-stores"):
        storage.read("s3://elsewhere/b.png")

"""Which pictures are meant by names."""

import os

import pytest

from mullama_media.caption.inputs import find
from mullama_media.errors import InvalidOptionError


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.png", "deep/c.webp", "deep/er/d.tiff"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("names", "recursive", "expected"),
    [
        (["."], False, ["a.png", "b.JPG"]),
        (["."], True, ["a.png", "b.JPG", "deep/c.webp", "deep/er/d.tiff"]),
        (["*.png"], False, ["a.png"]),
        (["**/*.[tw]*"], False, ["deep/c.webp", "deep/er/d.tiff", "notes.txt"]),
        (["d*"], False, ["deep/c.webp"]),
        (["notes.txt", "a.png", "a.png"], False, ["notes.txt", "a.png"]),
        (["missing.png"], False, ["missing.png"]),
    ],
)
def test_names(tree, names, recursive, expected):
    assert [os.path.normpath(path) for path in find(names, recursive=recursive)] == expected


@pytest.mark.parametrize("name", ["empty", "*.bmp"])
def test_nothing_found_is_said(tree, name):
    with pytest.raises(InvalidOptionError, match="no picture"):
        list(find(["a.png", name]))


def test_a_name_with_brackets_is_a_name_where_there_is_such_a_file(tree, tmp_path):
    (tmp_path / "a[1].png").touch()
    assert list(find(["a[1].png"])) == ["a[1].png"]


def test_folders_are_read_when_it_comes_to_them(tree, tmp_path):
    paths = find([".", "deep"])
    next(paths)
    (tmp_path / "deep" / "later.png").touch()
    assert "deep/later.png" in [os.path.normpath(path) for path in paths]

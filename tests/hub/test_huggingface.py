from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import deque
from pathlib import Path

import pytest

from mullama_media.errors import DownloadError, MissingExtraError, ModelNameError
from mullama_media.hub import huggingface
from mullama_media.hub.names import HfRef

from .file_server import Fault, FileServer, Recorder

pytest.importorskip("huggingface_hub")
from huggingface_hub import constants

COMMIT = "c0ffee" + "0" * 34
REPO = HfRef("o/r-GGUF")
FILES = {
    "README.md": b"# r",
    "r-Q8_0.gguf": b"GGUF" + b"8" * 5000,
    "r-Q4_K_M.gguf": b"GGUF" + b"4" * 3000,
    "mmproj-r-Q8_0.gguf": b"GGUF" + b"p" * 800,
    "mmproj-r-f16.gguf": b"GGUF" + b"P" * 1600,
}


def host(server: FileServer, files: dict[str, bytes], repo: str = REPO.repo) -> None:
    """Serve a repository the way the hub does: its listing, and files under two revisions."""
    info = {"id": repo, "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]}
    for path in ("", "/revision/main", f"/revision/{COMMIT}"):
        server.put(
            f"/api/models/{repo}{path}",
            json.dumps(info).encode(),
            headers={"Content-Type": "application/json"},
        )
    for name, body in files.items():
        for revision in ("main", COMMIT):
            etag = f'"{abs(hash(name)):040x}"'
            server.put(
                f"/{repo}/resolve/{revision}/{name}",
                body,
                etag=etag,
                headers={"X-Repo-Commit": COMMIT},
            )


def refuse(server: FileServer, status: int, code: str, repo: str = REPO.repo) -> None:
    for path in (f"/api/models/{repo}", f"/api/models/{repo}/revision/main"):
        server.put(path, b"", status=status, headers={"X-Error-Code": code})


@pytest.fixture(autouse=True)
def hub(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileServer:
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    host(server, FILES)
    return server


def test_a_bare_repository_gives_model_and_projector(hub: FileServer, recorder: Recorder) -> None:
    model, mmproj = huggingface.fetch(REPO, progress=recorder)
    assert model.name == "r-Q4_K_M.gguf"
    assert model.read_bytes() == FILES["r-Q4_K_M.gguf"]
    assert mmproj is not None
    assert mmproj.read_bytes() == FILES["mmproj-r-f16.gguf"]
    assert {r.path.rpartition("/")[2] for r in hub.gets() if "resolve" in r.path} == {
        "r-Q4_K_M.gguf",
        "mmproj-r-f16.gguf",
    }
    assert [(name, total) for name, total, _ in recorder.starts] == [
        ("r-Q4_K_M.gguf", 3004),
        ("mmproj-r-f16.gguf", 1604),
    ]
    assert (recorder.advanced, recorder.finished) == (3004 + 1604, 2)


@pytest.mark.parametrize(
    "ref",
    [REPO, HfRef("o/r-GGUF", None, "r-Q8_0.gguf"), HfRef("o/r-GGUF", "main", None, "Q8_0")],
    ids=str,
)
@pytest.mark.parametrize("offline", [False, True])
def test_the_second_time_needs_no_network(hub: FileServer, ref: HfRef, offline: bool) -> None:
    first = huggingface.fetch(ref)
    hub.requests.clear()
    hub.files.clear()
    assert huggingface.fetch(ref, offline=offline) == first
    assert not hub.requests


def test_a_remembered_choice_stays_with_its_commit(hub: FileServer, cache: Path) -> None:
    huggingface.fetch(REPO)
    note = cache / "hf" / "o--r-GGUF" / "main+auto.json"
    assert json.loads(note.read_text()) == {
        "commit": COMMIT,
        "model": "r-Q4_K_M.gguf",
        "mmproj": "mmproj-r-f16.gguf",
    }


def test_a_named_file_stands_for_itself(hub: FileServer) -> None:
    model, mmproj = huggingface.fetch(HfRef("o/r-GGUF", None, "r-Q8_0.gguf"))
    assert model.read_bytes() == FILES["r-Q8_0.gguf"]
    assert mmproj is None


def test_a_quantisation_brings_the_projector(hub: FileServer) -> None:
    model, mmproj = huggingface.fetch(HfRef("o/r-GGUF", quant="Q8_0"))
    assert model.name == "r-Q8_0.gguf"
    assert mmproj is not None
    assert mmproj.name == "mmproj-r-f16.gguf"


def test_the_projector_can_be_left_alone_or_asked_for_alone(hub: FileServer) -> None:
    assert huggingface.fetch(REPO, mmproj=False)[1] is None
    assert not [r for r in hub.requests if "mmproj" in r.path]
    assert huggingface.fetch_mmproj(REPO).name == "mmproj-r-f16.gguf"
    host(hub, {"only-mmproj.gguf": b"GGUF"}, "o/eyes")
    assert huggingface.fetch_mmproj(HfRef("o/eyes")).name == "only-mmproj.gguf"
    host(hub, {"m-Q8_0.gguf": b"GGUF"}, "o/blind")
    with pytest.raises(ModelNameError, match="no multimodal projector"):
        huggingface.fetch_mmproj(HfRef("o/blind"))


def test_all_parts_of_a_split_model_come(hub: FileServer) -> None:
    parts = {f"q/m-Q4_K_M-{i:05d}-of-00003.gguf": b"GGUF%d" % i for i in (1, 2, 3)}
    host(hub, parts, "o/split")
    model, _ = huggingface.fetch(HfRef("o/split"))
    assert model.name == "m-Q4_K_M-00001-of-00003.gguf"
    assert sorted(p.read_bytes() for p in model.parent.iterdir()) == sorted(parts.values())


def test_a_lost_line_is_resumed(
    hub: FileServer, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _s: None)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 500)
    path = f"/o/r-GGUF/resolve/{COMMIT}/r-Q4_K_M.gguf"
    hub.files[path].faults = deque([Fault(), Fault(drop_after=1000)])  # HEAD, then GET
    model, _ = huggingface.fetch(REPO, mmproj=False, progress=recorder)
    assert model.read_bytes() == FILES["r-Q4_K_M.gguf"]
    assert [r.range for r in hub.gets(path)] == [None, "bytes=1000-"]
    assert recorder.advanced == 3004


@pytest.mark.parametrize(
    ("status", "code", "what", "hint"),
    [
        (404, "RepoNotFound", "no such repository", "Check owner and name"),
        (401, "RepoNotFound", "no such repository", "HF_TOKEN"),
        (403, "GatedRepo", "gated", "Accept its terms"),
        (404, "RevisionNotFound", "no revision", "after @"),
        (403, "", "answered 403", "HF_TOKEN"),
        (418, "", "answered 418", "None"),
    ],
)
def test_refusals(hub: FileServer, status: int, code: str, what: str, hint: str) -> None:
    refuse(hub, status, code)
    with pytest.raises(DownloadError, match=what) as caught:
        huggingface.fetch(REPO)
    assert hint in str(caught.value.hint)
    assert caught.value.where == "hf:o/r-GGUF"


def test_a_file_the_repository_lacks(hub: FileServer) -> None:
    gone = hub.put("/o/r-GGUF/resolve/main/x.gguf", b"", status=404)
    gone.headers["X-Error-Code"] = "EntryNotFound"
    with pytest.raises(DownloadError, match=r"no file x\.gguf.*hf:o/r-GGUF"):
        huggingface.fetch(HfRef("o/r-GGUF", file="x.gguf"))


def test_a_quantisation_the_repository_lacks_is_not_remembered(
    hub: FileServer, cache: Path
) -> None:
    with pytest.raises(ModelNameError, match=r"no Q6_K model.*r-Q4_K_M\.gguf"):
        huggingface.fetch(HfRef("o/r-GGUF", quant="Q6_K"))
    assert not list(cache.rglob("*.json"))


def test_offline_without_the_files(hub: FileServer) -> None:
    for ref in (REPO, HfRef("o/r-GGUF", file="r-Q8_0.gguf")):
        with pytest.raises(DownloadError, match="not cached"):
            huggingface.fetch(ref, offline=True)
    assert not hub.requests


def test_offline_chooses_among_what_another_program_cached(hub: FileServer, cache: Path) -> None:
    huggingface.fetch(HfRef("o/r-GGUF", file="r-Q8_0.gguf"))
    model, mmproj = huggingface.fetch(REPO, offline=True)
    assert (model.name, mmproj) == ("r-Q8_0.gguf", None)
    assert not list(cache.rglob("*.json"))  # a makeshift choice is not kept
    assert huggingface.fetch(REPO)[0].name == "r-Q4_K_M.gguf"


def test_nobody_listens(hub: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _s: None)
    hub.close()
    for ref in (REPO, HfRef("o/r-GGUF", file="r-Q8_0.gguf")):
        with pytest.raises(DownloadError, match=r"cannot be (reached|fetched).*online"):
            huggingface.fetch(ref)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"mullama-media\[hub\]"):
        huggingface.fetch(REPO)


def test_the_librarys_own_settings_are_honoured(hub: FileServer, tmp_path: Path) -> None:
    code = (
        "from mullama_media.hub import resolve; files = resolve('hf:o/r-GGUF');"
        "print(files.model); print(files.mmproj)"
    )
    settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": "hf_x"}
    settings["TQDM_POSITION"] = "-1"  # the library would draw its bars even without a terminal
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **settings, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    printed = [Path(line) for line in done.stdout.splitlines()]
    assert [p.name for p in printed] == ["r-Q4_K_M.gguf", "mmproj-r-f16.gguf"]
    assert all(tmp_path / "home" in p.parents for p in printed)
    assert done.stderr == ""


def test_a_folder_for_ctranslate2(hub: FileServer) -> None:
    names = ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt")
    ref = HfRef("o/faster-whisper")
    host(hub, {name: name.encode() for name in (*names, "README.md")}, ref.repo)
    with pytest.raises(DownloadError, match="not cached"):
        huggingface.fetch_folder(ref, offline=True)
    folder = huggingface.fetch_folder(ref)
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    asked = len(hub.requests)
    assert huggingface.fetch_folder(ref) == huggingface.fetch_folder(ref, offline=True) == folder
    assert len(hub.requests) == asked
    host(hub, FILES)
    with pytest.raises(ModelNameError, match="no CTranslate2 model"):
        huggingface.fetch_folder(REPO)

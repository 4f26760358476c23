from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .file_server import FileServer, Recorder


@pytest.fixture
def server() -> Iterator[FileServer]:
    running = FileServer()
    yield running
    running.close()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty model cache of this test's own; no proxy gets between us and the server."""
    monkeypatch.setenv("MULLAMA_CACHE_DIR", str(tmp_path / "cache"))
    for name in [n for n in os.environ if n.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    return tmp_path / "cache" / "models"

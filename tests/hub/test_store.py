from __future__ import annotations

import errno
import hashlib
import threading
import time
from pathlib import Path

import pytest

from mullama_media.errors import DownloadError, HubError
from mullama_media.hub import store


def test_override_and_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULLAMA_CACHE_DIR", "/big/disk")
    assert store.root() == Path("/big/disk/models")
    assert store.folder("hf", "o/r", "x") == Path("/big/disk/models/hf/o--r/x")
    monkeypatch.delenv("MULLAMA_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert store.root().parts[-2:] == ("mullama-media", "models")


def test_a_lock_excludes_another_thread(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with store.locked(tmp_path / "f"):
            order.append("second")

    with store.locked(tmp_path / "f"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.1)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]


def test_an_unwritable_cache_says_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(HubError, match="MULLAMA_CACHE_DIR"),
        store.locked(tmp_path / "file" / "x"),
    ):
        pass


def test_free_space_is_checked_before_the_first_byte(tmp_path: Path) -> None:
    store.check_free(tmp_path, 0)
    with pytest.raises(DownloadError, match="1000000000 MB are needed"):
        store.check_free(tmp_path, 10**15)


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    full = store.disk_error(OSError(errno.ENOSPC, "No space left"), tmp_path)
    assert full.what == "the disk is full"
    assert "Permission" in str(store.disk_error(PermissionError(13, "Permission denied"), tmp_path))


def test_digest(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc" * 100)
    assert store.sha256_of(tmp_path / "f") == hashlib.sha256(b"abc" * 100).hexdigest()

from __future__ import annotations

import errno
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

import pytest

from mullama_media.errors import ChecksumError, DownloadError
from mullama_media.hub import store
from mullama_media.hub.download import Retry, download

from .file_server import Fault, FileServer, Recorder

BODY = random.Random(0).randbytes(3_000_000)
SHA = hashlib.sha256(BODY).hexdigest()
FAST = Retry(attempts=3, first_delay_s=0.01, timeout_s=5)
ROOT = str(Path(__file__).parents[2])


def part_of(dest: Path) -> Path:
    return dest.with_name(dest.name + ".part")


def leftovers(dest: Path) -> set[str]:
    return {p.name for p in dest.parent.iterdir() if not p.name.endswith(".lock")}


def start_part(server: FileServer, dest: Path) -> None:
    """Leave a genuine 1 MB beginning behind, by a download that is given up."""
    server.files["/m"].faults = deque([Fault(drop_after=1_000_000)])
    with pytest.raises(DownloadError):
        download(f"{server.url}/m", dest, retry=Retry(attempts=1, first_delay_s=0))
    assert part_of(dest).stat().st_size == 1_000_000


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "out" / "m.gguf"


def test_plain(server: FileServer, dest: Path, recorder: Recorder) -> None:
    server.put("/m", BODY)
    assert download(f"{server.url}/m", dest, sha256=SHA.upper(), progress=recorder) == dest
    assert dest.read_bytes() == BODY
    assert recorder.starts == [("m.gguf", len(BODY), 0)]
    assert (recorder.advanced, recorder.finished) == (len(BODY), 1)
    assert leftovers(dest) == {"m.gguf"}
    download(f"{server.url}/m", dest)
    assert len(server.requests) == 1


def test_drops_are_resumed_where_they_happened(
    server: FileServer, dest: Path, recorder: Recorder
) -> None:
    drops = [Fault(drop_after=700_000), Fault(drop_after=0), Fault(drop_after=900_000)]
    server.put("/m", BODY, faults=deque(drops))
    download(f"{server.url}/m", dest, sha256=SHA, progress=recorder, retry=FAST)
    assert dest.read_bytes() == BODY
    assert [r.range for r in server.requests] == [
        None,
        "bytes=700000-",
        "bytes=700000-",
        "bytes=1600000-",
    ]
    assert sum(r.sent for r in server.requests) == len(BODY)
    assert recorder.advanced == len(BODY)
    assert [done for _, _, done in recorder.starts] == [0, 700_000, 700_000, 1_600_000]
    assert recorder.finished == 1


def test_gives_up_after_attempts_without_a_byte_and_keeps_the_part(
    server: FileServer, dest: Path, recorder: Recorder
) -> None:
    faults = [Fault(drop_after=500_000)] + [Fault(drop_after=0)] * 9
    server.put("/m", BODY, faults=deque(faults))
    with pytest.raises(DownloadError, match="closed at 500000 of 3000000 bytes") as caught:
        download(f"{server.url}/m", dest, progress=recorder, retry=FAST)
    assert caught.value.where == f"{server.url}/m"
    assert len(server.requests) == 3
    assert part_of(dest).stat().st_size == 500_000
    assert recorder.finished == 1


def test_a_server_that_ignores_ranges_is_read_from_the_start(
    server: FileServer, dest: Path
) -> None:
    server.put("/m", BODY)
    start_part(server, dest)
    server.files["/m"].faults.append(Fault(ignore_range=True))
    download(f"{server.url}/m", dest, retry=FAST)
    assert [r.status for r in server.requests[1:]] == [200]
    assert dest.read_bytes() == BODY


def test_another_range_than_asked_for_is_not_joined(server: FileServer, dest: Path) -> None:
    server.put("/m", BODY)
    start_part(server, dest)
    other = {"Content-Range": f"bytes 999999-{len(BODY) - 1}/{len(BODY)}"}
    server.files["/m"].faults.append(Fault(headers=other))
    download(f"{server.url}/m", dest, retry=FAST)
    assert [r.range for r in server.requests[1:]] == ["bytes=1000000-", None]
    assert dest.read_bytes() == BODY


@pytest.mark.parametrize("etag", ['"v2"', 'W/"v2"', None])
@pytest.mark.parametrize("size", [len(BODY), 2_000_000])
def test_a_file_that_changed_is_never_joined_to_the_old_beginning(
    server: FileServer, dest: Path, etag: str | None, size: int
) -> None:
    server.put("/m", BODY, etag='W/"v1"' if etag and etag.startswith("W/") else '"v1"')
    start_part(server, dest)
    new = bytes(255 - b for b in BODY[:size])
    server.put("/m", new, etag=etag)
    download(f"{server.url}/m", dest, retry=FAST)
    assert dest.read_bytes() == new


def test_without_validator_or_digest_nothing_is_resumed(server: FileServer, dest: Path) -> None:
    server.put("/m", BODY, etag=None)
    start_part(server, dest)
    new = bytes(255 - b for b in BODY)
    server.put("/m", new, etag=None)
    download(f"{server.url}/m", dest, retry=FAST)
    assert server.requests[-1].range is None
    assert dest.read_bytes() == new


def test_a_complete_part_needs_no_second_body(server: FileServer, dest: Path) -> None:
    server.put("/m", BODY)
    start_part(server, dest)
    part_of(dest).write_bytes(BODY)
    download(f"{server.url}/m", dest, sha256=SHA, retry=FAST)
    assert (server.requests[-1].status, server.requests[-1].sent) == (416, 2)
    assert dest.read_bytes() == BODY
    assert leftovers(dest) == {"m.gguf"}


def test_a_part_longer_than_the_file_is_thrown_away(server: FileServer, dest: Path) -> None:
    server.put("/m", BODY)
    start_part(server, dest)
    part_of(dest).write_bytes(BODY + b"more")
    download(f"{server.url}/m", dest, retry=FAST)
    assert dest.read_bytes() == BODY


def test_a_rotten_part_costs_one_clean_try(server: FileServer, dest: Path) -> None:
    server.put("/m", BODY)
    start_part(server, dest)
    part_of(dest).write_bytes(bytes(1_000_000))
    download(f"{server.url}/m", dest, sha256=SHA, retry=FAST)
    assert [r.range for r in server.requests[1:]] == ["bytes=1000000-", None]
    assert dest.read_bytes() == BODY


def test_wrong_content_is_refused_and_not_kept(server: FileServer, dest: Path) -> None:
    server.put("/m", BODY[:-1] + b"?")
    with pytest.raises(ChecksumError, match=SHA):
        download(f"{server.url}/m", dest, sha256=SHA, retry=FAST)
    assert len(server.requests) == 1
    assert leftovers(dest) == set()


def test_a_missing_file_is_not_asked_for_twice(server: FileServer, dest: Path) -> None:
    with pytest.raises(DownloadError, match="404") as caught:
        download(f"{server.url}/gone?token=secret", dest, retry=FAST)
    assert len(server.requests) == 1
    assert "secret" not in str(caught.value)
    assert caught.value.hint == "Check the name and the version"


def test_busy_servers_are_asked_again_when_they_say(server: FileServer, dest: Path) -> None:
    busy = [Fault(status=503), Fault(status=429, headers={"Retry-After": "1"})]
    server.put("/m", BODY, faults=deque(busy))
    begin = time.monotonic()
    download(f"{server.url}/m", dest, retry=FAST)
    assert 1.0 < time.monotonic() - begin < 3
    assert [r.status for r in server.requests] == [503, 429, 200]


def test_silence_counts_as_a_drop(server: FileServer, dest: Path) -> None:
    server.put("/m", BODY, faults=deque([Fault(pause_after=400_000)]))
    quick = Retry(attempts=2, first_delay_s=0.01, timeout_s=0.3)
    download(f"{server.url}/m", dest, sha256=SHA, retry=quick)
    assert server.requests[1].range == "bytes=400000-"


def test_nobody_listens(server: FileServer, dest: Path) -> None:
    server.close()
    with pytest.raises(DownloadError, match=r"cannot be reached.*online"):
        download(f"{server.url}/m", dest, retry=FAST)


def test_other_schemes_are_refused(dest: Path) -> None:
    with pytest.raises(DownloadError, match="not an http"):
        download("file:///etc/hostname", dest)


def test_no_room_is_said_before_writing(
    server: FileServer, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put("/m", BODY)
    usage = type("Usage", (), {"free": (64 << 20) + len(BODY) - 1})
    monkeypatch.setattr(store.shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(DownloadError, match="3 MB are needed"):
        download(f"{server.url}/m", dest)
    assert not part_of(dest).exists()
    usage.free += 1
    download(f"{server.url}/m", dest)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_up(server: FileServer, dest: Path) -> None:
    server.put("/m", BODY)
    dest.parent.mkdir()
    part_of(dest).symlink_to("/dev/full")
    with pytest.raises(DownloadError, match="the disk is full") as caught:
        download(f"{server.url}/m", dest, retry=FAST)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOSPC


def child(url: str, dest: Path) -> subprocess.Popen[bytes]:
    code = (
        "import sys, pathlib; from mullama_media.hub.download import download;"
        f"print('go', flush=True); download(sys.argv[1], pathlib.Path(sys.argv[2]), sha256='{SHA}')"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, url, str(dest)],
        env={**os.environ, "PYTHONPATH": ROOT},
        stdout=subprocess.PIPE,
    )


def wait_for(condition: object, timeout_s: float = 10) -> None:
    end = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "timed out"
        time.sleep(0.01)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_process_is_resumed_by_the_next(
    server: FileServer, dest: Path, sent: signal.Signals
) -> None:
    server.put("/m", BODY, faults=deque([Fault(pause_after=1_200_000)]))
    process = child(f"{server.url}/m", dest)
    part = part_of(dest)
    wait_for(lambda: part.exists() and part.stat().st_size == 1_200_000)
    process.send_signal(sent)
    assert process.wait(10) != 0
    assert part.stat().st_size == 1_200_000
    download(f"{server.url}/m", dest, sha256=SHA, retry=FAST)
    assert (server.requests[1].range, server.requests[1].sent) == ("bytes=1200000-", 1_800_000)
    assert dest.read_bytes() == BODY
    process.communicate()


def test_two_processes_pull_one_body(server: FileServer, dest: Path) -> None:
    file = server.put("/m", BODY, faults=deque([Fault(pause_after=100_000)]))
    both = [child(f"{server.url}/m", dest) for _ in range(2)]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == b"go\n"
    wait_for(lambda: server.requests)
    time.sleep(0.3)  # the second is at the lock by now
    assert [p.poll() for p in both] == [None, None]
    file.gate.set()
    assert [p.wait(10) for p in both] == [0, 0]
    assert [r.sent for r in server.requests] == [len(BODY)]
    assert dest.read_bytes() == BODY
    for process in both:
        process.communicate()

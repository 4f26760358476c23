"""`mullama caption --ray` on a real Ray of two workers, whose processes are killed."""

import collections
import csv
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mullama_media.caption.cluster import ClusterCaptioner, Job, _digests, _kept, _Seen
from mullama_media.caption.journal import Journal
from mullama_media.caption.record import Caption
from mullama_media.errors import MissingExtraError
from tests.caption.conftest import draw, free_port
from tests.cli.test_cli import MULLAMA, mullama

ray = pytest.importorskip("ray", reason="Ray has no wheel for this machine")


@pytest.fixture(scope="module")
def cluster(s3_server):
    """Address of a Ray with two processors, and the environment to join it. Ended with its group.

    It has a token of its own, which Ray would otherwise keep in the home folder.
    """
    env = {
        **os.environ,
        **s3_server,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(16),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    address = f"127.0.0.1:{free_port()}"
    folder = Path("/tmp") / f"mullama-ray-{os.getpid()}"  # sockets in it want a short name
    host, _, port = address.partition(":")
    start = f"start --head --block --node-ip-address {host} --port {port} --num-cpus 2"
    start += f" --include-dashboard=false --temp-dir {folder}"
    head = subprocess.Popen(
        [sys.executable, "-m", "ray.scripts.scripts", *start.split()],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said = []
        for line in head.stdout:
            said.append(line)
            if "Ray runtime started" in line:
                break
        else:
            pytest.fail("".join(said))
        yield address, env
    finally:
        head.terminate()
        try:
            head.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(head.pid, signal.SIGKILL)
            head.wait()
        head.stdout.close()
        shutil.rmtree(folder, ignore_errors=True)


def workers(env):
    """Processes that have a model, of this cluster."""
    found = []
    mine = f"RAY_AUTH_TOKEN={env['RAY_AUTH_TOKEN']}".encode()
    for entry in Path("/proc").iterdir():
        try:
            is_worker = (entry / "cmdline").read_bytes().startswith(b"ray::MapWorker")
            if is_worker and mine in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def lines(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [[row[name] for name in ("path", "text", "digest", "error")] for row in rows]


def answers(stdout):
    return [json.loads(line) for line in stdout.split("\n")[:-1]]


def has_open(pid, name):
    try:
        return any(fd.readlink().name == name for fd in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # one was closed meanwhile
        return False


def kill_reader(env, name):
    """Whether there was one."""
    for _ in range(500):
        for pid in workers(env):
            if has_open(pid, name):
                os.kill(pid, signal.SIGKILL)
                while has_open(pid, name):
                    time.sleep(0.01)
                return True
        time.sleep(0.01)
    return False


def wait_until(ready, process, seconds=120):
    for _ in range(seconds * 50):
        if ready():
            return
        assert process.poll() is None, "it ended too soon"
        time.sleep(0.02)
    pytest.fail("it took too long")


def test_killed_workers_and_drivers_lose_nothing_and_repeat_nothing(cluster, tiny_model, tmp_path):
    address, env = cluster
    model, mmproj = tiny_model
    (tmp_path / "in").mkdir()
    count = 300
    for n in range(count):
        draw(tmp_path / "in" / f"{n:03}.png", n)
    (tmp_path / "in" / "broken.png").write_text("no picture")
    asked = ["caption", "in", "-m", model, "--mmproj", mmproj, "-c", 256, "--max-tokens", 40]
    command = [*asked, "-o", "t.csv", "--ray", address, "--workers", 2, "--batch", 4]
    journal = tmp_path / "t.csv.journal"
    driver = subprocess.Popen(
        [*MULLAMA, *map(str, command)],
        cwd=tmp_path,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: lines(journal) > 8 and len(workers(env)) == 2, driver)
        killed = workers(env)[0]
        os.kill(killed, signal.SIGKILL)
        at = lines(journal)
        wait_until(lambda: lines(journal) > at + 20, driver)
    finally:
        driver.kill()
        driver.wait()
    assert 0 < lines(journal) < count
    done = mullama(*command, cwd=tmp_path, env=env)
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"{count} captions, 1 failed" in done.stderr
    assert "broken.png: it is not a picture" in done.stderr
    paths = [json.loads(line)["caption"]["path"] for line in journal.read_bytes().splitlines()]
    assert collections.Counter(collections.Counter(paths).values()) == {1: count}
    before = journal.read_bytes()
    here = mullama(*asked, "-o", "t.csv", "--json", cwd=tmp_path)  # the same journal, without Ray
    assert journal.read_bytes() == before
    assert len(answers(here.stdout)) == count + 1
    mullama(*asked, "-o", "alone.csv", cwd=tmp_path)
    assert table(tmp_path / "t.csv") == table(tmp_path / "alone.csv")


def test_a_picture_that_kills_its_worker_fails_alone(cluster, tiny_model, tmp_path):
    address, env = cluster
    model, mmproj = tiny_model
    for n in range(6):
        draw(tmp_path / f"{n}.png", n)
    os.mkfifo(tmp_path / "3x.png")  # whoever reads it is killed
    asked = ["caption", ".", "-m", model, "--mmproj", mmproj, "-c", 256, "--max-tokens", 4]
    command = [*asked, "--json", "--ray", address, "--attempts", 1, "--batch", 2, "--workers", 1]
    driver = subprocess.Popen(
        [*MULLAMA, *map(str, command)], cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True
    )
    deaths = 0
    try:
        while driver.poll() is None:
            time.sleep(0.05)
            try:
                end = os.open(tmp_path / "3x.png", os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                continue  # nobody reads
            deaths += kill_reader(env, "3x.png")
            os.close(end)
        rows = answers(driver.stdout.read())
    finally:
        driver.kill()
        driver.wait()
        driver.stdout.close()
    assert driver.returncode == 1
    assert deaths == 2
    assert len(rows) == 7
    errors = [row["error"] for row in rows if "error" in row]
    assert errors == ["3x.png: its worker died whenever it was tried"]


def test_pictures_in_s3(cluster, s3, tiny_model, tmp_path):
    address, env = cluster
    model, mmproj = tiny_model
    uri = f"s3://pics/{tmp_path.name}"
    for n in range(5):
        data = Path(draw(tmp_path / f"{n}.png", n)).read_bytes()
        with s3.open_output_stream(f"pics/{tmp_path.name}/{n}.png") as stream:
            stream.write(data)
    asked = ["-m", model, "--mmproj", mmproj, "-c", 256, "--max-tokens", 4, "--json"]
    here = mullama("caption", tmp_path, *asked)
    expected = {Path(row["path"]).name: row["text"] for row in answers(here.stdout)}
    done = mullama(
        "caption", uri, *asked, "--sidecar", "txt", "--ray", address, cwd=tmp_path, env=env
    )
    assert done.returncode == 0, done.stderr
    rows = {row["path"]: row["text"] for row in answers(done.stdout)}
    assert rows == {f"{uri}/{name}": text for name, text in expected.items()}
    with s3.open_input_stream(f"pics/{tmp_path.name}/2.txt") as stream:
        assert stream.readall().decode() == expected["2.png"] + "\n"


def test_what_cannot_begin_is_one_line(cluster, tiny_model, tmp_path, monkeypatch):
    address, env = cluster
    picture = draw(tmp_path / "a.png", 0)
    nowhere = f"127.0.0.1:{free_port()}"
    for args, message in (
        (["-m", tmp_path / "none.gguf", "--ray", address], "none.gguf: there is no such file"),
        (["--ray", nowhere], f"{nowhere}: no Ray cluster answers"),
        (["--workers", 2], "--workers: it is for a cluster"),
    ):
        done = mullama("caption", picture, *args, env=env)
        assert done.returncode == 1
        errors = [line for line in done.stderr.splitlines() if "error: " in line]
        assert len(errors) == 1
        assert message in errors[0]
        assert "Traceback" not in done.stderr
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match="ray"):
        ClusterCaptioner(Job("tiny-omni"))


def test_a_worker_asks_about_no_picture_that_is_known(tmp_path):
    old = Caption("a.png", "a" * 64, "an apple", finish_reason="stop", milliseconds=9.0)
    with Journal(tmp_path / "j") as journal:
        journal.add(old)
        seen = _Seen(_digests(journal))
        found = seen.find("b.png", "a" * 64)
        assert seen.find("c.png", "c" * 64) is None
        assert _kept(seen.find("a.png", "a" * 64), journal) == old
        copy = _kept(found, journal)
        assert (copy.path, copy.text, copy.duplicate_of) == ("b.png", "an apple", "a.png")
        assert journal.find("b.png", "a" * 64) == copy
        fresh = Caption("c.png", "c" * 64, "a cat", finish_reason="stop")
        seen.add(fresh)
        assert seen.alike("c" * 64) == fresh
        assert _kept(fresh, journal) == fresh
        assert len(journal) == 3

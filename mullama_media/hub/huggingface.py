"""`hf:` models, through `huggingface_hub`: its cache, its resume, its `HF_*` settings.

A name without a file is a choice among the repository's files. The choice is written down in our
store together with the commit, so that the next time needs no network and gives the same files.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import posixpath
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mullama_media.errors import DownloadError, MissingExtraError, ModelNameError
from mullama_media.hub import store
from mullama_media.hub.names import HfRef
from mullama_media.hub.pick import pick_mmproj, pick_model, shards

if TYPE_CHECKING:
    from mullama_media.hub.download import Progress

__all__ = ["Pick", "fetch", "fetch_folder", "fetch_mmproj"]

T = TypeVar("T")

_FOLDER = (
    "model.bin",
    "config.json",
    "tokenizer.json",
    "preprocessor_config.json",
    "vocabulary.json",
    "vocabulary.txt",
)
"""Of a CTranslate2 model; the first three are always there"""


@dataclass(frozen=True, slots=True)
class Pick:
    """What a name without a file stands for: a commit, and file names in it."""

    commit: str
    model: str | None
    mmproj: str | None


def fetch(
    ref: HfRef, *, mmproj: bool = True, progress: Progress | None = None, offline: bool = False
) -> tuple[Path, Path | None]:
    """The model (first shard if split; all are fetched) and the repository's projector.

    Blocks; thread- and process-safe. What is cached needs no network. A reference that names
    one file stands for that file alone: its projector is None.

    Args:
        ref: repository, and perhaps revision, file or quantisation.
        mmproj: False leaves the projector alone.
        progress: told about bytes, file by file.
        offline: never use the network.

    Raises:
        MissingExtraError: `huggingface_hub` is not installed.
        ModelNameError: no such file, or no obvious choice of file.
        DownloadError: not reachable, not found, gated, private, or not cached while offline.
    """
    if ref.file:
        return _files(ref, ref.revision, shards(ref.file), progress, offline)[0], None
    pick = _pick(ref, offline)
    if pick.model is None:
        raise ModelNameError("there is no GGUF model in this repository", where=str(ref))
    model = _files(ref, pick.commit, shards(pick.model), progress, offline)[0]
    if not mmproj or pick.mmproj is None:
        return model, None
    return model, _files(ref, pick.commit, [pick.mmproj], progress, offline)[0]


def fetch_mmproj(ref: HfRef, *, progress: Progress | None = None, offline: bool = False) -> Path:
    """The repository's projector, or the very file `ref` names. As `fetch`."""
    if ref.file:
        return _files(ref, ref.revision, [ref.file], progress, offline)[0]
    pick = _pick(ref, offline)
    if pick.mmproj is None:
        raise ModelNameError(
            "there is no multimodal projector in this repository",
            where=str(ref),
            hint="Its name would contain 'mmproj'",
        )
    return _files(ref, pick.commit, [pick.mmproj], progress, offline)[0]


def fetch_folder(ref: HfRef, *, progress: Progress | None = None, offline: bool = False) -> Path:
    """The folder of a CTranslate2 model: weights, configuration, tokenizer and vocabulary.

    Blocks. What is cached needs no network. Raises what `fetch` raises.
    """
    hub = _hub()
    cached = [hub.try_to_load_from_cache(ref.repo, n, revision=ref.revision) for n in _FOLDER[:3]]
    if all(isinstance(path, str) for path in cached):
        return Path(cached[0]).parent
    if offline:
        raise _not_cached(ref)
    wanted = [name for name in _listed_files(ref)[1] if name in _FOLDER]
    if _FOLDER[0] not in wanted:
        raise ModelNameError("there is no CTranslate2 model in this repository", where=str(ref))
    return _files(ref, ref.revision, wanted, progress, offline)[0].parent


def _pick(ref: HfRef, offline: bool) -> Pick:
    note = store.folder("hf", ref.repo, f"{ref.revision or 'main'}+{ref.quant or 'auto'}.json")
    try:
        return Pick(**json.loads(note.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        pass
    commit, files = _cached_files(ref) if offline else _listed_files(ref)
    pick = _choose(ref, commit, files)
    if not offline:
        with store.locked(note):
            part = note.with_name(note.name + ".part")
            part.write_text(json.dumps(asdict(pick), indent=1), "utf-8")
            os.replace(part, note)
    return pick


def _choose(ref: HfRef, commit: str, files: Sequence[str]) -> Pick:
    projector = pick_mmproj(files)
    if not ref.quant and projector and all("mmproj" in f for f in files if f.endswith(".gguf")):
        return Pick(commit, None, projector)  # a repository of projectors only
    return Pick(commit, pick_model(files, quant=ref.quant, repo=str(ref)), projector)


def _listed_files(ref: HfRef) -> tuple[str, list[str]]:
    hub = _hub()
    info = _call(ref, lambda: hub.HfApi().model_info(ref.repo, revision=ref.revision))
    return info.sha, [sibling.rfilename for sibling in info.siblings or ()]


def _cached_files(ref: HfRef) -> tuple[str, list[str]]:
    """What the cache holds of the revision: all there is to choose from without a network."""
    repo = Path(_hub(".constants").HF_HUB_CACHE) / f"models--{ref.repo.replace('/', '--')}"
    pointer = repo / "refs" / (ref.revision or "main")
    commit = pointer.read_text("utf-8").strip() if pointer.is_file() else ref.revision or "main"
    snapshot = repo / "snapshots" / commit
    files = [p.relative_to(snapshot).as_posix() for p in snapshot.rglob("*") if p.is_file()]
    if not any(file.endswith(".gguf") for file in files):
        raise _not_cached(ref)
    return commit, files


def _files(
    ref: HfRef, revision: str | None, names: list[str], progress: Progress | None, offline: bool
) -> list[Path]:
    """Local paths of files, the cached ones without any network."""
    hub = _hub()
    paths = []
    for name in names:
        cached = hub.try_to_load_from_cache(ref.repo, name, revision=revision)
        if isinstance(cached, str):
            paths.append(Path(cached))
            continue
        if offline:
            raise _not_cached(ref, name)
        get = _download_call(ref, name, revision, progress)
        paths.append(Path(_call(ref, get, file=name)))
    return paths


def _download_call(
    ref: HfRef, name: str, revision: str | None, progress: Progress | None
) -> Callable[[], str]:
    hub = _hub()
    bar = _bar(progress, posixpath.basename(name))
    return lambda: str(hub.hf_hub_download(ref.repo, name, revision=revision, tqdm_class=bar))


def _bar(progress: Progress | None, file: str) -> type[Any]:
    """A tqdm class that prints nothing and forwards to `progress`."""
    base: Any = _hub(".utils").tqdm

    class Bar(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs["disable"] = True
            super().__init__(*args, **kwargs)
            self.open = True
            if progress:
                progress.start(file, kwargs.get("total"), kwargs.get("initial") or 0)

        def update(self, n: float | None = 1) -> bool | None:
            if progress and n:
                progress.advance(int(n))
            return None

        def close(self) -> None:
            if progress and getattr(self, "open", False):
                self.open = False
                progress.finish()
            super().close()

    return Bar


def _call(ref: HfRef, call: Callable[[], T], *, file: str | None = None) -> T:
    """Run one call of the library, its errors turned into ours."""
    hf = _hub(".errors")
    try:
        return call()
    except hf.GatedRepoError as exc:
        hint = "Accept its terms on its page, then set HF_TOKEN or run: hf auth login"
        raise DownloadError("the repository is gated", where=str(ref), hint=hint) from exc
    except hf.RepositoryNotFoundError as exc:
        hint = "Check owner and name; for a private one set HF_TOKEN or run: hf auth login"
        raise DownloadError("there is no such repository", where=str(ref), hint=hint) from exc
    except hf.RevisionNotFoundError as exc:
        what = f"the repository has no revision {ref.revision}"
        raise DownloadError(what, where=str(ref), hint="Check the part after @") from exc
    except (hf.LocalEntryNotFoundError, hf.OfflineModeIsEnabled) as exc:
        raise _not_cached(ref, file, why=exc) from exc
    except hf.EntryNotFoundError as exc:
        hint = f"Leave the file out to have one picked: hf:{ref.repo}"
        raise DownloadError(f"there is no file {file}", where=str(ref), hint=hint) from exc
    except hf.HFValidationError as exc:
        raise ModelNameError(str(exc), where=str(ref)) from exc
    except hf.HfHubHTTPError as exc:
        status = getattr(exc.response, "status_code", None)
        needs_login = "Set HF_TOKEN to one that may read it, or run: hf auth login"
        raise DownloadError(
            f"the server answered {status}",
            where=str(ref),
            hint=needs_login if status in (401, 403) else None,
        ) from exc
    except Exception as exc:  # transport errors: their classes differ between its versions
        if isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise store.disk_error(exc, Path(os.environ.get("HF_HOME", "~"))) from exc
        what = f"the server cannot be reached: {exc or type(exc).__name__}"
        hint = "Is this machine online? What was loaded so far is kept and resumed"
        raise DownloadError(what, where=str(ref), hint=hint) from exc


def _not_cached(ref: HfRef, file: str | None = None, why: object = None) -> DownloadError:
    what = f"{file or 'the model'} is not cached and cannot be fetched"
    if why is not None and "HF_HUB_OFFLINE" in str(why):
        return DownloadError(what, where=str(ref), hint="HF_HUB_OFFLINE is set: unset it")
    return DownloadError(what, where=str(ref), hint="Pull it once while this machine is online")


def _hub(part: str = "") -> Any:
    """`huggingface_hub`, or a module of it; untyped, since it is optional."""
    try:
        return importlib.import_module(f"huggingface_hub{part}")
    except ImportError as exc:
        raise MissingExtraError.of("hf: models", "hub") from exc

"""Which of a repository's GGUF files to take. Pure functions over file names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mullama_media.errors import ModelNameError

__all__ = ["pick_mmproj", "pick_model", "shards"]

MODEL_PREFERENCE = ("Q4_K_M", "Q4_K_S", "Q5_K_M", "Q4_0", "Q8_0", "F16")
MMPROJ_PREFERENCE = ("F16", "Q8_0")

_SHARD = re.compile(r"(?P<stem>.+)-(?P<index>\d{5})-of-(?P<count>\d{5})\.gguf")


def pick_model(files: Iterable[str], *, quant: str | None = None, repo: str = "") -> str:
    """The language model among `files`: the first shard of it if it is split.

    Args:
        files: names inside the repository, folders included.
        quant: the quantisation that must be taken; without it `MODEL_PREFERENCE` decides, and
            a repository with a single model needs no preference.
        repo: only for the message.

    Raises:
        ModelNameError: no model at all, none of that quantisation, or no preferred one among
            several; the message lists what is there.
    """
    models = sorted((f for f in files if _is_model(f)), key=lambda f: (f.count("/"), len(f), f))
    for wanted in (quant,) if quant else MODEL_PREFERENCE:
        if found := [f for f in models if _has_quant(f, wanted)]:
            return found[0]
    if not models:
        raise ModelNameError("there is no GGUF model in this repository", where=repo or None)
    if len(models) == 1 and not quant:
        return models[0]
    what = f"there is no {quant} model" if quant else "the choice of model is not obvious"
    raise ModelNameError(
        f"{what} in this repository", where=repo or None, hint=f"Name one: {_some(sorted(models))}"
    )


def pick_mmproj(files: Iterable[str]) -> str | None:
    """The projector among `files`, F16 before Q8_0 before any other; None if there is none."""
    found = sorted((f for f in files if _is_mmproj(f)), key=lambda f: (f.count("/"), len(f), f))
    for wanted in MMPROJ_PREFERENCE:
        for file in found:
            if _has_quant(file, wanted):
                return file
    return found[0] if found else None


def shards(file: str) -> list[str]:
    """All parts of a split GGUF in order, given any one of them; a whole file gives itself."""
    found = _SHARD.fullmatch(file)
    if found is None:
        return [file]
    count = int(found["count"])
    return [f"{found['stem']}-{i:05d}-of-{count:05d}.gguf" for i in range(1, count + 1)]


def _is_mmproj(file: str) -> bool:
    name = file.rpartition("/")[2].lower()
    return name.endswith(".gguf") and "mmproj" in name


def _is_model(file: str) -> bool:
    name = file.rpartition("/")[2].lower()
    if not name.endswith(".gguf") or "mmproj" in name or "imatrix" in name:
        return False
    part = _SHARD.fullmatch(file)
    return part is None or int(part["index"]) == 1


def _has_quant(file: str, quant: str) -> bool:
    return re.search(rf"(?<![a-z0-9]){re.escape(quant)}(?![a-z0-9_])", file, re.I) is not None


def _some(names: Sequence[str], limit: int = 12) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more

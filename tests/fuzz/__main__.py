"""python -m tests.fuzz NAME [--seconds S] [--seed N] [--found FOLDER]

Tries inputs in a process of its own, which is started anew when it dies, hangs or is old. What
broke it is written to FOLDER/NAME (build/fuzz by default) with the reason beside it; once mended,
move the input to tests/fuzz/corpus/NAME. The exit status says whether anything was found.

Under a sanitizer: scripts/sanitize.sh address python -m tests.fuzz NAME
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.target import HOMES, available, keep
from tests.fuzz.worker import work

ROUND_S = 120.0  # a worker's life
HANG_S = 300.0
REASONS = {70: "error", 71: "slow", 72: "leak", -signal.SIGABRT: "abort", -signal.SIGSEGV: "crash"}


class Run:
    """Workers one after the other, until the time is up."""

    def __init__(self, name: str, found: Path) -> None:
        self.name, self.found = name, found / name
        self.tried = self.accepted = self.rounds = 0
        self.growth_kb: list[int] = []
        self.findings: dict[str, int] = {}

    def round(self, seconds: float, seed: int, folder: Path) -> None:
        current, log = folder / "current", folder / "stderr"
        current.touch()
        command = [sys.executable, "-m", "tests.fuzz", self.name, "--seconds", str(seconds)]
        command += ["--seed", str(seed), "--worker", str(current)]
        env = {**os.environ, "PYTHONMALLOC": "malloc"}
        with log.open("wb") as stderr:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, env=env)
            counts = self._follow(process, current)
        self.rounds += 1
        self.tried += counts[0]
        self.accepted += counts[1]
        self.growth_kb.append(counts[2])
        if process.returncode:
            self._keep(process.returncode, current.read_bytes(), log.read_bytes())

    def _follow(self, process: subprocess.Popen[bytes], current: Path) -> tuple[int, int, int]:
        """Read what the worker says; one that stays at an input is ended, with its stacks."""
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        said, born = b"", time.time()
        while process.poll() is None:
            time.sleep(0.1)
            said += process.stdout.read() or b""
            if time.time() - max(current.stat().st_mtime, born) > HANG_S:
                process.send_signal(signal.SIGABRT)
                time.sleep(2)
                process.kill()
        said += process.stdout.read() or b""
        lines = [line.split() for line in said.splitlines() if line.count(b" ") == 2]
        tried, accepted, growth = (int(word) for word in (lines[-1] if lines else (0, 0, 0)))
        return tried, accepted, growth

    def _keep(self, status: int, data: bytes, log: bytes) -> None:
        reason = REASONS.get(status, f"status{status}")
        if b"ERROR: AddressSanitizer" in log or b"runtime error:" in log:
            reason = "sanitizer"
        stem = f"{reason}-{hashlib.sha256(data).hexdigest()[:12]}"
        path = keep(self.found, stem, data)
        path.with_suffix(".txt").write_bytes(log[-20000:])
        self.findings[reason] = self.findings.get(reason, 0) + 1
        print(f"{self.name}: {reason}: {path}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("name", choices=list(HOMES))
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--found", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(args.name, args.worker, args.seconds, args.seed)
    if args.name not in available():
        parser.error(f"{args.name} is not there yet")
    run = Run(args.name, args.found)
    end = time.monotonic() + args.seconds
    with tempfile.TemporaryDirectory() as folder:
        while (left := end - time.monotonic()) > 1:
            run.round(min(left, ROUND_S), args.seed + run.rounds, Path(folder))
    print(
        f"{args.name}: seed {args.seed}, {run.tried} inputs, {run.accepted} accepted, "
        f"{run.rounds} workers, growth after warm-up {max(run.growth_kb)} kB, "
        f"findings {run.findings or 'none'}"
    )
    return 1 if run.findings else 0


if __name__ == "__main__":
    sys.exit(main())

"""The process that tries inputs; it may die of one, and then the input is there to be kept."""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import os
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.fuzz.target import kept, make

WARM = 300  # inputs before memory is measured


def rss_kb() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def work(name: str, current: Path, seconds: float, seed: int) -> None:
    """Try inputs; a line "tried accepted kB" on stdout every second. Each is in `current` first."""
    faulthandler.enable()
    rng = random.Random(seed)
    tried = accepted = warm_kb = 0
    with tempfile.TemporaryDirectory() as folder:
        target = make(name, Path(folder))
        pool = [*target.seeds(), *(data for _, data in kept(name))]
        end = time.monotonic() + seconds
        said = 0.0
        while time.monotonic() < end:
            data = pool[tried] if tried < len(pool) else target.mutated(rng.choice(pool), rng)
            current.write_bytes(data)
            began = time.process_time()  # not the wall's, for the machine may be busy
            try:
                accepted += target.fuzz_one(data)
            except Exception:
                traceback.print_exc()
                sys.stderr.flush()
                os._exit(70)
            if time.process_time() - began > target.slow_s:
                print(f"slow: {time.process_time() - began:.1f} s", file=sys.stderr, flush=True)
                os._exit(71)
            tried += 1
            if tried == WARM:
                warm_kb = rss_kb()
            if time.monotonic() - said > 1:
                said = time.monotonic()
                print(tried, accepted, rss_kb() - warm_kb if warm_kb else 0, flush=True)
        print(tried, accepted, rss_kb() - warm_kb if warm_kb else 0, flush=True)
        del target
    gc.collect()
    if _leaks():
        os._exit(72)
    os._exit(0)


def _leaks() -> bool:
    """Whether the leak sanitizer, if this runs under it, finds a leak; it prints what."""
    try:
        check = ctypes.CDLL(None).__lsan_do_recoverable_leak_check
    except AttributeError:
        return False
    return bool(check())

"""python -m tests.stress.growth [--count N]: memory in use before and after N requests.

Counts what malloc has handed out, which unlike the resident size does not depend on how memory is
cut up. Python's own objects count too, if PYTHONMALLOC=malloc is set, as the test does.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import random
import tempfile
from pathlib import Path

from mullama_media import Engine, EngineParams, SamplingParams, StreamConfig
from tests.fuzz.worker import rss_kb
from tests.stress.world import N_CTX, World

WARM = 400


class _Mallinfo2(ctypes.Structure):
    _names = ("arena", "ordblks", "smblks", "hblks", "hblkhd")
    _names += ("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    _fields_ = [(name, ctypes.c_size_t) for name in _names]


def in_use() -> int:
    """Bytes that malloc has handed out (glibc 2.33 and newer)."""
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = _Mallinfo2
    gc.collect()
    info = mallinfo2()
    return int(info.uordblks + info.hblkhd)


def request(world: World, engine: Engine, rng: random.Random, number: int) -> None:
    """One request of the kinds that take memory in their own ways, by turns."""
    prompt = world.prompts[number % len(world.prompts)]
    sampling = SamplingParams(temperature=1.0, seed=number, logprobs=number % 3 or None)
    config = StreamConfig(max_tokens=8, stop=("zq",), client=str(number % 7))
    kind = number % 5
    extra = {}
    if kind == 1:
        extra["grammar"] = world.grammars[number % len(world.grammars)]
    elif kind == 2:
        extra["adapters"] = world.adapters[number % len(world.adapters)]
    elif kind == 3:
        extra["logits_processor"] = lambda ids, logits: None
    stream = engine.submit(prompt, sampling, config, **extra)
    if kind == 4:
        next(stream, None)
        stream.cancel()
    stream.result()


def measure(count: int, *, media: bool = True) -> tuple[int, int]:
    """How many bytes in use and kB resident `count` requests leave behind."""
    rng = random.Random(0)
    params = EngineParams(n_ctx=N_CTX, n_parallel=2, threads=1, media_cache_mb=1)
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), media_too=media)
        with Engine(world.model, params, media=world.media) as engine:
            for number in range(WARM):
                request(world, engine, rng, number)
            before, resident = in_use(), rss_kb()
            for number in range(WARM, WARM + count):
                request(world, engine, rng, number)
            return in_use() - before, rss_kb() - resident


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.stress.growth")
    parser.add_argument("--count", type=int, default=2000)
    count = parser.parse_args().count
    grown, resident = measure(count)
    print(f"{count} requests: {grown} bytes more in use, {resident} kB more resident")

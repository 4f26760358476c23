"""One request: prefill and decode beside llama-bench; and how long the program takes to start."""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from mullama_media import (
    Engine,
    EngineParams,
    Model,
    Prompt,
    SamplingParams,
    StreamConfig,
    hub,
)
from tests.conformance import upstream

ROUNDS = 5
PREFILL = 512
DECODE = 128


def theirs(binaries: Path, model: Path) -> tuple[float, float]:
    """Prefill and decode of llama-bench, in tokens a second."""
    command = [binaries / "llama-bench", "-m", model, "-p", str(PREFILL), "-n", str(DECODE)]
    done = subprocess.run(
        [*command, "-r", "1", "-o", "json"], capture_output=True, text=True, check=True
    )
    runs = json.loads(done.stdout)
    prefill = next(run["avg_ts"] for run in runs if run["n_prompt"] == PREFILL)
    decode = next(run["avg_ts"] for run in runs if run["n_gen"] == DECODE)
    return prefill, decode


def ours(engine: Engine) -> tuple[float, float]:
    """Prefill and decode of one request, as its own timings and the wall clock say."""
    model = engine.model
    ids = model.tokenize("the quick brown fox jumps over the lazy dog and runs away again " * 60)
    long = Prompt.of_parts(model, [model.detokenize(ids[:PREFILL])])
    greedy = SamplingParams(temperature=0)
    timings = engine.submit(long, greedy, StreamConfig(max_tokens=1)).result().timings
    short = Prompt.of_parts(model, ["Once upon a time"])
    first = 0.0
    count = 0
    for token in engine.submit(short, greedy, StreamConfig(max_tokens=DECODE + 1)):
        count += token.id is not None
        first = first or time.perf_counter()
    seconds = time.perf_counter() - first
    return timings.prefill_rate, (count - 1) / seconds


def start_seconds(*command: str) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    binaries = upstream.build("llama-bench", native=True)
    files = hub.resolve("smollm2:135m")
    with Engine(Model.load(files.model), EngineParams(n_parallel=1, n_ctx=2048)) as engine:
        ours(engine)  # warm up
        pairs = [(ours(engine), theirs(binaries, files.model)) for _ in range(ROUNDS)]
    for n, name in enumerate(("prefill", "decode")):
        us = [pair[0][n] for pair in pairs]
        them = [pair[1][n] for pair in pairs]
        ratio = statistics.median(a / b for a, b in zip(us, them, strict=True))
        print(
            f"{name}: {statistics.median(us):.1f} tokens/s, llama-bench "
            f"{statistics.median(them):.1f}, median ratio {ratio:.3f}"
        )
    bare = [sys.executable, "-c", "pass"]
    imports = [sys.executable, "-c", "import mullama_media"]
    mullama = str(Path(sys.executable).parent / "mullama")
    for name, command in (
        ("import mullama_media", imports),
        ("mullama --help", [mullama, "--help"]),
    ):
        extra = [start_seconds(*command) - start_seconds(*bare) for _ in range(ROUNDS)]
        print(f"{name}: {1000 * statistics.median(extra):.0f} ms more than a bare python")

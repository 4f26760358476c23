"""The longest pause of a running answer while a prompt of 2,000 tokens comes in."""

import itertools
import statistics
import threading
import time

from mullama_media import Engine, EngineParams, Model, Prompt, SamplingParams, StreamConfig, hub

ROUNDS = 5
PROMPT = 2000
GREEDY = SamplingParams(temperature=0)


def words(model: Model, count: int, seed: int) -> Prompt:
    ids = model.tokenize(f"{seed} the quick brown fox jumps over the lazy dog and runs " * 250)
    return Prompt.of_parts(model, [model.detokenize(ids[:count])])


def gaps(engine: Engine, seed: int) -> tuple[float, float, float]:
    """Milliseconds: of a usual step, of the longest one beside the prompt, of the whole prefill."""
    config = StreamConfig(max_tokens=300, ignore_eos=True)
    stream = engine.submit(Prompt.of_parts(engine.model, [f"Tale {seed}:"]), GREEDY, config)
    times = []
    prefill = []

    def intrude() -> None:
        prompt = words(engine.model, PROMPT, seed)
        done = engine.submit(prompt, GREEDY, StreamConfig(max_tokens=1)).result()
        prefill.append((time.perf_counter(), done.timings.prefill_ms))

    thread = threading.Thread(target=intrude)
    for _ in stream:
        times.append(time.perf_counter())
        if len(times) == 50:
            thread.start()
        if prefill and len(times) > 60:
            break
    thread.join()
    stream.cancel()
    ended, prefill_ms = prefill[0]
    steps = [1000 * (b - a) for a, b in itertools.pairwise(times)]
    began = ended - prefill_ms / 1000
    beside = [s for s, t in zip(steps, times[1:], strict=True) if began <= t <= ended]
    return statistics.median(steps[10:48]), max(beside), prefill_ms


def main() -> None:
    files = hub.resolve("smollm2:135m")
    params = EngineParams(n_parallel=2, n_ctx=4096, reuse_prefix=False)
    with Engine(Model.load(files.model), params) as engine:
        chunk = words(engine.model, params.prefill_chunk, 0)
        results = []
        for number in range(ROUNDS + 1):
            alone = engine.submit(chunk, GREEDY, StreamConfig(max_tokens=1)).result().timings
            step, worst, prefill = gaps(engine, number)
            results.append((worst, step, alone.prefill_ms, worst / (2 * step + alone.prefill_ms)))
            print(
                f"longest pause {worst:.0f} ms of a {prefill:.0f} ms prefill; a usual step "
                f"{step:.1f} ms, a chunk of {params.prefill_chunk} alone {alone.prefill_ms:.0f} ms",
                flush=True,
            )
    ratio = statistics.median(result[3] for result in results[1:])
    print(f"median of longest pause / (2 steps + 1 chunk): {ratio:.2f}")

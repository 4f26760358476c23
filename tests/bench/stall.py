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


def last_chunk(engine: Engine, seed: int) -> float:
    """Milliseconds of the prompt's last chunk, the dearest: it attends to all before it."""
    once = StreamConfig(max_tokens=1)
    rows = engine.params.prefill_chunk
    engine.submit(words(engine.model, PROMPT - rows, seed), GREEDY, once).result()
    whole = engine.submit(words(engine.model, PROMPT, seed), GREEDY, once).result().timings
    assert abs(whole.prompt_tokens - whole.reused_tokens - rows) < 4
    return whole.prefill_ms


def main() -> None:
    files = hub.resolve("smollm2:135m")
    params = EngineParams(n_parallel=2, n_ctx=4096, reuse_prefix=False)
    model = Model.load(files.model)
    with (
        Engine(model, params) as engine,
        Engine(model, params.with_reuse_prefix(True)) as other,
    ):
        ratios = []
        for number in range(ROUNDS + 1):
            chunk = last_chunk(other, number)
            step, worst, prefill = gaps(engine, number)
            ratios.append(worst / (2 * step + chunk))
            print(
                f"longest pause {worst:.0f} ms of a {prefill:.0f} ms prefill; a usual step "
                f"{step:.1f} ms, the last {params.prefill_chunk} tokens alone {chunk:.0f} ms",
                flush=True,
            )
    ratio = statistics.median(ratios[1:])
    print(f"median of longest pause / (2 steps + 1 chunk): {ratio:.2f}")

"""How fast an engine is, measured through the engine itself."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mullama_media.engine.engine import Engine
from mullama_media.engine.prompt import Prompt
from mullama_media.engine.sampling import SamplingParams
from mullama_media.engine.stream import StreamConfig

__all__ = ["Measurement", "measure"]

_WORDS = "time year people way day man thing woman life child world school state family student"
_GREEDY = SamplingParams(temperature=0)


@dataclass(frozen=True, slots=True)
class Measurement:
    """One kind of work, measured several times."""

    test: str
    """pp512 (a prompt of 512 tokens) or tg128 (128 tokens generated), x4 for four at once"""
    n_tokens: int
    """Tokens of one run, all requests together; the mean of the runs"""
    parallel: int
    rates: tuple[float, ...]
    """Tokens a second, all requests together, one for each run"""

    @property
    def mean(self) -> float:
        """Tokens a second."""
        return statistics.fmean(self.rates)

    @property
    def deviation(self) -> float:
        """Standard deviation of the runs; 0 for a single one."""
        return statistics.stdev(self.rates) if len(self.rates) > 1 else 0.0


def measure(
    engine: Engine,
    *,
    prompts: Sequence[int] = (512,),
    answers: Sequence[int] = (128,),
    parallel: Sequence[int] = (1,),
    repetitions: int = 5,
    progress: Callable[[int, int], None] | None = None,
) -> list[Measurement]:
    """Measure prompt and generation speed. Blocks; let nothing else use the engine meanwhile.

    Every kind of work is done once unmeasured to warm up, then `repetitions` times. Prompts
    differ from run to run, so that nothing of them can be reused. An answer that the model ends
    early counts as long as it is.

    Args:
        engine: it must hold the longest prompt and answer, and as many requests at once.
        prompts: lengths of prompts to measure, in tokens.
        answers: lengths of answers to measure, in tokens.
        parallel: numbers of requests at once.
        repetitions: measured runs of each kind.
        progress: called with runs done and in all.
    """
    kinds = [(n, size, 0) for n in parallel for size in prompts]
    kinds += [(n, 0, size) for n in parallel for size in answers]
    runs = len(kinds) * (repetitions + 1)
    dice = random.Random(7)  # noqa: S311 - text to read, not a secret
    done = 0
    results = []
    for at_once, prompt, answer in kinds:
        rates, counts = [], []
        for run in range(repetitions + 1):
            if progress:
                progress(done, runs)
            count, seconds = _run(engine, dice, at_once, prompt, answer)
            if run:
                rates.append(count / seconds)
                counts.append(count)
            done += 1
        name = f"pp{prompt}" if prompt else f"tg{answer}"
        if at_once > 1:
            name += f"x{at_once}"
        results.append(Measurement(name, round(statistics.fmean(counts)), at_once, tuple(rates)))
    if progress:
        progress(runs, runs)
    return results


def _run(
    engine: Engine, dice: random.Random, at_once: int, prompt: int, answer: int
) -> tuple[int, float]:
    """Tokens and seconds of one run."""
    inputs = [_text(engine, dice, prompt or 8) for _ in range(at_once)]
    config = StreamConfig(max_tokens=answer + 1 if answer else 1)
    started = time.perf_counter()
    streams = [engine.submit(text, _GREEDY, config) for text in inputs]
    if prompt:
        for stream in streams:
            stream.result()
        return sum(text.n_tokens for text in inputs), time.perf_counter() - started
    timings = [stream.result().timings for stream in streams]
    ended = time.perf_counter()
    # The first token of each belongs to its prompt; the clock starts when all of them are there.
    begun = started + max(t.first_token_ms for t in timings) / 1000
    count = sum(t.generated_tokens - 1 for t in timings)
    return max(count, 1), max(ended - begun, 1e-9)


def _text(engine: Engine, dice: random.Random, length: int) -> Prompt:
    """A prompt of about so many tokens that was not seen before."""
    words = " ".join(dice.choice(_WORDS.split()) for _ in range(length))
    ids = engine.model.tokenize(f"{dice.randrange(10**6)} {words}")[:length]
    return Prompt.of_parts(engine.model, [engine.model.detokenize(ids)])

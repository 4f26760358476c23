"""Eight answers at once, token by token, beside `llama-server -np 8`; and what Python costs."""

import asyncio
import os
import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from mullama_media import Engine, EngineParams, Model, Prompt, SamplingParams, StreamConfig, hub
from tests.conformance import upstream

ROUNDS = 5
TOKENS = 128
STREAMS = (1, 4, 8)
N_CTX = 512
GREEDY = SamplingParams(temperature=0)
CONFIG = StreamConfig(max_tokens=TOKENS, ignore_eos=True)


def texts(round_number: int) -> list[str]:
    """Prompts that no cache has seen."""
    topics = ("the sea", "a city", "snow", "an old car", "bread", "a king", "chess", "rain")
    return [f"Story {round_number}, about {topic}: once upon a time there was" for topic in topics]


def theirs(server: upstream.Server, prompts: list[str]) -> float:
    """Tokens a second of all together; whole answers, so that no client costs them anything."""

    def ask(text: str) -> int:
        body = {"prompt": text, "n_predict": TOKENS, "temperature": 0, "ignore_eos": True}
        return int(server.post("/completion", body | {"cache_prompt": False})["tokens_predicted"])

    began = time.perf_counter()
    with ThreadPoolExecutor(len(prompts)) as pool:
        count = sum(pool.map(ask, prompts))
    return count / (time.perf_counter() - began)


async def ours(engine: Engine, prompts: list[str]) -> tuple[float, float]:
    """Tokens a second of all together, and Python's microseconds a token."""

    async def ask(text: str) -> int:
        count = 0
        prompt = Prompt.of_parts(engine.model, [text])
        async for token in engine.submit(prompt, GREEDY, CONFIG):
            count += token.id is not None
        return count

    began, cpu = time.perf_counter(), time.thread_time()
    count = sum(await asyncio.gather(*map(ask, prompts)))
    cost = time.thread_time() - cpu  # no other thread runs Python
    return count / (time.perf_counter() - began), 1e6 * cost / count


async def bare_asyncio(readers: int) -> float:
    """Microseconds a token of asyncio alone: a descriptor wakes the loop, that `readers` tasks.

    What no way to bring tokens to tasks can do without; at the pace of an engine, for a loop that
    slept finds its caches cold.
    """
    loop, bell, wakeups = asyncio.get_running_loop(), os.eventfd(0, os.EFD_NONBLOCK), 100
    waiting: list[asyncio.Future[None]] = []

    def rung() -> None:
        os.read(bell, 8)
        awake, waiting[:] = waiting[:], []
        for one in awake:
            one.set_result(None)

    async def read() -> None:
        for _ in range(wakeups):
            waiting.append(loop.create_future())
            await waiting[-1]

    def ring() -> None:
        for _ in range(wakeups):
            time.sleep(0.035)
            os.eventfd_write(bell, 1)

    loop.add_reader(bell, rung)
    thread = threading.Thread(target=ring)
    thread.start()
    cpu = time.thread_time()
    await asyncio.gather(*(read() for _ in range(readers)))
    cost = time.thread_time() - cpu
    thread.join()
    loop.remove_reader(bell)
    os.close(bell)
    return 1e6 * cost / wakeups / readers


def main() -> None:
    bare = dict.fromkeys(STREAMS, 0.0)
    if sys.platform == "linux":
        bare = {n: asyncio.run(bare_asyncio(n)) for n in STREAMS}
    binaries = upstream.build("llama-server", native=True)
    files = hub.resolve("smollm2:135m")
    params = EngineParams(n_parallel=max(STREAMS), n_ctx=N_CTX)
    with (
        upstream.serve(
            binaries, files.model, None, n_ctx=N_CTX * max(STREAMS), n_parallel=max(STREAMS)
        ) as server,
        Engine(Model.load(files.model), params) as engine,
    ):
        for n in STREAMS:
            pairs = []
            for number in range(ROUNDS + 1):
                prompts = texts(100 * n + number)[:n]
                pairs.append((asyncio.run(ours(engine, prompts)), theirs(server, prompts)))
            pairs = pairs[1:]  # the first warms up
            ratio = statistics.median(us / them for (us, _), them in pairs)
            cost = statistics.median(cost for (_, cost), _ in pairs)
            print(
                f"{n} at once: {statistics.median(us for (us, _), _ in pairs):.1f} tokens/s, "
                f"llama-server {statistics.median(them for _, them in pairs):.1f}, "
                f"median ratio {ratio:.3f}; "
                f"Python {cost:.1f} us a token, of them asyncio alone {bare[n]:.1f}",
                flush=True,
            )

"""A Python function between the model and the sampler."""

import asyncio
import gc
import itertools
import math
import threading
import time

import numpy as np
import pytest

from mullama_media import Engine, EngineParams, SamplingParams, StreamConfig
from mullama_media.errors import CallbackError, EngineClosedError, InvalidOptionError
from tests.conftest import GREEDY

CONFIG = StreamConfig(max_tokens=12)


@pytest.fixture(scope="module")
def story(ask):
    return ask("Tell me a long story about a dragon and the sea.")


@pytest.fixture(scope="module")
def free(engine, story):
    return engine.submit(story, GREEDY, CONFIG).result()


def wait_until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def blocking(stream):
    return stream.result()


def in_a_loop(stream):
    return asyncio.run(stream._read_all())


@pytest.mark.parametrize("read", [blocking, in_a_loop])
def test_it_sees_every_token_and_logits(engine, story, free, model, read):
    seen = []

    def look(ids, logits):
        assert (ids.dtype, logits.dtype) == (np.int32, np.float32)
        assert logits.shape == (model.n_vocab,)
        seen.append((list(ids), int(logits.argmax())))

    completion = read(engine.submit(story, GREEDY, CONFIG, logits_processor=look))
    ids = [token.id for token in free.tokens]
    assert completion.text == free.text
    assert [best for _, best in seen] == ids
    assert [len(tokens) for tokens, _ in seen] == [story.n_tokens + n for n in range(12)]
    assert seen[-1][0][story.n_tokens :] == ids[:-1]


@pytest.mark.parametrize("read", [blocking, in_a_loop])
def test_it_decides(engine, story, model, read):
    (sea,) = model.tokenize(" sea")

    def in_place(ids, logits):
        logits[:] = -math.inf
        logits[sea] = 0

    def returned(ids, logits):
        out = np.full(len(logits), -np.inf)  # float64 is fine
        out[sea] = 1
        return out

    for processor in (in_place, returned):
        sampling = SamplingParams(temperature=1, logprobs=1)
        stream = engine.submit(story, sampling, CONFIG, logits_processor=processor)
        completion = read(stream)
        assert [token.id for token in completion.tokens] == [sea] * 12
        assert completion.tokens[0].logprob < -1  # of the model, not of what was made of it


def test_others_go_on_while_it_thinks(engine, story, free):
    release = threading.Event()

    def slow(ids, logits):
        assert release.wait(30)

    stream = engine.submit(story, GREEDY, CONFIG, logits_processor=slow)
    result = []
    thread = threading.Thread(target=lambda: result.append(stream.result().text))
    thread.start()
    others = [engine.submit(story, GREEDY, CONFIG) for _ in range(5)]
    assert [other.result().text for other in others] == [free.text] * 5
    release.set()
    thread.join()
    assert result == [free.text]


def test_several_at_once(engine, story, free):
    streams = [
        engine.submit(story, GREEDY, CONFIG, logits_processor=lambda ids, logits: None)
        for _ in range(6)
    ]

    async def all_of_them():
        return [c.text for c in await asyncio.gather(*(s._read_all() for s in streams))]

    assert asyncio.run(all_of_them()) == [free.text] * 6


@pytest.mark.parametrize("read", [blocking, in_a_loop])
@pytest.mark.parametrize(
    ("processor", "cause"),
    [
        (lambda ids, logits: 1 / 0, ZeroDivisionError),
        (lambda ids, logits: logits[:5], InvalidOptionError),
        (lambda ids, logits: np.append(logits[1:], math.nan), InvalidOptionError),
        (lambda ids, logits: np.append(logits[1:], math.inf), InvalidOptionError),
        (lambda ids, logits: np.full(len(logits), -np.inf), InvalidOptionError),
        (lambda ids, logits: "logits", ValueError),
    ],
)
def test_its_error_ends_the_request_with_the_cause(engine, story, read, processor, cause):
    stream = engine.submit(story, GREEDY, CONFIG, logits_processor=processor)
    for _ in range(2):
        with pytest.raises(CallbackError, match="logits_processor: it raised") as caught:
            read(stream) if read is blocking else stream.result()
        assert isinstance(caught.value.__cause__, cause)
    wait_until(lambda: engine.counters.active == 0)


def test_a_task_that_reads_sees_the_error_too(engine, story):
    async def run():
        async for _ in engine.submit(story, GREEDY, CONFIG, logits_processor=lambda i, x: 1 / 0):
            pass

    with pytest.raises(CallbackError):
        asyncio.run(run())


def test_ctrl_c_inside_it_frees_the_slot(engine, story):
    def interrupted(ids, logits):
        raise KeyboardInterrupt

    stream = engine.submit(story, GREEDY, CONFIG, logits_processor=interrupted)
    with pytest.raises(KeyboardInterrupt):
        stream.result()
    wait_until(lambda: engine.counters.active == 0)
    assert stream.result().finish_reason == "cancelled"


def test_cancelling_before_during_and_between(engine, story):
    before = engine.submit(story, GREEDY, CONFIG, logits_processor=lambda i, x: None)
    wait_until(lambda: engine.counters.active == 1)
    time.sleep(0.1)  # the engine waits for an answer that nobody will give
    before.cancel()
    assert before.result().finish_reason == "cancelled"

    def cancel(ids, logits):
        during.cancel()

    during = engine.submit(story, GREEDY, CONFIG, logits_processor=cancel)
    assert during.result().finish_reason == "cancelled"

    between = engine.submit(story, GREEDY, CONFIG, logits_processor=lambda i, x: None)
    first = [next(between) for _ in range(3)]
    between.cancel()
    assert between.result().text.startswith("".join(map(str, first)))

    dropped = engine.submit(story, GREEDY, CONFIG, logits_processor=lambda i, x: None)
    next(dropped)
    del dropped
    gc.collect()
    wait_until(lambda: engine.counters.active == 0)


def test_closing_while_it_is_awaited(model, story):
    engine = Engine(model, EngineParams(n_ctx=2048, n_parallel=2))
    idle = engine.submit(story, GREEDY, CONFIG, logits_processor=lambda i, x: None)

    def close(ids, logits):
        engine.close()

    closing = engine.submit(story, GREEDY, CONFIG, logits_processor=close)
    with pytest.raises(EngineClosedError):
        closing.result()
    with pytest.raises(EngineClosedError):
        idle.result()


def test_a_deadline_while_it_is_awaited(engine, story):
    def sleep(ids, logits):
        time.sleep(0.3)

    config = CONFIG.with_max_time_ms(200)
    completion = engine.submit(story, GREEDY, config, logits_processor=sleep).result()
    assert completion.finish_reason == "deadline"


def test_it_works_with_banned_strings(engine, story, free):
    banned = free.tokens[4].text[-2:] + free.tokens[5].text + free.tokens[6].text[:2]
    sampling = SamplingParams(temperature=0, banned_strings=(banned,))
    plain = engine.submit(story, sampling, CONFIG).result().text
    lengths = []

    def look(ids, logits):
        lengths.append(len(ids))

    stream = engine.submit(story, sampling, CONFIG, logits_processor=look)
    assert stream.result().text == plain
    assert banned not in plain
    assert any(later <= earlier for earlier, later in itertools.pairwise(lengths))

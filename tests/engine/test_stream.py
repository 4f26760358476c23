"""Requests and their streams: every way to read, to stop, to fail."""

import asyncio
import gc
import os
import sys
import threading
import time

import pytest

from mullama_media import (
    Engine,
    EngineParams,
    Message,
    Model,
    Prompt,
    SamplingParams,
    StreamConfig,
)
from mullama_media.errors import ContextOverflowError, EngineClosedError, MediaError
from tests.conftest import GREEDY
from tests.made import write_tiny

LONG = StreamConfig(max_tokens=1500)


@pytest.fixture
def story(ask):
    return ask("Tell me a long story about a dragon and the sea.")


def wait_until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def test_every_way_to_read_gives_the_same_answer(engine, story):
    config = StreamConfig(max_tokens=24)

    def submit():
        return engine.submit(story, GREEDY, config)

    whole = submit().result()
    assert whole.finish_reason == "length"
    assert (
        whole.timings.generated_tokens == 24 == len([t for t in whole.tokens if t.id is not None])
    )
    assert "".join(token.text for token in submit()) == whole.text
    heard = []
    assert submit().run(heard.append).text == whole.text == "".join(map(str, heard))

    async def in_a_loop():
        texts = [token.text async for token in submit()]
        return "".join(texts), await submit()

    text, completion = asyncio.run(in_a_loop())
    assert text == completion.text == whole.text
    assert [t.id for t in completion.tokens] == [t.id for t in whole.tokens]


def test_timings_add_up(engine, story):
    began = time.perf_counter()
    timings = engine.submit(story, GREEDY, StreamConfig(max_tokens=16)).result().timings
    wall_ms = (time.perf_counter() - began) * 1000
    assert timings.prompt_tokens == story.n_tokens
    assert 0 <= timings.queue_ms <= timings.first_token_ms
    assert timings.first_token_ms == pytest.approx(timings.queue_ms + timings.prefill_ms, abs=5)
    assert 0 < timings.first_token_ms + timings.decode_ms <= wall_ms + 1
    assert timings.encode_ms == 0
    assert timings.decode_rate > 0
    assert timings.prefill_rate > 0


def test_the_models_own_end_is_a_stop(engine, ask):
    completion = engine.submit(ask("What is 2+2? Answer with one digit."), GREEDY).result()
    assert completion.finish_reason == "stop"
    assert completion.stop_text is None
    assert "<|im_end|>" not in completion.text


def test_a_stop_text_ends_the_answer_and_is_not_in_it(engine, story):
    free = engine.submit(story, GREEDY, StreamConfig(max_tokens=40)).result().text
    stop = free[len(free) // 2 : len(free) // 2 + 7]  # most likely across token borders
    cut = engine.submit(story, GREEDY, StreamConfig(max_tokens=40, stop=("@@@", stop))).result()
    assert cut.finish_reason == "stop"
    assert cut.stop_text == stop
    assert cut.text == free[: free.index(stop)]


def test_text_held_back_is_not_lost_at_the_end(engine, story):
    free = engine.submit(story, GREEDY, StreamConfig(max_tokens=12)).result().text
    held = StreamConfig(max_tokens=12, stop=(free[-3:] + "never comes",))
    assert engine.submit(story, GREEDY, held).result().text == free


def test_logprobs_are_logs_of_a_distribution(engine, story):
    sampling = SamplingParams(temperature=0, logprobs=49152)
    token = next(iter(engine.submit(story, sampling, StreamConfig(max_tokens=1))))
    assert sum(2.718281828459045**p for _, p in token.top) == pytest.approx(1, abs=1e-4)
    assert token.top[0] == (token.id, token.logprob)
    plain = next(iter(engine.submit(story, GREEDY, StreamConfig(max_tokens=1))))
    assert plain.logprob is None
    assert plain.top == ()


def test_a_seed_repeats_and_no_seed_does_not(engine, story):
    def text(seed):
        sampling = SamplingParams(temperature=1.5, seed=seed)
        return engine.submit(story, sampling, StreamConfig(max_tokens=20)).result().text

    assert text(7) == text(7)
    assert len({text(None) for _ in range(4)}) > 1


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    """A tiny random model in 32 bits, whose answers do not depend on what shares their batches."""
    model = Model.load(write_tiny(tmp_path_factory.mktemp("tiny") / "tiny.gguf", "llama"))
    plain = {"cache_type_k": "f32", "cache_type_v": "f32", "flash_attention": "off"}
    with Engine(model, EngineParams(n_ctx=256, n_parallel=4, **plain)) as engine:
        yield engine


def test_many_at_once_give_what_each_gives_alone(exact):
    prompts = [Prompt.of_parts(exact.model, [f"sea and sand {'sea ' * n}"]) for n in range(10)]
    config = StreamConfig(max_tokens=24, ignore_eos=True)
    alone = [exact.submit(prompt, GREEDY, config).result().tokens for prompt in prompts]
    streams = [exact.submit(prompt, GREEDY, config) for prompt in prompts]
    assert [stream.result().tokens for stream in streams] == alone
    assert len({tuple(token.id for token in tokens) for tokens in alone}) > 1


def test_cancelling_keeps_what_was_sent(engine, story):
    stream = engine.submit(story, GREEDY, LONG)
    first = [next(stream) for _ in range(3)]
    stream.cancel()
    stream.cancel()
    completion = stream.result()
    assert completion.finish_reason == "cancelled"
    assert completion.text.startswith("".join(t.text for t in first))
    assert completion.timings.generated_tokens < 1000


def test_a_callback_may_cancel(engine, story):
    seen = []

    def first_five(token):
        seen.append(token)
        return len(seen) < 5

    completion = engine.submit(story, GREEDY, StreamConfig(max_tokens=1500, buffer_tokens=1)).run(
        first_five
    )
    assert completion.finish_reason == "cancelled"
    assert 5 <= len(seen) <= 8


def test_a_queued_request_can_be_cancelled(model, story):
    with Engine(model, EngineParams(n_ctx=2048, n_parallel=1)) as engine:
        running = engine.submit(story, GREEDY, LONG)
        waiting = engine.submit(story, GREEDY, LONG)
        next(running)
        waiting.cancel()
        completion = waiting.result()
        assert completion.finish_reason == "cancelled"
        assert completion.text == ""
        assert completion.timings.queue_ms == -1
        running.cancel()


def test_dropping_a_stream_cancels_it(engine, story):
    stream = engine.submit(story, GREEDY, LONG)
    next(stream)
    del stream
    gc.collect()
    wait_until(lambda: engine.counters.active == 0)


def test_a_slow_reader_slows_itself_alone(engine, story):
    slow = engine.submit(story, GREEDY, StreamConfig(max_tokens=1500, buffer_tokens=3))
    next(slow)
    other = engine.submit(story, GREEDY, StreamConfig(max_tokens=64)).result()
    assert other.timings.generated_tokens == 64
    before = engine.counters.steps
    time.sleep(0.2)
    assert engine.counters.steps == before  # paused: nothing is computed that nobody reads
    rest = [next(slow) for _ in range(20)]
    assert len(rest) == 20
    slow.cancel()


def test_leaving_the_task_closes_the_stream(engine, story):
    async def run():
        reading = asyncio.Event()

        async def reader():
            async for _ in engine.submit(story, GREEDY, LONG):
                reading.set()

        task = asyncio.create_task(reader())
        await reading.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await engine.submit(story, GREEDY, LONG)

    asyncio.run(run())
    wait_until(lambda: engine.counters.active == 0)


def test_many_readers_on_one_loop_and_on_two(exact):
    engine = exact
    prompts = [Prompt.of_parts(exact.model, [f"sand {'and sea ' * n}"]) for n in range(12)]
    config = StreamConfig(max_tokens=12, buffer_tokens=2, ignore_eos=True)
    expected = [engine.submit(p, GREEDY, config).result().text for p in prompts]

    async def all_of_them():
        answers = await asyncio.gather(*(engine.submit(p, GREEDY, config) for p in prompts))
        return [answer.text for answer in answers]

    assert asyncio.run(all_of_them()) == expected
    results = {}
    threads = [
        threading.Thread(target=lambda n=n: results.update({n: asyncio.run(all_of_them())}))
        for n in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {0: expected, 1: expected}


def test_a_prompt_function_runs_off_the_loop_and_its_error_reaches_the_reader(engine):
    where = []

    def broken():
        where.append(threading.current_thread())
        raise MediaError("no such picture", where="x.png")

    async def run():
        stream = engine.submit(broken)
        with pytest.raises(MediaError, match=r"x\.png"):
            await stream

    asyncio.run(run())
    assert where[0] is not threading.main_thread()
    with pytest.raises(MediaError):
        engine.submit(broken)
    assert where[1] is threading.main_thread()


def test_a_prompt_that_does_not_fit_is_refused_at_once(model, ask):
    with Engine(model, EngineParams(n_ctx=256, n_parallel=1)) as engine:
        with pytest.raises(ContextOverflowError, match="the context holds 256") as caught:
            engine.submit(ask("word " * 300))
        assert "n_ctx" in str(caught.value)
        full = engine.submit(
            ask("Tell me a story."), GREEDY, StreamConfig(max_tokens=None)
        ).result()
        assert full.finish_reason in ("length", "stop")
        assert full.timings.prompt_tokens + full.timings.generated_tokens <= 257


def test_closing_ends_everything_with_an_error(model, story):
    engine = Engine(model, EngineParams(n_ctx=2048, n_parallel=1))
    running = engine.submit(story, GREEDY, LONG)
    waiting = engine.submit(story, GREEDY, LONG)
    next(running)
    started = time.perf_counter()
    engine.close()
    assert time.perf_counter() - started < 2
    engine.close()
    assert engine.closed
    for stream in (running, waiting):
        with pytest.raises(EngineClosedError):
            stream.result()
    with pytest.raises(EngineClosedError):
        engine.submit(story)


def test_closing_wakes_asyncio_readers(model, story):
    async def run():
        async with Engine(model, EngineParams(n_ctx=2048, n_parallel=1)) as engine:
            streams = [engine.submit(story, GREEDY, LONG) for _ in range(3)]
            tasks = [asyncio.create_task(stream._read_all()) for stream in streams]
            await asyncio.sleep(0.3)
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert {type(error) for error in asyncio.run(run())} == {EngineClosedError}


def native_threads():
    return len(os.listdir("/proc/self/task"))


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_an_engine_that_is_dropped_ends_its_thread(model, story):
    engine = Engine(model, EngineParams(n_ctx=2048, n_parallel=1))
    asyncio.run(_read_one(engine, story))
    before = native_threads()
    del engine
    gc.collect()
    wait_until(lambda: native_threads() < before)


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
def test_event_loops_leave_no_descriptors_behind(engine, story):
    def open_now():
        return len(os.listdir("/proc/self/fd"))

    async def many():
        for _ in range(5):
            await engine.submit(story, GREEDY, StreamConfig(max_tokens=2))
        await _read_one(engine, story)

    asyncio.run(many())
    gc.collect()
    before = open_now()
    for _ in range(5):
        asyncio.run(many())
    gc.collect()
    assert open_now() <= before + 1  # the last loop's bell goes with the next one


def test_the_engine_needs_no_interpreter_lock(engine, story):
    # While one C call holds the lock, a request ends and is let go of, and another goes on.
    config = StreamConfig(max_tokens=1500, buffer_tokens=1500, ignore_eos=True)
    long = engine.submit(story, GREEDY, config)
    next(long)
    brief = engine.submit(story, GREEDY, StreamConfig(max_tokens=2))
    switch = sys.getswitchinterval()
    sys.setswitchinterval(100)
    try:
        began, before = time.perf_counter(), engine.counters.generated_tokens
        pow(3, 4_500_000)  # one call, which never lets go of the lock
        held, after = time.perf_counter() - began, engine.counters.generated_tokens
    finally:
        sys.setswitchinterval(switch)
        long.cancel()
    assert after - before > 10, f"{after - before} tokens in {held:.1f} s"
    assert brief.result().timings.generated_tokens == 2


async def _read_one(engine, prompt):
    async with engine.submit(prompt, GREEDY, LONG) as stream:
        async for _ in stream:
            break


def test_penalties_change_a_greedy_answer(engine, model):
    prompt = Prompt.of_parts(model, ["red blue red blue red blue red blue red"])
    config = StreamConfig(max_tokens=12)
    strict = SamplingParams(temperature=0, presence_penalty=5, frequency_penalty=5)
    plain = [t.id for t in engine.submit(prompt, GREEDY, config).result().tokens]
    varied = [t.id for t in engine.submit(prompt, strict, config).result().tokens]
    assert len(set(plain)) < 4  # it repeats itself
    assert len(set(varied)) > 8  # and stops doing so


def test_counters_count(engine, story):
    wait_until(lambda: (engine.counters.active, engine.counters.queued) == (0, 0))
    before = engine.counters
    completion = engine.submit(story, GREEDY, StreamConfig(max_tokens=5)).result()
    after = engine.counters
    assert after.requests == before.requests + 1
    assert after.prompt_tokens == before.prompt_tokens + story.n_tokens
    assert after.generated_tokens == before.generated_tokens + completion.timings.generated_tokens
    wait_until(lambda: (engine.counters.active, engine.counters.queued) == (0, 0))


def test_media_and_text_run_beside_each_other(engine, model, media, story):
    """A picture or recording that is encoded does not change what others get."""
    import numpy as np

    from mullama_media import AudioFrame, Image

    config = StreamConfig(max_tokens=40)
    alone = engine.submit(story, GREEDY, config).result().text
    noise = np.random.default_rng(1).integers(0, 256, (200, 300, 3), np.uint8)
    sound = AudioFrame(np.zeros(32000, np.float32), 16000)
    prompts = [
        Prompt.of_messages(model, [Message("user", [Image(noise), "What?"])], media=media),
        Prompt.of_messages(model, [Message("user", [sound, "What?"])], media=media),
    ]
    singles = [engine.submit(p, GREEDY, config).result() for p in prompts]
    streams = [engine.submit(p, GREEDY, config) for p in (story, *prompts, story)]
    together = [stream.result() for stream in streams]
    assert [c.text for c in together] == [alone, singles[0].text, singles[1].text, alone]
    assert singles[0].timings.encode_ms > 0
    assert together[1].timings.encode_ms == 0  # remembered


def test_closing_in_the_middle_of_a_medium_is_no_failure(tmp_path):
    """Evaluations are stopped wherever they are; what its requests see is that it closed."""
    import numpy as np

    from mullama_media import Image, Media, Model
    from tests import tiny

    small = Model.load(tiny.write_model(tmp_path / "tiny.gguf"))
    media = Media.load(small, tiny.write_mmproj(tmp_path / "mmproj.gguf", audio=False))
    pictures = [Image(np.full((24, 24, 3), n, np.uint8)) for n in range(40)]
    prompt = Prompt.of_parts(small, [*pictures, "x"], media=media)
    params = EngineParams(n_ctx=256, n_parallel=1, n_batch=1, threads=1)
    for n in range(30):
        engine = Engine(small, params, media=media)
        stream = engine.submit(prompt, GREEDY)
        wait_until(lambda engine=engine, n=n: engine.counters.media_encoded > n)
        engine.close()
        with pytest.raises(EngineClosedError):
            stream.result()

"""Streams inside asyncio's own structures, on its loop and on uvloop's."""

import asyncio
import time

import pytest
import uvloop

from mullama_media import Engine, EngineParams, Model, StreamConfig
from mullama_media.errors import ContextOverflowError, EngineClosedError
from tests.conftest import GREEDY

SHORT = StreamConfig(max_tokens=12)
LONG = StreamConfig(max_tokens=1500, ignore_eos=True)


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request):
    def run(main):
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(main)

    return run


@pytest.fixture(scope="module")
def stories(ask):
    return [ask(f"Tell me a story about {what}.") for what in ("the sea", "snow", "a king")]


def idle(engine):
    for _ in range(500):
        if (engine.counters.active, engine.counters.queued) == (0, 0):
            return True
        time.sleep(0.01)
    return False


def test_a_group_of_tasks_gives_what_each_gives_alone(run, engine, stories):
    alone = [engine.submit(story, GREEDY, SHORT).result().text for story in stories]

    async def main():
        async with asyncio.TaskGroup() as group:

            async def ask(story):
                return (await engine.submit(story, GREEDY, SHORT)).text

            tasks = [group.create_task(ask(story)) for story in stories]
        return [task.result() for task in tasks]

    assert run(main()) == alone


def test_the_failure_of_one_task_cancels_the_answers_of_its_group(run, engine, stories):
    async def read(story, seen):
        async for token in engine.submit(story, GREEDY, LONG):
            seen.append(token)

    async def main():
        seen = []
        with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 - the group is the point
            async with asyncio.TaskGroup() as group:
                group.create_task(read(stories[0], seen))
                group.create_task(read(stories[1], seen))
                while len(seen) < 10:
                    await asyncio.sleep(0.005)
                raise RuntimeError("enough")
        assert [str(error) for error in caught.value.exceptions] == ["enough"]
        return len(seen)

    assert 10 <= run(main()) < 1000
    assert idle(engine)


def test_a_timeout_ends_the_request(run, engine, stories):
    async def main():
        began = time.perf_counter()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await engine.submit(stories[0], GREEDY, LONG)
        return time.perf_counter() - began

    assert run(main()) < 2
    assert idle(engine)


def test_cancelling_a_task_while_it_waits_in_the_queue(run, model, stories):
    async def main():
        async with Engine(model, EngineParams(n_ctx=2048, n_parallel=1)) as engine:
            running = engine.submit(stories[0], GREEDY, LONG)
            await anext(running)
            waiting = asyncio.create_task(_whole(engine.submit(stories[1], GREEDY, LONG)))
            while engine.counters.queued == 0:
                await asyncio.sleep(0.005)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            running.cancel()
            await running
            return idle(engine)

    assert run(main())


def test_an_error_reaches_its_own_task_alone(run, model, ask):
    async def main():
        async with Engine(model, EngineParams(n_ctx=256, n_parallel=2)) as engine:
            good = engine.submit(ask("Hi."), GREEDY, StreamConfig(max_tokens=4))
            bad = engine.submit(lambda: ask("word " * 300), GREEDY, SHORT)
            return await asyncio.gather(good, _whole(bad), return_exceptions=True)

    good, bad = run(main())
    assert good.timings.generated_tokens == 4
    assert isinstance(bad, ContextOverflowError)


def test_an_engine_comes_and_goes_inside_a_loop(run, tiny_files, stories):
    async def main():
        model = await Model.load_async(tiny_files.model)
        engine = await asyncio.to_thread(Engine, model, EngineParams(n_ctx=512, n_parallel=1))
        pending = engine.submit(stories[0], GREEDY, StreamConfig(max_tokens=400, ignore_eos=True))
        first = await anext(pending)
        await engine.aclose()
        with pytest.raises(EngineClosedError):
            await _whole(pending)
        return first.id

    assert run(main()) is not None


async def _whole(stream):
    return await stream

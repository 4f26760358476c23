"""What wakes the readers of an event loop."""

import asyncio
import gc

from mullama_media import StreamConfig
from mullama_media.engine.bells import Bells
from tests.conftest import GREEDY

SHORT = StreamConfig(max_tokens=3)


class Reader:
    def __init__(self, number):
        self.native_id = number
        self.woken = asyncio.Event()
        self.cancelled = False

    def wake(self):
        self.woken.set()

    def cancel(self):
        self.cancelled = True


def test_a_loop_has_one_bell_which_ends_with_its_last_reader():
    async def main():
        bells = Bells()
        loop = asyncio.get_running_loop()
        bell = bells.on(loop)
        one, two = Reader(1), Reader(2)
        bell.register(one)
        bell.register(two)
        assert bells.on(loop) is bell
        bell.forget(one)
        assert bells.on(loop) is bell
        del two
        gc.collect()
        await asyncio.sleep(0)
        assert bells.on(loop) is not bell

    asyncio.run(main())


def test_readers_of_a_loop_that_was_closed_are_cancelled():
    bells, readers = Bells(), []

    async def begin():
        readers.append(Reader(1))
        bells.on(asyncio.get_running_loop()).register(readers[0])

    async def later():
        bells.on(asyncio.get_running_loop()).register(Reader(2))

    asyncio.run(begin())
    assert not readers[0].cancelled
    asyncio.run(later())
    assert readers[0].cancelled


def test_one_engine_on_loop_after_loop(engine, ask):
    prompt = ask("Count.")

    async def main():
        return (await engine.submit(prompt, GREEDY, SHORT)).text

    assert len({asyncio.run(main()) for _ in range(4)}) == 1

"""The thread between an engine and event loops."""

import asyncio
import threading

from mullama_media.engine.pump import Pump


class LateNative:
    """An engine that announces stream 7 and finishes just after a wait has timed out."""

    def __init__(self):
        self.registered = threading.Event()
        self.finished = False
        self.announced = []

    def wait_ready(self, timeout_ms):
        self.registered.wait(5)
        if not self.finished:
            self.finished, self.announced = True, [7]
            return []
        numbers, self.announced = self.announced, []
        return numbers


class Reader:
    native_id = 7

    def __init__(self):
        self.woken = asyncio.Event()

    def wake(self):
        self.woken.set()


def test_what_is_announced_between_a_timeout_and_the_end_wakes_its_reader():
    async def run():
        native, reader = LateNative(), Reader()
        pump = Pump(native)
        pump.register(reader, asyncio.get_running_loop())
        native.registered.set()
        await asyncio.wait_for(reader.woken.wait(), 5)
        pump.join()

    asyncio.run(run())

"""Bytes and async iterators as sources: what is theirs alone."""

import asyncio
import threading
import time

import numpy as np
import pytest

from mullama_media.errors import AudioDeviceError, InvalidOptionError
from mullama_media.frames import AudioChunk, Discontinuity
from mullama_media.io import AsyncSource, BytesSource

RATE = 8000
WAVE = np.arange(16000, dtype=np.int16)


def test_a_live_feed_never_waits_and_counts_what_it_drops():
    source = BytesSource(RATE, buffer_ms=200)
    began = time.monotonic()
    for start in range(0, 16000, 400):
        source.feed(WAVE[start : start + 400].tobytes())
    assert time.monotonic() - began < 1
    source.close()
    items = list(source)
    gap = next(item for item in items if isinstance(item, Discontinuity))
    assert gap.reason == "overrun"
    assert gap.lost + source.meter.delivered == 16000
    assert items[-1].end_sample == 16000


def test_a_patient_feed_waits_for_its_reader_and_lets_go_at_close():
    source = BytesSource(RATE, live=False, buffer_ms=200)
    feeder = threading.Thread(target=source.feed, args=(WAVE,))
    feeder.start()
    assert source.read(2000).at_sample == 0
    assert feeder.is_alive()
    source.close()
    feeder.join(5)
    assert not feeder.is_alive()
    assert source.meter.overrun == 0
    with pytest.raises(AudioDeviceError, match="closed"):
        source.feed(b"\0\0")


def test_a_sender_may_say_what_it_lost():
    source = BytesSource(RATE, encoding="mulaw")
    source.feed(b"\xff" * 80)
    source.gap(160)
    source.feed(b"\x00" * 80)
    source.close()
    first, gap, second = [i.copy() if isinstance(i, AudioChunk) else i for i in source]
    assert gap == Discontinuity(80, 160, "device")
    assert (second.at_sample, second.samples[0, 0]) == (240, -32124)
    assert first.samples.dtype == np.int16


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(InvalidOptionError, match="float32 samples"):
        BytesSource(RATE).feed(np.zeros(10, np.float32))
    with pytest.raises(InvalidOptionError, match="s16le"):
        BytesSource(RATE, encoding="pcm")


def test_what_the_iterator_raises_comes_after_its_samples():
    async def pieces():
        yield WAVE[:100].tobytes()
        raise ConnectionResetError("gone")

    seen = []

    async def read():
        async for item in AsyncSource(pieces(), RATE):
            seen.append(len(item.samples))  # noqa: PERF401

    with pytest.raises(ConnectionResetError, match="gone"):
        asyncio.run(read())
    assert seen == [100]
    source = AsyncSource(pieces(), RATE)
    assert len(source.read(2000).samples) == 100
    with pytest.raises(ConnectionResetError):
        source.read(2000)


def test_the_iterator_runs_on_the_loop_of_its_connection():
    async def run():
        loop = asyncio.get_running_loop()
        arrived = asyncio.Queue()

        async def pieces():
            assert asyncio.get_running_loop() is loop
            while (piece := await arrived.get()) is not None:
                yield piece

        source = AsyncSource(pieces(), RATE)
        for piece in (WAVE[:100].tobytes(), WAVE[100:200], None):
            arrived.put_nowait(piece)
        total = 0
        async for item in source:
            np.testing.assert_array_equal(item.samples[:, 0], WAVE[total : item.end_sample])
            total = item.end_sample
        assert total == 200

    asyncio.run(run())


def test_the_iterator_is_asked_no_faster_than_it_is_read():
    asked = 0

    async def pieces():
        nonlocal asked
        while True:
            asked += 1
            yield WAVE[:80]

    async def run():
        source = AsyncSource(pieces(), RATE, buffer_ms=200)
        async with source:
            await asyncio.sleep(0.2)
            assert asked <= 1 + (200 + 2 * 20) // 10
            assert source.meter.overrun == 0

    asyncio.run(run())


def test_an_iterator_that_never_gives_can_be_closed():
    async def pieces():
        await asyncio.Event().wait()
        yield b""

    for wait_s in (0, 0.05):
        source = AsyncSource(pieces(), RATE).open()
        time.sleep(wait_s)
        source.close()
        assert source.read(2000) is None
        assert source.ended

    async def run():
        source = AsyncSource(pieces(), RATE)
        async with source:
            pass
        await asyncio.sleep(0)
        while not source.ended:
            await asyncio.to_thread(source.read, 100)

    asyncio.run(run())


def test_what_is_closed_cannot_be_opened():
    source = AsyncSource(None, RATE)
    source.close()
    with pytest.raises(AudioDeviceError, match="closed"):
        source.open()

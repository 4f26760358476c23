"""What holds for every source, whatever it reads from."""

import asyncio
import contextlib
import gc
import threading
import time

import numpy as np
import pytest
import soundfile

from mullama_media.errors import AudioDeviceError
from mullama_media.frames import AudioChunk, AudioFormat
from mullama_media.io import AsyncSource, BytesSource, FileSource
from mullama_media.testing import Play, ScriptedSource

RATE = 16000
COUNT = 40_000
WAVE = (np.arange(COUNT) % 30011 - 15000).astype(np.int16)  # no two places alike


def from_file(tmp_path, **options):
    soundfile.write(tmp_path / "wave.wav", WAVE, RATE, subtype="PCM_16")
    return FileSource(tmp_path / "wave.wav", **options)


def from_bytes(_):
    source = BytesSource(RATE, live=False, buffer_ms=500)

    def feed():
        data = WAVE.tobytes()
        with contextlib.suppress(AudioDeviceError):  # where a test closes it early
            for start in range(0, len(data), 777):  # an odd number: pieces end inside samples
                source.feed(data[start : start + 777])
        source.close()

    threading.Thread(target=feed, daemon=True).start()
    return source


def from_iterator(_):
    async def pieces():
        for start in range(0, COUNT, 999):
            await asyncio.sleep(0)
            yield WAVE[start : start + 999].tobytes()

    return AsyncSource(pieces(), RATE, buffer_ms=500)


def from_script(_):
    return ScriptedSource([Play(WAVE)], AudioFormat(RATE, 1, "int16"))


MAKERS = {
    "file": lambda tmp: from_file(tmp, buffer_ms=500),
    "paced": lambda tmp: from_file(tmp, paced=True, speed=10),
    "bytes": from_bytes,
    "iterator": from_iterator,
    "script": from_script,
}


@pytest.fixture(params=MAKERS)
def source(request, tmp_path):
    made = MAKERS[request.param](tmp_path)
    yield made
    made.close()


def joined(chunks):
    samples = np.concatenate([chunk.samples for chunk in chunks])[:, 0]
    return samples if samples.dtype == np.int16 else np.rint(samples * 32768).astype(np.int16)


def check_whole(items):
    at = 0
    for item in items:
        assert isinstance(item, AudioChunk)
        assert item.at_sample == at
        at = item.end_sample
    assert at == COUNT
    np.testing.assert_array_equal(joined(items), WAVE)


def test_open_it_knows_its_format(source):
    with source:
        assert source.open() is source
        assert source.format.sample_rate == RATE
        assert source.format.channels == 1


def test_every_sample_comes_once_and_in_order(source):
    check_whole([item.copy() for item in source])
    assert source.ended
    meter = source.meter
    assert (meter.written, meter.delivered, meter.overrun) == (COUNT, COUNT, 0)


def test_the_same_for_asyncio_and_the_loop_goes_on(source):
    async def run():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.001)

        ticking = asyncio.create_task(tick())
        items = []
        async for item in source:
            items.append(item.copy())
            await asyncio.sleep(0)
        ticking.cancel()
        return items, ticks

    items, ticks = asyncio.run(run())
    check_whole(items)
    assert ticks > 1


def test_a_read_in_time_and_a_read_at_the_end(source):
    with source:
        first = source.read(5000)
        assert first.at_sample == 0
        assert not first.samples.flags.writeable
        while source.read(5000) is not None:
            pass
        assert source.ended
        began = time.monotonic()
        assert source.read() is None
        assert time.monotonic() - began < 1


def test_closing_early_ends_it_and_is_idempotent(source):
    with source:
        source.read(5000)
    source.close()
    while source.read(2000) is not None:
        pass
    assert source.ended
    assert source.meter.delivered <= COUNT


def test_leaving_an_async_loop_lets_everything_go(source):
    threads = threading.active_count()

    async def run():
        async for _ in source:
            break

    asyncio.run(run())
    source.close()
    gc.collect()
    for _ in range(100):
        if threading.active_count() <= threads:
            break
        time.sleep(0.02)
    assert threading.active_count() <= threads

"""The ring from Python: views in place, losses at their index, waiting without the GIL."""

import sys
import threading
import time

import numpy as np
import pytest

from mullama_media.audio.ring import AudioRing
from mullama_media.errors import InvalidOptionError
from mullama_media.frames import AudioChunk, AudioFormat, Discontinuity

MONO = AudioFormat(16000, 1, "int16")


def counting(start, n, dtype=np.int16):
    return np.arange(start, start + n).astype(dtype)


def drain(ring):
    while (item := ring.poll()) is not None:
        yield item


@pytest.mark.parametrize("dtype", ["int16", "float32"])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("size", [1, 319, 320, 321, 5000])
def test_what_goes_in_comes_out(dtype, channels, size):
    ring = AudioRing(AudioFormat(16000, channels, dtype))
    frames = counting(0, 5000 * channels).astype(dtype).reshape(-1, channels)
    for start in range(0, 5000, size):
        ring.write(frames[start : start + size])
    out = [item.samples.copy() for item in drain(ring)]
    np.testing.assert_array_equal(np.concatenate(out), frames)
    assert out[0].dtype == dtype


def test_a_read_is_a_view_into_the_ring():
    ring = AudioRing(MONO)
    ring.write(counting(0, 320))
    first = ring.poll(100)
    second = ring.poll(100)
    a, b = (chunk.samples.__array_interface__["data"][0] for chunk in (first, second))
    assert b - a == 100 * 2
    assert not first.samples.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        first.samples[0] = 1


def test_a_view_outlives_its_ring():
    ring = AudioRing(MONO)
    ring.write(counting(0, 320))
    chunk = ring.poll()
    del ring
    np.testing.assert_array_equal(chunk.samples[:, 0], counting(0, 320))


def test_a_stalled_reader_finds_every_missing_sample_counted():
    ring = AudioRing(MONO, capacity_ms=100)
    for start in range(0, 16000, 160):
        ring.write(counting(start, 160))
    items = list(drain(ring))
    gaps = [item for item in items if isinstance(item, Discontinuity)]
    chunks = [item for item in items if isinstance(item, AudioChunk)]
    assert [gap.reason for gap in gaps] == ["overrun"]
    assert sum(len(c.samples) for c in chunks) + gaps[0].lost == 16000
    assert chunks[-1].end_sample == 16000
    assert sum(len(c.samples) for c in chunks) >= 1600
    assert ring.meter.overrun == gaps[0].lost
    # The chunk after the gap holds what its index says.
    after = items[items.index(gaps[0]) + 1]
    assert after.at_sample == gaps[0].at_sample + gaps[0].lost


def test_reading_while_writing_loses_nothing_uncounted():
    ring = AudioRing(MONO, capacity_ms=20, block_ms=1)
    count = 400_000

    def produce():
        for start in range(0, count, 100):
            ring.write(counting(start, 100, np.int32).astype(np.int16))
        ring.finish()

    producer = threading.Thread(target=produce)
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    producer.start()
    at = lost = 0
    while not ring.ended:
        item = ring.read(1000)
        if item is None:
            continue
        assert item.at_sample == at
        if isinstance(item, Discontinuity):
            lost += item.lost
            at += item.lost
        else:
            expected = counting(at, len(item.samples), np.int32).astype(np.int16)
            np.testing.assert_array_equal(item.samples[:, 0], expected)
            at = item.end_sample
    producer.join()
    sys.setswitchinterval(switch)
    assert at == count == ring.meter.delivered + lost
    assert lost == ring.meter.overrun


def test_flags_and_gaps_have_their_place():
    ring = AudioRing(MONO)
    ring.capture(counting(0, 160), time=1.0)
    ring.capture(counting(160, 160), time=1.01, overflow=True)
    ring.gap(50)
    ring.write(counting(370, 10))
    kinds = [(type(item).__name__, item.at_sample) for item in drain(ring)]
    assert kinds == [
        ("AudioChunk", 0),
        ("Discontinuity", 160),
        ("AudioChunk", 160),
        ("Discontinuity", 320),
        ("AudioChunk", 370),
    ]
    meter = ring.meter
    assert (meter.device_flags, meter.device_lost, meter.buffers) == (1, 50, 2)


def test_a_loss_that_nobody_flagged_shows_in_the_clock():
    ring = AudioRing(MONO)
    seconds = 1.0
    for _ in range(250):
        ring.capture(counting(0, 320), time=seconds)
        seconds += 0.02
    assert not [i for i in drain(ring) if isinstance(i, Discontinuity)]
    seconds += 0.5
    for _ in range(250):
        ring.capture(counting(0, 320), time=seconds)
        seconds += 0.02
    gaps = [i for i in drain(ring) if isinstance(i, Discontinuity)]
    assert [(gap.lost, gap.reason) for gap in gaps] == [(8000, "device")]
    assert ring.meter.drift_losses == 1


def test_waiting_leaves_other_threads_alone_and_ends_in_time():
    ring = AudioRing(MONO)
    began = time.monotonic()
    assert ring.read(120) is None
    assert 0.1 < time.monotonic() - began < 5
    counted = 0
    reader = threading.Thread(target=lambda: ring.read(20_000))
    reader.start()
    while reader.is_alive() and counted < 1000:
        counted += 1
        time.sleep(0)
    assert counted == 1000
    ring.write(counting(0, 1))
    reader.join(5)
    assert not reader.is_alive()


def test_a_writer_may_wait_for_its_reader():
    ring = AudioRing(MONO, capacity_ms=40)
    stop = threading.Event()
    writer = threading.Thread(
        target=lambda: ring.write(counting(0, 16000), wait=True, stop=stop.is_set)
    )
    writer.start()
    at = 0
    while at < 8000:
        item = ring.read(5000)
        assert item.at_sample == at
        at = item.end_sample
    stop.set()
    writer.join(5)
    assert not writer.is_alive()
    assert ring.meter.overrun == 0
    assert ring.meter.written < 16000


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(10, np.float32),
        np.zeros((10, 2), np.int16),
        np.zeros((10, 1, 1), np.int16),
    ],
)
def test_samples_that_do_not_fit_are_refused(samples):
    with pytest.raises(InvalidOptionError, match="fit"):
        AudioRing(MONO).write(samples)


def test_a_ring_that_cannot_be_is_refused():
    with pytest.raises(InvalidOptionError, match="at least one block"):
        AudioRing(MONO, capacity_ms=1)
    with pytest.raises(InvalidOptionError, match="4 GiB"):
        AudioRing(MONO, capacity_ms=1e12)


def test_integers_and_channels_fold_to_mono():
    stereo = AudioFormat(16000, 2, "int16")
    chunk = AudioChunk(np.array([[16384, -16384], [32767, 32767]], np.int16), 5, stereo)
    np.testing.assert_allclose(chunk.mono(), [0, 32767 / 32768])
    assert chunk.mono().dtype == np.float32
    assert (chunk.end_sample, chunk.duration_ms) == (7, 0.125)


@pytest.mark.parametrize("bad", [(0, 1, "int16"), (16000, 0, "int16"), (16000, 1, "int8")])
def test_formats_that_cannot_be_are_refused(bad):
    with pytest.raises(InvalidOptionError):
        AudioFormat(*bad)

"""`python -m tests.bench.ring [SECONDS]`: what a thread that hogs the GIL costs a microphone.

Records from a private PulseAudio while a thread holds the GIL in bursts of 200 ms, once through the
C callback and once through a Python one. PulseAudio hides late callbacks as latency, so the cost of
the Python callback is how late it came; a device without such a server would have dropped what
exceeds its own buffer, and that is worked out from the lateness of each buffer.
"""

import ctypes
import os
import sys
import tempfile
import threading
import time
import timeit
from pathlib import Path

import numpy as np

from mullama_media.audio.ring import AudioRing
from mullama_media.frames import AudioChunk, AudioFormat
from mullama_media.io import Microphone, MicrophoneParams
from mullama_media.io.portaudio import refresh
from tests.io import pulse

HELD_MS = 200
FREE_MS = 50


def hold_the_gil(stop: threading.Event) -> None:
    usleep = ctypes.PyDLL(None).usleep  # PyDLL keeps the GIL
    while not stop.is_set():
        usleep(HELD_MS * 1000)
        time.sleep(FREE_MS / 1000)


def record(capture: str, seconds: float) -> None:
    params = MicrophoneParams(device="pulse", sample_rate=pulse.RATE, capture=capture)
    stop = threading.Event()
    holder = threading.Thread(target=hold_the_gil, args=(stop,))
    lost = frames = at = 0
    with Microphone(params) as microphone:
        holder.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            item = microphone.read(1000)
            assert item is not None
            if isinstance(item, AudioChunk):
                assert item.at_sample == at
                frames += len(item.samples)
                at = item.end_sample
            else:
                lost += item.lost
                at = item.at_sample + item.lost
        stop.set()
        holder.join()
        meter = microphone.meter
        device_ms = microphone.latency_ms
    late = max(0.0, meter.max_interval_ms - params.block_ms)
    print(
        f"{capture:>6} callback, {seconds:.0f} s: {frames} samples, {lost} lost; longest wait for "
        f"a callback {meter.max_interval_ms:.0f} ms; in the callback at most "
        f"{meter.max_buffer_us:.0f} us; reader at most "
        f"{1000 * meter.max_backlog / pulse.RATE:.0f} ms behind"
    )
    if late > device_ms:
        print(
            f"        with the device's own buffer of {device_ms:.0f} ms alone, each such wait "
            f"would have lost up to {late - device_ms:.0f} ms"
        )


def throughput() -> None:
    ring = AudioRing(AudioFormat(16000))
    block = np.zeros((320, 1), np.float32)
    n = 20_000

    def through() -> None:
        ring.write(block)
        ring.poll()

    each = timeit.timeit(through, number=n) / n
    print(f"a block of 20 ms in and out of the ring from Python: {each * 1e6:.1f} us")


def main(seconds: str = "60") -> None:
    throughput()
    if reason := pulse.missing():
        sys.exit(reason)
    with tempfile.TemporaryDirectory() as folder:
        server = pulse.PulseServer(Path(folder))
        os.environ.update(server.environment)
        server.start()
        try:
            refresh()
            for capture in ("native", "python"):
                record(capture, float(seconds))
        finally:
            server.kill()


if __name__ == "__main__":
    main(*sys.argv[1:])

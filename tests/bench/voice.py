"""`python -m tests.bench.voice [STOPS]`: how soon a voice is heard, and how soon it is silent.

Plays to a private PulseAudio. What the device still had when it was stopped is heard all the same,
for as long as its latency; that is shown apart.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from mullama_media.audio.playback import PlaybackRing
from mullama_media.errors import MullamaError
from mullama_media.io import Speaker, SpeakerParams
from mullama_media.io.portaudio import refresh
from mullama_media.speech import VoiceParams, load_voice
from tests.io import pulse
from tests.io.test_microphone import noise

SENTENCE = "The quick brown fox jumps over the lazy dog, and then it rests for a while."


def quantiles(values: list[float]) -> str:
    p50, p99, most = np.percentile(values, [50, 99, 100])
    return f"p50 {p50:.2f}, p99 {p99:.2f}, max {most:.2f}"


def stops(count: int) -> None:
    params = SpeakerParams(device="pulse", sample_rate=pulse.RATE, channels=1)
    with Speaker(params) as speaker:
        wave = noise(20 * pulse.RATE)
        took, after, behind = [], [], []
        for turn in range(count):
            speaker.begin().write(wave[: 3 * pulse.RATE])
            time.sleep(0.1 + 0.007 * (turn % 10))
            before = speaker.meter.played
            began = time.perf_counter()
            played = speaker.stop()
            took.append(1000 * (time.perf_counter() - began))
            after.append(1000 * (speaker.meter.played - before) / pulse.RATE)
            behind.append(1000 * (played.handed - played.heard) / pulse.RATE)
        meter = speaker.meter
    print(f"{count} stops, {params.block_ms:.0f} ms buffers, {params.fade_ms:.0f} ms fade, in ms:")
    print(f"  stop() returned after    {quantiles(took)}")
    print(f"  sound handed over after  {quantiles(after)} (the fade is part of it)")
    print(f"  device still had         {quantiles(behind)} (its latency: {meter.latency_ms:.0f})")
    print(
        f"  callback: mean {meter.mean_buffer_us:.1f} us, max {meter.max_buffer_us:.0f} us of "
        f"{meter.buffers}; {meter.underruns} underruns"
    )


def callback() -> None:
    for rate, dtype, channels in ((16_000, "int16", 1), (48_000, "int16", 2)):
        ring = PlaybackRing(rate, dtype=dtype, channels=channels, capacity_ms=1000)
        block = np.zeros(rate // 100, np.float32)
        speech = ring.begin()
        for at in range(20_000):
            ring.write(speech, block)
            ring.render(len(block), at_ns=at * 10_000_000)
        meter = ring.meter
        print(
            f"10 ms of {rate} Hz, {channels} x {dtype}: mean {meter.mean_buffer_us:.2f} us, "
            f"max {meter.max_buffer_us:.0f} us"
        )


def voices() -> None:
    for params in (VoiceParams(), VoiceParams(engine="piper")):
        try:
            voice = load_voice(params)
        except MullamaError as error:
            print(f"{params.engine}: {error}")
            continue
        firsts, factors = [], []
        for _ in range(5):
            began = time.perf_counter()
            first, samples = 0.0, 0
            for chunk in voice.speak(SENTENCE):
                first = first or time.perf_counter() - began
                samples += len(chunk.samples)
            firsts.append(1000 * first)
            factors.append((time.perf_counter() - began) * voice.sample_rate / samples)
        print(
            f"{voice}: first sound after {np.median(firsts):.0f} ms, "
            f"{np.median(factors):.3f} of the time of its sound"
        )


def main(count: str = "100") -> None:
    callback()
    voices()
    if reason := pulse.missing():
        sys.exit(reason)
    with tempfile.TemporaryDirectory() as folder:
        server = pulse.PulseServer(Path(folder))
        os.environ.update(server.environment)
        server.start()
        try:
            refresh()
            stops(int(count))
        finally:
            server.kill()


if __name__ == "__main__":
    main(*sys.argv[1:])

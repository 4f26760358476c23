"""Sound that is heard at its own pace, and what a live chat tells of it."""

import asyncio
import io
import threading
import time

import numpy as np
import pytest
import soundfile

from mullama_media.io import FileSource
from mullama_media.speech import StreamingAudioProcessor
from mullama_media.testing import ManualClock, RecordingSpeaker
from tests.conftest import SAMPLES
from tests.io.conftest import sound_card

__all__ = ["sound_card"]

RATE = 16000


def sample(name):
    samples, rate = soundfile.read(SAMPLES / name, dtype="float32")
    assert rate == RATE
    return samples


def silence(seconds):
    return np.zeros(round(seconds * RATE), np.float32)


def ear_of(*pieces, config=None):
    """An ear that hears the pieces joined, in real time."""
    file = io.BytesIO()
    soundfile.write(file, np.concatenate(pieces), RATE, format="WAV", subtype="FLOAT")
    return StreamingAudioProcessor(FileSource(file.getvalue(), paced=True), config)


def run(chat, until=None):
    """Every event of a chat, or those up to the first of which `until` is true."""

    async def main():
        events = []
        async with chat:
            async for event in chat:
                events.append(event)
                if until is not None and until(event):
                    break
        return events

    return asyncio.run(asyncio.wait_for(main(), 60))


def of(events, kind):
    return [event for event in events if isinstance(event, kind)]


@pytest.fixture
def loudspeaker():
    """One whose time passes as ours does."""
    clock = ManualClock()
    speaker = RecordingSpeaker(clock)
    over = threading.Event()

    def pass_time():
        before = time.monotonic()
        while not over.wait(0.01):
            now = time.monotonic()
            clock.advance(1000 * (now - before))
            before = now

    thread = threading.Thread(target=pass_time, daemon=True)
    thread.start()
    yield speaker.open()
    over.set()
    thread.join()
    speaker.close()

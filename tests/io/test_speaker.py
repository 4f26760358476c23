"""Loudspeakers on a private PulseAudio whose monitor is recorded, through PortAudio."""

import asyncio
import contextlib
import ctypes
import sys
import threading
import time

import numpy as np
import pytest

from mullama_media.audio.resample import resample
from mullama_media.errors import AudioDeviceError, InvalidOptionError, MediaError
from mullama_media.frames import AudioChunk, AudioFrame, DeviceChange
from mullama_media.io import Microphone, MicrophoneParams, Speaker, SpeakerParams
from tests.io.pulse import RATE
from tests.io.test_microphone import noise

PULSE = SpeakerParams(device="pulse", sample_rate=RATE, channels=1)
BLOCK = int(PULSE.block_ms * RATE / 1000)


class Monitor:
    """Everything the sound card plays, recorded."""

    def __init__(self):
        self._microphone = Microphone(MicrophoneParams(device="pulse", sample_rate=RATE)).open()
        self._blocks = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._record)
        self._thread.start()

    def _record(self):
        while not self._over.is_set():
            item = self._microphone.read(100)
            if isinstance(item, AudioChunk):
                self._blocks.append(item.samples[:, 0].copy())

    def heard(self):
        """From the first sound to the last."""
        samples = np.concatenate([np.zeros(0, np.int16), *self._blocks])
        loud = np.flatnonzero(samples)
        return samples[loud[0] : loud[-1] + 1] if loud.size else samples[:0]

    def wait_silence(self, seconds=0.15):
        """Until nothing has been heard for so long."""
        quiet = 0
        while quiet < seconds * RATE:
            before = len(self._blocks)
            time.sleep(0.02)
            for block in self._blocks[before:]:
                quiet = 0 if block.any() else quiet + len(block)

    def close(self):
        self._over.set()
        self._thread.join()
        self._microphone.close()


@pytest.fixture
def monitor(sound_card):
    monitor = Monitor()
    yield monitor
    monitor.close()


def pieces(samples, seed):
    random = np.random.default_rng(seed)
    at = 0
    while at < len(samples):
        size = int(random.integers(1, 700))
        yield samples[at : at + size]
        at += size


def test_what_is_written_in_pieces_arrives_bit_exact_and_without_a_gap(monitor):
    wave = noise(20_000)
    with Speaker(PULSE) as speaker:
        for piece in pieces(wave, 1):
            speaker.write(piece)
        played = speaker.drain()
        meter = speaker.meter
    monitor.wait_silence()
    np.testing.assert_array_equal(monitor.heard(), wave)
    assert played.complete
    assert (played.written, played.handed, played.heard) == (20_000,) * 3
    assert played.latency_ms > 0
    assert meter.underruns == meter.dropped == meter.backlog == 0


def test_speech_of_another_rate_is_what_resampling_the_whole_gives(monitor):
    time_s = np.arange(22_050) / 22_050
    tone = (0.4 * np.sin(2 * np.pi * 440 * time_s) * np.sin(np.pi * time_s)).astype(np.float32)
    with Speaker(PULSE) as speaker:
        speech = speaker.begin(22_050)
        for piece in pieces(tone, 2):
            assert speech.write(piece)
        played = speech.drain()
    monitor.wait_silence()
    whole = np.rint(resample(AudioFrame(tone, 22_050), RATE).samples * 32768).astype(np.int16)
    loud = np.flatnonzero(whole)
    np.testing.assert_array_equal(monitor.heard(), whole[loud[0] : loud[-1] + 1])
    assert played.written == len(whole)


def test_a_stop_tells_to_the_sample_what_the_sound_card_got(monitor):
    with Speaker(PULSE.with_latency_ms(60.0)) as speaker:
        for turn in range(5):
            speech = speaker.begin()
            speech.write(noise(RATE, turn) | 64)  # so that no faded sample becomes 0 too early
            least = (0.02 + 0.03 * turn) * RATE
            until(lambda speech=speech, least=least: speech.played.heard > least)
            before = speaker.meter.played
            played = speaker.stop()
            after = speaker.meter
            monitor.wait_silence()
            assert not played.complete
            # The next buffer and the fade, where the machine is not busy: 10 + 5 ms.
            assert after.played - before <= 0.1 * RATE
            assert played.handed - played.heard <= (played.latency_ms + 30) * RATE / 1000
            assert played.handed > played.heard > 0
            assert speaker.meter.played == after.played
            heard = monitor.heard()
            assert abs(len(heard) - played.handed) <= 2  # of the fade's last, quietest samples
            fade = round(PULSE.fade_ms * RATE / 1000)
            wave = noise(RATE, turn) | 64
            sounds = played.handed - fade
            np.testing.assert_array_equal(heard[:sounds], wave[:sounds])
            assert np.all(np.abs(heard[sounds:]) <= np.abs(wave[sounds : len(heard)]))
            monitor._blocks.clear()
        assert speaker.meter.underruns == 0


def test_a_pause_goes_on_exactly_where_it_was(monitor):
    wave = noise(12_000)
    with Speaker(PULSE.with_fade_ms(0.0)) as speaker:
        speaker.write(wave)
        for _ in range(3):
            time.sleep(0.1)
            speaker.pause()
            time.sleep(0.1)
            assert speaker.paused
            speaker.resume()
        played = speaker.drain()
        assert played.complete
        assert speaker.meter.underruns == 0
    monitor.wait_silence()
    heard = monitor.heard()
    holes = len(heard) - len(wave)
    assert holes >= 3 * 0.05 * RATE
    np.testing.assert_array_equal(heard[heard != 0], wave)


def test_a_writer_waits_for_room_and_learns_of_a_stop(monitor):
    with Speaker(PULSE.with_buffer_ms(200.0)) as speaker:
        speech = speaker.begin()
        told = []
        writer = threading.Thread(target=lambda: told.append(speech.write(noise(3 * RATE))))
        began = time.monotonic()
        writer.start()
        time.sleep(0.4)
        assert writer.is_alive()
        assert speaker.meter.backlog > 0.1 * RATE
        played = speaker.stop()
        writer.join(5)
        assert told == [False]
        assert 0.2 * RATE < played.handed <= (time.monotonic() - began) * RATE + BLOCK
        assert speech.played == played
        assert not speech.write(noise(10))
        speaker.write(noise(1000, 7))  # the next speech plays
        assert speaker.drain().complete
    monitor.wait_silence()
    np.testing.assert_array_equal(monitor.heard()[-1000:], noise(1000, 7))


def test_asyncio_goes_on_while_it_plays(monitor):
    async def main():
        async with Speaker(PULSE.with_buffer_ms(200.0)) as speaker:
            beats = 0

            async def beat():
                nonlocal beats
                while True:
                    await asyncio.sleep(0.01)
                    beats += 1

            heart = asyncio.create_task(beat())
            await speaker.write_async(noise(8000))
            played = await speaker.drain_async()
            heart.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await heart
            return played, beats

    played, beats = asyncio.run(main())
    assert played.complete
    assert beats > 15
    monitor.wait_silence()
    np.testing.assert_array_equal(monitor.heard(), noise(8000))


def test_who_holds_the_gil_does_not_stop_it(sound_card):
    interval = sys.getswitchinterval()
    with Speaker(PULSE) as speaker:
        speaker.write(noise(2 * RATE))
        time.sleep(0.1)
        before = speaker.meter
        sys.setswitchinterval(100)
        ctypes.PyDLL(None).usleep(400_000)  # PyDLL keeps the GIL
        sys.setswitchinterval(interval)
        after = speaker.meter
        speaker.stop()
    assert after.played - before.played > 0.2 * RATE
    assert after.underruns == 0


def test_the_volume_is_heard_at_once(monitor):
    with Speaker(PULSE.with_volume(0.5)) as speaker:
        speaker.write(np.full(RATE // 2, 0.5, np.float32))
        time.sleep(0.2)
        speaker.volume = 0.0
        speaker.drain()
    monitor.wait_silence()
    heard = monitor.heard()
    assert heard[0] == 8192
    assert len(heard) < 0.4 * RATE


def test_closing_plays_what_waits(monitor):
    speaker = Speaker(PULSE).open()
    speaker.write(noise(4000))
    speaker.close()
    speaker.close()
    monitor.wait_silence()
    np.testing.assert_array_equal(monitor.heard(), noise(4000))
    with pytest.raises(AudioDeviceError, match="closed"):
        speaker.write(noise(10))


def test_a_device_that_dies_and_comes_back_goes_on(sound_card):
    changes = []
    params = PULSE.with_reconnect_max_s(0.5).with_buffer_ms(3000.0)
    with Speaker(params, on_change=changes.append) as speaker:
        speaker.write(noise(2 * RATE))
        time.sleep(0.3)
        sound_card.kill()
        until(lambda: changes)
        assert not speaker.connected
        at = speaker.meter.played
        assert 0 < at < 2 * RATE
        sound_card.start()
        until(lambda: speaker.connected)
        played = speaker.drain(10)
        assert played.complete
    assert [change.connected for change in changes] == [False, True]
    assert all(isinstance(change, DeviceChange) and change.at_sample == at for change in changes)


def test_without_reconnect_who_writes_is_told(sound_card):
    with Speaker(PULSE.with_reconnect(False).with_buffer_ms(200.0)) as speaker:
        told = []

        def write():
            with pytest.raises(AudioDeviceError, match="went away") as error:
                speaker.write(noise(10 * RATE))
            told.append(error)

        writer = threading.Thread(target=write)
        writer.start()
        time.sleep(0.2)
        sound_card.kill()
        writer.join(10)
        assert told
        with pytest.raises(AudioDeviceError, match="went away"):
            speaker.drain()


def until(there, limit_s=20.0):
    end = time.monotonic() + limit_s
    while not there():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_what_cannot_be_is_said(sound_card):
    with pytest.raises(AudioDeviceError, match="channels, not 64"):
        Speaker(PULSE.with_channels(64)).open()
    with pytest.raises(AudioDeviceError, match="no such loudspeaker"):
        Speaker(SpeakerParams(device="no such thing")).open()
    with pytest.raises(InvalidOptionError):
        SpeakerParams(fade_ms=-1)
    with pytest.raises(OSError, match="Call open"):
        Speaker(PULSE).format  # noqa: B018
    with Speaker(PULSE) as speaker:
        with pytest.raises(MediaError, match="nan"):
            speaker.write(np.full(10, np.nan, np.float32))
        speech = speaker.begin()
        speech.finish()
        with pytest.raises(AudioDeviceError, match="finished"):
            speech.write(noise(10))

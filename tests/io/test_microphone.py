"""Microphones on a private PulseAudio, through PortAudio and the C callback."""

import ctypes
import subprocess
import sys
import time

import numpy as np
import pytest

from mullama_media.errors import AudioDeviceError, MissingExtraError
from mullama_media.frames import AudioChunk, DeviceChange, Discontinuity
from mullama_media.io import Microphone, MicrophoneParams, devices, input_devices, pick_input
from tests.io.pulse import RATE

PULSE = MicrophoneParams(device="pulse", sample_rate=RATE)


def noise(n, seed=0):
    """Samples that are nowhere 0, so that silence and sound cannot be confused."""
    values = np.random.default_rng(seed).integers(1, 20000, n)
    return (values * np.where(np.arange(n) % 2, 1, -1)).astype(np.int16)


def record(microphone, playing, limit_s=20.0):
    """All samples until what is played has been heard and silence follows."""
    end = time.monotonic() + limit_s
    heard = []
    while time.monotonic() < end:
        item = microphone.read(1000)
        assert isinstance(item, AudioChunk), item
        heard.append(item.samples[:, 0].copy())
        if playing.poll() is not None and not heard[-1].any() and any(h.any() for h in heard):
            return np.concatenate(heard)
    raise AssertionError("nothing was heard")


@pytest.mark.parametrize(("capture", "times"), [("native", 20), ("python", 2)])
def test_recordings_are_bit_exact(sound_card, capture, times):
    exact = 0
    for turn in range(times):
        wave = noise(6000, turn)
        with Microphone(PULSE.with_capture(capture)) as microphone:
            assert microphone.capture == capture
            heard = record(microphone, sound_card.play(wave))
            assert microphone.meter.overrun == microphone.meter.device_lost == 0
        start = np.flatnonzero(heard)[0]
        exact += np.array_equal(heard[start : start + len(wave)], wave)
    assert exact == times


@pytest.fixture
def keep_the_gil():
    """Hold it for 300 ms, as a careless extension does; no thread gets it in between."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(100)
    yield lambda: ctypes.PyDLL(None).usleep(300_000)
    sys.setswitchinterval(interval)


@pytest.mark.parametrize("capture", ["native", "python"])
def test_who_holds_the_gil_stops_only_a_python_callback(sound_card, capture, keep_the_gil):
    at = 0
    with Microphone(PULSE.with_capture(capture)) as microphone:
        for _ in range(8):
            for _ in range(10):
                item = microphone.read(5000)
                assert isinstance(item, AudioChunk)
                assert item.at_sample == at
                at = item.end_sample
            before = microphone.meter.buffers
            keep_the_gil()
            came = microphone.meter.buffers - before
            # 15 are due; each that did not come is 20 ms that a device must hold, or lose.
            assert came >= 5 if capture == "native" else came == 0
        meter = microphone.meter
    assert meter.overrun == meter.device_lost == meter.device_flags == 0
    if capture == "python":
        assert meter.max_interval_ms >= 290


def test_a_stalled_reader_loses_nothing_uncounted(sound_card):
    with Microphone(PULSE.with_buffer_ms(200.0)) as microphone:
        at = microphone.read(2000).end_sample
        time.sleep(1)
    lost = 0
    for item in read_all(microphone):
        assert item.at_sample >= at
        if isinstance(item, Discontinuity):
            assert (item.at_sample, item.reason) == (at, "overrun")
            lost += item.lost
            at = item.at_sample + item.lost
        else:
            at = item.end_sample
    meter = microphone.meter
    assert lost == meter.overrun > 0.5 * RATE
    assert meter.delivered + lost == meter.written == at
    assert meter.delivered >= 0.2 * RATE  # the newest are there


def read_all(source):
    while not source.ended:
        item = source.read(3000)
        if item is not None:
            yield item


def test_a_device_that_dies_and_comes_back_is_told(sound_card):
    with Microphone(PULSE.with_reconnect_max_s(0.5)) as microphone:
        assert isinstance(microphone.read(2000), AudioChunk)
        sound_card.kill()
        gone = until(microphone, DeviceChange)
        assert (gone.connected, gone.device) == (False, "pulse")
        assert microphone.capture is None
        time.sleep(0.3)
        sound_card.start()
        gap = until(microphone, Discontinuity)
        assert gap.reason == "device"
        assert gap.at_sample == gone.at_sample
        assert gap.lost > 0.3 * RATE
        back = until(microphone, DeviceChange)
        assert (back.connected, back.at_sample) == (True, gap.at_sample + gap.lost)
        wave = noise(4000, 5)
        playing = sound_card.play(wave)
        heard = record(microphone, playing)
        start = np.flatnonzero(heard)[0]
        np.testing.assert_array_equal(heard[start : start + len(wave)], wave)


def test_without_reconnect_the_source_ends(sound_card):
    with Microphone(PULSE.with_reconnect(False)) as microphone:
        microphone.read(2000)
        sound_card.kill()
        items = list(read_all(microphone))
    assert isinstance(items[-1], DeviceChange)
    assert microphone.ended


def until(source, kind):
    end = time.monotonic() + 20
    while time.monotonic() < end:
        item = source.read(500)
        if isinstance(item, kind):
            return item
    raise AssertionError(f"no {kind.__name__}")


def test_devices_are_listed_and_found(sound_card):
    names = [device.name for device in input_devices()]
    assert "pulse" in names
    assert sum(device.default for device in input_devices()) == 1
    assert pick_input("PULSE").name == "pulse"
    assert pick_input(pick_input("pulse").index).name == "pulse"


def test_what_the_device_cannot_do_is_said(sound_card):
    with pytest.raises(AudioDeviceError, match="channels, not 64"):
        Microphone(PULSE.with_channels(64)).open()
    sound_card.kill()
    with pytest.raises(AudioDeviceError, match="pulse: PortAudio refused"):
        Microphone(PULSE).open()


def test_a_microphone_that_is_not_there_is_an_error_at_open():
    microphone = Microphone(MicrophoneParams(device="no such thing"))
    with pytest.raises(AudioDeviceError, match="no such thing"):
        microphone.open()
    with pytest.raises(OSError, match="Call open"):
        microphone.format  # noqa: B018


@pytest.mark.parametrize(
    ("raised", "expected"),
    [("OSError('PortAudio library not found')", "AudioDeviceError"),
     ("ImportError()", "MissingExtraError")],
)  # fmt: skip
def test_without_portaudio_only_opening_fails(tmp_path, raised, expected):
    (tmp_path / "sounddevice.py").write_text(f"raise {raised}")
    program = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import mullama_media.io
from mullama_media import errors
try:
    mullama_media.io.Microphone().open()
except errors.{expected} as error:
    print(error.hint)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ("apt install" in done.stdout) == (expected == AudioDeviceError.__name__), done.stderr
    assert ("pip install" in done.stdout) == (expected == MissingExtraError.__name__)


def listed(*rows):
    return [
        devices.AudioDevice(i, name, api, channels, rate, low, 5 * low, i == 1)
        for i, (name, api, channels, rate, low) in enumerate(rows)
    ]


def test_names_and_preferences_choose(monkeypatch):
    found = listed(
        ("USB Mic", "MME", 1, 44100, 90.0),
        ("USB Mic", "WASAPI", 1, 48000, 10.0),
        ("Array (USB)", "WASAPI", 4, 96000, 20.0),
        ("Line", "WASAPI", 2, 48000, 3.0),
    )
    monkeypatch.setattr(devices, "input_devices", lambda: found)
    assert pick_input().index == 1
    assert pick_input("usb mic").index == 1  # of the default's host API
    assert pick_input("line").index == 3
    assert pick_input(2).name == "Array (USB)"
    assert pick_input(preference="lowest-latency").index == 3
    assert pick_input(preference="highest-quality").index == 2
    with pytest.raises(AudioDeviceError, match="more than one"):
        pick_input("usb")
    with pytest.raises(AudioDeviceError, match="0: USB Mic"):
        pick_input(9)
    monkeypatch.setattr(devices, "input_devices", list)
    with pytest.raises(AudioDeviceError, match="there is no microphone"):
        pick_input()

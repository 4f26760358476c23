"""Sound over a real broker, which goes away and comes back."""

import getpass
import shutil
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from mullama_media.audio.config import AudioStreamConfig
from mullama_media.errors import AudioDeviceError, InvalidOptionError, MissingExtraError
from mullama_media.frames import AudioChunk, DeviceChange, Discontinuity
from mullama_media.io import MqttSource, MqttSourceParams
from mullama_media.speech import StreamingAudioProcessor
from tests.audio.signals import RATE, talk

WAVE = np.random.default_rng(0).integers(-32768, 32767, 20_000).astype(np.int16)


class Broker:
    """mosquitto on a free port of this machine."""

    def __init__(self, folder, *lines):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.config = folder / "mosquitto.conf"
        text = [f"listener {self.port} 127.0.0.1", "persistence false", *lines]
        text.append(f"user {getpass.getuser()}")  # or it lets go of root, and cannot read this
        self.config.write_text("\n".join(text) + "\n")
        self.process = None

    def start(self):
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        self.process = subprocess.Popen(
            [program, "-c", self.config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                assert self.process.poll() is None, "mosquitto ended"
                time.sleep(0.02)
        raise AssertionError("mosquitto did not start")

    def stop(self):
        self.process.kill()
        self.process.wait()

    def params(self, **options):
        return MqttSourceParams(host="127.0.0.1", port=self.port, **options)

    def publish(self, *payloads, qos=1):
        import paho.mqtt.client as mqtt

        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        for payload in payloads:
            client.publish("audio/in", payload, qos=qos).wait_for_publish(10)
        client.disconnect()
        client.loop_stop()


@pytest.fixture
def broker(tmp_path):
    if not (shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")):
        pytest.skip("mosquitto is not installed, and scripts/apt.sh could not install it")
    running = Broker(tmp_path, "allow_anonymous true").start()
    yield running
    running.stop()


def pieces(samples, size):
    data = samples.tobytes()
    return [data[at : at + size] for at in range(0, len(data), size)]


def read(source, frames):
    """Items until so many frames are there."""
    items = []
    while frames > 0:
        item = source.read(10_000)
        assert item is not None, f"{frames} frames never came"
        if isinstance(item, AudioChunk):
            item = item.copy()
            frames -= len(item.samples)
        items.append(item)
    return items


@pytest.mark.parametrize(("size", "qos"), [(777, 1), (4096, 2)])
def test_every_sample_comes_whatever_the_messages(broker, size, qos):
    with MqttSource(broker.params(qos=qos)) as source:
        broker.publish(*pieces(WAVE, size), qos=qos)
        chunks = read(source, len(WAVE))
        heard = np.concatenate([chunk.samples for chunk in chunks])[:, 0]
        np.testing.assert_array_equal(heard, WAVE)
        assert source.meter.overrun == 0
    assert source.read(1000) is None
    assert source.ended


def test_a_broker_that_goes_and_comes_back_is_told(broker):
    with MqttSource(broker.params(reconnect_max_s=0.3)) as source:
        broker.publish(WAVE[:5000].tobytes(), WAVE[:1].tobytes()[:1])  # half a sample is left
        read(source, 5000)
        broker.stop()
        gone = source.read(10_000)
        assert isinstance(gone, DeviceChange)
        assert not gone.connected
        assert gone.at_sample == 5000
        broker.start()
        told = []
        while not (told and isinstance(told[-1], DeviceChange)):
            told.append(source.read(10_000))
        broker.publish(WAVE[5000:].tobytes())
        told += read(source, len(WAVE) - 5000)
        assert [type(item) for item in told[:2]] in (
            [Discontinuity, DeviceChange],
            [DeviceChange, Discontinuity],
        )
        rest = np.concatenate([c.samples for c in told if isinstance(c, AudioChunk)])[:, 0]
        np.testing.assert_array_equal(rest, WAVE[5000:])


def test_utterances_come_out_of_a_topic(broker):
    sound = (32768 * talk(0.5, 1.0, 1.0, 0.7, 1.2)).astype(np.int16)
    source = MqttSource(broker.params(sample_rate=RATE))
    with StreamingAudioProcessor(source, AudioStreamConfig.preset("raw")) as ear:
        broker.publish(*pieces(sound, 640))
        utterances = ear.utterances()
        spoken = [next(utterances).speech_start / RATE for _ in range(2)]
    assert spoken == pytest.approx([0.5, 2.5], abs=0.1)


def test_credentials(tmp_path):
    if not shutil.which("mosquitto_passwd"):
        pytest.skip("mosquitto_passwd is not installed")
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "me", "secret"], check=True)
    locked = Broker(tmp_path, "allow_anonymous false", f"password_file {passwords}").start()
    try:
        MqttSource(locked.params(username="me", password="secret")).open().close()
        with pytest.raises(AudioDeviceError, match=r"(?i)not authori[sz]ed"):
            MqttSource(locked.params()).open()
    finally:
        locked.stop()


def test_what_cannot_be_is_said(monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = MqttSourceParams(host="127.0.0.1", port=probe.getsockname()[1])
    with pytest.raises(AudioDeviceError, match=r"127\.0\.0\.1:\d+ audio/in"):
        MqttSource(nobody).open()
    strange = MqttSourceParams(host="a\0b", timeout_s=2)
    with pytest.raises(AudioDeviceError, match="gives no sound"):
        MqttSource(strange).open()
    for options in ({"topic": "a/+"}, {"topic": ""}, {"encoding": "s17"}):
        with pytest.raises(InvalidOptionError):
            MqttSource(MqttSourceParams(**options))
    monkeypatch.setitem(sys.modules, "aiomqtt", None)
    with pytest.raises(MissingExtraError, match="mqtt"):
        MqttSource(nobody).open()

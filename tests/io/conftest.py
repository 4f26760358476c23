"""A microphone on a machine that has none."""

import os

import pytest

from mullama_media.io.portaudio import refresh
from tests.io import pulse


@pytest.fixture
def sound_card(tmp_path, monkeypatch):
    """A running PulseServer that PortAudio sees as the default device."""
    if reason := pulse.missing():
        pytest.skip(reason)
    server = pulse.PulseServer(tmp_path)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    os.environ.pop("PULSE_LATENCY_MSEC", None)
    server.start()
    assert refresh()
    yield server
    server.kill()
    monkeypatch.undo()
    refresh()

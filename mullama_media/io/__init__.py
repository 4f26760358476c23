"""The edge: microphones, files and sockets as sources, loudspeakers. Libraries load when needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mullama_media.lazy import lend

if TYPE_CHECKING:
    from mullama_media.io.devices import (
        AudioDevice,
        input_devices,
        output_devices,
        pick_input,
        pick_output,
    )
    from mullama_media.io.echo import EchoCancelled
    from mullama_media.io.feeds import AsyncSource, BytesSource
    from mullama_media.io.file import FileSource
    from mullama_media.io.microphone import Microphone
    from mullama_media.io.mqtt import MqttSource
    from mullama_media.io.params import MicrophoneParams, MqttSourceParams, SpeakerParams
    from mullama_media.io.record import RecordedSource
    from mullama_media.io.sink import RingSink, RingSpeech
    from mullama_media.io.source import RingSource
    from mullama_media.io.speaker import Speaker

__all__ = [
    "AsyncSource",
    "AudioDevice",
    "BytesSource",
    "EchoCancelled",
    "FileSource",
    "Microphone",
    "MicrophoneParams",
    "MqttSource",
    "MqttSourceParams",
    "RecordedSource",
    "RingSink",
    "RingSource",
    "RingSpeech",
    "Speaker",
    "SpeakerParams",
    "input_devices",
    "output_devices",
    "pick_input",
    "pick_output",
]

_HOMES = {
    "AsyncSource": "feeds",
    "AudioDevice": "devices",
    "BytesSource": "feeds",
    "EchoCancelled": "echo",
    "FileSource": "file",
    "Microphone": "microphone",
    "MicrophoneParams": "params",
    "MqttSource": "mqtt",
    "MqttSourceParams": "params",
    "RecordedSource": "record",
    "RingSink": "sink",
    "RingSource": "source",
    "RingSpeech": "sink",
    "Speaker": "speaker",
    "SpeakerParams": "params",
    "input_devices": "devices",
    "output_devices": "devices",
    "pick_input": "devices",
    "pick_output": "devices",
}

__getattr__, __dir__ = lend(__name__, {name: f"{__name__}.{home}" for name, home in _HOMES.items()})

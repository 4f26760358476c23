"""The edge: microphones, files and sockets as sources. Libraries are loaded when needed."""

from mullama_media.io.devices import AudioDevice, input_devices, pick_input
from mullama_media.io.feeds import AsyncSource, BytesSource
from mullama_media.io.file import FileSource
from mullama_media.io.microphone import Microphone, MicrophoneParams
from mullama_media.io.source import RingSource

__all__ = [
    "AsyncSource",
    "AudioDevice",
    "BytesSource",
    "FileSource",
    "Microphone",
    "MicrophoneParams",
    "RingSource",
    "input_devices",
    "pick_input",
]

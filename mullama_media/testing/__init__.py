"""Real classes that stand in for hardware and time in tests, ours and yours."""

from mullama_media.testing.clock import ManualClock
from mullama_media.testing.recording import RecordingSpeaker
from mullama_media.testing.scripted import (
    Burst,
    Die,
    Overflow,
    Pause,
    Play,
    Revive,
    ScriptedSource,
    Skip,
)
from mullama_media.testing.transcriber import ScriptedTranscriber
from mullama_media.testing.voice import ScriptedVoice

__all__ = [
    "Burst",
    "Die",
    "ManualClock",
    "Overflow",
    "Pause",
    "Play",
    "RecordingSpeaker",
    "Revive",
    "ScriptedSource",
    "ScriptedTranscriber",
    "ScriptedVoice",
    "Skip",
]

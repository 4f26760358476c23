"""The media types that flow between rooms: what a picture and a recording are inside.

They import nothing of ours but errors, so every room may use them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from mullama_media.errors import InvalidOptionError, MediaError

__all__ = [
    "AudioChunk",
    "AudioFormat",
    "AudioFrame",
    "DeviceChange",
    "Discontinuity",
    "EndReason",
    "Image",
    "NoAudio",
    "Partial",
    "Pause",
    "Sink",
    "Source",
    "SourceItem",
    "SpeechEnded",
    "SpeechEvent",
    "SpeechStarted",
    "Stage",
    "Utterance",
    "Vad",
]


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """A picture, upright, ready for a vision encoder.

    Raises:
        MediaError: the array has another shape or dtype, or no pixels.
    """

    pixels: npt.NDArray[np.uint8]
    """RGB, shape (height, width, 3), C-contiguous"""
    name: str = "image"
    """Where it came from, for error messages"""

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        if self.pixels.dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or 0 in shape:
            raise MediaError(
                f"a picture must be uint8 of shape (height, width, 3), not {self.pixels.dtype} "
                f"of shape {shape}",
                where=self.name,
                hint="Convert it, or pass a path, bytes or a PIL image",
            )
        object.__setattr__(self, "pixels", np.ascontiguousarray(self.pixels))

    def __repr__(self) -> str:
        height, width, _ = self.pixels.shape
        return f"<Image {width}x{height} {self.name}>"


@dataclass(frozen=True, slots=True, eq=False)
class AudioFrame:
    """A stretch of sound, one channel.

    Raises:
        MediaError: the array has another shape or dtype, is empty, or holds nan or infinity.
    """

    samples: npt.NDArray[np.float32]
    """Mono, shape (n,), full scale at -1 and 1, C-contiguous"""
    sample_rate: int
    """Hertz"""
    name: str = "audio"
    """Where it came from, for error messages"""

    def __post_init__(self) -> None:
        if self.samples.dtype != np.float32 or self.samples.ndim != 1 or not self.samples.size:
            raise MediaError(
                f"a recording must be float32 of shape (n,), not {self.samples.dtype} of shape "
                f"{self.samples.shape}",
                where=self.name,
                hint="Fold channels by mean and scale integers to -1..1, or pass a path or bytes",
            )
        if self.sample_rate <= 0:
            raise MediaError(f"sample_rate is {self.sample_rate} Hz", where=self.name)
        if not np.isfinite(self.samples).all():
            raise MediaError("the samples hold nan or infinity", where=self.name)
        object.__setattr__(self, "samples", np.ascontiguousarray(self.samples))

    @property
    def duration_ms(self) -> float:
        """Length in milliseconds."""
        return 1000 * self.samples.size / self.sample_rate

    def __repr__(self) -> str:
        return f"<AudioFrame {self.duration_ms:.0f} ms at {self.sample_rate} Hz {self.name}>"


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """How samples that stream are laid out.

    Raises:
        InvalidOptionError: a rate, number of channels or dtype that no stream has.
    """

    sample_rate: int
    """Hertz"""
    channels: int = 1
    """Samples in a frame, 1 to 64"""
    dtype: Literal["int16", "float32"] = "float32"
    """int16 full scale is -32768..32767, that of float32 -1..1"""

    def __post_init__(self) -> None:
        if not 0 < self.sample_rate <= 1_000_000:
            raise InvalidOptionError(f"{self.sample_rate} Hz is not a rate", where="sample_rate")
        if not 1 <= self.channels <= 64:
            raise InvalidOptionError(f"{self.channels} is not 1 to 64", where="channels")
        if self.dtype not in ("int16", "float32"):
            raise InvalidOptionError(f"{self.dtype!r} is not int16 or float32", where="dtype")

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame: a sample of each channel."""
        return self.channels * (2 if self.dtype == "int16" else 4)

    def frames(self, milliseconds: float) -> int:
        """Frames in so many milliseconds, rounded."""
        return round(self.sample_rate * milliseconds / 1000)


@dataclass(frozen=True, slots=True, eq=False)
class AudioChunk:
    """Consecutive frames of a stream, as they came from the source.

    `samples` is a read-only view into the source's ring. It holds until the next read from that
    source; `copy()` holds forever.
    """

    samples: npt.NDArray[Any]
    """Shape (n, channels), dtype as in `format`"""
    at_sample: int
    """Index of the first frame, counted from the start of the source, lost frames included"""
    format: AudioFormat

    @property
    def end_sample(self) -> int:
        """Index of the frame after the last."""
        return self.at_sample + len(self.samples)

    @property
    def duration_ms(self) -> float:
        """Length in milliseconds."""
        return 1000 * len(self.samples) / self.format.sample_rate

    def mono(self) -> npt.NDArray[np.float32]:
        """Channels folded by their mean, float32 of shape (n,), full scale at -1 and 1. A copy."""
        if self.format.channels == 1:
            mono = self.samples[:, 0].astype(np.float32)
        else:
            mono = self.samples.mean(axis=1, dtype=np.float32)
        if self.format.dtype == "int16":
            mono /= 32768
        return mono

    def copy(self) -> AudioChunk:
        """The same with samples of its own."""
        return replace(self, samples=self.samples.copy())

    def __repr__(self) -> str:
        return f"<AudioChunk {len(self.samples)} frames at {self.at_sample}>"


@dataclass(frozen=True, slots=True)
class Discontinuity:
    """Frames are missing between two chunks; the next one begins at `at_sample + lost`."""

    at_sample: int
    """Index of the first missing frame"""
    lost: int
    """How many are missing; 0 where the device lost some and cannot say how many"""
    reason: Literal["overrun", "device", "both"]
    """Dropped because the reader was too slow, lost before they reached us, or both"""


@dataclass(frozen=True, slots=True)
class DeviceChange:
    """A device went away or came back."""

    at_sample: int
    """Index of the next frame when it happened"""
    device: str
    connected: bool
    why: str = ""


SourceItem: TypeAlias = AudioChunk | Discontinuity | DeviceChange


class Source(Protocol):
    """Where samples come from: a microphone, a file, a socket, a test.

    Chunks and discontinuities join without a hole: each begins where the one before it ended.
    One thread or task reads at a time.
    """

    @property
    def format(self) -> AudioFormat:
        """Layout of the samples; final once the source is open."""
        ...

    @property
    def ended(self) -> bool:
        """Whether everything was read and no more will come."""
        ...

    def open(self) -> Self:
        """Begin; nothing happens if it is open already. Raises what the kind of source raises."""
        ...

    def close(self) -> None:
        """Let go of device or file. What is buffered can still be read. Idempotent; thread-safe."""
        ...

    def read(self, timeout_ms: float | None = None) -> SourceItem | None:
        """The next item; None when the time is over or the source ended. Blocks without the GIL."""
        ...

    def __iter__(self) -> Iterator[SourceItem]:
        """Items until the end. Opens the source and closes it afterwards."""
        ...

    def __aiter__(self) -> AsyncIterator[SourceItem]:
        """The same for asyncio; the loop goes on while it waits."""
        ...


class Sink(Protocol):
    """Where samples go: a loudspeaker, a file, a socket, a test."""

    @property
    def format(self) -> AudioFormat:
        """Layout of the samples that `write` takes."""
        ...

    def write(self, samples: npt.NDArray[Any]) -> None:
        """Take frames, shape (n, channels). Blocks while the sink is full."""
        ...

    def close(self) -> None:
        """Play or write what is left and let go. Idempotent."""
        ...


# Speech: what the ear tells the rest of the house, and what its parts promise each other.


class Stage(Protocol):
    """One step of a signal path, stateful: mono float32 in, mono float32 out.

    What comes out does not depend on how what goes in is cut into chunks. Output is aligned with
    input: sample k out belongs to the moment of sample k in, whatever the delay, because a stage
    holds back what it cannot know yet and `flush` brings it. Not thread-safe.
    """

    @property
    def delay(self) -> int:
        """The most input samples a sample waits inside."""
        ...

    def process(self, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Take shape (n,), any n; give what is ready."""
        ...

    def flush(self) -> npt.NDArray[np.float32]:
        """Give the rest of this stretch of sound. The next sample begins another.

        What was learned about voice and noise is kept.
        """
        ...

    def reset(self) -> None:
        """Forget everything."""
        ...


class Vad(Protocol):
    """Voice activity detection, one frame after the other. Not thread-safe."""

    @property
    def sample_rate(self) -> int:
        """Hertz it wants."""
        ...

    @property
    def frame_samples(self) -> int:
        """Samples of every frame."""
        ...

    def probability(self, frame: npt.NDArray[np.float32]) -> float | None:
        """Of speech in the frame, 0..1; None while there is no answer yet (warming up).

        The frame, shape (frame_samples,), full scale at -1 and 1, is valid during the call only.
        """
        ...

    def reset(self) -> None:
        """Forget everything."""
        ...


EndReason: TypeAlias = Literal["silence", "max_utterance", "gap", "no_audio", "end"]
"""Why an utterance ended: the speaker stopped; it had to be split and goes on in the next; samples
were lost; the source went quiet without saying why; the stream ended."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Somebody speaks. `Partial`s, `Pause`s and `Utterance`s (at least one) follow, then
    `SpeechEnded`.
    """

    start: int
    """Index of the first sample, pre-roll included"""
    speech_start: int
    """Index at which speech was heard first"""
    decided: int
    """Index at which that was certain"""
    index_rate: int
    """Hertz that the indices count in"""


@dataclass(frozen=True, slots=True, eq=False)
class Pause:
    """A pause inside speech: what was said so far may be prefilled.

    `samples` are the beginning of the utterance to come, sample for sample; if that has to be split
    and its `end` is before this one, it is the beginning of them instead.
    """

    samples: npt.NDArray[np.float32]
    """From `start` to `end`, mono, shape (n,)"""
    sample_rate: int
    """Of `samples`, in Hz"""
    start: int
    """Index of the first sample, that of the utterance"""
    end: int
    """Index after the last sample"""
    speech_end: int
    """Index after the last sample of speech"""
    index_rate: int
    """Hertz that the indices count in"""


@dataclass(frozen=True, slots=True, eq=False)
class Partial:
    """Somebody is speaking: what was said so far, for interim transcripts.

    As with `Pause`, `samples` are the beginning of the utterance to come.
    """

    samples: npt.NDArray[np.float32]
    """From `start` to `end`, mono, shape (n,)"""
    sample_rate: int
    """Of `samples`, in Hz"""
    start: int
    """Index of the first sample, that of the utterance"""
    end: int
    """Index after the last sample"""
    index_rate: int
    """Hertz that the indices count in"""


@dataclass(frozen=True, slots=True, eq=False)
class Utterance:
    """One stretch of speech, ready for a model."""

    samples: npt.NDArray[np.float32]
    """Mono, shape (n,), full scale at -1 and 1"""
    sample_rate: int
    """Of `samples`, in Hz"""
    start: int
    """Index of the first sample, pre-roll included"""
    end: int
    """Index after the last sample; of a split utterance the `start` of the next"""
    speech_start: int
    """Index of the first sample of speech"""
    speech_end: int
    """Index after the last sample of speech: latencies are counted from here"""
    decided: int
    """Index at which the end was certain"""
    index_rate: int
    """Hertz that the indices count in"""
    ended_by: EndReason

    @property
    def duration_ms(self) -> float:
        """Length in milliseconds."""
        return 1000 * self.samples.size / self.sample_rate

    @property
    def frame(self) -> AudioFrame:
        """As a recording, for a prompt."""
        return AudioFrame(self.samples, self.sample_rate, f"utterance at {self.start}")

    def __repr__(self) -> str:
        return f"<Utterance {self.duration_ms:.0f} ms at {self.start}, ended by {self.ended_by}>"


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """The speaker stopped, or can no longer be heard; the last `Utterance` has been given."""

    start: int
    """As in `SpeechStarted`"""
    end: int
    """Index after the last sample of the last utterance"""
    speech_end: int
    """Index after the last sample of speech"""
    decided: int
    """Index at which that was certain"""
    index_rate: int
    """Hertz that the indices count in"""


@dataclass(frozen=True, slots=True)
class NoAudio:
    """The source has given nothing for a while. Told once, until samples come again."""

    at_sample: int
    """Index of the sample that is waited for"""
    waited: int
    """For how many samples' time"""
    index_rate: int
    """Hertz that the indices count in"""


SpeechEvent: TypeAlias = (
    SpeechStarted | Partial | Pause | Utterance | SpeechEnded | NoAudio | Discontinuity
)

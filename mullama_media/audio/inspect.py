"""What the ear makes of a recording, kept for looking at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mullama_media.audio.chain import Chain
from mullama_media.audio.config import AudioStreamConfig
from mullama_media.frames import AudioFrame, SpeechEvent, Utterance

__all__ = ["Inspection", "inspect"]


@dataclass(frozen=True, slots=True, eq=False)
class Inspection:
    """A recording and what the stages made of it."""

    sound: AudioFrame
    """What came in"""
    heard: npt.NDArray[np.float32]
    """What utterances are cut from, shape (n,), aligned with `sound`"""
    heard_rate: int
    """Of `heard`, in Hz"""
    times: npt.NDArray[np.float64]
    """End of each frame of the detectors in seconds, shape (frames,)"""
    probability: npt.NDArray[np.float32]
    """Of speech in each, 0..1, NaN where there was no answer yet"""
    events: tuple[SpeechEvent, ...]

    @property
    def utterances(self) -> tuple[Utterance, ...]:
        """Those among the events."""
        return tuple(event for event in self.events if isinstance(event, Utterance))


def inspect(sound: AudioFrame, config: AudioStreamConfig | None = None) -> Inspection:
    """Send a recording through the stages as if it came from a microphone.

    Memory is about four times the recording's. Raises what `Chain` raises.
    """
    config = config or AudioStreamConfig()
    pieces: list[npt.NDArray[np.float32]] = []
    probabilities: list[float] = []
    ends: list[int] = []
    at = 0

    def keep(samples: npt.NDArray[np.float32], probability: float | None) -> None:
        nonlocal at
        at += samples.size
        pieces.append(samples.copy())
        ends.append(at)
        probabilities.append(np.nan if probability is None else probability)

    chain = Chain(config, sound.sample_rate, on_frame=keep)
    events: list[SpeechEvent] = []
    for start in range(0, sound.samples.size, sound.sample_rate):
        events += chain.push(sound.samples[start : start + sound.sample_rate])
    events += chain.finish()
    return Inspection(
        sound=sound,
        heard=np.concatenate(pieces) if pieces else np.empty(0, np.float32),
        heard_rate=config.sample_rate,
        times=np.array(ends) / config.sample_rate,
        probability=np.array(probabilities, np.float32),
        events=tuple(events),
    )

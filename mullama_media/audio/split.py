"""Cutting a recording into the windows an encoder takes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mullama_media.frames import AudioFrame

__all__ = ["WINDOW_MS", "quietest", "split"]

WINDOW_MS = 28_000
"""Encoders of the Whisper kind work on 30 s at a time and waste a window on a remainder."""

_SEARCH_MS = 3_000  # how far back from the limit a quiet place is looked for
_FRAME_MS = 20


def split(frame: AudioFrame, max_ms: int = WINDOW_MS) -> list[AudioFrame]:
    """Cut into pieces of at most `max_ms`, each cut in the quietest 20 ms of the 3 s before it.

    The pieces joined are the recording, sample for sample. Pure; thread-safe.
    """
    limit = frame.sample_rate * max_ms // 1000
    pieces = []
    rest = frame.samples
    while rest.size > limit:
        cut = _quiet_place(rest[:limit], frame.sample_rate)
        pieces.append(rest[:cut])
        rest = rest[cut:]
    pieces.append(rest)
    return [AudioFrame(piece, frame.sample_rate, frame.name) for piece in pieces]


def quietest(samples: npt.NDArray[np.float32], sample_rate: int) -> int:
    """Index of the middle of the quietest 20 ms; the size, if they are shorter than that."""
    hop = sample_rate * _FRAME_MS // 1000
    frames = samples[: samples.size // hop * hop].reshape(-1, hop)
    if not len(frames):
        return samples.size
    return int(np.argmin(np.einsum("ij,ij->i", frames, frames))) * hop + hop // 2


def _quiet_place(samples: npt.NDArray[np.float32], sample_rate: int) -> int:
    tail = samples[-min(samples.size, sample_rate * _SEARCH_MS // 1000) :]
    return samples.size - tail.size + quietest(tail, sample_rate)

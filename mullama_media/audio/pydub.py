"""To pydub and back, for programs that have it. Its resampler (no filter at all) is never used."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from mullama_media.errors import MediaError, MissingExtraError
from mullama_media.frames import AudioFrame

__all__ = ["from_pydub", "to_pydub"]


def to_pydub(frame: AudioFrame, *, sample_bytes: int = 2) -> Any:
    """A recording as a `pydub.AudioSegment`.

    Args:
        frame: what to convert; samples beyond full scale are clipped.
        sample_bytes: 1, 2 or 4 bytes for each integer sample.

    Raises:
        MissingExtraError: pydub is not installed.
    """
    full = 2.0 ** (8 * sample_bytes - 1)
    values = np.clip(np.rint(frame.samples.astype(np.float64) * full), -full, full - 1)
    return _segment_class()(
        data=values.astype(f"<i{sample_bytes}").tobytes(),
        sample_width=sample_bytes,
        frame_rate=frame.sample_rate,
        channels=1,
    )


def from_pydub(segment: Any, name: str = "pydub") -> AudioFrame:
    """A `pydub.AudioSegment` as mono float32; channels are folded by their mean.

    Raises:
        MediaError: it is empty.
    """
    width = int(segment.sample_width)
    if not segment.raw_data:
        raise MediaError("the segment is empty", where=name)
    samples = np.frombuffer(segment.raw_data, f"<i{width}").reshape(-1, segment.channels)
    mono = samples.mean(axis=1, dtype=np.float64) / 2.0 ** (8 * width - 1)
    return AudioFrame(mono.astype(np.float32), int(segment.frame_rate), name)


def _segment_class() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of audioop's end, and that there is no ffmpeg command
            from pydub import AudioSegment
    except ImportError as error:
        raise MissingExtraError.of("pydub segments", "pydub") from error
    return AudioSegment

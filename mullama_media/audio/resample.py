"""Sample rate conversion of whole recordings."""

from __future__ import annotations

import numpy as np

from mullama_media.errors import InvalidOptionError, MissingExtraError
from mullama_media.frames import AudioFrame

__all__ = ["resample"]


def resample(frame: AudioFrame, sample_rate: int) -> AudioFrame:
    """`frame` at another rate in Hz, band-limited (soxr's HQ recipe, aliases below -100 dB).

    The same frame comes back if it has that rate already. Blocks; thread-safe.

    Raises:
        MissingExtraError: soxr is not installed.
    """
    if sample_rate <= 0:
        raise InvalidOptionError(f"{sample_rate} Hz is not a rate", where="sample_rate")
    if frame.sample_rate == sample_rate:
        return frame
    try:
        import soxr
    except ImportError as error:
        raise MissingExtraError.of("resampling", "multimodal") from error
    samples = soxr.resample(frame.samples, frame.sample_rate, sample_rate, quality="HQ")
    return AudioFrame(np.asarray(samples, dtype=np.float32), sample_rate, frame.name)

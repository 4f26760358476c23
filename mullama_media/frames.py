"""The media types that flow between rooms: what a picture and a recording are inside.

They import nothing of ours but errors, so every room may use them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mullama_media.errors import MediaError

__all__ = ["AudioFrame", "Image"]


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

"""Where one scene ends and the next begins."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["SIDE", "SceneMeter"]

SIDE = 64
"""Frames are compared at this size, the longer side in pixels: noise and grain average out."""

_MOTION_S = 0.5  # an older change says nothing about how things move now


class SceneMeter:
    """How much of a cut there is between each frame and the one before, 0 to 1.

    m(t) is the mean absolute difference of two frames over pixels and channels, as a part of full
    scale. A cut makes it leap, motion keeps it high, so the score is min(m(t), |m(t) - m(t-1)|):
    the measure of FFmpeg's filters scdet and select (libavfilter/vf_scdet.c), here on RGB, because
    luma alone misses a cut from red to a green as bright. Where the frame before came more than
    half a second ago, as in a slide show, the score is m(t) alone. Fades have no cut and are not
    found. Not thread-safe.
    """

    def __init__(self) -> None:
        self._frame: npt.NDArray[np.int16] | None = None
        self._change = 0.0
        self._at = -_MOTION_S

    def score(self, frame: npt.NDArray[np.uint8], time_s: float) -> float:
        """Take the next frame, RGB of shape (height, width, 3), any size; the first scores 1."""
        pixels = frame.astype(np.int16)
        before, self._frame = self._frame, pixels
        elapsed, self._at = time_s - self._at, time_s
        if before is None or before.shape != pixels.shape:
            self._change = 0.0
            return 1.0
        change = float(np.abs(pixels - before).mean()) / 255
        motion = self._change if elapsed < _MOTION_S else 0.0
        self._change = change
        return min(change, abs(change - motion))

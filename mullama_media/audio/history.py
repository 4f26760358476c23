"""The latest samples of a stream, addressed by their index."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["History"]


class History:
    """A sliding window over a stream. Grows to the widest window asked for and no further.

    Args:
        start: index of the first sample to come.
    """

    def __init__(self, start: int = 0) -> None:
        self._buffer = np.empty(4096, np.float32)
        self._start = start
        self._offset = 0
        self._size = 0

    @property
    def start(self) -> int:
        """Index of the oldest sample kept."""
        return self._start

    @property
    def end(self) -> int:
        """Index of the sample to come."""
        return self._start + self._size

    def append(self, samples: npt.NDArray[np.float32]) -> None:
        """Add samples, shape (n,), by copy."""
        needed = self._size + samples.size
        if self._offset + needed > self._buffer.size:
            self._move(needed)
        begin = self._offset + self._size
        self._buffer[begin : begin + samples.size] = samples
        self._size = needed

    def view(self, start: int, end: int) -> npt.NDArray[np.float32]:
        """Samples from `start` to before `end`, which must be kept; valid until the next append."""
        if not self._start <= start <= end <= self.end:
            raise IndexError(f"[{start}, {end}) is not in [{self._start}, {self.end})")
        begin = self._offset + start - self._start
        return self._buffer[begin : begin + end - start]

    def drop(self, before: int) -> None:
        """Forget samples older than index `before`."""
        n = min(max(before - self._start, 0), self._size)
        self._start += n
        self._offset += n
        self._size -= n

    def restart(self, start: int) -> None:
        """Forget everything; the next sample has index `start`."""
        self._start, self._offset, self._size = start, 0, 0

    def _move(self, needed: int) -> None:
        """Bring what is kept to the front, of a larger buffer if it must be.

        Twice the need keeps moves rare: a sample is copied at most once more on average.
        """
        kept = self._buffer[self._offset : self._offset + self._size]
        if 2 * needed > self._buffer.size:
            self._buffer = np.empty(2 * needed, np.float32)
        self._buffer[: self._size] = kept.copy() if kept.base is self._buffer else kept
        self._offset = 0

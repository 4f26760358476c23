"""Stages that work on blocks of a fixed size, whatever sizes they are given."""

from __future__ import annotations

import abc

import numpy as np
import numpy.typing as npt

__all__ = ["BlockStage"]

Samples = npt.NDArray[np.float32]


class BlockStage(abc.ABC):
    """A `Stage` that sees its input in blocks counted from the start of the stretch.

    How the input is cut cannot matter, because what computes never sees it. Subclasses write
    `_block`, and `_restart` where something must not reach over the end of a stretch.

    Args:
        block: samples of a block.
        lag: how many samples the output of `_block` is behind its input.
    """

    def __init__(self, block: int, lag: int) -> None:
        self._size = block
        self._lag = lag
        self._pending = np.zeros(block, np.float32)
        self._fill = 0
        self._skip = lag  # samples of output that are from before the stretch
        self._owed = 0  # samples taken and not given back

    @property
    def delay(self) -> int:
        """The most input samples a sample waits inside."""
        return self._lag + self._size

    def process(self, samples: Samples) -> Samples:
        """Take shape (n,), any n; give what is ready."""
        self._owed += samples.size
        taken = 0
        out = np.empty((self._fill + samples.size) // self._size * self._size, np.float32)
        for begin in range(0, out.size, self._size):
            if self._fill:
                n = self._size - self._fill
                self._pending[self._fill :] = samples[taken : taken + n]
                block, self._fill = self._pending, 0
            else:
                n = self._size
                block = samples[taken : taken + n]
            self._block(block, out[begin : begin + self._size])
            taken += n
        rest = samples[taken:]
        self._pending[self._fill : self._fill + rest.size] = rest
        self._fill += rest.size
        return self._given(out)

    def _given(self, out: Samples) -> Samples:
        skipped = min(self._skip, out.size)
        self._skip -= skipped
        out = out[skipped:]
        self._owed -= out.size
        return out

    def flush(self) -> Samples:
        """Give the rest of this stretch; the next sample begins another."""
        owed = self._owed
        parts = [np.empty(0, np.float32)]
        while (missing := owed - sum(part.size for part in parts)) > 0:
            parts.append(self.process(np.zeros(self._size - self._fill, np.float32))[:missing])
        self._fill, self._skip, self._owed = 0, self._lag, 0
        self._restart()
        return np.concatenate(parts)

    def reset(self) -> None:
        """Forget everything."""
        self._fill, self._skip, self._owed = 0, self._lag, 0
        self._restart()

    @abc.abstractmethod
    def _block(self, block: Samples, out: Samples) -> None:
        """Fill `out` from `block`, which is valid only now; both have `block` samples."""

    def _restart(self) -> None:  # noqa: B027 - most have nothing to forget
        """Forget sound, keep what was learned."""

"""A transcriber that hears what a script says."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from mullama_media.errors import InvalidOptionError
from mullama_media.speech.params import TranscriptionParams
from mullama_media.speech.transcriber import Heard, ThreadedTranscriber

__all__ = ["ScriptedTranscriber"]


class ScriptedTranscriber(ThreadedTranscriber):
    """Gives the replies of a script, one for each utterance that reaches it, in order.

    Gate, times, checks and threads are those of every transcriber. Thread-safe.

    Args:
        script: a text, which stands for the whole utterance; `Heard`s; or an error to raise. After
            the last one the last is given again.
        sample_rate: of the samples it asks for.
        open_at_once: False makes every reply wait until `let_go` is called for it.
    """

    name = "scripted"

    def __init__(
        self,
        script: Iterable[str | Iterable[Heard] | Exception],
        *,
        sample_rate: int = 16_000,
        open_at_once: bool = True,
    ) -> None:
        self._script = [
            tuple(r) if isinstance(r, Iterable) and not isinstance(r, str) else r for r in script
        ]
        if not self._script:
            raise InvalidOptionError("a script has at least one reply", where="script")
        self.sample_rate = sample_rate
        self._permits = None if open_at_once else threading.Semaphore(0)
        self._lock = threading.Lock()
        self.asked: list[tuple[int, TranscriptionParams]] = []
        """For each utterance that came: its number of samples, and what was asked"""
        super().__init__()

    def let_go(self, replies: int = 1) -> None:
        """Let so many replies be given."""
        if self._permits is not None:
            self._permits.release(replies)

    def _hear(
        self, samples: npt.NDArray[np.float32], params: TranscriptionParams
    ) -> Iterator[Heard]:
        with self._lock:
            reply = self._script[min(len(self.asked), len(self._script) - 1)]
            self.asked.append((samples.size, params))
        if self._permits is not None:
            self._permits.acquire()
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, str):
            reply = (Heard(reply, 0.0, samples.size / self.sample_rate),)
        yield from reply

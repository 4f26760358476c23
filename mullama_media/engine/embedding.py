"""Embeddings and scores: what stands for a text, and how well a text answers a query."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from mullama_media.engine.stream import Timings
from mullama_media.errors import DeadlineError, RequestCancelledError
from mullama_media.options import option, options

if TYPE_CHECKING:
    from mullama_media.engine.bells import Bells

__all__ = ["Embedding", "EmbeddingJob", "EmbeddingParams", "Score", "ScoreParams"]

T = TypeVar("T")

_WAIT_MS = 100  # how long a blocking wait may keep Ctrl-C from being seen


@options
class ScoreParams:
    """How texts are scored."""

    truncate: bool = option(
        default=False,
        doc="Cut a text that is too long at its end, of a pair the document, instead of refusing "
        "it (ContextOverflowError).",
    )
    max_time_ms: int | None = option(
        default=None,
        doc="Milliseconds from submission, the wait in the queue included, after which a text is "
        "given up (DeadlineError); None for as long as it takes.",
        ge=1,
        le=10**12,
    )
    priority: int = option(default=0, doc="Waiting requests with a higher one go first.")
    client: str = option(
        default="", doc="Whose request it is: waiting requests of different clients take turns."
    )


@options
class EmbeddingParams(ScoreParams):
    """How texts are embedded."""

    pooling: str | None = option(
        default=None,
        doc="none gives one vector a token; mean, cls (the first token's) and last one a text; "
        "None: as the engine was made.",
        choices=("none", "mean", "cls", "last"),
    )
    normalize: bool = option(default=True, doc="Scale every vector to length 1 (L2).")
    dimensions: int | None = option(
        default=None,
        doc="Keep the first ones only, for models trained so (Matryoshka); None for all.",
        ge=1,
        le=2**31 - 1,
    )


@dataclass(frozen=True, slots=True)
class Embedding:
    """What stands for one text."""

    values: NDArray[np.float32]
    """(dimensions,), or (tokens, dimensions) if each token has its own"""
    tokens: NDArray[np.int32]
    """(tokens,): the ids of the text, special ones included; -1 for each row of a medium"""
    timings: Timings
    """`prefill_ms` is the time it took once admitted; there is no token, so no time to it"""

    @property
    def n_tokens(self) -> int:
        """Rows that were evaluated or reused."""
        return len(self.tokens)


@dataclass(frozen=True, slots=True)
class Score:
    """What a reranker or classifier says of one text. `float()` of it is `value`."""

    values: NDArray[np.float32]
    """(labels,): as the model gives them, in general logits; Qwen3 rerankers give probabilities"""
    labels: tuple[str, ...]
    """What the values stand for; numbers where the model's file has no names"""
    tokens: NDArray[np.int32]
    """(tokens,): the ids that were judged: query, document and what the model wants around them"""
    timings: Timings

    @property
    def value(self) -> float:
        """The first one: of a reranker, how well the document answers the query."""
        return float(self.values[0])

    @property
    def by_label(self) -> dict[str, float]:
        """Every value by its label."""
        return {label: float(v) for label, v in zip(self.labels, self.values, strict=True)}

    def __float__(self) -> float:
        return self.value


class EmbeddingJob(Generic[T]):
    """Embeddings or scores that an engine is making.

    Read it with `result()`, which blocks, or `await` it; both may be done more than once. Dropping
    the last reference cancels what is not done. `cancel` may be called from any thread.
    """

    def __init__(
        self,
        start: concurrent.futures.Future[list[Any]],
        bells: Bells,
        finish: Callable[[list[Any]], T],
    ) -> None:
        self._start = start
        self._bells = bells
        self._finish = finish
        self._result: list[T] = []

    @property
    def done(self) -> bool:
        """Whether reading it would not wait."""
        if not self._start.done() or self._start.cancelled() or self._start.exception():
            return self._start.done()
        return all(native.terminal() is not None for native in self._start.result())

    def cancel(self) -> None:
        """Give up what is not done; reading then raises RequestCancelledError. Quick."""
        self._start.add_done_callback(_cancel_started)

    def result(self, timeout_s: float | None = None) -> T:
        """The embeddings or scores. Blocks, and Ctrl-C works.

        Raises:
            TimeoutError: they are not there after `timeout_s`; the job goes on.
            RequestCancelledError, DeadlineError: that is why there are none.
            EngineClosedError, DecodeError: likewise.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        natives = self._start.result(timeout_s)
        for native in natives:
            while native.terminal() is None:
                left_ms = _WAIT_MS if until is None else 1000 * (until - time.monotonic())
                if left_ms <= 0:
                    raise TimeoutError(f"not done after {timeout_s} s")
                native.wait(int(min(_WAIT_MS, left_ms)) + 1)
        return self._finished(natives)

    def __await__(self) -> Generator[Any, None, T]:
        return self._read().__await__()

    async def _read(self) -> T:
        try:
            natives = await asyncio.wrap_future(self._start)
            loop = asyncio.get_running_loop()
            waits = [_Wait(native) for native in natives if native.terminal() is None]
            bell = self._bells.on(loop)
            for wait in waits:
                bell.register(wait)
                wait.native.subscribe(bell.native)
            for wait in waits:
                await wait.until_done(loop)
                bell.forget(wait)
        except asyncio.CancelledError:
            self.cancel()
            raise
        return self._finished(natives)

    def _finished(self, natives: list[Any]) -> T:
        if not self._result:
            terminals = [native.terminal() for native in natives]
            for terminal in terminals:
                error = _error_of(terminal)
                if error is not None:
                    self.cancel()
                    raise error
            self._result.append(self._finish(terminals))
        return self._result[0]

    def __del__(self) -> None:
        if not self._result:
            self.cancel()


class _Wait:
    """One text of a job, read on an event loop."""

    def __init__(self, native: Any) -> None:
        self.native = native
        self._waiter: asyncio.Future[None] | None = None

    async def until_done(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            self._waiter = loop.create_future()
            if self.native.terminal() is not None:
                return
            await self._waiter

    @property
    def native_id(self) -> int:
        return int(self.native.id)

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def cancel(self) -> None:
        self.native.cancel()


def _cancel_started(start: concurrent.futures.Future[list[Any]]) -> None:
    if not start.cancelled() and start.exception() is None:
        for native in start.result():
            native.cancel()


def _error_of(terminal: Any) -> Exception | None:
    if terminal.error is not None:
        error: Exception = terminal.error
        return error
    if terminal.finish == "cancelled":
        return RequestCancelledError("the request was cancelled")
    if terminal.finish == "deadline":
        return DeadlineError("time is up", where="max_time_ms", hint="Allow more, or ask for less")
    return None

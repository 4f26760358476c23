"""A sequence of the KV cache by hand: what it holds, what is taken out, and its state as bytes."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mullama_media.engine.adapters import AdapterSet
from mullama_media.engine.callbacks import LogitsProcessor
from mullama_media.engine.grammar import Grammar
from mullama_media.engine.native import core
from mullama_media.engine.prompt import Prompt
from mullama_media.engine.sampling import SamplingParams
from mullama_media.engine.stream import StreamConfig, TokenStream
from mullama_media.errors import InvalidOptionError

if TYPE_CHECKING:
    from mullama_media.engine.engine import Engine

__all__ = ["Held", "Session", "SessionView", "read_state"]

StateSource = str | os.PathLike[str] | bytes
"""A file, or the bytes of a state."""


@dataclass(frozen=True, slots=True)
class Held:
    """Tokens, or one medium, in a sequence."""

    kind: str
    """text, image or audio"""
    rows: int
    """In the KV cache"""
    position: int
    """Of its first row"""
    positions: int
    """How many it takes; differs from `rows` for pictures under M-RoPE"""
    tokens: tuple[int, ...]
    """Of text"""
    key: str
    """Of a medium: a digest of its content"""


@dataclass(frozen=True, slots=True)
class SessionView:
    """What a session holds at one moment."""

    rows: int
    positions: int
    """Where the next token goes: more than `rows` after a gap, fewer with pictures under M-RoPE"""
    exact_rows: int
    """Rows whose values are those of a fresh evaluation; fewer than `rows` once some before them
    were taken out"""
    held: tuple[Held, ...]


class Session:
    """One sequence of an engine, reserved until it is closed. From `Engine.session`.

        with engine.session() as session:
            session.prefill(first).result()
            print(session.submit(prompt).result().text)
            session.save("talk.state")

    A request takes up its prompt where the sequence agrees with it, as everywhere; what follows in
    the sequence is then forgotten. Requests of one session run one after the other, in the order
    of `StreamConfig.priority` and submission.

    The other methods run between two steps of the engine and block until then, for at most one
    evaluation, with the GIL released; in asyncio, call them through `asyncio.to_thread`. While a
    request of the session waits or runs they raise SessionError, but for `view` and `close`. Every
    method is thread-safe. All raise EngineClosedError once the engine is closed, and SessionError
    once the session is.
    """

    def __init__(self, engine: Engine, native_id: int) -> None:
        self.engine = engine
        self._id = native_id
        self._lock = threading.Lock()
        self._finalizer = weakref.finalize(self, engine._native.close_session, native_id, False)

    def submit(
        self,
        prompt: Prompt | Callable[[], Prompt],
        sampling: SamplingParams | None = None,
        config: StreamConfig | None = None,
        *,
        logits_processor: LogitsProcessor | None = None,
        grammar: Grammar | None = None,
        adapters: AdapterSet | None = None,
    ) -> TokenStream:
        """Queue a request that runs in this sequence. As `Engine.submit`; never blocks.

        Raises:
            SessionError: the session is closed.
            As `Engine.submit`.
        """
        return self.engine._submit(
            prompt,
            sampling,
            config,
            logits_processor=logits_processor,
            grammar=grammar,
            adapters=adapters,
            session=self._id,
        )

    def prefill(
        self, prompt: Prompt | Callable[[], Prompt], *, adapters: AdapterSet | None = None
    ) -> TokenStream:
        """Evaluate a prompt and generate nothing.

        A prompt that begins like this one then starts that much later. `result()`, or `await`, on
        what this returns waits for it; the completion has no tokens and the reason "length".

        Raises:
            As `submit`.
        """
        config = StreamConfig(max_tokens=0)
        return self.engine._submit(prompt, None, config, adapters=adapters, session=self._id)

    @property
    def rows(self) -> int:
        """Rows in the KV cache, those of media included. Blocks like `view`."""
        return self.view().rows

    @property
    def positions(self) -> int:
        """Where the next token goes. Blocks like `view`."""
        return self.view().positions

    def view(self) -> SessionView:
        """What it holds; while a request runs, what it holds so far."""
        rows, positions, exact_rows, runs = self.engine._native.describe(self._id)
        return SessionView(rows, positions, exact_rows, tuple(Held(*run) for run in runs))

    def clear(self) -> None:
        """Forget everything."""
        self.remove(0)

    def remove(self, start: int, end: int | None = None, *, close_gap: bool = False) -> None:
        """Forget rows `start` to `end` (not included; None: all that follow).

        Rows at the end go without a trace. What follows rows from the middle was computed with
        them in view and stays as it is: only requests of this session (and of its copies) build
        on it, and `SessionView.exact_rows` says where it begins.

        Args:
            start, end: rows from 0; a picture or recording goes whole or not at all.
            close_gap: move what follows up, as `overflow="shift"` does. Otherwise it keeps its
                positions and the gap stays.

        Raises:
            InvalidOptionError: rows that are not there, or part of a medium.
            ModelCapabilityError: the model's memory cannot lose single rows (a recurrent state;
                only everything) or cannot be moved (M-RoPE).
        """
        _check_rows(start, end)
        self.engine._native.remove(self._id, start, end, close_gap)

    def keep(self, start: int, end: int | None = None, *, close_gap: bool = False) -> None:
        """Forget all rows but `start` to `end`. As `remove`."""
        _check_rows(start, end)
        self.engine._native.keep(self._id, start, end, close_gap)

    def copy(self) -> Session:
        """Another session that holds the same. Reserves a further sequence.

        Raises:
            OverloadedError: none can be reserved, see `Engine.session`.
        """
        return Session(self.engine, self.engine._native.copy_session(self._id))

    def to_bytes(self, *, note: bytes = b"") -> bytes:
        """Its state, for `Engine.load_session`, with a note of the application's own.

        Raises:
            ModelCapabilityError: the state of the model's kind of memory cannot be saved.
            StateError: a file of the model can no longer be read.
        """
        return bytes(self.engine._native.save(self._id, note).bytes())

    def save(self, path: str | os.PathLike[str], *, note: bytes = b"") -> None:
        """Write `to_bytes` to a file, which appears whole or not at all.

        Raises:
            StateError: it cannot be written.
            As `to_bytes`.
        """
        self.engine._native.save(self._id, note).write(os.fspath(path))

    @property
    def closed(self) -> bool:
        """Whether it, or its engine, was closed."""
        return not self._finalizer.alive or self.engine.closed

    def close(self) -> None:
        """Cancel its requests and give the sequence back. Idempotent.

        What it holds stays in the cache until another request needs the room.
        """
        with self._lock:
            if self._finalizer.detach():
                self.engine._native.close_session(self._id, True)

    async def aclose(self) -> None:
        """`close` without blocking the event loop."""
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return f"<Session {self._id}, {state}, of {self.engine.model.path.name}>"


def _check_rows(*rows: int | None) -> None:
    for row in rows:
        if row is not None and not 0 <= row < 2**31:
            raise InvalidOptionError(
                f"there is no row {row}", where="start, end", hint="Count rows from 0"
            )


def read_state(source: StateSource) -> Any:
    """The native form of a state: read, and found to fit together. Blocks, GIL released.

    Raises:
        StateError: it is not a state, damaged, cut off, or of another version.
    """
    return core().SavedState(source if isinstance(source, bytes) else os.fspath(source))

"""The engine: one model, many requests at once."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from mullama_media.engine.grammar import Grammar
from mullama_media.engine.model import Media, Model
from mullama_media.engine.native import core
from mullama_media.engine.params import EngineParams
from mullama_media.engine.prompt import Prompt
from mullama_media.engine.pump import Pump
from mullama_media.engine.sampling import SamplingParams
from mullama_media.engine.stream import StreamConfig, TokenStream
from mullama_media.engine.tools import Answer
from mullama_media.errors import EngineClosedError

__all__ = ["Counters", "Engine"]


@dataclass(frozen=True, slots=True)
class Counters:
    """What an engine has done so far."""

    requests: int
    prompt_tokens: int
    generated_tokens: int
    steps: int
    """Batches evaluated"""
    active: int
    """Requests running now"""
    queued: int
    """Requests waiting now"""


class Engine:
    """Runs requests on one model, several at once, on a thread of its own.

    Every method is thread-safe. Close it (or use it in a `with` block) to free its memory at a
    known time; requests that still run then end with EngineClosedError.
    """

    def __init__(
        self, model: Model, params: EngineParams | None = None, *, media: Media | None = None
    ) -> None:
        """Allocate the context and start the thread. Blocks, with the GIL released.

        Raises:
            ModelLoadError: llama.cpp cannot make a context (usually: not enough memory).
            ModelCapabilityError: the model cannot generate (vocabulary only, or an encoder).
        """
        self.model = model
        self.media = media
        self.params = params or EngineParams()
        native = core().Engine(model._native, media._native if media else None, self.params)
        self._native: Any = native
        self._lock = threading.Lock()
        self._pump: Pump | None = None
        self._workers: concurrent.futures.ThreadPoolExecutor | None = None
        self._finalizer = weakref.finalize(self, native.close)

    @property
    def n_ctx(self) -> int:
        """Tokens each request may hold, prompt and answer together."""
        return int(self._native.n_ctx)

    @property
    def counters(self) -> Counters:
        """What it has done so far."""
        native = self._native.counters
        return Counters(*(getattr(native, name) for name in Counters.__slots__))

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return not self._finalizer.alive

    def submit(
        self,
        prompt: Prompt | Callable[[], Prompt],
        sampling: SamplingParams | None = None,
        config: StreamConfig | None = None,
        *,
        grammar: Grammar | None = None,
    ) -> TokenStream:
        """Queue a request and return its stream.

        A `Prompt` is submitted before this returns. A function that makes one is called here, or,
        inside a running event loop, on a worker thread, so that the loop is never blocked; errors
        it raises then appear where the stream is read.

        With a `grammar` the answer is a text that the grammar matches, unless `max_tokens` or a
        stop text cuts it off. A prompt whose tools constrain the answer takes no other grammar.

        Raises:
            ContextOverflowError: the prompt does not fit `n_ctx`.
            GrammarError: the grammar names a token that the model does not have.
            InvalidOptionError: a grammar beside that of the prompt's tools.
            EngineClosedError: the engine was closed.
        """
        sampling = sampling or SamplingParams()
        config = config or StreamConfig()

        prompts: list[Prompt] = []
        call_ids: list[str] = []

        def start() -> Any:
            made = prompt if isinstance(prompt, Prompt) else prompt()
            prompts.append(made)
            native = grammar._native if grammar is not None else None
            return self._native.submit(made._native, sampling, config, native)

        def parse(text: str, partial: bool) -> Answer:
            return prompts[0].parse(text, partial=partial, call_ids=call_ids)

        if self.closed:
            raise EngineClosedError("the engine is closed", hint="Make a new one")
        if isinstance(prompt, Prompt) or not _in_event_loop():
            done: concurrent.futures.Future[Any] = concurrent.futures.Future()
            done.set_result(start())
            return TokenStream(done, self._get_pump, parse)
        return TokenStream(self._get_workers().submit(start), self._get_pump, parse)

    def close(self) -> None:
        """End all requests, stop the thread, free the context. Idempotent.

        Blocks for at most the rest of one evaluation, with the GIL released.
        """
        self._finalizer()
        with self._lock:
            pump, self._pump = self._pump, None
            workers, self._workers = self._workers, None
        if workers:
            workers.shutdown()
        if pump:
            pump.join()

    async def aclose(self) -> None:
        """`close` without blocking the event loop."""
        await asyncio.to_thread(self.close)

    def _get_pump(self) -> Pump:
        with self._lock:
            if self._pump is None:
                self._pump = Pump(self._native)
            return self._pump

    def _get_workers(self) -> concurrent.futures.ThreadPoolExecutor:
        with self._lock:
            if self._workers is None:
                self._workers = concurrent.futures.ThreadPoolExecutor(2, "mullama-prepare")
            return self._workers

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
        return f"<Engine {self.model.path.name} n_ctx={self.n_ctx} x {self.params.n_parallel}>"


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True

"""The engine: one model, many requests at once."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from mullama_media.engine.adapters import AdapterSet
from mullama_media.engine.callbacks import Callbacks, LogitsProcessor
from mullama_media.engine.grammar import Grammar
from mullama_media.engine.model import Media, Model
from mullama_media.engine.native import core
from mullama_media.engine.params import EngineParams
from mullama_media.engine.prompt import Prompt
from mullama_media.engine.pump import Pump
from mullama_media.engine.sampling import SamplingParams
from mullama_media.engine.session import Session, StateSource, read_state
from mullama_media.engine.stream import StreamConfig, TokenStream
from mullama_media.engine.tools import Answer
from mullama_media.errors import EngineClosedError, MullamaError
from mullama_media.options import replace

__all__ = ["Counters", "Engine", "Loaded"]


@dataclass(frozen=True, slots=True)
class Counters:
    """What an engine has done so far."""

    requests: int
    prompt_tokens: int
    reused_tokens: int
    """Prompt tokens that were in a KV cache already"""
    generated_tokens: int
    drafted_tokens: int
    """Guessed by speculative decoding"""
    accepted_tokens: int
    """Of those, right"""
    steps: int
    """Batches evaluated"""
    shifts: int
    """Times a full context was shifted"""
    media_encoded: int
    media_reused: int
    """Media that were remembered or under way"""
    encoder_passes: int
    media_cache_bytes: int
    active: int
    """Requests running now"""
    queued: int
    """Requests waiting now"""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What `Engine.load` took up."""

    sequences: int
    """Fewer than the state holds where there are not enough idle ones"""
    note: bytes
    """What was saved with them"""


class Engine:
    """Runs requests on one model, several at once, on a thread of its own.

    Every method is thread-safe. Close it (or use it in a `with` block) to free its memory at a
    known time; requests that still run then end with EngineClosedError.
    """

    def __init__(
        self,
        model: Model,
        params: EngineParams | None = None,
        *,
        media: Media | None = None,
        draft: Model | None = None,
    ) -> None:
        """Allocate the context and start the thread. Blocks, with the GIL released.

        Args:
            model: what generates.
            params: sizes and scheduling.
            media: its encoders.
            draft: a smaller model with the same vocabulary, for `speculative="draft"`.

        Raises:
            ModelLoadError: llama.cpp cannot make a context (usually: not enough memory).
            ModelCapabilityError: the model cannot generate (vocabulary only, or an encoder).
        """
        self.model = model
        self.media = media
        self.params = params or EngineParams()
        native = core().Engine(
            model._native,
            media._native if media else None,
            self.params,
            draft._native if draft else None,
        )
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
        return Counters(
            requests=native.requests,
            prompt_tokens=native.prompt_tokens,
            reused_tokens=native.reused_tokens,
            generated_tokens=native.generated_tokens,
            drafted_tokens=native.drafted_tokens,
            accepted_tokens=native.accepted_tokens,
            steps=native.steps,
            shifts=native.shifts,
            media_encoded=native.media.encoded,
            media_reused=native.media.reused,
            encoder_passes=native.media.passes,
            media_cache_bytes=native.media.cached_bytes,
            active=native.active,
            queued=native.queued,
        )

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
        logits_processor: LogitsProcessor | None = None,
        grammar: Grammar | None = None,
        adapters: AdapterSet | None = None,
    ) -> TokenStream:
        """Queue a request and return its stream.

        A `Prompt` is submitted before this returns. A function that makes one is called here, or,
        inside a running event loop, on a worker thread, so that the loop is never blocked; errors
        it raises then appear where the stream is read.

        Args:
            prompt: what to answer.
            sampling: how tokens are chosen.
            config: where the answer ends.
            logits_processor: called for each token, where the stream is read, with the token ids
                of prompt and answer so far (int32; -1 for each row of a medium) and the logits of
                the next token (float32, n_vocab). It may change the logits in place or return
                others; -inf bans a token. The sampler then works on those. This request alone
                waits for it. If it raises, reading raises CallbackError from that.
            grammar: the answer is a text that it matches, unless `max_tokens` or a stop text cuts
                it off. A prompt whose tools constrain the answer takes no other.
            adapters: LoRA adapters and a control vector for this request. Requests with equal
                sets share batches; different ones take turns.

        Raises:
            ContextOverflowError: the prompt does not fit `n_ctx`.
            OverloadedError: `max_queue` requests are waiting.
            GrammarError: the grammar names a token that the model does not have.
            InvalidOptionError: a grammar beside that of the prompt's tools, or an option that does
                not fit the model (a token id that is not there, a stop expression that cannot be
                read).
            ModelCapabilityError: the model cannot go back, which banned strings need.
            EngineClosedError: the engine was closed.
        """
        return self._submit(
            prompt,
            sampling,
            config,
            logits_processor=logits_processor,
            grammar=grammar,
            adapters=adapters,
        )

    def _submit(
        self,
        prompt: Prompt | Callable[[], Prompt],
        sampling: SamplingParams | None,
        config: StreamConfig | None,
        *,
        logits_processor: LogitsProcessor | None = None,
        grammar: Grammar | None = None,
        adapters: AdapterSet | None = None,
        place: tuple[int, bool] = (0, False),
    ) -> TokenStream:
        """`submit`, and in a session; place: (native id of the session, no answer)."""
        sampling = sampling or SamplingParams()
        config = config or StreamConfig()
        callbacks = Callbacks(config.stop_when, logits_processor)

        prompts: list[Prompt] = []
        call_ids: list[str] = []

        def start() -> Any:
            made = prompt if isinstance(prompt, Prompt) else prompt()
            prompts.append(made)
            params = sampling.with_token_ids(self.model.tokenize)
            asks = logits_processor is not None
            native = grammar._native if grammar is not None else None
            changes = adapters.native if adapters else None
            return self._native.submit(made._native, params, config, asks, native, changes, *place)

        def parse(text: str, partial: bool) -> Answer:
            return prompts[0].parse(text, partial=partial, call_ids=call_ids)

        if self.closed:
            raise EngineClosedError("the engine is closed", hint="Make a new one")
        if isinstance(prompt, Prompt) or not _in_event_loop():
            done: concurrent.futures.Future[Any] = concurrent.futures.Future()
            done.set_result(start())
            return TokenStream(done, self._get_pump, callbacks, parse)
        return TokenStream(self._get_workers().submit(start), self._get_pump, callbacks, parse)

    def submit_many(
        self,
        prompt: Prompt,
        n: int,
        sampling: SamplingParams | None = None,
        config: StreamConfig | None = None,
        *,
        grammar: Grammar | None = None,
        adapters: AdapterSet | None = None,
    ) -> list[TokenStream]:
        """Queue `n` answers to one prompt, which is evaluated once for all of them.

        A given seed is the first answer's; the others take the numbers after it.

        Raises:
            As `submit`. If one of the answers cannot be queued, none is.
        """
        sampling = sampling or SamplingParams()
        streams: list[TokenStream] = []
        try:
            for i in range(n):
                own = sampling
                if sampling.seed is not None:
                    own = replace(sampling, seed=(sampling.seed + i) % 2**32)
                streams.append(self.submit(prompt, own, config, grammar=grammar, adapters=adapters))
        except MullamaError:
            for stream in streams:
                stream.cancel()
            raise
        return streams

    def session(self) -> Session:
        """Reserve a sequence of the KV cache, to fill, change and save it by hand.

        It takes one of the `n_parallel` sequences until it is closed, and begins empty. The last
        one is left to requests outside sessions; where there is only one a session may take it,
        and requests outside it are then refused. Blocks for at most one evaluation.

        Raises:
            OverloadedError: no sequence can be reserved now.
            EngineClosedError: the engine was closed.
        """
        return Session(self, self._native.open_session())

    def load_session(self, source: StateSource, *, adapters: AdapterSet | None = None) -> Session:
        """A session that holds what was saved (`Session.save`, `Session.to_bytes`). Blocks.

        Only requests of the session (and of its copies) begin with what was loaded, whatever is
        in it: a state from an untrusted source cannot reach the answers of others.

        Args:
            source: a file, or bytes.
            adapters: what it was evaluated with.

        Raises:
            StateError: it is not a state, damaged, cut off, holds several sequences, or was saved
                with another model, mmproj, version, set of adapters, or other types, layout or
                RoPE settings of the KV cache. The engine is as it was before.
            ContextOverflowError: it does not fit `n_ctx`.
            OverloadedError, EngineClosedError: as `session`.
        """
        saved = read_state(source)
        native = adapters.native if adapters else None
        return Session(self, self._native.restore(saved, native))

    def save(self, path: str | os.PathLike[str], *, note: bytes = b"") -> int:
        """Write the caches of all idle sequences to a file, so that an engine can begin with them.

        Sequences in which a request runs are left out, and so is what no other request may begin
        with (`load_session`, or rows taken out from the start); idle sessions are written too.

        Returns:
            How many sequences it wrote.

        Raises:
            As `Session.save`.
        """
        writer = self._native.save_idle(note)
        writer.write(os.fspath(path))
        return int(writer.sequences)

    def load(self, source: StateSource, *, adapters: Sequence[AdapterSet] = ()) -> Loaded:
        """Fill idle sequences with what `save` (or a session) wrote, the last used first.

        Everyone's prompts then begin where these agree with them. `n_parallel` may differ; what
        finds no idle sequence is left out. Load only what you trust: what a file claims to be the
        cache of a text is used for that text.

        Args:
            source: a file, or bytes.
            adapters: the sets that sequences in it were evaluated with.

        Raises:
            StateError, ContextOverflowError, EngineClosedError: as `load_session`; nothing is then
                loaded.
        """
        saved = read_state(source)
        sets = [one.native for one in adapters]
        return Loaded(self._native.restore_all(saved, sets), saved.note)

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

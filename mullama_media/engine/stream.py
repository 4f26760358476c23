"""Reading the answer to one request."""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import json
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mullama_media.engine.tools import Answer, AnswerReader, Delta, Parse
from mullama_media.errors import AnswerFormatError, CallbackError, InvalidOptionError
from mullama_media.options import option, options

if TYPE_CHECKING:
    from mullama_media.engine.bells import Bell, Bells
    from mullama_media.engine.callbacks import Callbacks
    from mullama_media.engine.grammar import Grammar

__all__ = ["Completion", "StreamConfig", "Timings", "TokenData", "TokenStream"]

_WAIT_MS = 100  # how long a blocking wait may keep Ctrl-C from being seen


@options
class StreamConfig:
    """Where an answer ends and how it is delivered."""

    max_tokens: int | None = option(
        default=512,
        doc="Most tokens to generate; None until the context is full, 0 for none.",
        ge=0,
        le=2**31 - 1,
    )
    max_time_ms: int | None = option(
        default=None,
        doc="Milliseconds from submission, the wait in the queue included, after which the answer "
        "ends where it is; None for as long as it takes.",
        ge=1,
        le=10**12,
    )
    stop: tuple[str, ...] = option(
        default=(), doc="Texts that end the answer and are not part of it."
    )
    stop_tokens: tuple[int, ...] = option(
        default=(), doc="Ids of tokens that end the answer and are not part of it."
    )
    stop_regex: str | None = option(
        default=None,
        doc="A regular expression whose first match ends the answer and is not part of it. Linear "
        "time: no back references, lookaround or $; \\d \\w \\s \\b are ASCII.",
    )
    stop_when: Callable[[TokenData], bool] | None = option(
        default=None,
        doc="Called with each token as it is read; True ends the answer after that token.",
        native=False,
    )
    echo: bool = option(
        default=False,
        doc="Give the tokens of the prompt's text too (`Completion.prompt`), with their "
        "log-probabilities if SamplingParams.logprobs asks for any; the whole prompt is then "
        "evaluated, nothing is reused.",
    )
    ignore_eos: bool = option(default=False, doc="Never let the model end the answer by itself.")
    buffer_tokens: int = option(
        default=64,
        doc="Tokens that may wait to be read; then this request pauses, and only this one.",
        ge=1,
        le=2**31 - 1,
    )

    priority: int = option(default=0, doc="Waiting requests with a higher one go first.")
    client: str = option(
        default="", doc="Whose request it is: waiting requests of different clients take turns."
    )
    overflow: str = option(
        default="stop",
        doc="When the context is full: stop ends the answer; shift forgets the older half of what "
        "follows the prompt and goes on, where the model allows it.",
        choices=("stop", "shift"),
    )

    def __post_init__(self) -> None:
        if "" in self.stop or self.stop_regex == "":
            raise InvalidOptionError(
                "an empty text would end every answer at once",
                where="StreamConfig.stop" if "" in self.stop else "StreamConfig.stop_regex",
            )


@dataclass(frozen=True, slots=True)
class TokenData:
    """One token of an answer, or the text held back at its end (then `id` is None)."""

    id: int | None
    text: str
    """Whole characters only; empty while a character or a possible stop text is incomplete"""
    logprob: float | None = None
    """Natural log of the token's probability under the model, if asked for"""
    top: tuple[tuple[int, float], ...] = ()
    """The likeliest tokens and their log-probabilities, best first, if asked for"""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of a request went. Milliseconds; -1 where it never got so far."""

    queue_ms: float
    encode_ms: float
    """In the vision and audio encoders; 0 if they remembered the media"""
    prefill_ms: float
    """From admission to the first token, encoders included"""
    first_token_ms: float
    """From submission to the first token"""
    decode_ms: float
    """From the first token to the end"""
    prompt_tokens: int
    reused_tokens: int
    """Of the prompt: in the KV cache already"""
    generated_tokens: int
    drafted_tokens: int
    """Guessed by speculative decoding"""
    accepted_tokens: int
    """Of those, right"""

    @classmethod
    def of(cls, native: Any) -> Self:
        """Those of the core."""
        return cls(**{name: getattr(native, name) for name in cls.__slots__})

    @property
    def decode_rate(self) -> float:
        """Tokens a second after the first; 0 if there was only one."""
        return 1000 * (self.generated_tokens - 1) / self.decode_ms if self.decode_ms > 0 else 0.0

    @property
    def prefill_rate(self) -> float:
        """Prompt tokens evaluated a second, encoder time not counted; 0 without prefill."""
        spent = self.prefill_ms - self.encode_ms
        done = self.prompt_tokens - self.reused_tokens
        return 1000 * done / spent if spent > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer."""

    text: str
    finish_reason: str
    """stop (the model's own end, or one of StreamConfig's stops), length, deadline or cancelled"""
    stop_text: str | None
    """The stop text or match of the stop expression that ended it, if one did"""
    tokens: tuple[TokenData, ...]
    timings: Timings
    prompt: tuple[TokenData, ...] = ()
    """The tokens of the prompt's text, media left out, if StreamConfig.echo asked for them. The
    first token, which nothing comes before, has no log-probability"""
    _parse: Parse | None = field(default=None, repr=False, compare=False)

    @property
    def answer(self) -> Answer:
        """Content, thoughts and tool calls apart, as the prompt's template writes them.

        Raises:
            AnswerFormatError: it is in no such format (often: cut off by `max_tokens`).
        """
        return self._parse(self.text, False) if self._parse else Answer(self.text)

    def json(self) -> Any:
        """The text as a JSON value.

        Raises:
            AnswerFormatError: it is not JSON (often: cut off by `max_tokens`).
        """
        try:
            return json.loads(self.text)
        except ValueError as error:
            raise AnswerFormatError(
                f"the answer is not JSON: {error}",
                hint="Raise max_tokens"
                if self.finish_reason == "length"
                else "Ask for JSON with a grammar",
            ) from error

    def __str__(self) -> str:
        return self.text


class TokenStream:
    """The answer to one request, as it is generated.

    Read it once, in one of these ways::

        for token in stream: ...              # blocking; Ctrl-C works
        async for token in stream: ...        # on an event loop; closes with its task
        completion = stream.result()          # blocking, all at once
        completion = await stream
        stream.run(callback)                  # blocking; a False from the callback cancels

    Leaving a `with` or `async with` block, or dropping the last reference, cancels what is still
    running. Errors of the request are raised where it is read. One reader at a time; `cancel` may
    be called from any thread.
    """

    def __init__(
        self,
        start: concurrent.futures.Future[Any],
        bells: Bells,
        callbacks: Callbacks,
        parse: Parse | None = None,
    ) -> None:
        self._start = start
        self._bells = bells
        self._bell: Bell | None = None
        self._callbacks = callbacks
        self._parse = parse
        self._native: Any = None
        self._waiter: asyncio.Future[None] | None = None
        self._news = False  # since the last _collect(), on an event loop
        self._buffer: collections.deque[TokenData] = collections.deque()
        self._seen: list[TokenData] = []
        self._completion: Completion | None = None
        self._cancelled = False
        self._stopped = False  # by stop_when
        self._error: CallbackError | None = None
        self._failed = False

    def cancel(self) -> None:
        """Stop generating; what was sent can still be read. Idempotent, thread-safe, quick."""
        self._cancelled = True
        if self._native is not None:
            self._native.cancel()
        else:
            self._start.add_done_callback(_cancel_started)

    def set_grammar(self, grammar: Grammar | None) -> None:
        """Another grammar, or none, from here on. Thread-safe, quick.

        It holds from the next token that the engine chooses, and begins there: what was said
        before counts for nothing. Tokens that wait to be read (`StreamConfig.buffer_tokens`) are
        chosen already; to change at an exact token, read with a buffer of one. When the answer
        has ended it does nothing. A grammar that the model cannot follow ends the request with
        GrammarError where the stream is read.
        """
        native = grammar._native if grammar is not None else None
        if self._native is not None:
            self._native.set_grammar(native)
        else:
            self._start.add_done_callback(lambda start: _set_grammar(start, native))

    def deltas(self) -> Deltas:
        """Read the answer as pieces of content, thoughts and tool calls; blocking or `async for`.

        Instead of reading the tokens. `result` afterwards gives the whole.
        """
        return Deltas(self)

    @property
    def completion(self) -> Completion | None:
        """The whole answer, once it was read to its end."""
        return self._completion

    @property
    def text(self) -> str:
        """What was read of the answer so far."""
        return "".join(token.text for token in self._seen)

    @property
    def ended(self) -> bool:
        """Whether nothing more will come: read to its end, cancelled, or failed. Never blocks."""
        broken = self._start.done() and (self._start.cancelled() or self._start.exception())
        return bool(self._completion or self._cancelled or self._failed or broken)

    @property
    def failed(self) -> bool:
        """Whether reading it raised an error of the request, after it had begun."""
        return self._failed

    @property
    def prompt(self) -> tuple[TokenData, ...]:
        """As `Completion.prompt`, from the first token on."""
        if self._native is None:
            return ()
        return tuple(TokenData(*event) for event in self._native.prompt())

    def result(self) -> Completion:
        """Read to the end and return the whole answer. Blocks."""
        for _ in self:
            pass
        assert self._completion is not None  # iteration ends no other way  # noqa: S101
        return self._completion

    def run(self, callback: Callable[[TokenData], bool | None]) -> Completion:
        """Call `callback` with each token, on this thread; False cancels. Blocks."""
        for token in self:
            if callback(token) is False:
                self.cancel()
        return self.result()

    # -- blocking side

    def __iter__(self) -> Iterator[TokenData]:
        return self

    def __next__(self) -> TokenData:
        if self._native is None and self._completion is None:
            self._begin(self._start.result())
        if self._error:
            raise self._error
        while not self._buffer and self._completion is None:
            self._native.wait(_WAIT_MS)
            self._collect()
        if self._buffer:
            return self._next_token()
        raise StopIteration

    # -- asyncio side

    def __aiter__(self) -> AsyncIterator[TokenData]:
        return self

    async def __anext__(self) -> TokenData:
        if self._error:
            raise self._error
        try:
            if self._native is None and self._completion is None:
                self._begin(await asyncio.wrap_future(self._start))
                self._subscribe(asyncio.get_running_loop())
            while not self._buffer and self._completion is None:
                if self._news:
                    self._collect()
                else:
                    self._waiter = asyncio.get_running_loop().create_future()
                    await self._waiter
        except asyncio.CancelledError:
            self.cancel()
            raise
        if self._buffer:
            return self._next_token()
        self._unsubscribe()
        raise StopAsyncIteration

    def _subscribe(self, loop: asyncio.AbstractEventLoop) -> None:
        self._bell = self._bells.on(loop)
        self._bell.register(self)
        self._native.subscribe(self._bell.native)
        self._news = True  # what came before was announced to nobody

    def _unsubscribe(self) -> None:
        bell, self._bell = self._bell, None
        if bell is not None:
            bell.forget(self)

    def __await__(self) -> Generator[Any, None, Completion]:
        return self._read_all().__await__()

    async def _read_all(self) -> Completion:
        async for _ in self:
            pass
        assert self._completion is not None  # iteration ends no other way  # noqa: S101
        return self._completion

    def wake(self) -> None:
        """Something may be there to read. Called by the bell, on the reader's loop."""
        self._news = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @property
    def native_id(self) -> int:
        """The id under which the engine announces this stream."""
        return int(self._native.id)

    # -- both

    def _begin(self, native: Any) -> None:
        self._native = native
        if self._cancelled:
            native.cancel()

    def _next_token(self) -> TokenData:
        token = self._buffer.popleft()
        self._seen.append(token)
        wants_stop = self._callbacks.stop_when is not None and token.id is not None
        if wants_stop and self._call(self._callbacks.wants_stop, token):
            self._stopped = True
            self._buffer.clear()
            self.cancel()
        return token

    def _call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call what the user gave; if it raises, that is the end of the request."""
        try:
            return function(*args)
        except BaseException as error:  # of any kind, for nobody will answer the engine now
            self._error = error if isinstance(error, CallbackError) else None
            self.cancel()
            raise

    def _collect(self) -> None:
        """Move what the engine has sent into the buffer; never blocks."""
        if self._callbacks.logits_processor is not None:
            question = self._native.take_question()
            if question is not None and not self._cancelled:
                self._native.answer(self._call(self._callbacks.change_logits, *question))
        tokens, ended = self._native.take()
        self._news = ended  # of everything else the bell will tell
        if not self._stopped:
            for event in tokens:
                self._buffer.append(TokenData(*event))
        if self._buffer or self._completion is not None or not ended:
            return
        terminal = self._native.terminal()
        if terminal.error is not None and not self._stopped:
            self._failed = True
            raise terminal.error
        tail = TokenData(None, terminal.text) if terminal.text and not self._stopped else None
        tokens = (*self._seen, *([tail] if tail else []))
        self._completion = Completion(
            text="".join(token.text for token in tokens),
            finish_reason="stop" if self._stopped else terminal.finish,
            stop_text=None if self._stopped else terminal.stop_string or None,
            tokens=tokens,
            prompt=self.prompt,
            timings=Timings.of(terminal.timings),
            _parse=self._parse,
        )
        if tail:
            self._buffer.append(tail)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cancel()

    def __del__(self) -> None:
        if self._completion is None:
            self.cancel()


class Deltas:
    """The pieces of an answer, from `TokenStream.deltas`. One reader, once.

    The last piece may come with the end of the answer. An answer that is not in the format its
    prompt asked for raises AnswerFormatError at its end.
    """

    def __init__(self, stream: TokenStream) -> None:
        self.reader = AnswerReader(stream._parse)
        self._stream = stream

    def __iter__(self) -> Iterator[Delta]:
        for token in self._stream:
            yield from self.reader.feed(token.text)
        yield from self.reader.finish()

    async def __aiter__(self) -> AsyncIterator[Delta]:
        async for token in self._stream:
            for delta in self.reader.feed(token.text):
                yield delta
        for delta in self.reader.finish():
            yield delta


def _set_grammar(start: concurrent.futures.Future[Any], native: Any) -> None:
    if not start.cancelled() and start.exception() is None:
        start.result().set_grammar(native)


def _cancel_started(start: concurrent.futures.Future[Any]) -> None:
    if not start.cancelled() and start.exception() is None:
        start.result().cancel()

"""Those who use the engine in an interleaving: threads that block and event loops."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mullama_media import Completion, Engine, SamplingParams, StreamConfig, TokenStream
from mullama_media.engine import AdapterSet, LoraAdapter
from mullama_media.errors import (
    CallbackError,
    EngineClosedError,
    GrammarError,
    MediaError,
    OverloadedError,
)
from tests.stress.world import ANSWER, EXACT, World

try:
    import uvloop
except ImportError:
    uvloop = None

EXPECTED = (CallbackError, EngineClosedError, OverloadedError)
"""Ways in which a request of these may fail"""


class OddError(Exception):
    """Raised by callbacks of ours."""


@dataclass
class Ledger:
    """What was submitted, so that the end can be checked. Thread-safe."""

    natives: list[Any] = field(default_factory=list)
    faults: list[BaseException] = field(default_factory=list)
    answers: int = 0

    def note(self, stream: TokenStream) -> TokenStream:
        """Keep the native side alone: the stream itself may be dropped by whoever reads it."""
        stream._start.add_done_callback(self._note_native)
        return stream

    def _note_native(self, start: Any) -> None:
        if not start.cancelled() and start.exception() is None:
            self.natives.append(start.result())


@dataclass
class Actor:
    """One user of the engine, with a random sequence of deeds of its own."""

    world: World
    engine: Engine
    ledger: Ledger
    rng: random.Random
    deeds: int

    # -- requests

    def request(self) -> tuple[Any, SamplingParams, StreamConfig, dict[str, Any]]:
        """Anything a caller may ask for, valid or about to fail in its own way."""
        rng, world = self.rng, self.world
        prompt = rng.choice(world.prompts)
        sampling = SamplingParams(
            temperature=rng.choice([0.0, 0.8, 3.0]),
            seed=rng.randrange(2**32),
            logprobs=rng.choice([None, None, 3]),
            repeat_penalty=rng.choice([1.0, 1.3]),
            banned_strings=rng.choice([(), (), ("e", "th")]),
            min_tokens=rng.choice([0, 0, 5]),
            mirostat=rng.choice([0, 0, 0, 2]),
        )
        config = StreamConfig(
            max_tokens=rng.choice([1, 5, 30, 400, None]),
            max_time_ms=rng.choice([None, None, None, 1, 5, 50]),
            stop=rng.choice([(), (), ("a",), ("zq", "e")]),
            stop_regex=rng.choice([None, None, "[0-9]{2}"]),
            stop_when=rng.choice([None, None, None, self.stops_soon, self.raises_soon]),
            ignore_eos=rng.random() < 0.3,
            buffer_tokens=rng.choice([1, 2, 64]),
            priority=rng.randint(-1, 1),
            client=rng.choice(["", "a", "b"]),
            overflow=rng.choice(["stop", "shift"]),
        )
        if config.max_tokens is None:  # not both: that answer would have no end
            config = config.with_overflow("stop")
        extra: dict[str, Any] = {}
        kind = rng.random()
        if kind < 0.15:
            extra["logits_processor"] = rng.choice([self.shifts_logits, self.odd_logits])
        elif kind < 0.35:
            extra["grammar"] = rng.choice(world.grammars)
        if rng.random() < 0.25:
            extra["adapters"] = rng.choice(world.adapters)
        return prompt, sampling, config, extra

    def submit(self) -> TokenStream:
        prompt, sampling, config, extra = self.request()
        return self.ledger.note(self.engine.submit(prompt, sampling, config, **extra))

    def submit_several(self) -> list[TokenStream]:
        prompt, sampling, config, extra = self.request()
        extra.pop("logits_processor", None)
        n = self.rng.randint(1, 4)
        streams = self.engine.submit_many(prompt, n, sampling, config, **extra)
        return [self.ledger.note(stream) for stream in streams]

    def make_prompt(self) -> Any:
        """For submit() as a function: runs on a worker thread."""
        if self.rng.random() < 0.3:
            raise MediaError("no such picture")
        return self.rng.choice(self.world.prompts)

    # -- callbacks

    def stops_soon(self, token: Any) -> bool:
        return self.rng.random() < 0.2

    def raises_soon(self, token: Any) -> bool:
        if self.rng.random() < 0.2:
            raise OddError
        return False

    def shifts_logits(self, ids: Any, logits: Any) -> None:
        logits[: len(logits) // 2] -= 1.0

    def odd_logits(self, ids: Any, logits: Any) -> Any:
        kind = self.rng.random()
        if kind < 0.1:
            raise OddError
        if kind < 0.2:
            return logits[:-1]
        return logits * (float("nan") if kind < 0.3 else 0.5)

    # -- what every reader checks

    def check(self, stream: TokenStream, tokens: list[Any]) -> None:
        """A stream that was read to its end: nothing comes after that."""
        completion = stream.completion
        assert completion is not None
        assert completion.finish_reason in ("stop", "length", "deadline", "cancelled")
        assert tokens == list(completion.tokens[len(completion.tokens) - len(tokens) :])
        assert "".join(t.text for t in completion.tokens) == completion.text
        assert stream._native.take()[0] == []
        assert next(stream, None) is None
        self.ledger.answers += 1


class BlockingActor(Actor):
    """Uses streams as plain programs do."""

    def run(self) -> None:
        ways: list[Callable[[], object]] = [
            *(self.read_all, self.read_slowly, self.read_some_and_cancel, self.read_some_and_drop),
            *(self.drop_unread, self.cancel_from_elsewhere, self.several, self.exact, self.exact),
            *(self.with_callback, self.change_grammar, self.look_around, self.load_adapter),
        ]
        for _ in range(self.deeds):
            try:
                self.rng.choice(ways)()
            except EngineClosedError:
                return
            except EXPECTED:
                continue

    def read_all(self) -> None:
        stream = self.submit()
        self.check(stream, list(stream))

    def read_slowly(self) -> None:
        stream = self.submit()
        for n, _ in enumerate(stream):
            if n < 6:
                time.sleep(self.rng.random() * 0.004)
        self.check(stream, [])

    def read_some_and_cancel(self) -> None:
        with self.submit() as stream:
            for _ in zip(range(self.rng.randint(0, 4)), stream, strict=False):
                pass
        self.check(stream, list(stream))

    def read_some_and_drop(self) -> None:
        stream = self.submit()
        for _ in zip(range(self.rng.randint(1, 3)), stream, strict=False):
            pass
        del stream
        if self.rng.random() < 0.2:
            gc.collect()

    def drop_unread(self) -> None:
        self.submit()

    def cancel_from_elsewhere(self) -> None:
        stream = self.submit()
        others = [
            threading.Timer(self.rng.random() * 0.01, stream.cancel)
            for _ in range(self.rng.randint(1, 2))
        ]
        for other in others:
            other.start()
        try:
            self.check(stream, list(stream))
        finally:
            for other in others:
                other.join()

    def several(self) -> None:
        # In the order in which they are admitted: one that nobody reads keeps its sequence.
        for stream in self.submit_several():
            if self.rng.random() < 0.3:
                stream.cancel()
            self.check(stream, list(stream))

    def exact(self) -> None:
        number = self.rng.randrange(len(self.world.prompts))
        stream = self.ledger.note(self.engine.submit(self.world.prompts[number], EXACT, ANSWER))
        self.world.check_alone(number, stream.result())

    def with_callback(self) -> None:
        with contextlib.suppress(OddError):
            self.submit().run(lambda token: not self.raises_soon(token) or None)

    def change_grammar(self) -> None:
        prompt, sampling, config, _ = self.request()
        stream = self.ledger.note(self.engine.submit(prompt, sampling, config))
        with contextlib.suppress(GrammarError):
            for n, _ in enumerate(stream):
                if n % 3 == 0:
                    stream.set_grammar(self.rng.choice([None, *self.world.grammars]))

    def load_adapter(self) -> None:
        """One of its own, while others plan their graphs; gone before its request has ended."""
        adapter = LoraAdapter.load(self.world.model, self.world.lora_file)
        prompt, sampling, config, _ = self.request()
        adapters = AdapterSet(((adapter, self.rng.random()),))
        stream = self.ledger.note(self.engine.submit(prompt, sampling, config, adapters=adapters))
        del adapter, adapters
        next(stream, None)

    def look_around(self) -> None:
        assert self.engine.counters.requests >= 0
        assert "Engine" in repr(self.engine)


class LoopActor(Actor):
    """The same on an event loop: many at once, timeouts, task groups, tasks that are cancelled."""

    def run(self) -> None:
        factory = uvloop.new_event_loop if uvloop and self.rng.random() < 0.5 else None
        with asyncio.Runner(loop_factory=factory) as runner, contextlib.suppress(EngineClosedError):
            runner.run(self.main())

    async def main(self) -> None:
        ways = [
            self.gathered,
            self.grouped,
            self.timed,
            self.cancelled,
            self.broken_off,
            self.exact,
        ]
        for _ in range(self.deeds):
            with contextlib.suppress(CallbackError, OverloadedError):
                await self.rng.choice(ways)()
        if self.rng.random() < 0.1:
            self.leftover = asyncio.create_task(self.read())  # the loop ends under it
            await asyncio.sleep(0)

    async def read(self) -> Completion | None:
        try:
            stream = self.submit()
            completion = await stream
        except (*EXPECTED, MediaError):
            return None
        self.check(stream, [])
        return completion

    async def read_made(self) -> None:
        with contextlib.suppress(*EXPECTED, MediaError):
            await self.ledger.note(self.engine.submit(self.make_prompt, config=ANSWER))

    async def gathered(self) -> None:
        count = self.rng.randint(1, 5)
        await asyncio.gather(*(self.read() for _ in range(count)), self.read_made())

    async def grouped(self) -> None:
        async def fails() -> None:
            await asyncio.sleep(self.rng.random() * 0.02)
            raise OddError

        with contextlib.suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                for _ in range(self.rng.randint(1, 4)):
                    group.create_task(self.read())
                group.create_task(fails())

    async def timed(self) -> None:
        with contextlib.suppress(TimeoutError):
            reading = self.read() if self.rng.random() < 0.5 else self.read_made()
            await asyncio.wait_for(reading, self.rng.random() * 0.02)

    async def cancelled(self) -> None:
        tasks = [asyncio.create_task(self.read()) for _ in range(self.rng.randint(1, 3))]
        await asyncio.sleep(self.rng.random() * 0.01)
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    async def broken_off(self) -> None:
        async with self.submit() as stream:
            async for _ in stream:
                if self.rng.random() < 0.3:
                    break

    async def exact(self) -> None:
        number = self.rng.randrange(len(self.world.prompts))
        stream = self.ledger.note(self.engine.submit(self.world.prompts[number], EXACT, ANSWER))
        self.world.check_alone(number, await stream)


class Closer(Actor):
    """Closes the engine under everyone, from a thread or a loop, perhaps twice."""

    def run(self) -> None:
        time.sleep(self.rng.random() * 0.15)
        if self.rng.random() < 0.3:
            asyncio.run(self.engine.aclose())
        else:
            self.engine.close()

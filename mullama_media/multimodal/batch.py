"""Many questions at once."""

from __future__ import annotations

import concurrent.futures
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from mullama_media.engine.stream import Completion, StreamConfig
from mullama_media.errors import DecodeError, MullamaError, OverloadedError
from mullama_media.multimodal.content import Input
from mullama_media.multimodal.params import AskOptions, prompt_options, request_options
from mullama_media.options import replace

if TYPE_CHECKING:
    from mullama_media.multimodal.processor import MultimodalProcessor

__all__ = ["answers", "persist"]

T = TypeVar("T")
Answer = Completion | MullamaError

_PAUSE_S = 0.05  # before the second try; each further one waits twice as long


def persist(attempt: Callable[[], T], retries: int) -> T:
    """Call `attempt`, and again up to `retries` times when the engine was what failed. Blocks.

    What would fail again for the same reason (a broken picture, a prompt too long) is not tried
    again.
    """
    for tried in range(retries):
        try:
            return attempt()
        except (DecodeError, OverloadedError):
            time.sleep(_PAUSE_S * 2**tried)
    return attempt()


def answers(
    processor: MultimodalProcessor, contents: Iterable[Input], retries: int, options: AskOptions
) -> Iterator[Answer]:
    """Answers or errors in the order of the questions; see `generate_batch`."""
    config = options.get("config") or StreamConfig()
    # Answers are read in order; room for a whole one keeps those behind from pausing.
    room = config.max_tokens or processor.engine.n_ctx
    config = replace(config, buffer_tokens=max(config.buffer_tokens, room))
    asked = prompt_options(options)
    request = request_options(options) | {"config": config}

    def begin(content: Input) -> Callable[[], Completion]:
        """Submit; what this returns waits for the answer and, called again, asks again."""
        prompt = processor.prepare(content, **asked)
        begun = [persist(lambda: processor.engine.submit(prompt, **request), retries)]

        def attempt() -> Completion:
            stream = begun.pop() if begun else processor.engine.submit(prompt, **request)
            return stream.result()

        return attempt

    def finish(begun: concurrent.futures.Future[Callable[[], Completion]]) -> Answer:
        try:
            return persist(begun.result(), retries)
        except MullamaError as error:
            return error

    running: deque[concurrent.futures.Future[Callable[[], Completion]]] = deque()
    with concurrent.futures.ThreadPoolExecutor(2, "mullama-prepare") as pool:
        for content in contents:
            running.append(pool.submit(begin, content))
            if len(running) > 2 * processor.engine.params.n_parallel:
                yield finish(running.popleft())
        while running:
            yield finish(running.popleft())

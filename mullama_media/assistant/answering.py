"""One answer: asked, streamed, spoken, cut off."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from mullama_media.assistant.events import Answer, Asked, Problem
from mullama_media.engine.stream import TokenStream
from mullama_media.errors import MullamaError
from mullama_media.loudspeaker import Loudspeaker
from mullama_media.multimodal import Conversation
from mullama_media.speech.narration import Narration
from mullama_media.speech.turns import (
    GenerationEnded,
    GenerationStarted,
    PlaybackEnded,
    PlaybackProgress,
    PlaybackStarted,
    Token,
    TurnEvent,
)
from mullama_media.speech.voices import Voice

__all__ = ["Answering"]


class _Listener(Protocol):
    """Who wants to know what becomes of an answer."""

    def tell(self, event: TurnEvent) -> bool:
        """It happened; False if nobody wants the answer any more."""
        ...

    def trace(self, item: TurnEvent, at_ms: float | None = None) -> None:
        """When it happened, on a clock in milliseconds; now if left out."""
        ...

    def emit(self, event: Any) -> None:
        """To be read."""
        ...


class Answering:
    """What becomes of one question. On the event loop; made anew for each."""

    def __init__(
        self,
        generation_id: int,
        conversation: Conversation,
        say: tuple[Voice, Loudspeaker] | None,
        listener: _Listener,
        now: Callable[[], int],
    ) -> None:
        self.id = generation_id
        self.over = False
        self._conversation = conversation
        self._say = say
        self._listener, self._now = listener, now
        self._stream: TokenStream | None = None
        self._narration: Narration | None = None
        self._cut = False
        self._heard_any = False
        self._handed = 0

    async def run(self, question: Awaitable[Asked | None]) -> None:
        """Ask and answer. Errors are told as `Problem`."""
        try:
            asked = await question
            if asked is not None and not self._cut:
                await self._run(asked)
            elif not self._cut:
                self._end_silently()
        except Exception as error:  # of a voice of the user's, too: the chat goes on
            self._listener.emit(Problem(error, self.id))
            if not self._cut:
                await self._give_up()
        finally:
            self.over = True

    async def _give_up(self) -> None:
        """Let go of what runs; what was heard until then counts as said."""
        if self._stream is not None:
            self._stream.cancel()
        if self._narration is not None:
            heard = (await asyncio.to_thread(self._narration.stop)).text
            with contextlib.suppress(MullamaError):
                self._conversation.heard(heard)
        self._end_silently()

    async def _run(self, asked: Asked) -> None:
        began_ms = 1000 * time.monotonic()
        self._stream = stream = self._conversation.ask(list(asked.content))
        self._listener.emit(asked)
        if self._say is not None:
            narration = await asyncio.to_thread(Narration, *self._say)
            if self._cut:
                return  # it has said nothing, and ends with its last reference
            self._narration = narration
        started = False
        async for token in stream:
            if not started:
                started = self._listener.tell(GenerationStarted(self.id, self._now()))
            if not self._listener.tell(Token(self.id, self._now(), token.text)):
                return
            if not await self._speak(token.text):
                break
        if self._cut:
            return
        if stream.completion is None:  # somebody else stopped the loudspeaker
            await self._give_up()
            return
        timings = stream.completion.timings
        encoded_ms = began_ms + timings.queue_ms + timings.encode_ms
        self._listener.trace(GenerationStarted(self.id, self._now()), encoded_ms)
        self._listener.emit(Answer(self.id, stream.completion))
        self._listener.tell(
            GenerationEnded(self.id, self._now(), spoken=self._narration is not None)
        )
        if self._narration is not None:
            await asyncio.to_thread(self._narration.wait)
            self.look()
            if not self._cut:
                self._listener.tell(PlaybackEnded(self.id, self._now()))

    async def _speak(self, text: str) -> bool:
        if self._narration is None:
            return True
        if self._narration.full:  # or it does not block, and a thread for each token costs more
            return await asyncio.to_thread(self._narration.feed, text)
        return self._narration.feed(text)

    def look(self) -> None:
        """Tell how much was heard, if that is more than before."""
        if self._narration is None or self._cut or self.over:
            return
        spoken = self._narration.spoken
        if spoken.played.handed == self._handed:
            return
        self._handed = spoken.played.handed
        if not self._heard_any:
            self._heard_any = True
            self._listener.tell(PlaybackStarted(self.id, self._now()))
        heard_ms = 1000 * spoken.played.seconds
        self._listener.tell(PlaybackProgress(self.id, self._now(), heard_ms, spoken.text))

    def cut(self, *, forget: bool = False) -> None:
        """Silence at once. What was heard of it counts as said, or, to `forget`, nothing was."""
        if self._cut or self.over:
            return
        self._cut = True
        if self._stream is not None:
            self._stream.cancel()
        heard = None
        if self._narration is not None:
            heard = self._narration.stop().text
        if self._stream is not None:
            if forget:
                self._conversation.undo()
            elif heard is not None:
                self._conversation.heard(heard)
        self.over = True

    def _end_silently(self) -> None:
        with contextlib.suppress(MullamaError):
            self._listener.tell(GenerationEnded(self.id, self._now(), spoken=False))

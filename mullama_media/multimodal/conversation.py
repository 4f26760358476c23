"""A conversation: what was said and shown, and the next answer to it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Unpack

from mullama_media.engine.prompt import Message, Prompt
from mullama_media.engine.stream import StreamConfig, TokenStream
from mullama_media.engine.tools import one_of
from mullama_media.errors import AnswerFormatError, SessionError
from mullama_media.multimodal.content import Input, messages
from mullama_media.multimodal.params import AskOptions, prompt_options, request_options
from mullama_media.options import replace as options_replace

if TYPE_CHECKING:
    from mullama_media.multimodal.processor import MultimodalProcessor

__all__ = ["Conversation"]


class Conversation:
    """History with pictures, recordings and text. From `MultimodalProcessor.conversation`.

        talk = processor.conversation(system="Answer in one sentence.")
        print(talk.ask([Path("photo.jpg"), "What is this?"]).result())
        print(talk.ask("Which colour has it?").result())

    Each question is asked with everything before it. What the engine still has of that is not
    evaluated again, pictures and recordings included; they are decoded once. A question joins the
    history with its answer: the whole, or as much as was read before it was cancelled. One that
    failed leaves no trace.

    A question may be evaluated while it is still being put: `prefill` it as far as it is known, as
    often as that grows or changes, and `ask` finds the beginning they share evaluated.

    One question at a time. Every method is thread-safe and quick, but that `ask` and `prefill`
    outside an event loop decode what they are given.

    Args:
        processor: a model. It stays open.
        reserve: keep a sequence of the engine for this conversation until it is closed, so that
            others cannot push it out of the cache (`Engine.session`; that blocks for at most one
            evaluation).
        when_full: once history, question and answer no longer fit the context, "error" raises
            ContextOverflowError, and "forget" leaves out the oldest questions with their answers,
            until what is sent takes half of the context. The latter keeps `StreamConfig.max_tokens`
            free for the answer, or an eighth of the context where that says nothing.
        **options: for every question; `ask` can say otherwise.
    """

    def __init__(
        self,
        processor: MultimodalProcessor,
        *,
        reserve: bool = False,
        when_full: str = "error",
        **options: Unpack[AskOptions],
    ) -> None:
        self._processor = processor
        self._session = processor.engine.session() if reserve else None
        self._submit = (self._session or processor.engine).submit
        self._forgets = one_of(when_full, ("error", "forget"), "when_full") == "forget"
        self._options = options
        self._lock = threading.Lock()
        self._history: list[Message] = []
        self._answered = False  # the history ends with the answer to the last question
        self._turn: _Turn | None = None
        self._ahead: _Turn | None = None

    @property
    def messages(self) -> tuple[Message, ...]:
        """What counts as said, media decoded; without the system message."""
        with self._lock:
            self._settle()
            return tuple(self._history)

    def add(self, *said: Message) -> None:
        """Put messages at the end of the history: earlier talk, or the answer of a tool.

        Media in them are decoded with the next question.

        Raises:
            SessionError: an answer is still being read.
        """
        with self._lock:
            self._settle()
            self._check_idle()
            self._history.extend(said)
            self._answered = False

    def ask(self, content: Input | None = None, **options: Unpack[AskOptions]) -> TokenStream:
        """Ask the next question, and read its answer as it is generated.

        Args:
            content: what the user says and shows; None to answer what `add` put at the end.
            **options: for this question, over those of the conversation.

        Raises:
            SessionError: the last answer is still being read. Read it to its end or cancel it.
            As `MultimodalProcessor.stream`.
        """
        with self._lock:
            self._settle()
            self._check_idle()
            self._answered = False
            self._turn = self._begin(content, {**self._options, **options})
            return self._turn.stream

    def prefill(self, content: Input, **options: Unpack[AskOptions]) -> TokenStream:
        """Evaluate the next question as far as it is known, and generate nothing.

        Call it again with more, or with something else: what was evaluated of a beginning that both
        share, medium by medium, is kept, and the rest dropped. A stream that is not needed is
        cancelled by itself.

        Returns:
            A stream without tokens. Nobody has to read it; `await` or `result()` wait for its end,
            and raise what was wrong with the content.

        Raises:
            SessionError: the last answer is still being read.
            As `ask`.
        """
        with self._lock:
            self._settle()
            self._check_idle()
            asked: AskOptions = {**self._options, **options}
            config = options_replace(asked.get("config") or StreamConfig(), max_tokens=0)
            self._ahead = self._begin(content, {**asked, "config": config})
            return self._ahead.stream

    def _begin(self, content: Input | None, options: AskOptions) -> _Turn:
        turn = _Turn(list(self._history), [] if content is None else messages(content))
        if self._ahead is not None and turn.goes_on_from(self._ahead):
            turn.after = self._ahead  # a stream that nobody holds is cancelled
        elif self._ahead is not None:
            self._ahead.stream.cancel()
        self._ahead = None
        turn.stream = self._submit(lambda: self._prepare(turn, options), **request_options(options))
        return turn

    def heard(self, text: str) -> None:
        """Only this of the last answer reached anybody, as when its speech was interrupted.

        The history then has it as the answer. Where it is empty the question is forgotten, too.

        Raises:
            SessionError: the last answer is still being read.
        """
        with self._lock:
            self._settle()
            self._check_idle()
            if not self._answered:
                return  # nothing of it was read, so nothing of it is in the history
            self._history.pop()
            if text:
                self._history.append(Message("assistant", [text]))
                return
            self._answered = False
            while self._history and self._history.pop().role != "user":
                pass

    def undo(self) -> None:
        """Forget the last question with its answer, and what came between. Cancels one running."""
        with self._lock:
            if self._turn is not None:
                self._turn.stream.cancel()
                self._turn = None
                return
            while self._history and self._history.pop().role != "user":
                pass

    def clear(self) -> None:
        """Forget everything. Cancels an answer that is being read."""
        with self._lock:
            for turn in (self._turn, self._ahead):
                if turn is not None:
                    turn.stream.cancel()
            self._turn = self._ahead = None
            self._history.clear()

    def close(self) -> None:
        """Cancel what runs and give a reserved sequence back. Idempotent. What was said stays."""
        with self._lock:
            for turn in (self._turn, self._ahead):
                if turn is not None:
                    turn.stream.cancel()
            self._ahead = None
            if self._session is not None:
                self._session.close()

    def _prepare(self, turn: _Turn, options: AskOptions) -> Prompt:
        """Decode, and leave out what has no room. In `ask`, or on a worker thread."""
        decode = self._processor.decode
        turn.history = [decode(message) for message in turn.history]
        turn.question = [decode(message) for message in turn.question]
        asked = prompt_options(options)
        limit = self._processor.engine.n_ctx
        config = options.get("config") or StreamConfig()
        room = limit - min(config.max_tokens or limit // 8, limit // 2)
        while True:
            prompt = self._processor.prepare([*turn.history, *turn.question], **asked)
            if not self._forgets or not turn.history or prompt.n_tokens <= room:
                return prompt
            room = limit // 2  # not one question each time: the engine would start anew each time
            _drop_oldest(turn.history)

    def _settle(self) -> None:
        """Take what was read of the last answer into the history, if it has ended."""
        turn = self._turn
        if turn is None or not turn.stream.ended:
            return
        self._turn = None
        said = turn.stream.completion
        text = turn.stream.text
        if turn.stream.failed or (said is None and not text):
            return  # nobody heard any of it, or not what was meant
        answer = Message("assistant", [text])
        if said is not None:
            try:
                found = said.answer
                answer = Message(
                    "assistant", [found.content], found.tool_calls, reasoning=found.reasoning
                )
            except AnswerFormatError:
                pass  # as it was written, then
        self._history = [*turn.history, *turn.question, answer]
        self._answered = True

    def _check_idle(self) -> None:
        if self._turn is not None:
            raise SessionError(
                "the last answer is still being read",
                where="conversation",
                hint="Read it to its end or cancel() it before you go on",
            )


class _Turn:
    """A question on its way."""

    stream: TokenStream
    after: _Turn | None = None
    """That prefills its beginning"""

    def __init__(self, history: list[Message], question: list[Message]) -> None:
        self.history = history
        self.question = question
        self.given = tuple(part for message in question for part in message.parts)

    def goes_on_from(self, other: _Turn) -> bool:
        """Whether it begins as the other does; then the other's work is not in vain."""
        mine, theirs = self.given, other.given
        return len(mine) >= len(theirs) and all(map(_same, mine, theirs))


def _same(one: object, other: object) -> bool:
    return one is other or (isinstance(one, str) and one == other)


def _drop_oldest(history: list[Message]) -> None:
    """A question and what belongs to it."""
    history.pop(0)
    while history and history[0].role != "user":
        history.pop(0)

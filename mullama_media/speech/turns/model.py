"""Whether a user has finished, asked of the language model itself."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mullama_media.engine.engine import Engine
from mullama_media.engine.prompt import Message, Prompt
from mullama_media.engine.sampling import SamplingParams
from mullama_media.engine.stream import StreamConfig
from mullama_media.errors import ModelCapabilityError

__all__ = ["EndOfTurnModel"]

_GREEDY = SamplingParams(temperature=0)
_ONE = StreamConfig(max_tokens=1)
_CLOSES = re.compile("[.?!\u2026\u3002\uff1f\uff01]")  # the last ones are Chinese


class EndOfTurnModel:
    """Probability that what a user said so far is all of it, for `EndProbability`.

    The transcript is put into the chat template as a user's message, and the model is asked for the
    next token there: the probability of the token that ends the message, and of punctuation that
    ends a sentence, since recognizers and people write one or the other. That is how LiveKit's
    turn-detector works (https://huggingface.co/livekit/turn-detector), whose small model was
    trained for it; the one here is any that has a chat template, as it is. Its probabilities are
    its own: measure your `TurnParams.end_threshold`. SmolLM2-135M gives whole sentences 0.06 to
    0.8, and those that stop in the middle below 0.05 almost always
    (`tests/speech/test_turns_model.py`).

    One evaluation of a few tokens, on what the engine still has of the conversation. Thread-safe.

    Args:
        engine: a model with a chat template.

    Raises:
        ModelCapabilityError: its template shows no end of a user's message.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._prefix([Message("user", ["x"])])
        ids = range(engine.model.n_vocab)
        self._ends = np.array([token for token in ids if self._is_end(token)])

    def probability(self, text: str, history: Sequence[Message] = ()) -> float:
        """Of the user having finished with `text`, 0..1. Blocks.

        Args:
            text: the transcript; punctuation at its end does not count.
            history: what was said before.

        Raises:
            As `Engine.submit` and `Prompt.of_messages`.
        """
        # What is left cannot be a control token, and says nothing of how the recognizer ends.
        said = " ".join(re.sub(r"[^\w\s',;:.?!-]", " ", text).split()).rstrip(",;:.?!- ")
        if not said:
            return 0.0
        prefix = self._prefix([*history, Message("user", [said])])
        prompt = Prompt.of_parts(
            self._engine.model, [prefix], add_special=False, parse_special=True
        )
        seen: list[float] = []

        def look(_ids: npt.NDArray[np.int32], logits: npt.NDArray[np.float32]) -> None:
            chances = np.exp(logits.astype(np.float64) - logits.max())
            seen.append(float(chances[self._ends].sum() / chances.sum()))

        self._engine.submit(prompt, _GREEDY, _ONE, logits_processor=look).result()
        return seen[0]

    def _prefix(self, messages: Sequence[Message]) -> str:
        """The conversation as the template writes it, up to the end of the last message."""
        model = self._engine.model
        prompt = Prompt.of_messages(model, messages)
        (_, ids), *others = prompt.chunks
        ends = [at for at, token in enumerate(ids) if model.is_end(token)]
        if not ends or others:
            raise ModelCapabilityError(
                "its chat template shows no end of a user's message",
                where="EndOfTurnModel",
                hint="Use a model whose messages end with a token of their own, as ChatML's do",
            )
        return model.detokenize(ids[: ends[-1]], special=True)

    def _is_end(self, token: int) -> bool:
        model = self._engine.model
        text = model.piece(token).decode("utf-8", "replace")
        return model.is_end(token) or _CLOSES.match(text.lstrip()) is not None

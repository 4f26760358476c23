"""Sampling from logits that are already in Python."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mullama_media.engine.model import Model
from mullama_media.engine.native import core
from mullama_media.engine.sampling import SamplingParams
from mullama_media.errors import InvalidOptionError

__all__ = ["Sampler"]


class Sampler:
    """The engine's own sampler, for logits of any origin. Not thread-safe.

    It keeps state: what was accepted, the draw's generator, mirostat's and adaptive-p's memory.
    `min_tokens` and banned strings across tokens need an engine and do nothing here.
    """

    def __init__(self, params: SamplingParams, n_vocab: int | Model) -> None:
        """Make a sampler for a vocabulary of a size, or for a model's own.

        Raises:
            InvalidOptionError: an option needs the text of tokens (DRY's sequence breakers, banned
                strings, a bias by text) and there is no model, or names a token that is not there.
        """
        model = n_vocab if isinstance(n_vocab, Model) else None
        size = n_vocab.n_vocab if isinstance(n_vocab, Model) else n_vocab
        if not 1 <= size < 2**31:
            raise InvalidOptionError(f"a vocabulary of {size} tokens", where="n_vocab")
        params = params.with_token_ids(model.tokenize if model else _no_text)
        self.params = params
        self._native: Any = core().Sampler(params, size, model._native if model else None)

    @property
    def n_vocab(self) -> int:
        """Number of logits it takes."""
        return int(self._native.n_vocab)

    @property
    def seed(self) -> int:
        """The seed in use; a fresh one if none was given."""
        return int(self._native.seed)

    def apply(self, logits: ArrayLike) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The tokens the next draw would be from and their probabilities. Changes no state.

        Args:
            logits: (n_vocab,) numbers; not changed. NaN and -inf are never drawn.
        """
        ids, probabilities = self._native.apply(_floats(logits))
        return ids, probabilities

    def sample(self, logits: ArrayLike) -> int:
        """Draw a token; follow it with `accept` if it is taken.

        Raises:
            DecodeError: no token is left to draw from.
        """
        return int(self._native.sample(_floats(logits)))

    def accept(self, token: int) -> None:
        """Count a token as part of the text, for penalties, DRY and adaptive-p."""
        self._native.accept(token)


def _floats(logits: ArrayLike) -> NDArray[np.float32]:
    return np.ascontiguousarray(logits, np.float32)


def _no_text(text: str) -> list[int]:
    raise InvalidOptionError(
        f"{text!r} is text, which needs a model's vocabulary",
        where="SamplingParams.logit_bias",
        hint="Give the model in place of n_vocab",
    )

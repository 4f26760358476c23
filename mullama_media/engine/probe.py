"""Looking inside a model: logits of every position, hidden states between layers."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mullama_media.engine.adapters import AdapterSet
from mullama_media.engine.model import Model
from mullama_media.engine.native import core

__all__ = ["Probe", "ProbeResult"]


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What one sequence of tokens did."""

    logits: NDArray[np.float32]
    """(tokens, n_vocab)"""
    hidden: NDArray[np.float32] | None
    """(layers, tokens, n_embd): what each layer gives the next one; None unless asked for"""


class Probe:
    """Evaluates token sequences on a context of its own; the engine is not involved.

    Thread-safe: calls wait for each other. Takes memory for `max_tokens` of context.

    Args:
        model: a model with weights.
        max_tokens: the longest sequence.
        threads: CPU threads; None for one a physical core.

    Raises:
        ModelCapabilityError: an encoder, or a vocabulary alone.
    """

    def __init__(self, model: Model, max_tokens: int = 512, *, threads: int | None = None) -> None:
        self._native: Any = core().Probe(model._native, max_tokens, threads or 0)
        self._lock = threading.Lock()

    def run(
        self, tokens: Sequence[int], adapters: AdapterSet | None = None, *, hidden: bool = False
    ) -> ProbeResult:
        """Evaluate one sequence from its start. Blocks, with the GIL released.

        Raises:
            ContextOverflowError: no tokens, or more than `max_tokens`.
            InvalidOptionError: a token or an adapter that does not belong to the model.
            ModelCapabilityError: hidden states of an architecture that does not show them.
        """
        native = (adapters or AdapterSet()).native
        with self._lock:
            logits, states = self._native.run(list(tokens), native, hidden)
        return ProbeResult(logits, states)

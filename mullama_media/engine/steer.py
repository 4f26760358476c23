"""Making a control vector from prompts that differ in one respect."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from mullama_media.engine.control import ControlVector
from mullama_media.engine.model import Model
from mullama_media.engine.probe import Probe
from mullama_media.errors import InvalidOptionError

__all__ = ["control_vector_from_prompts"]

METHODS = ("mean", "pca")


def control_vector_from_prompts(
    model: Model,
    positive: Sequence[str],
    negative: Sequence[str],
    *,
    method: str = "mean",
    last_tokens: int = 0,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ControlVector:
    """The direction, layer by layer, that leads from the negative prompts to the positive ones.

    The prompts come in pairs that should differ in one respect alone ("You are cheerful. Tell me
    about your day." and "You are sad. ..."). For each pair the hidden states after every layer are
    subtracted, token by token; "mean" takes their mean, "pca" the first principal component of the
    differences (its sign that of the mean). Each row gets length 1, so scales of about 0.5 to 5
    have an effect, depending on the model. Blocks: two prefills for each pair.

    It differs from llama.cpp's cvector-generator in one thing: a direction acts at the place where
    it was measured, not one layer later.

    Args:
        model: a model with weights.
        positive, negative: raw text, equally many; control tokens are read as such, so chat
            templates may be used.
        method: "mean" or "pca".
        last_tokens: compare only so many tokens at the end; 0 for all of the shorter prompt's
            length, counted from the end.
        threads: CPU threads; None for one a physical core.
        progress: called with pairs done and in all.

    Raises:
        InvalidOptionError: no pairs, unequal numbers, an unknown method, or prompts that make no
            difference.
        ModelCapabilityError: the architecture does not show its hidden states.
    """
    if method not in METHODS:
        raise InvalidOptionError(f"{method!r} is not a method", where="method", hint="mean or pca")
    if not positive or len(positive) != len(negative):
        raise InvalidOptionError(
            f"{len(positive)} positive and {len(negative)} negative prompts do not make pairs",
            where="prompts",
        )
    pairs = [
        tuple(model.tokenize(text, add_special=True, parse_special=True) for text in pair)
        for pair in zip(positive, negative, strict=True)
    ]
    longest = max(len(tokens) for pair in pairs for tokens in pair)
    if not all(tokens for pair in pairs for tokens in pair):
        raise InvalidOptionError("a prompt is empty", where="prompts")
    probe = Probe(model, longest, threads=threads)
    differences = []
    for done, (plus, minus) in enumerate(pairs):
        if progress:
            progress(done, len(pairs))
        count = min(len(plus), len(minus), last_tokens or longest)
        states = [probe.run(tokens, hidden=True).hidden for tokens in (plus, minus)]
        assert states[0] is not None and states[1] is not None  # noqa: S101, PT018 - hidden=True
        differences.append(states[0][:, -count:] - states[1][:, -count:])
    if progress:
        progress(len(pairs), len(pairs))
    stacked = np.concatenate(differences, axis=1)
    rows = {
        layer: row
        for layer in range(1, len(stacked))
        if (row := _direction(stacked[layer], method)) is not None
    }
    if not rows:
        raise InvalidOptionError("the prompts make no difference", where="prompts")
    hint = model.metadata.get("general.architecture", "")
    return ControlVector(rows, model_hint=str(hint))


def _direction(differences: NDArray[np.float32], method: str) -> NDArray[np.float32] | None:
    """One row of length 1 out of (samples, n_embd); None where nothing differs."""
    moved = differences[np.linalg.norm(differences, axis=1) > 1e-6]
    if not len(moved):
        return None
    row = moved.mean(axis=0)
    if method == "pca" and len(moved) > 1:
        _, _, components = np.linalg.svd(moved, full_matrices=False)
        row = components[0] * (1.0 if components[0] @ row >= 0 else -1.0)
    length = float(np.linalg.norm(row))
    return (row / length).astype(np.float32) if length > 1e-9 else None

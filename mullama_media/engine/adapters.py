"""What changes a model's answers without changing the model: LoRA adapters, control vectors."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mullama_media.engine.control import ControlVector
from mullama_media.engine.model import Model
from mullama_media.engine.native import core
from mullama_media.errors import InvalidOptionError

__all__ = ["AdapterSet", "LoraAdapter"]


class LoraAdapter:
    """Low-rank additions to a model's matrices. Immutable and thread-safe; keeps its model alive.

    Each matrix W acts as W + scale * alpha / rank * B A, or W + scale * B A where alpha is 0.
    """

    def __init__(self, native: Any) -> None:
        self._native = native

    @classmethod
    def load(cls, model: Model, path: str | os.PathLike[str]) -> LoraAdapter:
        """Load a GGUF adapter for this model. Blocks, with the GIL released.

        Raises:
            ModelLoadError: the file is missing or broken, no LoRA adapter, or made for another
                model. The process survives files that are hostile.
        """
        return cls(core().LoraAdapter.load(model._native, os.fspath(path)))

    @property
    def path(self) -> Path:
        """The file it was loaded from."""
        return Path(self._native.path)

    @property
    def metadata(self) -> Mapping[str, str]:
        """Scalar metadata fields of the file, as text."""
        return dict(self._native.metadata)

    @property
    def alpha(self) -> float:
        """Its own strength; divided by the rank. 0: scales are used as they are."""
        return float(self._native.alpha)

    @property
    def n_tensors(self) -> int:
        """Matrices it changes."""
        return int(self._native.n_tensors)

    @property
    def size_bytes(self) -> int:
        """Size of its weights."""
        return int(self._native.size_bytes)

    @property
    def invocation_tokens(self) -> tuple[int, ...]:
        """Those an activated LoRA (Greenewald et al. 2025) acts from; empty for others.

        It acts from where they last stand in the prompt, and not at all where they do not; what
        is before them is shared with requests of the bare model.
        """
        return tuple(self._native.invocation_tokens)

    def __repr__(self) -> str:
        return f"<LoraAdapter of {self.n_tensors} matrices from {self.path.name}>"


@dataclass(frozen=True)
class AdapterSet:
    """The adapters of one request: a value, equal to every set with the same effect.

    Requests with equal sets can share a batch. An adapter given twice acts with both scales
    together; scale 0 is the same as leaving it out.

    Raises:
        InvalidOptionError: a scale that is not finite.
    """

    loras: tuple[tuple[LoraAdapter, float], ...] = ()
    """Adapters with their scales; 1.0 is as trained, negative turns it round"""
    control_vector: ControlVector | None = None

    def __post_init__(self) -> None:
        for adapter, scale in self.loras:
            if not math.isfinite(scale):
                raise InvalidOptionError(f"{scale!r} is not a scale", where=adapter.path)

    @functools.cached_property
    def native(self) -> Any:
        """What the core takes."""
        control = self.control_vector
        return core().AdapterSet.of(
            [(adapter._native, float(scale)) for adapter, scale in self.loras],
            control.native if control else None,
        )

    def check(self, model: Model) -> None:
        """Raise InvalidOptionError if a part of it belongs to another model."""
        self.native.check(model._native)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AdapterSet) and bool(self.native == other.native)

    def __hash__(self) -> int:
        return hash(self.native)

    def __bool__(self) -> bool:
        return not self.native.empty

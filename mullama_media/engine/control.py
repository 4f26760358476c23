"""Control vectors: a direction for each layer that pushes answers one way."""

from __future__ import annotations

import functools
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import ArrayLike, NDArray

from mullama_media.engine.native import core
from mullama_media.errors import InvalidOptionError, ModelLoadError

__all__ = ["ControlVector"]

_MOST_LAYERS = 4096


class ControlVector:
    """Rows that are added to what the layers of a model give each other. Immutable, a value.

    Scale and combine them as numbers: `0.8 * calm + 0.5 * formal - shouting`.

    Args:
        directions: layer (1 and up; layer 0 cannot be steered) to a row of n_embd numbers.
        model_hint: the architecture it was made for; only a note.

    Raises:
        InvalidOptionError: no rows, rows of different lengths, layers out of range, numbers that
            are not finite.
    """

    def __init__(self, directions: Mapping[int, ArrayLike], *, model_hint: str = "") -> None:
        rows = {layer: np.asarray(row, np.float32) for layer, row in directions.items()}
        if not rows or len({row.shape for row in rows.values()}) != 1:
            raise InvalidOptionError("it needs equally long rows", where="directions")
        if min(rows) < 1 or max(rows) > _MOST_LAYERS:
            raise InvalidOptionError(
                f"layers go from 1 to {_MOST_LAYERS}, not {min(rows)} to {max(rows)}",
                where="directions",
            )
        width = next(iter(rows.values())).shape
        if len(width) != 1 or width[0] == 0 or not all(np.isfinite(r).all() for r in rows.values()):
            raise InvalidOptionError("a row is a list of finite numbers", where="directions")
        matrix = np.zeros((max(rows), width[0]), np.float32)
        for layer, row in rows.items():
            matrix[layer - 1] = row
        matrix.setflags(write=False)
        self._matrix: NDArray[np.float32] = matrix
        self.model_hint = model_hint

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ControlVector:
        """Read a GGUF file, or JSON: `{"directions": {"1": [...], ...}, "model_hint": "llama"}`.

        Raises:
            ModelLoadError: the file is missing, broken, or no control vector.
        """
        file = Path(path)
        try:
            with file.open("rb") as stream:
                is_json = stream.read(64).lstrip().startswith(b"{")
            if is_json:
                return cls._from_json(file)
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise ModelLoadError(
                f"cannot be read as a control vector: {error}", where=file
            ) from error
        return cls._of_matrix(core().ControlVector.load(os.fspath(path)).values())

    @classmethod
    def _from_json(cls, file: Path) -> ControlVector:
        content = json.loads(file.read_text("utf-8"))
        directions = content.get("directions", content)
        rows = {int(layer): row for layer, row in directions.items()}
        return cls(rows, model_hint=str(content.get("model_hint", "")))

    @classmethod
    def _of_matrix(cls, matrix: NDArray[np.float32], model_hint: str = "") -> ControlVector:
        return cls(dict(enumerate(matrix, 1)), model_hint=model_hint)

    @property
    def n_embd(self) -> int:
        """Length of a row."""
        return int(self._matrix.shape[1])

    @property
    def layers(self) -> tuple[int, ...]:
        """Layers it acts on: those whose row is not all zeros."""
        return tuple(int(i) + 1 for i in np.flatnonzero(self._matrix.any(axis=1)))

    def row(self, layer: int) -> NDArray[np.float32]:
        """The direction of one layer, float32 (n_embd,), read-only; zeros where it does not act."""
        if not 1 <= layer <= len(self._matrix):
            return np.zeros(self.n_embd, np.float32)
        row: NDArray[np.float32] = self._matrix[layer - 1]
        return row

    def between(self, first: int, last: int) -> ControlVector:
        """The same, on layers `first` to `last` alone, both included."""
        rows = {layer: self.row(layer) for layer in self.layers if first <= layer <= last}
        if not rows:
            raise InvalidOptionError(f"it has no layer from {first} to {last}", where="layers")
        return ControlVector(rows, model_hint=self.model_hint)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as GGUF, or as JSON if the name ends in .json.

        llama.cpp's tools read the GGUF file. Raises OSError.
        """
        rows = {layer: self.row(layer) for layer in self.layers or (1,)}
        if str(path).endswith(".json"):
            content = {
                "model_hint": self.model_hint,
                "directions": {str(layer): row.tolist() for layer, row in rows.items()},
            }
            Path(path).write_text(json.dumps(content), "utf-8")
            return
        writer = gguf.GGUFWriter(path, "controlvector")
        try:
            writer.add_string("controlvector.model_hint", self.model_hint)
            writer.add_int32("controlvector.layer_count", len(self._matrix))
            for layer, row in rows.items():
                writer.add_tensor(f"direction.{layer}", row)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()

    @functools.cached_property
    def native(self) -> Any:
        """What the core takes."""
        return core().ControlVector.of(self._matrix)

    def __mul__(self, scale: float) -> ControlVector:
        if not math.isfinite(scale):
            raise InvalidOptionError(f"{scale!r} is not a scale", where="control vector")
        return self._of_matrix(self._matrix * np.float32(scale), self.model_hint)

    __rmul__ = __mul__

    def __neg__(self) -> ControlVector:
        return self * -1.0

    def __add__(self, other: ControlVector) -> ControlVector:
        if self.n_embd != other.n_embd:
            raise InvalidOptionError(
                f"rows of {self.n_embd} and {other.n_embd} numbers cannot be added",
                where="control vector",
                hint="Both must be made for the same model",
            )
        total = np.zeros((max(len(self._matrix), len(other._matrix)), self.n_embd), np.float32)
        total[: len(self._matrix)] += self._matrix
        total[: len(other._matrix)] += other._matrix
        return self._of_matrix(total, self.model_hint or other.model_hint)

    def __sub__(self, other: ControlVector) -> ControlVector:
        return self + -other

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ControlVector) or self.n_embd != other.n_embd:
            return False
        return not (self - other)._matrix.any()

    def __hash__(self) -> int:
        return hash((self.n_embd, self.layers))

    def __repr__(self) -> str:
        return f"<ControlVector of {len(self.layers)} layers, n_embd {self.n_embd}>"

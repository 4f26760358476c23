"""Writing a model with weights of another type, to make it smaller."""

from __future__ import annotations

import concurrent.futures
import difflib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mullama_media.engine.native import core
from mullama_media.errors import InvalidOptionError, ModelLoadError, QuantizeError
from mullama_media.options import option, options

__all__ = [
    "QuantizeParams",
    "QuantizePlan",
    "TensorPlan",
    "plan_quantization",
    "quantization_types",
    "quantize",
    "tensor_types",
]

Progress = Callable[[int, int], None]
_POLL_S = 0.05


@options
class QuantizeParams:
    """How a model is quantized, besides the type."""

    imatrix: str | None = option(
        default=None,
        doc="Importance matrix file (GGUF or the older format): which weights matter. Types of "
        "2 bits and less need one; all below 6 bits get better with it.",
    )
    include_weights: tuple[str, ...] = option(
        default=(), doc="Use the matrix only for tensors whose name holds one of these."
    )
    exclude_weights: tuple[str, ...] = option(
        default=(), doc="Do not use the matrix for tensors whose name holds one of these."
    )
    tensor_types: tuple[str, ...] = option(
        default=(),
        doc="'regex=type' for single tensors, such as 'attn_v=q6_k'; the first that is found in "
        "the name wins. No effect where TYPE is F32, F16 or BF16.",
    )
    output_type: str | None = option(default=None, doc="Type of output.weight.")
    token_embedding_type: str | None = option(default=None, doc="Type of the token embeddings.")
    pure: bool = option(default=False, doc="One type for every tensor instead of the usual mix.")
    leave_output: bool = option(default=False, doc="Leave output.weight as it is.")
    allow_requantize: bool = option(
        default=False, doc="Accept a model that is quantized already; quality suffers twice."
    )
    keep_split: bool = option(default=False, doc="Write as many files as the model has.")
    threads: int | None = option(default=None, doc="CPU threads; None for all.", ge=1, le=512)


@dataclass(frozen=True, slots=True)
class TensorPlan:
    """What becomes of one tensor."""

    name: str
    shape: tuple[int, ...]
    """Row length first"""
    type: str
    new_type: str
    size: int
    """Bytes"""
    new_size: int
    """Bytes"""


@dataclass(frozen=True, slots=True)
class QuantizePlan:
    """What quantizing would do, tensor by tensor."""

    type: str
    tensors: tuple[TensorPlan, ...]
    """In the order they are written"""
    missing_imatrix: tuple[str, ...]
    """Tensors that need an importance matrix and have none; quantizing refuses them"""
    requantized: tuple[str, ...]
    """Tensors that are quantized already and would change; refused unless allowed"""
    warnings: str
    """What llama.cpp said about it; may be empty"""

    @property
    def size(self) -> int:
        """Bytes of all tensors now."""
        return sum(tensor.size for tensor in self.tensors)

    @property
    def new_size(self) -> int:
        """Bytes of all tensors afterwards; the file is larger by its metadata."""
        return sum(tensor.new_size for tensor in self.tensors)

    @property
    def bits_per_weight(self) -> float:
        """Mean over all tensors, afterwards."""
        weights = 0
        for tensor in self.tensors:
            count = 1
            for length in tensor.shape:
                count *= length
            weights += count
        return 8 * self.new_size / weights if weights else 0.0


def quantization_types() -> dict[str, float]:
    """Types a model can be written as, with the bits per weight of most of its tensors."""
    return dict(core().FILE_TYPES)


def tensor_types() -> tuple[str, ...]:
    """Types a single tensor can have."""
    return tuple(core().TENSOR_TYPES)


def plan_quantization(
    source: str | os.PathLike[str], file_type: str, params: QuantizeParams | None = None
) -> QuantizePlan:
    """Decide what every tensor becomes, without writing anything. Blocks for well under a second.

    Args:
        source: the .gguf file (the first one of a split model).
        file_type: one of `quantization_types()`, in any case, or "COPY" to keep every tensor.
        params: everything else.

    Raises:
        InvalidOptionError: an unknown type or a bad rule.
        ModelLoadError: the model or the importance matrix is missing or damaged.
    """
    return _described(_plan(source, file_type, params or QuantizeParams()))


def quantize(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    file_type: str,
    params: QuantizeParams | None = None,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> QuantizePlan:
    """Write `source` as `target` with weights of another type.

    Blocks, with the GIL released. The target appears whole under its name or not at all: Ctrl-C
    and `cancel` stop within a fraction of a second and leave nothing behind.

    Args:
        source: the .gguf file (the first one of a split model).
        target: the file to write; with `keep_split` its name gets -00001-of-0000N.
        file_type: one of `quantization_types()`, in any case, or "COPY" to keep every tensor.
        params: everything else.
        overwrite: replace a target that exists.
        progress: called on this thread with bytes of the source done and in all, some 20 times a
            second.
        cancel: set it from any thread to stop.

    Returns:
        what was done.

    Raises:
        InvalidOptionError: an unknown type, a missing importance matrix, a model that is quantized
            already, source and target the same file.
        ModelLoadError: the model or the importance matrix is missing or damaged.
        QuantizeError: the target cannot be written (no space, no permission, it exists).
        QuantizeCancelledError: `cancel` was set.
    """
    params = params or QuantizeParams()
    if not overwrite and Path(target).is_file() and not _same(source, target):
        raise QuantizeError(
            "it exists", where=target, hint="Name another file, or allow overwriting"
        )
    plan = _plan(source, file_type, params)
    watch = core().QuantizeProgress()
    with concurrent.futures.ThreadPoolExecutor(1, "mullama-quantize") as pool:
        writing = pool.submit(plan.write, os.fspath(target), params, watch)
        try:
            while not concurrent.futures.wait([writing], _POLL_S).done:
                if cancel and cancel.is_set():
                    watch.cancel()
                if progress and watch.total:
                    progress(watch.done, watch.total)
        except BaseException:
            watch.cancel()
            raise
        writing.result()
    if progress:
        progress(watch.total, watch.total)
    return _described(plan)


def _plan(source: str | os.PathLike[str], file_type: str, params: QuantizeParams) -> Any:
    native = core()
    _known(file_type, [*quantization_types(), "COPY"], "type")
    for name, value in (
        ("output_type", params.output_type),
        ("token_embedding_type", params.token_embedding_type),
    ):
        if value is not None:
            _known(value, tensor_types(), name)
    if params.imatrix is not None and not Path(params.imatrix).is_file():
        raise ModelLoadError("there is no such file", where=params.imatrix)
    return native.QuantizePlan.make(os.fspath(source), file_type, params)


def _known(name: str, choices: list[str] | tuple[str, ...], where: str) -> None:
    lower = {choice.lower(): choice for choice in choices}
    if name.lower() in lower:
        return
    near = difflib.get_close_matches(name.lower(), list(lower), 3, 0.5)
    raise InvalidOptionError(
        f"no such quantization type: {name!r}",
        where=where,
        hint=f"Did you mean {', '.join(lower[n] for n in near)}?"
        if near
        else f"It may be {', '.join(choices)}",
    )


def _same(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> bool:
    return Path(source).exists() and os.path.samefile(source, target)


def _described(native: Any) -> QuantizePlan:
    return QuantizePlan(
        type=native.type,
        tensors=tuple(
            TensorPlan(name, tuple(shape), old, new, size, new_size)
            for name, shape, old, new, size, new_size in native.tensors
        ),
        missing_imatrix=tuple(native.missing_imatrix),
        requantized=tuple(native.requantized),
        warnings=native.warnings,
    )

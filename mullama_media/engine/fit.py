"""Sizes that fit the memory there is."""

from __future__ import annotations

import os
from dataclasses import dataclass

from mullama_media.engine.native import core
from mullama_media.engine.params import EngineParams, ModelParams
from mullama_media.options import replace

__all__ = ["Fit", "fit_to_memory"]


@dataclass(frozen=True, slots=True)
class Fit:
    """Parameters that fit."""

    model: ModelParams
    engine: EngineParams


def fit_to_memory(
    path: str | os.PathLike[str],
    model_params: ModelParams | None = None,
    engine_params: EngineParams | None = None,
    *,
    margin_mib: int = 1024,
    min_ctx: int = 4096,
) -> Fit:
    """Fill in what is not given so that model and context fit the free memory.

    Chooses `n_ctx` where it is None (up to what the model was trained for) and, with GPUs,
    `gpu_layers`, `tensor_split` and `override_tensors` where they have their defaults. Without a
    GPU it is main memory that is fitted. Nothing is allocated; blocks for a few readings of the
    file's header. Do not load models or run engines at the same time: llama.cpp's log is
    redirected meanwhile.

    Args:
        path: the .gguf file.
        model_params, engine_params: what is given.
        margin_mib: MiB to leave free on every device.
        min_ctx: fewest tokens that are worth having, for each request.

    Raises:
        ModelLoadError: the file is broken, or nothing fits.
    """
    model_params = model_params or ModelParams()
    engine_params = engine_params or EngineParams(n_ctx=None)
    gpu_layers, split, overrides, n_ctx = core().fit_to_memory(
        os.fspath(path), model_params, engine_params, margin_mib << 20, min_ctx
    )
    return Fit(
        replace(
            model_params,
            gpu_layers=max(gpu_layers, -1),
            tensor_split=tuple(split),
            override_tensors=tuple(overrides),
        ),
        replace(engine_params, n_ctx=n_ctx),
    )

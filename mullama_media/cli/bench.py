"""`mullama bench`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from mullama_media.cli.progress import console, fetch, loading
from mullama_media.engine import (
    Engine,
    EngineParams,
    Measurement,
    Model,
    ModelParams,
    measure,
    system_info,
)
from mullama_media.options import from_mapping

__all__ = ["run"]


def run(
    name: str,
    *,
    prompts: Sequence[int],
    answers: Sequence[int],
    parallel: Sequence[int],
    repetitions: int,
    as_json: bool,
    engine: Mapping[str, Any],
    model: Mapping[str, Any],
) -> None:
    """Measure and print."""
    path = fetch(name, None).model
    need = max([*prompts, *(size + 16 for size in answers), 32]) + 16
    params = from_mapping(
        EngineParams, {"n_ctx": need, "n_parallel": max(parallel, default=1), **engine}
    )
    with loading(path.name) as progress:
        loaded = Model.load(path, from_mapping(ModelParams, model), progress=progress)
    with (
        Engine(loaded, params) as running,
        Progress(
            TextColumn("measuring"),
            BarColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        ) as bars,
    ):
        task = bars.add_task("", total=None)
        results = measure(
            running,
            prompts=prompts,
            answers=answers,
            parallel=parallel,
            repetitions=repetitions,
            progress=lambda done, total: bars.update(task, completed=done, total=total),
        )
    typer.echo(
        json.dumps(_as_dict(loaded, params, results)) if as_json else _table(loaded, results)
    )


def _table(model: Model, results: Sequence[Measurement]) -> str:
    lines = [f"{model.description}, {model.size_bytes / 2**20:.0f} MiB, {_devices()}", ""]
    lines += [f"{r.test:<10} {r.mean:10.1f} ± {r.deviation:.1f} tokens/s" for r in results]
    return "\n".join(lines)


def _devices() -> str:
    return ", ".join(device.description.strip() for device in system_info().devices)


def _as_dict(model: Model, params: EngineParams, results: Sequence[Measurement]) -> dict[str, Any]:
    return {
        "model": str(model.path),
        "description": model.description,
        "size_bytes": model.size_bytes,
        "n_params": model.n_params,
        "system": asdict(system_info()),
        "engine": asdict(params),
        "results": [{**asdict(r), "mean": r.mean, "deviation": r.deviation} for r in results],
    }

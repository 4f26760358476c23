"""`mullama quantize`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from mullama_media.cli.progress import console, fetch
from mullama_media.engine import (
    QuantizeParams,
    QuantizePlan,
    plan_quantization,
    quantization_types,
    quantize,
)
from mullama_media.errors import InvalidOptionError
from mullama_media.options import from_mapping

__all__ = ["run"]

_MIB = 1 << 20


def run(
    arguments: Sequence[str],
    *,
    dry_run: bool,
    force: bool,
    as_json: bool,
    list_types: bool,
    options: Mapping[str, Any],
) -> None:
    """SRC [DST] TYPE."""
    if list_types:
        for name, bits in quantization_types().items():
            typer.echo(f"{name:<10} {bits:6.3f} bits per weight")
        return
    if not 2 <= len(arguments) <= 3:
        raise InvalidOptionError(
            "it takes a model, perhaps a file to write, and a type",
            hint="For example: mullama quantize model-f16.gguf model-q4.gguf Q4_K_M",
        )
    source, kind = arguments[0], arguments[-1]
    path = fetch(source, None).model
    target = Path(arguments[1]) if len(arguments) == 3 else _target(source, path, kind)
    params = from_mapping(QuantizeParams, options)
    if dry_run:
        plan = plan_quantization(path, kind, params)
        typer.echo(json.dumps(_as_dict(plan, None)) if as_json else _table(plan))
        return
    with Progress(
        TextColumn(f"quantizing {path.name}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bars:
        task = bars.add_task("", total=None)
        plan = quantize(
            path,
            target,
            kind,
            params,
            overwrite=force,
            progress=lambda done, total: bars.update(task, completed=done, total=total),
        )
    typer.echo(json.dumps(_as_dict(plan, target)) if as_json else target)
    if not as_json:
        console.print(_summary(plan))


def _target(source: str, path: Path, kind: str) -> Path:
    """Beside the model; in the current folder for one that comes from the cache."""
    stem = re.sub(r"[-.](?:I?Q\d\w*|TQ\d\w*|B?F16|F32)$", "", path.stem, flags=re.IGNORECASE)
    folder = path.parent if Path(source).exists() else Path()
    return folder / f"{stem}-{kind.upper()}.gguf"


def _table(plan: QuantizePlan) -> str:
    rows = [
        (t.name, "x".join(map(str, t.shape)), t.type, t.new_type, f"{t.new_size / _MIB:.2f}")
        for t in plan.tensors
    ]
    rows.insert(0, ("tensor", "shape", "type", "becomes", "MiB"))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([*(line.rstrip() for line in lines), "", _summary(plan)])


def _summary(plan: QuantizePlan) -> str:
    lines = [
        f"{plan.size / _MIB:.1f} MiB to {plan.new_size / _MIB:.1f} MiB as {plan.type}, "
        f"{plan.bits_per_weight:.2f} bits per weight"
    ]
    if plan.missing_imatrix:
        lines.append(f"{len(plan.missing_imatrix)} tensors need an importance matrix (--imatrix)")
    if plan.requantized:
        lines.append(
            f"{len(plan.requantized)} tensors were quantized already: quality suffers twice"
        )
    return "\n".join(lines)


def _as_dict(plan: QuantizePlan, target: Path | None) -> dict[str, Any]:
    return {
        **asdict(plan),
        "file": None if target is None else str(target),
        "size": plan.size,
        "new_size": plan.new_size,
        "bits_per_weight": plan.bits_per_weight,
    }

"""`mullama caption`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, redirect_stdout
from itertools import islice
from pathlib import Path
from typing import Any

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from mullama_media.caption.captioner import Captioner
from mullama_media.caption.cluster import ClusterCaptioner, Job
from mullama_media.caption.inputs import find
from mullama_media.caption.journal import Journal
from mullama_media.caption.ondisk import Results
from mullama_media.caption.outputs import SIDECARS, check_table, write_sidecar, write_table
from mullama_media.caption.params import ClusterParams
from mullama_media.caption.record import Caption
from mullama_media.caption.report import Report
from mullama_media.cli.fields import Given
from mullama_media.cli.progress import console
from mullama_media.cli.run import open_processor
from mullama_media.engine.params import EngineParams, MediaParams, ModelParams
from mullama_media.errors import InvalidOptionError, MediaError
from mullama_media.multimodal import CaptionParams
from mullama_media.options import from_mapping
from mullama_media.vision.fetch import is_url, short_name
from mullama_media.vision.params import PictureParams

__all__ = ["run"]

_SHOWN = 20  # failures listed at the end


def run(
    names: Sequence[str],
    model: str,
    *,
    mmproj: str | None,
    recursive: bool,
    table: Path | None,
    sidecar: str | None,
    journal: Path | None,
    report: Path | None,
    schema: str | None,
    as_json: bool,
    params: Given,
    watching: Given,
    engine: Given,
    loading: Given,
    cluster: Given,
    media: Given,
    pictures: PictureParams,
) -> None:
    """Caption everything that is named."""
    if sidecar is not None and sidecar not in SIDECARS:
        raise InvalidOptionError(
            f"{sidecar!r} is no kind of file",
            where="--sidecar",
            hint=f"One of {', '.join(SIDECARS)}",
        )
    if table is not None:
        check_table(table)
    given: dict[str, Any] = {**params, "video": watching}
    if schema is not None:
        given["schema"] = schema if schema.lstrip().startswith("{") else _text(Path(schema))
    asked = from_mapping(CaptionParams, given)
    # No picture comes twice: copies are known by their bytes before they are encoded.
    engine_params = from_mapping(EngineParams, {"media_cache_mb": 0, **engine})
    model_params = from_mapping(ModelParams, loading)
    media_params = from_mapping(MediaParams, media)
    if cluster and "address" not in cluster:
        flag = f"--{next(iter(cluster))}"
        raise InvalidOptionError("it is for a cluster", where=flag, hint="Name one with --ray")
    with ExitStack() as stack:
        results = stack.enter_context(closing(Results(find(_names(names), recursive=recursive))))
        if not results:
            raise InvalidOptionError("there is no picture", hint="Name files, folders or patterns")
        captioner: Captioner | ClusterCaptioner
        out = _Output(sidecar, as_json=as_json, quiet=table is not None or sidecar is not None)
        if cluster:
            stack.enter_context(redirect_stdout(sys.stderr))  # Ray writes what it thinks there
            job = Job(model, mmproj, asked, engine_params, model_params, media_params, pictures)
            captioner = stack.enter_context(_cluster(job, from_mapping(ClusterParams, cluster)))
        else:
            processor = stack.enter_context(
                open_processor(model, mmproj, engine_params, model_params, media_params, pictures)
            )
            captioner = Captioner(processor, asked)
        kept = journal or _journal(table, sidecar)
        book = stack.enter_context(Journal(kept, captioner.question)) if kept else None
        try:
            for caption in _watched(captioner.run(results.paths(), book), len(results)):
                results.add(out.tell(caption))
        finally:  # an interrupted run leaves what it has
            if table is not None:
                write_table(table, results.captions())
            if report is not None:
                _report(report, results.captions(), pictures)
        _sum_up(results)


def _cluster(job: Job, params: ClusterParams) -> ClusterCaptioner:
    with console.status(f"joining Ray at {params.address}, loading {job.model} there"):
        return ClusterCaptioner(job, params)


class _Output:
    """What is written as captions come."""

    def __init__(self, sidecar: str | None, *, as_json: bool, quiet: bool) -> None:
        self._sidecar = sidecar
        self._as_json = as_json
        self._quiet = quiet
        self._file = sys.stdout

    def tell(self, caption: Caption) -> Caption:
        if self._sidecar is not None and caption.error is None:
            try:
                write_sidecar(caption, self._sidecar)
            except MediaError as error:
                caption = Caption(caption.path, caption.digest, error=str(error))
        if self._as_json:
            line = json.dumps(caption.as_dict(), ensure_ascii=False)
            typer.echo(line.encode(errors="backslashreplace"), self._file)
        elif not self._quiet and caption.error is None:
            name = short_name(caption.path) if is_url(caption.path) else caption.path
            typer.echo(f"{name}: {' '.join(caption.text.split())}", self._file)
        return caption


def _names(names: Sequence[str]) -> Iterator[str]:
    """- is a list on stdin, one path a line."""
    for name in names:
        if name == "-":
            yield from (
                os.fsdecode(line) for raw in sys.stdin.buffer if (line := raw.rstrip(b"\r\n"))
            )
        else:
            yield name


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidOptionError(f"cannot be read: {error}", where=path) from error


def _journal(table: Path | None, sidecar: str | None) -> Path | None:
    if table is not None:
        return table.with_name(f"{table.name}.journal")
    return Path("captions.journal") if sidecar is not None else None


def _watched(captions: Iterator[Caption], total: int) -> Iterator[Caption]:
    """With a bar on a terminal."""
    with Progress(
        TextColumn("captions"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("[red]{task.fields[failed]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bars:
        task = bars.add_task("", total=total, failed="")
        failed = 0
        for caption in captions:
            failed += caption.error is not None
            bars.update(task, advance=1, failed=f"{failed} failed" if failed else "")
            yield caption


class _Rate(ProgressColumn):
    """Pictures a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "")


def _report(path: Path, captions: Iterable[Caption], pictures: PictureParams) -> None:
    with Report(path, pictures) as sheet:
        for caption in captions:
            sheet.add(caption)


def _sum_up(results: Results) -> None:
    console.print(
        f"{len(results) - results.failed} captions"
        + (f", {results.copies} of them copies" if results.copies else "")
        + (f", {results.failed} failed" if results.failed else "")
    )
    for caption in islice(results.captions(failed=True), _SHOWN):
        console.print(f"error: {caption.error}", markup=False, soft_wrap=True)
    if results.failed > _SHOWN:
        console.print(f"and {results.failed - _SHOWN} more")
    if results.failed:
        raise typer.Exit(1)

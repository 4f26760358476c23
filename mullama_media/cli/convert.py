"""`mullama convert`."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from mullama_media.audio.convert import Conversion, convert, convert_many
from mullama_media.audio.formats import FORMATS, SUFFIXES, ConvertParams
from mullama_media.cli.fields import Given
from mullama_media.cli.progress import console
from mullama_media.errors import InvalidOptionError
from mullama_media.options import from_mapping

__all__ = ["run"]


def run(
    sources: Sequence[Path], target: Path, *, force: bool, workers: int | None, options: Given
) -> None:
    """IN... OUT."""
    params = from_mapping(ConvertParams, options)
    if len(sources) == 1 and not sources[0].is_dir() and not target.is_dir():
        done = [_one(sources[0], target, params, force)]
    else:
        done = _many(sources, target, params, force, workers)
    failed = [result for result in done if result.error is not None]
    for result in failed:
        console.print(f"error: {result.error}", markup=False)
    if failed:
        raise typer.Exit(1)


def _one(source: Path, target: Path, params: ConvertParams, force: bool) -> Conversion:
    with _bars(source.name, count=False) as (bars, task):
        done = convert(
            source,
            target,
            params,
            overwrite=force,
            progress=lambda at, total: bars.update(task, completed=at, total=total),
        )
    _say(done)
    return done


def _many(
    sources: Sequence[Path], folder: Path, params: ConvertParams, force: bool, workers: int | None
) -> list[Conversion]:
    if params.format is None:
        raise InvalidOptionError(
            "many files need --format", where=folder, hint=f"One of {', '.join(FORMATS)}"
        )
    pairs = [pair for source in sources for pair in _pairs(source, folder, params.format)]
    for target, times in Counter(target for _, target in pairs).items():
        if times > 1:
            raise InvalidOptionError("two files would become this one", where=target)
        target.parent.mkdir(parents=True, exist_ok=True)
    with _bars("converting", count=True, total=len(pairs)) as (bars, task):

        def progress(result: Conversion) -> None:
            bars.advance(task)
            _say(result)

        return convert_many(pairs, params, overwrite=force, workers=workers, progress=progress)


def _pairs(source: Path, folder: Path, kind: str) -> list[tuple[Path, Path]]:
    """A file beside others in `folder`; of a folder every sound file, in the same subfolders."""
    suffix = FORMATS[kind].suffixes[0]
    if not source.is_dir():
        return [(source, folder / source.with_suffix(suffix).name)]
    found = sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise InvalidOptionError("there is no sound file in it", where=source)
    return [(path, folder / path.relative_to(source).with_suffix(suffix)) for path in found]


def _say(result: Conversion) -> None:
    if result.error is None:
        layout = f"{result.sample_rate} Hz, {result.channels} channels"
        typer.echo(f"{result.target}  {result.seconds:.1f} s, {layout}")


@contextlib.contextmanager
def _bars(text: str, *, count: bool, total: int | None = None) -> Iterator[tuple[Progress, TaskID]]:
    """A bar on a terminal; nothing elsewhere."""
    columns = [TextColumn(text), BarColumn(), *([MofNCompleteColumn()] if count else [])]
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bars:
        yield bars, bars.add_task("", total=total)

"""`mullama convert`."""

from __future__ import annotations

import contextlib
import glob
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from mullama_media.audio import convert as sound
from mullama_media.audio import formats as sounds
from mullama_media.cli.fields import Given
from mullama_media.cli.pictures import flag_of
from mullama_media.cli.progress import console
from mullama_media.errors import InvalidOptionError
from mullama_media.options import from_mapping
from mullama_media.vision import convert as vision
from mullama_media.vision import formats as pictures
from mullama_media.vision.params import ConvertParams, DecodeParams, FitParams

__all__ = ["run"]

Done = sound.Conversion | vision.PictureConversion


@dataclass(frozen=True, slots=True)
class _Kind:
    """Sound or pictures: what a run converts."""

    name: str
    formats: Mapping[str, Any]
    suffixes: frozenset[str]
    params: Any
    convert: Callable[..., Done]
    convert_many: Callable[..., list[Any]]


def run(
    sources: Sequence[str],
    target: Path,
    *,
    kind: str | None,
    force: bool,
    workers: int | None,
    sound_options: Given,
    picture_options: Given,
    decoding: Given,
    fit: Given,
) -> None:
    """IN... OUT."""
    kind = _format(kind)
    if _is_picture(kind, target):
        _refuse(sound_options, "sound", "pictures")
        options = {
            **picture_options,
            "decode": from_mapping(DecodeParams, decoding),
            "fit": from_mapping(FitParams, fit),
        }
        work = _Kind(
            "picture",
            pictures.FORMATS,
            pictures.SUFFIXES,
            from_mapping(ConvertParams, {"format": kind, **options}),
            vision.convert,
            vision.convert_many,
        )
    else:
        _refuse({**picture_options, **decoding, **fit}, "pictures", "sound")
        work = _Kind(
            "sound file",
            sounds.FORMATS,
            sounds.SUFFIXES,
            from_mapping(sounds.ConvertParams, {"format": kind, **sound_options}),
            sound.convert,
            sound.convert_many,
        )
    paths = [path for source in sources for path in _named(source)]
    if len(paths) == 1 and not paths[0].is_dir() and not target.is_dir():
        done = [_one(paths[0], target, work, force)]
    else:
        done = _many(paths, target, work, force, workers)
    _sum_up(done)


def _format(name: str | None) -> str | None:
    """A format by its name or by an ending of it: jpg is jpeg."""
    if name is None:
        return None
    known: dict[str, Any] = {**sounds.FORMATS, **pictures.FORMATS}
    for kind, about in known.items():
        if name == kind or f".{name}" in about.suffixes:
            return kind
    raise InvalidOptionError(
        f"{name!r} is no format", where="--format", hint=f"One of {', '.join(known)}"
    )


def _is_picture(kind: str | None, target: Path) -> bool:
    return kind in pictures.FORMATS or (kind is None and target.suffix.lower() in pictures.SUFFIXES)


def _refuse(given: Given, theirs: str, ours: str) -> None:
    for name in given:
        raise InvalidOptionError(f"it is for {theirs}, and OUT is for {ours}", where=flag_of(name))


def _named(source: str) -> Iterator[Path]:
    """A pattern that the shell left alone stands for what it matches."""
    if os.path.lexists(source) or not glob.has_magic(source):
        yield Path(source)
        return
    found = sorted(glob.iglob(source, recursive=True))
    if not found:
        raise InvalidOptionError("nothing matches this pattern", where=source)
    yield from map(Path, found)


def _one(source: Path, target: Path, work: _Kind, force: bool) -> Done:
    with _bars(source.name, count=False) as (bars, task):
        options: dict[str, Any] = {"overwrite": force}
        if work.convert is sound.convert:
            options["progress"] = lambda at, total: bars.update(task, completed=at, total=total)
        done = work.convert(source, target, work.params, **options)
    _say(done)
    return done


def _many(
    sources: Sequence[Path], folder: Path, work: _Kind, force: bool, workers: int | None
) -> list[Done]:
    if work.params.format is None:
        raise InvalidOptionError(
            "many files need --format",
            where=folder,
            hint=f"One of {', '.join([*sounds.FORMATS, *pictures.FORMATS])}",
        )
    pairs = [pair for source in sources for pair in _pairs(source, folder, work)]
    for target, times in Counter(target for _, target in pairs).items():
        if times > 1:
            raise InvalidOptionError("two files would become this one", where=target)
        _make_folder(target.parent)
    with _bars("converting", count=True, total=len(pairs)) as (bars, task):

        def progress(result: Done) -> None:
            bars.advance(task)
            _say(result)

        return work.convert_many(
            pairs, work.params, overwrite=force, workers=workers, progress=progress
        )


def _pairs(source: Path, folder: Path, work: _Kind) -> list[tuple[Path, Path]]:
    """A file beside others in `folder`; of a folder every such file, in the same subfolders."""
    suffix = work.formats[work.params.format].suffixes[0]
    if not source.is_dir():
        return [(source, folder / source.with_suffix(suffix).name)]
    found = sorted(path for path in source.rglob("*") if path.suffix.lower() in work.suffixes)
    if not found:
        raise InvalidOptionError(f"there is no {work.name} in it", where=source)
    return [(path, folder / path.relative_to(source).with_suffix(suffix)) for path in found]


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidOptionError(f"cannot be made: {error.strerror}", where=folder) from error


def _say(result: Done) -> None:
    if result.error is not None:
        return
    if isinstance(result, sound.Conversion):
        what = f"{result.seconds:.1f} s, {result.sample_rate} Hz, {result.channels} channels"
    else:
        frames = f", {result.frames} frames" if result.frames > 1 else ""
        what = f"{result.width}x{result.height}{frames}"
    typer.echo(f"{result.target}  {what}")


def _sum_up(done: Sequence[Done]) -> None:
    failed = [result for result in done if result.error is not None]
    if failed and len(done) > 1:
        console.print(f"{len(done) - len(failed)} converted, {len(failed)} failed")
    for result in failed:
        console.print(f"error: {result.error}", markup=False, soft_wrap=True)
    if failed:
        raise typer.Exit(1)


@contextlib.contextmanager
def _bars(text: str, *, count: bool, total: int | None = None) -> Iterator[tuple[Progress, TaskID]]:
    """A bar on a terminal; nothing elsewhere."""
    columns = [TextColumn(text), BarColumn(), *([MofNCompleteColumn()] if count else [])]
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bars:
        yield bars, bars.add_task("", total=total)

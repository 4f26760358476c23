"""`mullama transcribe`."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from mullama_media.audio.config import AudioStreamConfig
from mullama_media.audio.decode import SoundReader
from mullama_media.audio.formats import SUFFIXES
from mullama_media.caption.inputs import find
from mullama_media.cli.fields import Given
from mullama_media.cli.progress import Downloads, console
from mullama_media.errors import InvalidOptionError, MediaError, MullamaError
from mullama_media.options import from_mapping, replace
from mullama_media.speech.loading import load_transcriber
from mullama_media.speech.params import TranscriberParams, TranscriptionParams
from mullama_media.speech.subtitles import SubtitleParams, cues, srt, vtt
from mullama_media.speech.transcriber import Transcriber
from mullama_media.speech.transcript import Transcript

__all__ = ["run"]

_ENDINGS = {"text": ".txt", "srt": ".srt", "vtt": ".vtt", "json": ".json"}
_LOOK_S = 0.1  # how often the bar moves


def run(
    names: Sequence[str],
    *,
    recursive: bool,
    formats: Sequence[str],
    folder: Path | None,
    force: bool,
    preset: str,
    config: Path | None,
    loading: Given,
    params: Given,
    subtitles: Given,
    stages: Mapping[str, Given],
) -> None:
    """Transcribe everything that is named."""
    kinds = _kinds(formats)
    asked = from_mapping(TranscriptionParams, {**params, "ear": _ear(preset, config, stages)})
    style = from_mapping(SubtitleParams, subtitles)
    paths = list(find(_listed(names), recursive=recursive, suffixes=SUFFIXES, what="sound file"))
    if folder is None and len(paths) > 1 and set(kinds) & {"srt", "vtt"}:
        raise InvalidOptionError(
            "subtitles of many files need a folder", hint="Name one with --out"
        )
    if folder is None and len(kinds) > 1:
        raise InvalidOptionError("several formats need a folder", hint="Name one with --out")
    targets = _targets(paths, folder, kinds) if folder is not None else {}
    wanted = [path for path in paths if force or not _there(targets.get(path, []))]
    count = _Count(skipped=len(paths) - len(wanted))
    if wanted:
        downloads = Downloads()
        try:
            transcriber = load_transcriber(
                from_mapping(TranscriberParams, loading), download=downloads
            )
        finally:
            downloads.finish()
        with transcriber:
            transcriber.check(asked)
            _each(wanted, transcriber, asked, _Output(kinds, style, targets, len(paths)), count)
    count.sum_up()


@dataclass
class _Count:
    done: int = 0
    skipped: int = 0
    failed: int = 0
    seconds: float = 0.0
    spent_s: float = 0.0

    def sum_up(self) -> None:
        """The last line, and the exit status."""
        parts = [f"{self.done} transcribed"]
        parts += [f"{self.skipped} there already"] if self.skipped else []
        parts += [f"{self.failed} failed"] if self.failed else []
        pace = f" (real-time factor {self.spent_s / self.seconds:.3f})" if self.seconds else ""
        console.print(
            f"{', '.join(parts)}; {self.seconds:.1f} s of sound in {self.spent_s:.1f} s{pace}"
        )
        if self.failed:
            raise typer.Exit(1)


class _Output:
    """Transcripts as files, or on stdout."""

    def __init__(
        self,
        kinds: Sequence[str],
        style: SubtitleParams,
        targets: Mapping[str, Sequence[Path]],
        files: int,
    ) -> None:
        self._kinds = kinds
        self._style = style
        self._targets = targets
        self._many = files > 1

    def tell(self, path: str, transcript: Transcript) -> None:
        """Raises MediaError if a file cannot be written."""
        if path not in self._targets:
            text = self._written(self._kinds[0], path, transcript, one_line=True)
            if self._many and self._kinds[0] == "text":
                text = f"{path}: {transcript.text}\n"
            typer.echo(text, nl=False)
            return
        for kind, target in zip(self._kinds, self._targets[path], strict=True):
            _write(target, self._written(kind, path, transcript))

    def _written(
        self, kind: str, path: str, transcript: Transcript, *, one_line: bool = False
    ) -> str:
        if kind == "json":
            found = {"file": path, **transcript.as_dict()}
            indent = None if one_line else 2
            return json.dumps(found, ensure_ascii=False, indent=indent) + "\n"
        if kind == "text":
            return "".join(f"{segment.text}\n" for segment in transcript.segments)
        return (srt if kind == "srt" else vtt)(cues(transcript, self._style))


def _each(
    paths: Sequence[str],
    transcriber: Transcriber,
    params: TranscriptionParams,
    out: _Output,
    count: _Count,
) -> None:
    lengths = [_length_s(path) for path in paths]
    before_s = 0.0
    with _bar(sum(lengths)) as (bars, task):
        for path, length_s in zip(paths, lengths, strict=True):
            began = time.monotonic()
            bars.update(task, file=os.path.basename(path))
            try:
                job = transcriber.transcribe(path, params)
                while not job.wait(_LOOK_S):
                    spent = count.spent_s + time.monotonic() - began
                    done = before_s + job.seconds
                    bars.update(task, completed=done, pace=_pace(spent, done))
                transcript = job.result()
                out.tell(path, transcript)
            except MullamaError as error:
                count.failed += 1
                said = str(error)
                console.print(
                    f"error: {said if path in said else f'{path}: {said}'}",
                    markup=False,
                    soft_wrap=True,
                )
            else:
                count.done += 1
                count.seconds += transcript.end_s
            count.spent_s += time.monotonic() - began
            before_s += length_s


def _pace(spent_s: float, done_s: float) -> str:
    return f"RTF {spent_s / done_s:.2f}" if done_s else ""


def _length_s(path: str) -> float:
    """As the file says it; 0 where it does not, or is none."""
    try:
        with SoundReader(path) as reader:
            return (reader.frames or 0) / reader.sample_rate
    except MullamaError:
        return 0.0  # said when it is read


@contextmanager
def _bar(total_s: float) -> Iterator[tuple[Progress, TaskID]]:
    """Of seconds of sound, on a terminal; nothing elsewhere."""
    with Progress(
        TextColumn("{task.fields[file]}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} s"),
        TextColumn("{task.fields[pace]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bars:
        yield bars, bars.add_task("", total=total_s, file="", pace="")


def _ear(preset: str, config: Path | None, stages: Mapping[str, Given]) -> AudioStreamConfig:
    base = AudioStreamConfig.load(config) if config else AudioStreamConfig.preset(preset)
    changes: dict[str, Any] = {name: given for name, given in stages.items() if given}
    if "denoise" in changes:  # off in the preset
        changes["denoise"] = {"enabled": True, **changes["denoise"]}
    return replace(base, **changes)


def _kinds(formats: Sequence[str]) -> list[str]:
    kinds = list(dict.fromkeys(kind for given in formats for kind in given.split(",") if kind))
    for kind in kinds:
        if kind not in _ENDINGS:
            raise InvalidOptionError(
                f"{kind!r} is no format", where="--format", hint=f"One of {', '.join(_ENDINGS)}"
            )
    return kinds


def _listed(names: Sequence[str]) -> Iterator[str]:
    """- is a list on stdin, one path a line."""
    for name in names:
        if name == "-":
            yield from (line for raw in sys.stdin if (line := raw.rstrip("\r\n")))
        else:
            yield name


def _targets(paths: Sequence[str], folder: Path, kinds: Sequence[str]) -> dict[str, list[Path]]:
    """For each sound file those to write: `talk.srt`, or `talk.wav.srt` where another file would
    have that, too.
    """
    stems = Counter(Path(path).stem for path in paths)
    found = {}
    for path in paths:
        name = Path(path).name if stems[Path(path).stem] > 1 else Path(path).stem
        found[path] = [folder / f"{name}{_ENDINGS[kind]}" for kind in kinds]
    for target, times in Counter(files[0] for files in found.values()).items():
        if times > 1:
            raise InvalidOptionError(
                "two files would become this one",
                where=target,
                hint="Transcribe their folders one after the other",
            )
    return found


def _there(targets: Sequence[Path]) -> bool:
    return bool(targets) and all(target.exists() for target in targets)


def _write(target: Path, text: str) -> None:
    """In one piece."""
    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, "utf-8")
        os.replace(part, target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise MediaError(f"cannot be written: {error.strerror}", where=str(target)) from error

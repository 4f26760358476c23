"""`mullama listen`."""

from __future__ import annotations

import json
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import typer
from rich.live import Live
from rich.text import Text

from mullama_media.audio import files
from mullama_media.audio.config import AudioStreamConfig
from mullama_media.audio.inspect import inspect
from mullama_media.audio.plot import check, plot
from mullama_media.cli.progress import console
from mullama_media.errors import InvalidOptionError
from mullama_media.frames import DeviceChange, Discontinuity, NoAudio, Source, Utterance
from mullama_media.io import FileSource, Microphone, MicrophoneParams, RecordedSource
from mullama_media.options import replace
from mullama_media.speech import StreamingAudioProcessor
from mullama_media.speech.processor import StreamEvent

__all__ = ["configured", "meter", "run"]

_METER_HZ = 10
_BAR = 30  # characters
_QUIET_DB = -60.0


def run(
    file: Path | None,
    *,
    microphone: MicrophoneParams,
    realtime: bool,
    config: AudioStreamConfig,
    folder: Path | None,
    record: Path | None,
    picture: Path | None,
    duration_s: float | None,
    as_json: bool,
) -> None:
    """Hear until the source ends, Ctrl-C or `duration_s`."""
    if picture is not None:
        check(picture)  # not at the end of a long day
    with ExitStack() as stack:
        kept = record
        if picture is not None and file is None and kept is None:
            kept = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "heard.wav"
        source: Source = FileSource(file, paced=realtime) if file else Microphone(microphone)
        recorded = RecordedSource(source, kept) if kept else None
        ear = StreamingAudioProcessor(recorded or source, config)
        out = _Output(folder, as_json=as_json)
        stack.callback(out.close)
        if recorded is not None:
            stack.callback(recorded.finish)  # also of what was heard before an error
        with ear, _interruptible(ear, duration_s), meter(ear):
            if file is None:
                console.print(f"listening to {_name(source)}; Ctrl-C ends it")
            for event in ear:
                out.tell(event)
        if recorded is not None:
            recorded.finish()
        _sum_up(ear)
        if picture is not None:
            plot(inspect(files.read(file or kept or ""), config), picture)


def configured(
    preset: str | None, toml: Path | None, stages: Mapping[str, Mapping[str, Any]]
) -> AudioStreamConfig:
    """What a preset or a file says, changed by what was given on the command line."""
    if preset is not None and toml is not None:
        raise InvalidOptionError("a preset or a file, not both", where="--preset, --config")
    base = AudioStreamConfig.load(toml) if toml else AudioStreamConfig.preset(preset or "default")
    return replace(base, **{name: change for name, change in stages.items() if change})


class _Output:
    """Utterances as files, events as lines."""

    def __init__(self, folder: Path | None, *, as_json: bool) -> None:
        self._folder = folder
        self._as_json = as_json
        self._lines = None
        self.utterances = 0
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                self._lines = (folder / "events.jsonl").open("a", encoding="utf-8")
            except OSError as error:
                raise InvalidOptionError(
                    f"cannot be written: {error.strerror}",
                    where=folder,
                    hint="Name a folder of yours",
                ) from error
            self.utterances = sum(1 for _ in folder.glob("utterance-*.wav"))  # of earlier times

    def tell(self, event: StreamEvent) -> None:
        record = _record(event)
        if isinstance(event, Utterance):
            self.utterances += 1
            if self._folder is not None:
                path = self._folder / f"utterance-{self.utterances:04}.wav"
                files.write(path, event.frame)
                record["file"] = path.name
        line = json.dumps(record)
        if self._lines is not None:
            self._lines.write(line + "\n")
            self._lines.flush()
        if self._as_json:
            typer.echo(line)
        elif (text := _text(event, record)) is not None:
            typer.echo(text)

    def close(self) -> None:
        if self._lines is not None:
            self._lines.close()


def _record(event: StreamEvent) -> dict[str, Any]:
    """An event without its samples; seconds beside every index."""
    values = {f.name: getattr(event, f.name) for f in fields(event) if f.name != "samples"}
    rate = values.get("index_rate")
    times = {
        f"{name}_s": round(value / rate, 4)
        for name, value in values.items()
        if rate and isinstance(value, int) and name not in ("index_rate", "sample_rate")
    }
    return {"event": type(event).__name__, **times, **values}


def _text(event: StreamEvent, record: Mapping[str, Any]) -> str | None:
    match event:
        case Utterance():
            span = f"{record['start_s']:9.2f} - {record['end_s']:.2f} s"
            why = "" if event.ended_by == "silence" else f"  ({event.ended_by})"
            return f"{span}  {record.get('file', '')}{why}".rstrip()
        case Discontinuity():
            return f"lost {event.lost or 'some'} samples at {event.at_sample}: {event.reason}"
        case DeviceChange():
            return f"{event.device} {'is back' if event.connected else 'is gone'} {event.why}"
        case NoAudio():
            return f"{record['at_sample_s']:9.2f} s  no sound comes"
        case _:
            return None


@contextmanager
def _interruptible(ear: StreamingAudioProcessor, duration_s: float | None) -> Iterator[None]:
    """Ctrl-C, or the time, ends it as the end of the source would: nothing that was heard is lost.

    A second Ctrl-C ends the program.
    """

    def stop(*_: object) -> None:
        signal.signal(signal.SIGINT, before)
        threading.Thread(target=ear.stop, daemon=True).start()

    before = signal.signal(signal.SIGINT, stop)
    timer = threading.Timer(duration_s, ear.stop) if duration_s is not None else None
    if timer is not None:
        timer.start()
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()
        signal.signal(signal.SIGINT, before)


@contextmanager
def meter(ear: StreamingAudioProcessor) -> Iterator[None]:
    """A line at the foot of the terminal; nothing elsewhere."""
    if not console.is_terminal:
        yield
        return
    with Live(
        get_renderable=lambda: _line(ear),
        console=console,
        refresh_per_second=_METER_HZ,
        transient=True,
    ):
        yield


def _line(ear: StreamingAudioProcessor) -> Text:
    metrics = ear.metrics
    sound = metrics.sound
    if sound is None:
        return Text("  waiting for sound")
    text = Text()
    text.append("● speech " if ear.speaking else "○ quiet  ", "bold green" if ear.speaking else "")
    text.append_text(_bar(sound.rms_db, sound.peak_db))
    text.append(f" {sound.rms_db:6.1f} dB  {sound.seconds:7.1f} s")
    text.append(f"  {metrics.utterances} utterances  voice {sound.voice_ratio:.0%}")
    if sound.snr_db is not None:
        text.append(f"  SNR {sound.snr_db:.0f} dB")
    text.append(f"  gain {sound.gain_db:+.0f} dB  {metrics.latency_ms:.1f} ms")
    if metrics.gaps:
        text.append(f"  lost {metrics.lost}", "bold red")
    return text


def _bar(rms_db: float, peak_db: float) -> Text:
    """Level in dBFS as a bar, the peak as a mark on it."""

    def place(level_db: float) -> int:
        share = (max(level_db, _QUIET_DB) - _QUIET_DB) / -_QUIET_DB
        return min(round(share * _BAR), _BAR)

    filled, peak = place(rms_db), place(peak_db)
    cells = ["█" if at < filled else "│" if at == peak - 1 else "·" for at in range(_BAR)]
    return Text("".join(cells), "red" if peak_db > -1 else "yellow" if peak_db > -6 else "green")


def _name(source: Source) -> str:
    if not isinstance(source, Microphone):
        return str(source)
    device, layout = source.device, source.format
    return f"{device.name}, {layout.sample_rate} Hz, {source.capture} capture"


def _sum_up(ear: StreamingAudioProcessor) -> None:
    metrics = ear.metrics
    sound = metrics.sound
    seconds = sound.seconds if sound else 0.0
    console.print(
        f"{seconds:.1f} s heard, {metrics.utterances} utterances, {metrics.lost} samples lost "
        f"in {metrics.gaps} gaps; {metrics.real_time_factor:.1%} of one core, "
        f"worst chunk {metrics.latency_max_ms:.1f} ms"
    )

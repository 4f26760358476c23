"""Commands for sound: listen, transcribe, devices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mullama_media.audio.config import PRESETS, DenoiseConfig, SegmenterConfig, VadConfig
from mullama_media.cli.fields import Given, from_fields
from mullama_media.io.params import MicrophoneParams
from mullama_media.options import from_mapping
from mullama_media.speech.params import TranscriberParams, TranscriptionParams
from mullama_media.speech.subtitles import SubtitleParams

__all__ = ["app"]

app = typer.Typer()


@app.command()
@from_fields("microphone", MicrophoneParams, "Microphone", {"device": ()})
@from_fields("denoise", DenoiseConfig, "Stages", {"strength": ("--denoise",)}, rest=False)
@from_fields(
    "vad", VadConfig, "Stages", {"backends": ("--vad",), "agreement": ("--agreement",)}, rest=False
)
@from_fields("segmenter", SegmenterConfig, "Utterances", {})
def listen(
    source: Annotated[
        Path | None,
        typer.Option("--source", metavar="FILE", help="A sound file instead of a microphone."),
    ] = None,
    realtime: Annotated[
        bool, typer.Option("--realtime", help="The file at the speed of sound, not at once.")
    ] = False,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|INDEX",
            help="A microphone of `mullama devices`; part of its name will do.",
            rich_help_panel="Microphone",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FOLDER",
            help="Write every utterance there as WAV, and events.jsonl.",
        ),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write all that is heard, as it came, to a sound file."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="At the end draw waveform, spectrograms before and after noise reduction, "
            "probability of speech and utterances (png, svg, pdf).",
        ),
    ] = None,
    duration_s: Annotated[
        float | None, typer.Option("--duration", metavar="SECONDS", min=0, help="Then end.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"Stages to start from: {', '.join(PRESETS)}.",
            rich_help_panel="Stages",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Stages to start from: the \\[audio] tables of a TOML file.",
            rich_help_panel="Stages",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object for each event.")] = False,
    *,
    microphone: Given,
    denoise: Given,
    vad: Given,
    segmenter: Given,
) -> None:
    """Hear utterances in a microphone or a file, as they are spoken.

    On a terminal a line shows level, speech, SNR, gain and losses.
    Ctrl-C ends it, and nothing that was heard is lost.

        mullama listen

        mullama listen --source talk.wav --out utterances/ --plot talk.png

        mullama listen --preset dictation --vad neural --record day.flac
    """
    from mullama_media.cli import listen as command

    where = {} if device is None else {"device": int(device) if device.isdecimal() else device}
    command.run(
        source,
        microphone=from_mapping(MicrophoneParams, {**microphone, **where}),
        realtime=realtime,
        config=command.configured(
            preset, config, {"denoise": denoise, "vad": vad, "segmenter": segmenter}
        ),
        folder=out,
        record=record,
        picture=plot,
        duration_s=duration_s,
        as_json=json,
    )


@app.command()
@from_fields("loading", TranscriberParams, "Model", {"model": ("--model", "-m")})
@from_fields(
    "params",
    TranscriptionParams,
    "Transcription",
    {
        "language": ("--language", "-l"),
        "hot_words": ("--hot-word",),
        "temperatures": ("--temperature",),
        "ear": (),
    },
)
@from_fields("subtitles", SubtitleParams, "Subtitles", {})
@from_fields("denoise", DenoiseConfig, "Stages", {"strength": ("--denoise",)}, rest=False)
@from_fields(
    "vad", VadConfig, "Stages", {"backends": ("--vad",), "agreement": ("--agreement",)}, rest=False
)
@from_fields("segmenter", SegmenterConfig, "Utterances", {"partial_ms": ()})
def transcribe(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Sound files, folders, patterns, or - for a list on stdin.",
            show_default=False,
        ),
    ],
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Folders within folders, too.")
    ] = False,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format", "-f", metavar="text|srt|vtt|json", help="Repeatable. Default: text."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FOLDER",
            help="Write talk.txt, talk.srt ... there; what is there already is left out.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    preset: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help=f"Stages to start from: {', '.join(PRESETS)}.",
            rich_help_panel="Stages",
        ),
    ] = "transcription",
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Stages to start from instead: the \\[audio] tables of a TOML file.",
            rich_help_panel="Stages",
        ),
    ] = None,
    *,
    loading: Given,
    params: Given,
    subtitles: Given,
    denoise: Given,
    vad: Given,
    segmenter: Given,
) -> None:
    """Write down what is said in sound files.

        mullama transcribe talk.m4a

        mullama transcribe recordings/ -r -o texts/ -f srt -f json --word-times

        mullama transcribe interview.mp3 -m whisper:base -l de --hot-word Mullama

    Silence and noise give no text. A broken file says why and stops no other (exit status 1).
    """
    from mullama_media.cli import transcribe as command

    command.run(
        paths,
        recursive=recursive,
        formats=formats or ["text"],
        folder=out,
        force=force,
        preset=preset,
        config=config,
        loading=loading,
        params=params,
        subtitles=subtitles,
        stages={"denoise": denoise, "vad": vad, "segmenter": segmenter},
    )


@app.command()
def devices(
    json: Annotated[bool, typer.Option("--json", help="As a JSON object.")] = False,
) -> None:
    """List microphones and loudspeakers; * is the default."""
    from mullama_media.cli import devices as command

    command.devices(as_json=json)

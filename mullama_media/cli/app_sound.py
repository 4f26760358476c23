"""Commands for sound: convert, listen, say, devices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mullama_media.audio.config import PRESETS, DenoiseConfig, SegmenterConfig, VadConfig
from mullama_media.audio.formats import ConvertParams
from mullama_media.cli.fields import Given, from_fields
from mullama_media.io.params import MicrophoneParams, SpeakerParams
from mullama_media.options import from_mapping
from mullama_media.speech.voices.voice import VoiceParams

__all__ = ["app"]

app = typer.Typer()


@app.command()
@from_fields("options", ConvertParams, "Result", {"format": ("--format", "-f")})
def convert(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="IN... OUT",
            help="Sound files or folders, and the file or folder to write.",
            show_default=False,
        ),
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Files at a time. [CPUs]", show_default=False)
    ] = None,
    *,
    options: Given,
) -> None:
    """Convert sound files: format, rate, channels and kind of sample.

        mullama convert talk.m4a talk.wav --sample-rate 16000 --channels 1

        mullama convert recordings/ compressed/ --format opus --bitrate-kbps 24

    A file that fails says why and stops no other (exit status 1). Long files take no more memory
    than short ones; a file appears when it is complete.
    """
    from mullama_media.cli import convert as command

    if len(files) < 2:
        raise typer.BadParameter("IN and OUT are needed")
    command.run(files[:-1], files[-1], force=force, workers=workers, options=options)


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
            help="Stages to start from: the [audio] tables of a TOML file.",
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
@from_fields("voice", VoiceParams, "Voice", {"voice": ("--voice", "-v")})
@from_fields("speaker", SpeakerParams, "Loudspeaker", {"device": (), "volume": ()})
def say(
    text: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TEXT]...",
            help="What to say; from stdin, as it comes, if left out or '-'.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="Write a sound file instead (wav, mp3, opus, ...)."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    list_voices: Annotated[
        bool, typer.Option("--list-voices", help="Show the voices that are installed.")
    ] = False,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|INDEX",
            help="A loudspeaker of `mullama devices`; part of its name will do.",
            rich_help_panel="Loudspeaker",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="The result as a JSON object.")] = False,
    *,
    voice: Given,
    speaker: Given,
) -> None:
    """Speak a text, sentence by sentence, as it comes.

    Markup, code and links are left out. Ctrl-C is silence at once (exit status 130).

        mullama say "Hello. How are you?"

        mullama run tiny-omni "Tell me a story" | mullama say --voice en_US-joe-medium

        mullama say --out hello.mp3 --rate 1.2 Hello there

    espeak-ng speaks; with the extra `piper` also its voices.
    """
    from mullama_media.cli import say as command

    if list_voices:
        command.list_voices(as_json=json)
        return
    where = {} if device is None else {"device": int(device) if device.isdecimal() else device}
    command.run(
        text or ["-"],
        from_mapping(VoiceParams, voice),
        from_mapping(SpeakerParams, {**speaker, **where}),
        out=out,
        force=force,
        as_json=json,
    )


@app.command()
def devices(
    json: Annotated[bool, typer.Option("--json", help="As a JSON object.")] = False,
) -> None:
    """List microphones and loudspeakers; * is the default."""
    from mullama_media.cli import devices as command

    command.devices(as_json=json)

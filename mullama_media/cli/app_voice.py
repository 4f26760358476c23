"""Commands for voices: say, assistant."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mullama_media.assistant.setup import AssistantParams
from mullama_media.cli.fields import Given, from_fields
from mullama_media.io.params import SpeakerParams
from mullama_media.options import from_mapping
from mullama_media.speech.voices.voice import VoiceParams

__all__ = ["app"]

app = typer.Typer()


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
@from_fields(
    "who",
    AssistantParams,
    "Who takes part",
    {"model": ("--model", "-m"), "transcribe": ("--transcribe",), "speak": ("--speak",)},
)
def assistant(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            help="A TOML file; its tables and keys are those of configs/voice_assistant.toml.",
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Hear this sound file instead of the microphone."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object for each event.")] = False,
    stats: Annotated[bool, typer.Option("--stats", help="Latencies on stderr.")] = False,
    *,
    who: Given,
) -> None:
    """Talk with a model: it hears, answers aloud, and can be interrupted.

        mullama assistant

        mullama assistant --no-speak --no-transcribe -m tiny-omni --stats

        mullama assistant --config configs/voice_assistant.toml

    Wear headphones, or set half_duplex or echo cancellation in the file: otherwise it hears itself.
    Ctrl-C ends listening; what was said is still answered.
    """
    from mullama_media.cli import assistant as command

    command.run(config, source, who, as_json=json, stats=stats)

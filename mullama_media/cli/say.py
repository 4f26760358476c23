"""`mullama say`."""

from __future__ import annotations

import codecs
import itertools
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import typer

from mullama_media.audio.encode import SoundWriter, format_of, nearest_rate
from mullama_media.audio.formats import EncodeParams
from mullama_media.audio.resample import Resampler
from mullama_media.cli.progress import console
from mullama_media.errors import InvalidOptionError
from mullama_media.io import Speaker, SpeakerParams
from mullama_media.speech.narration import speak_stream, synthesize
from mullama_media.speech.voices import Voice, VoiceParams, installed_voices, load_voice

__all__ = ["list_voices", "run"]

_READ_BYTES = 4096


def run(
    words: list[str],
    voice: VoiceParams,
    speaker: SpeakerParams,
    *,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Speak the words, or stdin."""
    texts = _stdin() if words == ["-"] else iter([" ".join(words)])
    if out is not None:
        if out.exists() and not force:
            raise InvalidOptionError(
                "it exists already", where=out, hint="Say --force to replace it"
            )
        seconds = _write(texts, load_voice(voice), out)
        result = {"file": str(out), "seconds": round(seconds, 3)}
        typer.echo(json.dumps(result) if as_json else f"{out}  {seconds:.2f} s")
        return
    with Speaker(speaker) as loudspeaker:
        spoken = speak_stream(texts, load_voice(voice), loudspeaker)
        underruns = loudspeaker.meter.underruns
    if as_json:
        result = {
            "text": spoken.text,
            "sentences": spoken.sentences,
            "complete": spoken.complete,
            "seconds": round(spoken.played.seconds, 3),
            "underruns": underruns,
        }
        typer.echo(json.dumps(result, ensure_ascii=False))


def list_voices(*, as_json: bool) -> None:
    """Print what is installed."""
    voices = installed_voices()
    if as_json:
        typer.echo(json.dumps([asdict(voice) for voice in voices], indent=2))
        return
    rows = [("engine", "voice", "language", ""), *((*asdict(v).values(),) for v in voices)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
        typer.echo("  ".join([*cells, row[3]]).rstrip())
    if not voices:
        console.print("no voice is installed; Debian, Ubuntu: sudo apt install espeak-ng")


def _write(texts: Iterator[str], voice: Voice, path: Path) -> float:
    rate = nearest_rate(format_of(path, EncodeParams()), voice.sample_rate)
    resampler = Resampler(voice.sample_rate, rate)
    frames = 0
    with SoundWriter(path, rate, 1) as writer:
        chunks = (resampler.process(chunk.mono()) for chunk in synthesize(texts, voice))
        for samples in itertools.chain(chunks, (resampler.flush() for _ in range(1))):
            writer.write(samples[:, None])
            frames += samples.size
    return frames / rate


def _stdin() -> Iterator[str]:
    """What comes, as it comes, in whole characters."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while data := os.read(sys.stdin.fileno(), _READ_BYTES):
        yield decoder.decode(data)
    yield decoder.decode(b"", final=True)

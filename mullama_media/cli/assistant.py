"""`mullama assistant`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from mullama_media.assistant import (
    TABLES,
    Answer,
    Asked,
    AssistantParams,
    LiveChat,
    Problem,
    open_chat,
)
from mullama_media.cli.listen import meter
from mullama_media.cli.progress import console, fetch
from mullama_media.io import FileSource
from mullama_media.options import load_toml, replace
from mullama_media.speech.turns import Answered, Interrupt, NoAudioWarning, Token, TurnTrace

__all__ = ["run"]


def run(
    config: Path | None, file: Path | None, given: Mapping[str, Any], *, as_json: bool, stats: bool
) -> None:
    """Talk until the source ends or Ctrl-C."""
    tables = load_toml(config, TABLES) if config else {}
    tables["assistant"] = who = replace(tables.get("assistant", AssistantParams()), **given)
    fetch(who.model, who.mmproj)
    asyncio.run(_talk(tables, file, as_json=as_json, stats=stats))


async def _talk(
    tables: Mapping[str, Any], file: Path | None, *, as_json: bool, stats: bool
) -> None:
    source = None if file is None else lambda: FileSource(file, paced=True)
    screen = _Screen(as_json=as_json, stats=stats)
    async with contextlib.AsyncExitStack() as stack:
        with console.status("loading"):
            chat = await stack.enter_async_context(open_chat(tables, source))
        if file is None:
            console.print("listening; Ctrl-C ends it")
        with meter(chat.ear), _interruptible(chat):
            async for event in chat:
                screen.tell(event)
    if stats and chat.traces is not None:
        console.print(str(chat.traces))


@contextlib.contextmanager
def _interruptible(chat: LiveChat) -> Any:
    """Ctrl-C ends the sound: what was said is still answered; a second one ends everything."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        loop.run_in_executor(None, chat.ear.stop)

    try:
        loop.add_signal_handler(signal.SIGINT, stop)
    except (NotImplementedError, RuntimeError):  # Windows, or not the main thread
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


class _Screen:
    """What is said, as it is said."""

    def __init__(self, *, as_json: bool, stats: bool) -> None:
        self._as_json, self._stats = as_json, stats

    def tell(self, event: Any) -> None:
        if self._as_json:
            if (record := _record(event)) is not None:
                typer.echo(json.dumps(record, ensure_ascii=False))
            return
        match event:
            case Asked():
                self._write(f"> {event.text or '(speech)'}\n")
            case Token():
                self._write(event.text)
            case Answered():
                self._write("\n")
            case Interrupt():
                self._write(" ...\n")
            case Problem():
                console.print(f"[red]{event.error}[/]")
            case NoAudioWarning():
                console.print("[yellow]no sound comes from the microphone[/]")
            case TurnTrace() if self._stats:
                first = event.first_token_ms or float("nan")
                console.print(
                    f"[dim]end of turn {event.end_of_turn_delay_ms:.0f} ms, first token "
                    f"{first:.0f} ms after the last word, {event.tokens} tokens, {event.outcome}[/]"
                )

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def _record(event: Any) -> dict[str, Any] | None:
    """What a program wants to know; None where it is nothing."""
    match event:
        case Asked():
            return {"event": "asked", "id": event.generation_id, "text": event.text}
        case Token():
            return {"event": "token", "id": event.generation_id, "text": event.text}
        case Answer():
            said = event.completion
            done = {"text": said.text, "finish_reason": said.finish_reason}
            return {"event": "answer", "id": event.generation_id, **done}
        case Interrupt():
            heard = {"reason": event.reason, "heard_ms": event.heard_ms, "heard": event.heard}
            return {"event": "interrupted", "id": event.generation_id, **heard}
        case Problem():
            return {"event": "problem", "id": event.generation_id, "error": str(event.error)}
        case TurnTrace():
            return {"event": "trace", **json.loads(event.to_json())}
    return None

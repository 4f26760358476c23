"""`mullama tokenize`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import typer

from mullama_media.cli.progress import fetch
from mullama_media.engine import Model, ModelParams
from mullama_media.errors import InvalidOptionError

__all__ = ["run"]


def run(
    name: str,
    text: str | None,
    file: Path | None,
    *,
    add_special: bool,
    parse_special: bool,
    count: bool,
    ids: bool,
    as_json: bool,
) -> None:
    """Print the tokens of a text. Only the vocabulary is loaded."""
    content = _content(text, file)
    model = Model.load(fetch(name, None).model, ModelParams(vocab_only=True))
    tokens = model.tokenize(content, add_special=add_special, parse_special=parse_special)
    pieces = [model.piece(t, special=True).decode("utf-8", "backslashreplace") for t in tokens]
    if as_json:
        value = {"count": len(tokens), "tokens": tokens, "pieces": pieces}
        typer.echo(json.dumps(value, ensure_ascii=False))
    elif count:
        typer.echo(len(tokens))
    elif ids:
        typer.echo(" ".join(map(str, tokens)))
    else:
        for token, piece in zip(tokens, pieces, strict=True):
            typer.echo(f"{token:>7}  {piece!r}")


def _content(text: str | None, file: Path | None) -> str:
    if text not in (None, "-") and file is not None:
        raise InvalidOptionError("give TEXT or --file, not both")
    if file is not None:
        try:
            return file.read_bytes().decode("utf-8", "replace")
        except OSError as error:
            raise InvalidOptionError(f"cannot be read: {error.strerror}", where=file) from error
    if text is not None and text != "-":
        return text
    if text is None and sys.stdin.isatty():
        raise InvalidOptionError("there is no text", hint="Give TEXT, --file, or pipe it to stdin")
    return sys.stdin.buffer.read().decode("utf-8", "replace")

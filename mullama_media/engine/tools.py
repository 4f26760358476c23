"""Tools a model may call, and its answers taken apart."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mullama_media.errors import AnswerFormatError, InvalidOptionError

__all__ = [
    "REASONING_FORMATS",
    "TOOL_CHOICES",
    "Answer",
    "AnswerReader",
    "Delta",
    "Parse",
    "Tool",
    "ToolCall",
    "one_of",
    "with_ids",
]

TOOL_CHOICES = ("auto", "none", "required")
REASONING_FORMATS = ("auto", "none", "deepseek", "deepseek-legacy")

_MOST_BYTES = 1 << 18  # of a tool's parameters


@dataclass(frozen=True, slots=True)
class Tool:
    """Something the model may call. Raises InvalidOptionError when it cannot be described."""

    name: str
    """Letters, digits, _ and -; at most 64"""
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object"})
    """JSON Schema of the arguments, an object. llama.cpp's converter makes the grammar of it and
    passes over what it does not know, so check arguments where it matters."""

    def __post_init__(self) -> None:
        name = self.name.replace("_", "").replace("-", "")
        if not (0 < len(self.name) <= 64 and (name or self.name).isascii() and name.isalnum()):
            raise InvalidOptionError(
                f"{self.name!r} cannot be the name of a tool",
                where="Tool.name",
                hint="Use 1 to 64 of a-z, A-Z, 0-9, _ and -",
            )
        if self.parameters.get("type", "object") != "object":
            raise InvalidOptionError("arguments are an object", where=f"{self.name}.parameters")
        self._native()

    def _native(self) -> tuple[str, str, str]:
        try:
            _depth(self.parameters, 0)
            parameters = json.dumps(self.parameters, ensure_ascii=False, allow_nan=False)
            parameters.encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidOptionError(
                f"the parameters are not JSON: {error}", where=f"{self.name}.parameters"
            ) from error
        if len(parameters) > _MOST_BYTES:
            raise InvalidOptionError("the parameters are too large", where=self.name)
        return self.name, self.description, parameters


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call by the model."""

    name: str
    arguments: str
    """JSON text; perhaps unfinished in a partial answer"""
    id: str = ""
    """Ties the tool's answer to the call; made here where the model's format has none"""

    def parsed(self) -> dict[str, Any]:
        """The arguments as a dict.

        Raises:
            AnswerFormatError: they are not a JSON object.
        """
        try:
            value = json.loads(self.arguments or "{}")
        except ValueError as error:
            raise AnswerFormatError(
                f"the arguments are not JSON: {error}", where=self.name
            ) from error
        if not isinstance(value, dict):
            raise AnswerFormatError("the arguments are not an object", where=self.name)
        return value


@dataclass(frozen=True, slots=True)
class Answer:
    """What an assistant said, taken apart."""

    content: str
    reasoning: str = ""
    """Its thoughts, where they were kept apart"""
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Delta:
    """What is new in an answer since the piece before; most fields are empty."""

    content: str = ""
    reasoning: str = ""
    tool_index: int | None = None
    """Which call the fields below belong to; the first piece of a call has its name and id"""
    tool_name: str = ""
    tool_call_id: str = ""
    arguments: str = ""


Parse = Callable[[str, bool], Answer]


class AnswerReader:
    """Takes an answer apart while it is generated. For one answer and one thread.

    The pieces, joined, are the parts of `answer`. A piece comes as soon as it is certain which
    part it belongs to.
    """

    def __init__(self, parse: Parse | None = None) -> None:
        self._parse = parse or (lambda text, _: Answer(text))
        self._text = ""
        self._ids: list[str] = []
        self.answer = Answer("")
        """What was told so far"""

    def feed(self, text: str) -> list[Delta]:
        """The next text of the answer; returns what is certain now."""
        if not text:
            return []
        self._text += text
        return self._step(partial=True)

    def finish(self) -> list[Delta]:
        """The answer has ended; returns what had been held back.

        Raises:
            AnswerFormatError: the whole is not in the format that was asked for.
        """
        return self._step(partial=False)

    def _step(self, *, partial: bool) -> list[Delta]:
        old, new = self.answer, self._parse(self._text, partial)
        content = _grown(old.content, new.content)
        reasoning = _grown(old.reasoning, new.reasoning)
        calls, deltas = self._calls(old.tool_calls, new.tool_calls, partial)
        self.answer = Answer(old.content + content, old.reasoning + reasoning, calls)
        texts = [Delta(content=content, reasoning=reasoning)] if content or reasoning else []
        return texts + deltas

    def _calls(
        self, old: Sequence[ToolCall], new: Sequence[ToolCall], partial: bool
    ) -> tuple[tuple[ToolCall, ...], list[Delta]]:
        kept = list(old)
        deltas = []
        for i, call in enumerate(new):
            if i == len(kept):
                if partial and not call.arguments and i + 1 == len(new):
                    break  # its name or id may still grow
                kept.append(ToolCall(call.name, call.arguments, call.id))
                deltas.append(Delta("", "", i, call.name, call.id, call.arguments))
            elif more := _grown(kept[i].arguments, call.arguments):
                kept[i] = replace(kept[i], arguments=kept[i].arguments + more)
                deltas.append(Delta(tool_index=i, arguments=more))
        return tuple(kept), deltas


def one_of(value: str, choices: tuple[str, ...], name: str) -> str:
    """`value` if it is one of the choices. Raises InvalidOptionError."""
    if value not in choices:
        raise InvalidOptionError(f"{value!r} must be one of {', '.join(choices)}", where=name)
    return value


def _grown(old: str, new: str) -> str:
    # What was told cannot be taken back: a parser that changes its mind is waited for.
    return new[len(old) :] if new.startswith(old) else ""


def with_ids(answer: Answer, made: list[str]) -> Answer:
    """The same with an id for every call; those made here are kept in `made`, by index."""
    calls = []
    for i, call in enumerate(answer.tool_calls):
        while len(made) <= i:
            made.append(f"call_{secrets.token_hex(12)}")
        calls.append(call if call.id else replace(call, id=made[i]))
    return replace(answer, tool_calls=tuple(calls))


def _depth(value: Any, depth: int) -> None:
    if depth > 64:
        raise ValueError("more than 64 deep")
    if isinstance(value, Mapping):
        for inner in value.values():
            _depth(inner, depth + 1)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            _depth(inner, depth + 1)

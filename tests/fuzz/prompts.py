"""Odd prompts: text of every kind, roles, tools, templates, pictures and recordings of odd sizes.

An input is a JSON document that says what to build; mutations are made in its tree.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mullama_media import (
    AudioFrame,
    Engine,
    EngineParams,
    Image,
    Media,
    Message,
    Model,
    MullamaError,
    Prompt,
    StreamConfig,
    Tool,
    ToolCall,
)
from tests import tiny

TEXTS = [
    *(
        "",
        " ",
        "hello",
        "<|im_end|>",
        "<|im_start|>system\n",
        "<__media__>",
        "<__image__>",
        "\0",
        "a\0b",
    ),
    *(
        "\ud800",
        "\udfff\ud800",
        "é",
        "中文",
        "🎈" * 3,
        "\ufffe",
        "\u202e",
        "\x7f\x1b[0m",
        "A" * 400,
    ),
    *(
        "{{ 1 }}",
        "{% for x in y %}",
        "{%",
        "}}",
        "[mullama:0]",
        "[mullama:",
        "</s>",
        "\r\n",
        "%s%n",
    ),
    *("<tool_call>", '{"name": "f"}', "<think>", "</think>", "<|endoftext|>" * 5, "\u0301" * 50),
]
ROLES = ["user", "assistant", "system", "tool", "", "developer", "<|im_end|>", "\ud800", "u" * 200]
TEMPLATES = [
    *(
        "",
        "{{ messages }}",
        "{{ messages[0].content }}",
        "{{ x",
        "{% if %}",
        "{{ raise_exception('no') }}",
    ),
    "{% for m in messages %}{{ m.role }}{{ m.content }}{% endfor %}",
    "{% for m in messages %}{% for c in m.content %}{{ c.type }}{{ c.text }}{% endfor %}"
    "{% endfor %}",
    "{% for i in range(100000) %}{{ i }}{% endfor %}",
    "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
    "{{ messages | tojson }}{{ tools | tojson }}{{ strftime_now('%Y') }}",
    "{{ 1 // 0 }}{{ 5 % 0 }}",
    "{{ messages[0].content[5:-9999999999:-1] }}",
    "{{ 'a' * 100000000 }}",
    "{{ [[[[1]]]] | join(',') | upper | length }}{{ (1).x.y }}",
    "(" * 3000,
    "{{ " + "(" * 2000 + "1" + ")" * 2000 + " }}",
    "{{ " + "not " * 20000 + "x }}",
    "{% if true %}" * 3000,
]
SCHEMAS: list[Any] = [
    {"type": "object"},
    {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    {"type": "object", "properties": {"": {"$ref": "#/x"}}},
    {"type": "object", "properties": {"a": {"type": "string", "pattern": "((a*)*)*"}}},
    {"type": "object", "properties": {"a": {"anyOf": []}, "b": {"enum": []}}},
    {
        "type": "object",
        "$defs": {"r": {"$ref": "#/$defs/r"}},
        "properties": {"a": {"$ref": "#/$defs/r"}},
    },
    {
        "type": "object",
        "properties": {"a": {"minLength": -5, "maxLength": 10**9, "type": "string"}},
    },
    {"type": "object", "properties": 5},
]
NUMBERS = [0, 1, 2, 3, 7, 8, 9, 31, 32, 33, 100, 159, 160, 161, 3000]


class Prompts:
    """Messages or parts, prompt, a few tokens, and the answer parsed."""

    slow_s = 40.0  # upstream tries a template out some 16 times, and each try may take a second

    def __init__(self, folder: Path) -> None:
        self.model = Model.load(tiny.write_model(folder / "tiny.gguf"))
        self.media = Media.load(self.model, tiny.write_mmproj(folder / "mmproj.gguf"))
        params = EngineParams(n_ctx=256, n_parallel=1, threads=1)
        self.engine = Engine(self.model, params, media=self.media)

    # -- inputs

    def seeds(self) -> Sequence[bytes]:
        return [self.generate(random.Random(seed)) for seed in range(40)]

    def mutated(self, data: bytes, rng: random.Random) -> bytes:
        if rng.random() < 0.5:
            return self.generate(rng)
        spec = json.loads(data)
        for _ in range(rng.randint(1, 3)):
            _change(spec, rng)
        return json.dumps(spec).encode()

    def generate(self, rng: random.Random) -> bytes:
        count = rng.choice([0, 1, 1, 2, 3])
        spec = {
            "call": rng.choice(["messages", "messages", "parts"]),
            "flags": [rng.random() < 0.5 for _ in range(4)],
            "messages": [self.message(rng) for _ in range(count)],
            "tools": [self.tool(rng) for _ in range(rng.choice([0, 0, 1, 2]))],
            "tool_choice": rng.choice(["auto", "auto", "required", "none", "odd"]),
            "reasoning": rng.choice(["auto", "none", "deepseek"]),
            "template": rng.choice(TEMPLATES) if rng.random() < 0.4 else None,
            "args": {rng.choice(["x", "messages", "a b", ""]): rng.choice([1, None, "é", [1, {}]])},
            "answers": [
                rng.choice(TEXTS),
                '{"name": "f", "arguments": {"a": 1}}',
                "".join(rng.choices(TEXTS, k=3)),
            ],
        }
        return json.dumps(spec).encode()

    def message(self, rng: random.Random) -> dict[str, Any]:
        return {
            "role": rng.choice(ROLES) if rng.random() < 0.3 else "user",
            "parts": [self.part(rng) for _ in range(rng.randint(0, 4))],
            "calls": [
                [
                    rng.choice(TEXTS),
                    rng.choice(["f", ""]),
                    rng.choice(["{}", "{", '"a"', "null", "1e999"]),
                ]
                for _ in range(rng.choice([0, 0, 0, 1]))
            ],
            "thought": rng.choice(["", "", rng.choice(TEXTS)]),
        }

    def part(self, rng: random.Random) -> Any:
        kind = rng.random()
        if kind < 0.75:
            return "".join(rng.choices(TEXTS, k=rng.randint(1, 3)))
        if kind < 0.95:
            return {"image": [rng.choice(NUMBERS[:-1]), rng.choice(NUMBERS[:-1])]}
        return {"audio": rng.choice(NUMBERS)}

    def tool(self, rng: random.Random) -> list[Any]:
        return [rng.choice(["f", "g-1", "", "é", "x" * 65]), rng.choice(TEXTS), rng.choice(SCHEMAS)]

    # -- one input

    def fuzz_one(self, data: bytes) -> bool:
        try:
            prompt = self.prompt(json.loads(data))
        except (MullamaError, TypeError):
            return False
        for text in json.loads(data)["answers"]:
            for partial in (False, True):
                try:
                    prompt.parse(text, partial=partial)
                except MullamaError:
                    continue
        try:
            self.engine.submit(prompt, config=StreamConfig(max_tokens=4)).result()
        except MullamaError:
            return False
        return True

    def prompt(self, spec: dict[str, Any]) -> Prompt:
        messages = [
            Message(
                message["role"],
                [_part(part) for part in message["parts"]],
                [ToolCall(name, arguments, number) for number, name, arguments in message["calls"]],
                message["thought"],
            )
            for message in spec["messages"]
        ]
        flags = spec["flags"]
        media = self.media if flags[0] else None
        if spec["call"] == "parts":
            parts = [part for message in messages for part in message.parts]
            return Prompt.of_parts(
                self.model, parts, media=media, add_special=flags[1], parse_special=flags[2]
            )
        return Prompt.of_messages(
            self.model,
            messages,
            media=media,
            tools=[Tool(name, text, schema) for name, text, schema in spec["tools"]],
            tool_choice=spec["tool_choice"],
            parallel_tool_calls=flags[1],
            enable_thinking=flags[2],
            reasoning_format=spec["reasoning"],
            chat_template=spec["template"],
            template_args=spec["args"],
        )


def _part(part: Any) -> Any:
    if isinstance(part, dict) and "image" in part:
        height, width = part["image"]
        return Image(np.full((height, width, 3), 90, np.uint8))
    if isinstance(part, dict) and "audio" in part:
        return AudioFrame(np.full(part["audio"], 0.1, np.float32), 16000)
    return part


def _change(node: Any, rng: random.Random) -> None:
    """Change one leaf somewhere below; its type stays, so that the document keeps its form."""
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return
        key = rng.choice(keys)
        below = node[key]
        if isinstance(below, dict | list) and below:
            node = below
            continue
        if isinstance(below, bool) or below is None:
            return
        if isinstance(below, str):
            at = rng.randint(0, len(below))
            node[key] = below[:at] + rng.choice(TEXTS) + below[at + rng.randint(0, 3) :]
        elif isinstance(below, int):
            node[key] = rng.choice(NUMBERS)
        return

"""What the interleavings share: one tiny model, its media, prompts, and what each says alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mullama_media import (
    AudioFrame,
    Completion,
    Engine,
    EngineParams,
    Grammar,
    Image,
    Media,
    Message,
    Model,
    Prompt,
    SamplingParams,
    StreamConfig,
)
from mullama_media.engine import AdapterSet, ControlVector, LoraAdapter
from tests import tiny
from tests.made import lora_pair, write_lora

N_CTX = 160
ANSWER = StreamConfig(max_tokens=24)
EXACT = SamplingParams(temperature=0, logprobs=2)
"""Greedy, with what is needed to see whether rounding explains a difference"""
TIE = 0.01  # log-probabilities that near may change places with the shape of a batch


@dataclass
class World:
    """Made once; everything in it is immutable."""

    folder: Path
    media_too: bool = True
    model: Model = field(init=False)
    media: Media | None = field(init=False)
    prompts: list[Prompt] = field(init=False)
    alone: list[Completion] = field(init=False)
    adapters: list[AdapterSet] = field(init=False)
    lora_file: Path = field(init=False)
    grammars: list[Grammar] = field(init=False)

    def __post_init__(self) -> None:
        self.model = Model.load(tiny.write_model(self.folder / "tiny.gguf"))
        self.media = None
        if self.media_too:
            self.media = Media.load(self.model, tiny.write_mmproj(self.folder / "mmproj.gguf"))
        self.prompts = self._make_prompts()
        params = EngineParams(
            n_ctx=N_CTX,
            n_parallel=1,
            threads=1,
            reuse_prefix=False,
            cache_type_k="f32",
            cache_type_v="f32",
        )
        with Engine(self.model, params, media=self.media) as engine:
            self.alone = [engine.submit(p, EXACT, ANSWER).result() for p in self.prompts]
        self.adapters = self._make_adapters()
        self.grammars = [
            Grammar.gbnf('root ::= [a-z]+ ("," [a-z]+)*'),
            Grammar.json_schema({"type": "object", "properties": {"a": {"type": "integer"}}}),
            Grammar.regex("[0-9]{1,12}x?"),
        ]

    def _make_prompts(self) -> list[Prompt]:
        shared = "The same words stand at the start of these. "
        texts = ["a", "Hello there.", shared + "one", shared + "two", shared * 2, "é中🎈 the end"]
        prompts = [Prompt.of_messages(self.model, [Message("user", [text])]) for text in texts]
        prompts.append(Prompt.of_parts(self.model, [" ".join("then on" for _ in range(12))]))
        if self.media is None:
            return prompts
        rng = np.random.default_rng(3)
        small = Image(rng.integers(0, 256, (24, 24, 3), np.uint8))
        wide = Image(rng.integers(0, 256, (20, 70, 3), np.uint8))
        sound = AudioFrame(rng.normal(0, 0.1, 4000).astype(np.float32), 16000)
        media = (["Look: ", small, " well?"], [small, wide], [wide, "and", sound, "?"])
        messages = [[Message("user", parts)] for parts in media]
        return prompts + [Prompt.of_messages(self.model, m, media=self.media) for m in messages]

    def _make_adapters(self) -> list[AdapterSet]:
        pair = lora_pair("blk.0.attn_q.weight", tiny.WIDTH, tiny.WIDTH, size=0.3)
        self.lora_file = write_lora(self.folder / "lora.gguf", pair)
        lora = LoraAdapter.load(self.model, self.lora_file)
        push = np.random.default_rng(1).normal(0, 0.2, (1, tiny.WIDTH)).astype(np.float32)
        control = ControlVector(dict(enumerate(push, 1)))
        return [
            AdapterSet(((lora, 1.0),)),
            AdapterSet(((lora, -0.5),)),
            AdapterSet(control_vector=control),
        ]

    def check_alone(self, number: int, answer: Completion) -> None:
        """That prompt `number` was answered as it is alone, but for rounding in near ties."""
        expected = self.alone[number]
        for theirs, ours in zip(expected.tokens, answer.tokens, strict=False):
            if theirs.id != ours.id:
                (_, best), (_, second) = theirs.top
                assert best - second < TIE, (
                    f"prompt {number}: {answer.text!r}, not {expected.text!r}"
                )
                return
        assert answer.text == expected.text
        assert answer.finish_reason == expected.finish_reason

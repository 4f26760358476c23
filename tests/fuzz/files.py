"""Damaged and hostile model files: refused, or loaded and then usable without a crash."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mullama_media import (
    AudioFrame,
    Engine,
    EngineParams,
    Image,
    Media,
    Message,
    Model,
    ModelParams,
    MullamaError,
    Prompt,
    QuantizeParams,
    StreamConfig,
    quantize,
)
from mullama_media.engine import AdapterSet, ControlVector, LoraAdapter
from tests import tiny
from tests.fuzz import gguf_header
from tests.made import lora_pair, write_gguf, write_lora

SMALL = EngineParams(n_ctx=128, n_parallel=1, threads=1, reuse_prefix=False)
FEW = StreamConfig(max_tokens=3)


def without_numbers(path: Path) -> bytes:
    """The file with all its weights 0, so that it packs well."""
    file = gguf_header.parse(path.read_bytes())
    file.data = bytes(len(file.data))
    return gguf_header.serialise(file)


class _Files:
    slow_s = 20.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "input.gguf"

    def mutated(self, data: bytes, rng: random.Random) -> bytes:
        return gguf_header.mutated(data, rng)

    def fuzz_one(self, data: bytes) -> bool:
        self.file.write_bytes(data)
        try:
            self.use(zlib.crc32(data))
        except MullamaError:
            return False
        return True

    def use(self, number: int) -> None:
        raise NotImplementedError


class ModelFile(_Files):
    def seeds(self) -> Sequence[bytes]:
        spm = tiny.write_model(self.folder / "seed.gguf", tokenizer="llama")
        return [without_numbers(tiny.write_model(self.folder / "bpe.gguf")), without_numbers(spm)]

    def use(self, number: int) -> None:
        model = Model.load(self.file, ModelParams(vocab_only=number % 8 == 0, mmap=number % 3 > 0))
        assert repr(model)
        _ = model.metadata, model.tensors, model.chat_template
        ids = model.tokenize("Hi <|im_end|> é\0", add_special=True, parse_special=True)
        for token in {0, model.n_vocab // 2, model.n_vocab - 1}:
            model.piece(token, special=True)
            model.is_end(token)
        model.detokenize(ids[:20])
        params = SMALL.with_threads(2) if number % 4 == 0 else SMALL
        with Engine(model, params) as engine:
            try:
                prompt = Prompt.of_messages(model, [Message("user", ["hi"])])
            except MullamaError:
                prompt = Prompt.of_parts(model, ["hi"])
            engine.submit(prompt, config=FEW).result()


class Mmproj(_Files):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.model = Model.load(tiny.write_model(folder / "tiny.gguf"))
        rng = np.random.default_rng(0)
        self.picture = Image(rng.integers(0, 256, (20, 50, 3), np.uint8))
        self.samples = rng.normal(0, 0.1, 4000).astype(np.float32)

    def seeds(self) -> Sequence[bytes]:
        return [
            without_numbers(tiny.write_mmproj(self.folder / "seed.gguf", **which))
            for which in (
                {"audio": False},
                {"vision": False},
                {},
            )
        ]

    def use(self, number: int) -> None:
        media = Media.load(self.model, self.file)
        with Engine(self.model, SMALL, media=media) as engine:
            parts: list[object] = [self.picture] if media.vision else []
            if media.audio and (number % 4 == 0 or not parts):
                parts.append(AudioFrame(self.samples, media.sample_rate))
            prompt = Prompt.of_parts(self.model, [*parts, "x"], media=media)
            engine.submit(prompt, config=FEW).result()


class _Adapters(_Files):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.model = Model.load(tiny.write_model(folder / "tiny.gguf"))
        self.engine = Engine(self.model, SMALL)
        self.prompt = Prompt.of_parts(self.model, ["a"])

    def run(self, adapters: AdapterSet) -> None:
        self.engine.submit(self.prompt, config=FEW, adapters=adapters).result()


class Lora(_Adapters):
    def seeds(self) -> Sequence[bytes]:
        pairs = {
            **lora_pair("blk.0.attn_q.weight", tiny.WIDTH, tiny.WIDTH),
            **lora_pair("blk.1.ffn_down.weight", tiny.FEED, tiny.WIDTH, seed=1),
            **lora_pair("output.weight", tiny.WIDTH, len(tiny.vocabulary()), seed=2),
        }
        known = {"adapter.alora.invocation_tokens": [3, 4]}
        files = [
            write_lora(self.folder / "seed.gguf", pairs),
            write_lora(self.folder / "alora.gguf", pairs, **known),
        ]
        return [file.read_bytes() for file in files]

    def use(self, number: int) -> None:
        adapter = LoraAdapter.load(self.model, self.file)
        _ = adapter.metadata, adapter.invocation_tokens
        self.run(AdapterSet(((adapter, 0.5),)))


class Control(_Adapters):
    def seeds(self) -> Sequence[bytes]:
        rows = {
            "direction.1": np.ones(tiny.WIDTH, np.float32),
            "direction.2": np.zeros(tiny.WIDTH, np.float32),
        }
        return [
            write_gguf(
                self.folder / "seed.gguf", "controlvector", {"controlvector.layer_count": 2}, rows
            ).read_bytes(),
            b'{"directions": {"1": ['
            + b", ".join([b"0.5"] * tiny.WIDTH)
            + b']}, "model_hint": "x"}',
        ]

    def use(self, number: int) -> None:
        self.run(AdapterSet(control_vector=ControlVector.load(self.file)))


class ImatrixFile(_Files):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.model = tiny.write_model(folder / "tiny.gguf")

    def seeds(self) -> Sequence[bytes]:
        tensors = {}
        for name, width in {
            "blk.0.attn_q.weight": tiny.WIDTH,
            "blk.1.ffn_down.weight": tiny.FEED,
        }.items():
            tensors[f"{name}.in_sum2"] = np.ones((1, width), np.float32)
            tensors[f"{name}.counts"] = np.ones((1, 1), np.float32)
        fields = {"general.type": "imatrix", "imatrix.chunk_count": 2, "imatrix.chunk_size": 512}
        whole = write_gguf(self.folder / "seed.gguf", "imatrix", fields, tensors).read_bytes()
        name = b"blk.0.attn_q.weight"
        number = lambda n: n.to_bytes(4, "little")  # noqa: E731
        entry = number(len(name)) + name + number(3) + number(tiny.WIDTH)
        entry += np.ones(tiny.WIDTH, np.float32).tobytes()
        legacy = number(1) + entry + number(7) + number(4) + b"text"
        return [whole, legacy]

    def use(self, number: int) -> None:
        params = QuantizeParams(imatrix=str(self.file), threads=1)
        quantize(self.model, self.folder / "out.gguf", "q4_0", params, overwrite=True)

"""A language model and an mmproj small enough to make for a test: random, whole, quick.

A step takes well under a millisecond and a picture a few; what they say is noise, but the same
noise every time. Everything that does not need sense (scheduling, limits, leaks, damaged files)
can be tried on them thousands of times.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np

WIDTH, HEADS, LAYERS, FEED = 32, 2, 2, 64
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["t h", "h e", "th e", "i n", "e r", "a n", "Ġ t", "o n", "Ġ a", "r e"]
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
PATCH, SIDE = 8, 32  # pixels
MELS, STACK = 8, 300

Tensors = Iterator[tuple[str, np.ndarray]]


def byte_letters() -> list[str]:
    """The printable character that stands for each byte in GPT-2's vocabulary."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte if byte in plain else next(others)) for byte in range(256)]


def vocabulary(tokenizer: str = "gpt2") -> list[str]:
    """Equally many words for both tokenizers: control tokens, every byte, a few longer ones."""
    longer = ["".join(merge.split()) for merge in MERGES]
    if tokenizer == "llama":
        bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
        return [*CONTROL, *bytes_, *(word.replace("Ġ", "▁") for word in longer)]
    return [*CONTROL, *byte_letters(), *longer]


def model_tensors(rng: np.random.Generator) -> Tensors:
    def matrix(rows: int, columns: int) -> np.ndarray:
        return rng.normal(0, 0.6 / columns**0.5, (rows, columns)).astype(np.float32)

    n = len(vocabulary())
    yield "token_embd.weight", rng.normal(0, 1, (n, WIDTH)).astype(np.float32)
    yield "output_norm.weight", np.ones(WIDTH, np.float32)
    yield "output.weight", 8 * matrix(n, WIDTH)
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        for norm in ("attn_norm", "ffn_norm"):
            yield f"{block}{norm}.weight", np.ones(WIDTH, np.float32)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            yield f"{block}{name}.weight", 2 * matrix(WIDTH, WIDTH)
        yield f"{block}ffn_gate.weight", matrix(FEED, WIDTH)
        yield f"{block}ffn_up.weight", matrix(FEED, WIDTH)
        yield f"{block}ffn_down.weight", matrix(WIDTH, FEED)


def pixtral_tensors(rng: np.random.Generator) -> Tensors:
    """Eyes that take a picture in its own size: RoPE in two dimensions, one row a patch."""

    def matrix(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.2, shape).astype(np.float32)

    yield "v.patch_embd.weight", matrix(WIDTH, 3, PATCH, PATCH)
    yield "v.pre_ln.weight", np.ones(WIDTH, np.float32)
    for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
        yield f"v.blk.0.{name}.weight", matrix(WIDTH, WIDTH)
    yield "v.blk.0.ffn_gate.weight", matrix(FEED, WIDTH)
    yield "v.blk.0.ffn_up.weight", matrix(FEED, WIDTH)
    yield "v.blk.0.ffn_down.weight", matrix(WIDTH, FEED)
    for norm in ("ln1", "ln2"):
        yield f"v.blk.0.{norm}.weight", np.ones(WIDTH, np.float32)
    yield "v.token_embd.img_break", matrix(WIDTH)
    yield "mm.1.weight", matrix(WIDTH, WIDTH)
    yield "mm.2.weight", matrix(WIDTH, WIDTH)


def mmproj_tensors(rng: np.random.Generator, vision: bool, audio: bool) -> Tensors:
    def matrix(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.2, shape).astype(np.float32)

    def block(prefix: str, key_bias: bool) -> Tensors:
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            yield f"{prefix}{name}.weight", matrix(WIDTH, WIDTH)
            if name != "attn_k" or key_bias:
                yield f"{prefix}{name}.bias", matrix(WIDTH)
        yield f"{prefix}ffn_up.weight", matrix(FEED, WIDTH)
        yield f"{prefix}ffn_up.bias", matrix(FEED)
        yield f"{prefix}ffn_down.weight", matrix(WIDTH, FEED)
        yield f"{prefix}ffn_down.bias", matrix(WIDTH)
        for norm in ("ln1", "ln2"):
            yield f"{prefix}{norm}.weight", np.ones(WIDTH, np.float32)
            yield f"{prefix}{norm}.bias", matrix(WIDTH)

    if vision:
        yield "v.class_embd", matrix(1, WIDTH)
        yield "v.patch_embd.weight", matrix(WIDTH, 3, PATCH, PATCH)
        yield "v.patch_embd.bias", matrix(WIDTH)
        yield "v.position_embd.weight", matrix((SIDE // PATCH) ** 2, WIDTH)
        yield from block("v.blk.0.", key_bias=True)
        yield "v.post_ln.weight", np.ones(WIDTH, np.float32)
        yield "v.post_ln.bias", matrix(WIDTH)
        yield "mm.model.mlp.0.weight", np.ones(4 * WIDTH, np.float32)
        yield "mm.model.mlp.1.weight", matrix(FEED, 4 * WIDTH)
        yield "mm.model.mlp.3.weight", matrix(WIDTH, FEED)
    if audio:
        yield "a.conv1d.1.weight", matrix(WIDTH, MELS, 3).astype(np.float16)
        yield "a.conv1d.1.bias", matrix(WIDTH, 1)
        yield "a.conv1d.2.weight", matrix(WIDTH, WIDTH, 3).astype(np.float16)
        yield "a.conv1d.2.bias", matrix(WIDTH, 1)
        yield "a.position_embd.weight", matrix(1500, WIDTH)
        yield from block("a.blk.0.", key_bias=False)
        yield "a.post_ln.weight", np.ones(WIDTH, np.float32)
        yield "a.post_ln.bias", matrix(WIDTH)
        yield "mm.a.norm_pre.weight", np.ones(STACK * WIDTH, np.float32)
        yield "mm.a.mlp.1.weight", (matrix(FEED, STACK * WIDTH) / 10).astype(np.float16)
        yield "mm.a.norm_mid.weight", np.ones(FEED // 2, np.float32)
        yield "mm.a.mlp.2.weight", matrix(WIDTH, FEED // 2)


def write_model(
    path: Path, *, seed: int = 0, tokenizer: str = "gpt2", template: str = TEMPLATE
) -> Path:
    """A llama-architecture model with a vocabulary of bytes and a chat template.

    tokenizer: gpt2 (byte-level BPE) or llama (SentencePiece with byte fallback).
    """
    writer = gguf.GGUFWriter(path, "llama")
    words = vocabulary(tokenizer)
    writer.add_tokenizer_model(tokenizer)
    writer.add_token_list(words)
    writer.add_token_types([_type_of(word) for word in words])
    if tokenizer == "gpt2":
        writer.add_tokenizer_pre("smollm")
        writer.add_token_merges(MERGES)
    else:
        writer.add_token_scores([-float(i) for i in range(len(words))])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(template)
    known = {
        "llama.context_length": 512,
        "llama.embedding_length": WIDTH,
        "llama.block_count": LAYERS,
        "llama.feed_forward_length": FEED,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": HEADS,
        "llama.rope.dimension_count": WIDTH // HEADS,
        "llama.vocab_size": len(words),
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
    }
    _add(writer, known)
    return _write(writer, dict(model_tensors(np.random.default_rng(seed))))


def _type_of(word: str) -> gguf.TokenType:
    if word in CONTROL:
        return gguf.TokenType.CONTROL
    return gguf.TokenType.BYTE if word.startswith("<0x") else gguf.TokenType.NORMAL


def write_mmproj(path: Path, *, seed: int = 0, vision: bool = True, audio: bool = True) -> Path:
    """Encoders for that model: a picture becomes 4 rows, a recording 5."""
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_type("mmproj")
    writer.add_vision_use_gelu(True)
    tower = {
        "projection_dim": WIDTH,
        "embedding_length": WIDTH,
        "feed_forward_length": FEED,
        "block_count": 1,
        "attention.head_count": HEADS,
        "attention.layer_norm_epsilon": 1e-5,
    }
    if vision:
        writer.add_clip_has_vision_encoder(True)
        writer.add_vision_image_mean([0.5, 0.5, 0.5])
        writer.add_vision_image_std([0.5, 0.5, 0.5])
        own = {"image_size": SIDE, "patch_size": PATCH, "projector.scale_factor": 2}
        eyes = {**tower, "projector_type": "nemotron_v2_vl", **own}
        _add(writer, {f"clip.vision.{name}": value for name, value in eyes.items()})
    if audio:
        writer.add_clip_has_audio_encoder(True)
        own = {"num_mel_bins": MELS, "projector.stack_factor": STACK}
        ears = {**tower, "projector_type": "ultravox", **own}
        _add(writer, {f"clip.audio.{name}": value for name, value in ears.items()})
    return _write(writer, dict(mmproj_tensors(np.random.default_rng(seed), vision, audio)))


def write_dynamic_mmproj(path: Path, *, seed: int = 0) -> Path:
    """Eyes for that model that make more tokens of larger pictures, as Pixtral's do."""
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_type("mmproj")
    writer.add_clip_has_vision_encoder(True)
    writer.add_vision_use_silu(True)
    writer.add_vision_image_mean([0.5, 0.5, 0.5])
    writer.add_vision_image_std([0.5, 0.5, 0.5])
    eyes = {
        "projector_type": "pixtral",
        "projection_dim": WIDTH,
        "embedding_length": WIDTH,
        "feed_forward_length": FEED,
        "block_count": 1,
        "attention.head_count": HEADS,
        "attention.layer_norm_epsilon": 1e-5,
        "image_size": 512,
        "patch_size": PATCH,
    }
    _add(writer, {f"clip.vision.{name}": value for name, value in eyes.items()})
    return _write(writer, dict(pixtral_tensors(np.random.default_rng(seed))))


def _add(writer: gguf.GGUFWriter, fields: dict[str, Any]) -> None:
    for key, value in fields.items():
        if isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        else:
            writer.add_float32(key, value)


def _write(writer: gguf.GGUFWriter, tensors: dict[str, np.ndarray]) -> Path:
    for name, values in tensors.items():
        writer.add_tensor(name, np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return Path(writer.path)

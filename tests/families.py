"""A tiny language model and mmproj of every common projector family, and what to ask them.

What they say is noise, but all of it depends on every pixel, sample, token and position, so that a
picture that is cut, placed or counted otherwise than upstream does gives other tokens. A byte that
would end a text (zero, and the control tokens) is never the likeliest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import soundfile
from PIL import Image

from tests import encoders
from tests.encoders import Draw, Fields, Tensors
from tests.tiny import CONTROL, MERGES, TEMPLATE, byte_letters


@dataclass(frozen=True)
class Family:
    """What belongs together: an architecture and one or two encoders."""

    architecture: str
    eyes: Callable[[Draw, int], tuple[Fields, Tensors]] | None = None
    """Fields under clip.vision. and tensors, for rows of this width"""
    ears: Callable[[Draw, int], tuple[Fields, Tensors]] | None = None
    specials: tuple[str, ...] = ()
    """Words of the vocabulary that upstream puts around pictures and recordings"""
    width: int = 64
    begins: bool = False
    """A beginning-of-text token comes first"""
    activation: str = "gelu"
    """Of the vision tower: gelu, silu or, where a file names neither, quick"""
    extra: tuple[tuple[str, Any], ...] = ()
    """Fields of the mmproj elsewhere"""
    seed: int = 0
    """One with which no token was a near tie when answers were recorded"""


_VISION = ("<|vision_start|>", "<|vision_end|>")
_ROWS = tuple(f"<row_{y}_col_{x}>" for y in (1, 2, 3) for x in (1, 2, 3))
_GLOBAL = ("\n\n", "<fake_token_around_image>", "<global-img>")

FAMILIES = {
    "llava": Family("llama", encoders.llava, begins=True, activation="quick"),
    "llava-next": Family("llama", encoders.llava_next, begins=True, activation="quick"),
    "qwen2vl": Family("qwen2vl", encoders.qwen2vl, specials=_VISION, activation="quick", seed=1),
    "qwen2.5-omni": Family(
        "qwen2vl",
        encoders.qwen25vl,
        encoders.qwen2a,
        specials=(*_VISION, "<|audio_bos|>", "<|audio_eos|>"),
        activation="silu",
        seed=3,
    ),
    "qwen3vl": Family("qwen3vl", encoders.qwen3vl, specials=_VISION, seed=38),
    "smolvlm": Family("llama", encoders.idefics3, specials=(*_GLOBAL, *_ROWS), seed=12),
    "gemma3": Family(
        "gemma3",
        encoders.gemma3,
        specials=("<start_of_image>", "<end_of_image>"),
        begins=True,
        seed=12,
    ),
    "internvl": Family("llama", encoders.internvl, specials=("<img>", "</img>"), seed=15),
    "pixtral": Family(
        "llama", encoders.pixtral, specials=("[IMG_END]",), begins=True, activation="silu", seed=1
    ),
    "minicpmv": Family(
        "llama",
        encoders.minicpmv,
        specials=("<image>", "</image>", "<slice>", "</slice>"),
        width=128,
        extra=(("clip.minicpmv_version", 3), ("clip.minicpmv_query_num", 6)),
        seed=3,
    ),
    "ultravox": Family("llama", encoders.nemotron, encoders.ultravox, seed=14),
    "voxtral": Family(
        "llama", ears=encoders.voxtral, specials=("[BEGIN_AUDIO]",), begins=True, seed=15
    ),
}
"""By name"""


GOLDEN = Path(__file__).parent / "families.json"
"""What upstream's llama-mtmd-cli answers: tokens by family and case (`tests.conformance`)"""
TOKENS = 16
"""Length of those answers"""


def draw_media(folder: Path) -> dict[str, Path]:
    """Pictures of several forms and recordings, the same every time."""
    rng = np.random.default_rng(7)
    sizes = {"small": (60, 40), "wide": (230, 70), "tall": (50, 170), "dot": (3, 2)}
    files = {}
    for name, (width, height) in sizes.items():
        x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
        surface = np.stack([x, y, 1 - x * y], 2) * rng.uniform(60, 200, 3)
        pixels = np.clip(surface + rng.normal(0, 40, surface.shape), 0, 255).astype(np.uint8)
        files[name] = folder / f"{name}.png"
        Image.fromarray(pixels).save(files[name])
    for name, seconds in (("word", 0.7), ("speech", 3.1)):
        time = np.arange(round(16_000 * seconds)) / 16_000
        tone = np.sin(2 * np.pi * (200 + 900 * time) * time) * np.abs(np.sin(9 * time))
        samples = 0.5 * tone + rng.normal(0, 0.02, len(time))
        files[name] = folder / f"{name}.wav"
        soundfile.write(files[name], samples, 16_000, subtype="PCM_16")
    return files


def cases(name: str, media: dict[str, Path]) -> dict[str, list[str | Path]]:
    """Prompts for the family's senses; the last ones ask again about what was shown before."""
    family = FAMILIES[name]
    small, wide, tall, dot, word, speech = media.values()
    seen: dict[str, list[str | Path]] = {
        "picture": [small, "What is it?"],
        "wide": [wide, "What is it?"],
        "tall": ["Look:", tall],
        "dot": ["A ", dot, " dot?"],
        "two": ["First ", small, " and then ", wide, ", what now?"],
        "twice": [tall, tall, small],
        "picture again": [small, "What is it for?"],
        "two again": ["First ", small, " and then ", wide, ", why?"],
    }
    heard: dict[str, list[str | Path]] = {
        "speech": [speech, "What is said?"],
        "words": ["Hear ", word, " and ", speech, "."],
        "speech again": [speech, "Who says it?"],
    }
    both: dict[str, list[str | Path]] = {
        "picture and speech": [small, " with ", speech, "?"],
        "speech and pictures": [word, wide, " or ", small, "?"],
        "both again": [small, " with ", speech, "!"],
    }
    parts = [seen] * (family.eyes is not None) + [heard] * (family.ears is not None)
    parts += [both] * (len(parts) == 2)
    return {case: prompt for part in parts for case, prompt in part.items()}


def words_of(family: Family) -> list[str]:
    """The vocabulary: control tokens, every byte, a few longer words, the family's own."""
    longer = ["".join(merge.split()) for merge in MERGES]
    return [*CONTROL, *byte_letters(), *longer, *family.specials]


def ids_of(family: Family, answer: bytes) -> list[int]:
    """Tokens of an answer: every byte is one, since no other is ever chosen."""
    return [len(CONTROL) + byte for byte in answer]


def write(folder: Path, name: str) -> tuple[Path, Path]:
    """The family's model and mmproj."""
    family = FAMILIES[name]
    draw = Draw(family.seed)
    model = _write_model(folder / f"{name}.gguf", family, draw)
    return model, _write_mmproj(folder / f"{name}.mmproj.gguf", family, draw)


def _write_model(path: Path, family: Family, draw: Draw) -> Path:
    arch, width = family.architecture, family.width
    words = words_of(family)
    layers, heads, head = (6 if arch == "gemma3" else 2), width // 16, 16
    fields: Fields = {
        "context_length": 4096,
        "embedding_length": width,
        "block_count": layers,
        "feed_forward_length": 2 * width,
        "attention.head_count": heads,
        "attention.head_count_kv": heads // 2,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "attention.key_length": head,
        "attention.value_length": head,
        "rope.dimension_count": head,
        "vocab_size": len(words),
    }
    if arch == "gemma3":
        fields["attention.sliding_window"] = 32
    if arch.endswith("vl"):
        fields["rope.dimension_sections"] = [2, 3, 3, 0]
    if arch == "qwen3vl":
        fields["n_deepstack_layers"] = 1
    output = draw.matrix(len(words), width, gain=8)
    byte_tokens = range(len(CONTROL) + 1, len(CONTROL) + 256)  # but for the byte zero
    output[[n for n in range(len(words)) if n not in byte_tokens]] = 0
    tensors = {
        "token_embd.weight": draw.rows(len(words), width),
        "output_norm.weight": np.ones(width, np.float32),
        "output.weight": output,
    }
    for n in range(layers):
        block = _layer(draw, arch, width, head, heads)
        tensors |= {f"blk.{n}.{key}": values for key, values in block.items()}
    writer = gguf.GGUFWriter(path, arch)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list([_letters(word) for word in words])
    control = {*CONTROL, *family.specials} - {"\n\n"}
    kinds = (gguf.TokenType.NORMAL, gguf.TokenType.CONTROL)
    writer.add_token_types([kinds[word in control] for word in words])
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(family.begins)
    writer.add_chat_template(TEMPLATE)
    return _write(writer, {f"{arch}.{key}": value for key, value in fields.items()}, tensors)


def _letters(word: str) -> str:
    return word.replace("\n", "Ċ")  # as GPT-2's vocabulary writes it


def _layer(draw: Draw, arch: str, width: int, head: int, heads: int) -> Tensors:
    shared = heads // 2 * head
    tensors = {
        "attn_q.weight": draw.matrix(width, width, gain=1.5),
        "attn_k.weight": draw.matrix(shared, width, gain=1.5),
        "attn_v.weight": draw.matrix(shared, width, gain=1.5),
        "attn_output.weight": draw.matrix(width, width, gain=1.5),
        "ffn_gate.weight": draw.matrix(2 * width, width),
        "ffn_up.weight": draw.matrix(2 * width, width),
        "ffn_down.weight": draw.matrix(width, 2 * width),
    }
    norms = {"attn_norm": width, "ffn_norm": width}
    if arch in ("gemma3", "qwen3vl"):
        norms |= {"attn_q_norm": head, "attn_k_norm": head}
    if arch == "gemma3":
        norms |= {"post_attention_norm": width, "post_ffw_norm": width}
    for name, size in norms.items():
        tensors |= draw.norm(name, size, bias=False)
    if arch == "qwen2vl":
        sizes = {"q": width, "k": shared, "v": shared}
        tensors |= {f"attn_{x}.bias": draw.rows(size, size=0.2) for x, size in sizes.items()}
    return tensors


def _write_mmproj(path: Path, family: Family, draw: Draw) -> Path:
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_type("mmproj")
    fields: Fields = {f"clip.use_{family.activation}": True, **dict(family.extra)}
    tensors: Tensors = {}
    for modality, make in (("vision", family.eyes), ("audio", family.ears)):
        if make is not None:
            own, encoder = make(draw, family.width)
            fields |= {f"clip.{modality}.{key}": value for key, value in own.items()}
            fields[f"clip.has_{modality}_encoder"] = True
            tensors |= encoder
    return _write(writer, fields, tensors)


def _write(writer: gguf.GGUFWriter, fields: Fields, tensors: Tensors) -> Path:
    for key, value in fields.items():
        if isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, bool):
            writer.add_bool(key, value)
        elif key == "clip.minicpmv_version":
            writer.add_int32(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        else:
            writer.add_array(key, value)
    for name, values in tensors.items():
        writer.add_tensor(name, np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return Path(writer.path[0] if isinstance(writer.path, list) else writer.path)

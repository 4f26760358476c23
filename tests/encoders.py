"""Random encoders of every common projector family: the fields and tensors of an mmproj.

Every maker takes the width of the language model's rows and returns the fields under `clip.vision.`
or `clip.audio.` and the tensors that upstream's `tools/mtmd/clip.cpp` looks for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

TOWER, HEADS, FEED, BLOCKS, PATCH = 32, 2, 64, 2, 8
MELS, FRAMES = 8, 1500

Fields = dict[str, Any]
Tensors = dict[str, np.ndarray]


class Draw:
    """Random tensors."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def rows(self, *shape: int, size: float = 1.0) -> np.ndarray:
        return self._rng.normal(0, size, shape).astype(np.float32)

    def matrix(self, outputs: int, *inputs: int, gain: float = 1.0) -> np.ndarray:
        """Keeps the size of what it is applied to, times the gain."""
        return self.rows(outputs, *inputs, size=gain / np.prod(inputs) ** 0.5)

    def linear(self, name: str, outputs: int, *inputs: int, gain: float = 1.0) -> Tensors:
        """A matrix and a bias."""
        bias = self.rows(outputs, size=0.2)
        return {f"{name}.weight": self.matrix(outputs, *inputs, gain=gain), f"{name}.bias": bias}

    def norm(self, name: str, width: int, bias: bool = True) -> Tensors:
        scale = {f"{name}.weight": 1 + self.rows(width, size=0.1)}
        return {**scale, f"{name}.bias": self.rows(width, size=0.1)} if bias else scale


def _blocks(
    draw: Draw, prefix: str, *, bias: bool = True, key_bias: bool = True, gate: bool = False
) -> Tensors:
    tensors = {}
    for n in range(BLOCKS):
        block = f"{prefix}.blk.{n}."
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            tensors |= draw.linear(block + name, TOWER, TOWER, gain=1.5)
        tensors |= draw.linear(block + "ffn_up", FEED, TOWER)
        tensors |= draw.linear(block + "ffn_gate", FEED, TOWER) if gate else {}
        tensors |= draw.linear(block + "ffn_down", TOWER, FEED)
        tensors |= draw.norm(block + "ln1", TOWER, bias) | draw.norm(block + "ln2", TOWER, bias)
        if not key_bias:
            del tensors[f"{block}attn_k.bias"]
    return tensors


def _picture(side: int, projector: str, width: int, **own: Any) -> Fields:
    tower = {"projector_type": projector, "image_size": side, "patch_size": PATCH}
    return {**tower, "image_mean": [0.5] * 3, "image_std": [0.25] * 3, **_sizes(width), **own}


def _sizes(width: int) -> Fields:
    return {
        "projection_dim": width,
        "embedding_length": TOWER,
        "feed_forward_length": FEED,
        "block_count": BLOCKS,
        "attention.head_count": HEADS,
        "attention.layer_norm_epsilon": 1e-5,
    }


def _patches(draw: Draw, *, places: int = 0, first: bool = False, bias: bool = True) -> Tensors:
    """From pixels to rows; places: learned positions; first: a row that stands for the whole."""
    name = "v.patch_embd"
    tensors = draw.linear(name, TOWER, 3, PATCH, PATCH)
    if not bias:
        del tensors[f"{name}.bias"]
    if first:
        tensors["v.class_embd"] = draw.rows(1, TOWER)
    if places:
        tensors["v.position_embd.weight"] = draw.rows(places + first, TOWER, size=0.5)
    return tensors


def llava(draw: Draw, width: int, **own: Any) -> tuple[Fields, Tensors]:
    side = 32
    tensors = _patches(draw, places=(side // PATCH) ** 2, first=True, bias=False)
    tensors |= draw.norm("v.pre_ln", TOWER) | _blocks(draw, "v")
    tensors |= draw.linear("mm.0", width, TOWER) | draw.linear("mm.2", width, width)
    return _picture(side, "mlp", width, **own), tensors


def llava_next(draw: Draw, width: int) -> tuple[Fields, Tensors]:
    return llava(draw, width, image_grid_pinpoints=[32, 64, 64, 32, 64, 64, 96, 32, 32, 96])


def qwen2vl(draw: Draw, width: int) -> tuple[Fields, Tensors]:
    tensors = _patches(draw, bias=False) | _blocks(draw, "v") | draw.norm("v.post_ln", TOWER)
    tensors["v.patch_embd.weight.1"] = draw.matrix(TOWER, 3, PATCH, PATCH)
    tensors |= draw.linear("mm.0", 4 * TOWER, 4 * TOWER) | draw.linear("mm.2", width, 4 * TOWER)
    return _picture(64, "qwen2vl_merger", width), tensors


def qwen25vl(draw: Draw, width: int) -> tuple[Fields, Tensors]:
    """Windows of 3 x 3 tokens in every layer but each second one; RMS norms, gated."""
    tensors = _patches(draw, bias=False) | _blocks(draw, "v", bias=False, gate=True)
    tensors |= draw.norm("v.post_ln", TOWER, bias=False)
    tensors["v.patch_embd.weight.1"] = draw.matrix(TOWER, 3, PATCH, PATCH)
    tensors |= draw.linear("mm.0", 4 * TOWER, 4 * TOWER) | draw.linear("mm.2", width, 4 * TOWER)
    return _picture(64, "qwen2.5vl_merger", width, n_wa_pattern=2, window_size=48), tensors


def qwen3vl(draw: Draw, width: int) -> tuple[Fields, Tensors]:
    """A layer's rows go past the projector into a layer of the language model."""
    side, merged = 64, 4 * TOWER
    tensors = _patches(draw, places=(side // PATCH) ** 2) | draw.norm("v.post_ln", TOWER)
    tensors["v.patch_embd.weight.1"] = draw.matrix(TOWER, 3, PATCH, PATCH)
    for name, values in _blocks(draw, "v").items():
        if not any(part in name for part in ("attn_q", "attn_k", "attn_v")):
            tensors[name] = values
    for n in range(BLOCKS):
        tensors |= draw.linear(f"v.blk.{n}.attn_qkv", 3 * TOWER, TOWER, gain=1.5)
    deep = "v.deepstack.0."
    tensors |= draw.norm(deep + "norm", merged) | draw.linear(deep + "fc1", merged, merged)
    tensors |= draw.linear(deep + "fc2", width, merged)
    tensors |= draw.linear("mm.0", merged, merged) | draw.linear("mm.2", width, merged)
    return _picture(side, "qwen3vl_merger", width), tensors


def idefics3(draw: Draw, width: int) -> tuple[Fields, Tensors]:
    side = 32
    tensors = _patches(draw, places=(side // PATCH) ** 2) | _blocks(draw, "v")
    tensors |= draw.norm("v.post_ln", TOWER)
    tensors["mm.model.fc.weight"] = draw.matrix(width, 4 * TOWER)
    own = {"projector.scale_factor": 2, "preproc_image_size": 96}
    return _picture(side, "idefics3", width, **own), tensors


def gemma3(draw: Draw, width: int) -> tuple[Fields, Tensors]:
    side = 64
    tensors = _patches(draw, places=(side // PATCH) ** 2) | _blocks(draw, "v")
    tensors |= draw.norm("v.post_ln", TOWER)
    tensors["mm.input_projection.weight"] = draw.matrix(width, TOWER, gain=2).T
    tensors |= draw.norm("mm.soft_emb_norm", TOWER, bias=False)
    return _picture(side, "gemma3", width, **{"projector.scale_factor": 2}), tensors


def internvl(draw: Draw, width: int) -> tuple[Fields, Tensors]:
    """Tiles go through the encoder several at once."""
    side = 32
    tensors = _patches(draw, places=(side // PATCH) ** 2, first=True) | _blocks(draw, "v")
    for n in range(BLOCKS):
        tensors |= {f"v.blk.{n}.ls{i}.weight": 1 + draw.rows(TOWER, size=0.2) for i in (1, 2)}
    tensors |= draw.norm("mm.model.mlp.0", 4 * TOWER)
    tensors |= draw.linear("mm.model.mlp.1", width, 4 * TOWER)
    tensors |= draw.linear("mm.model.mlp.3", width, width)
    own = {"projector.scale_factor": 2, "preproc_min_tiles": 1, "preproc_max_tiles": 6}
    return _picture(side, "internvl", width, **own), tensors


def pixtral(draw: Draw, width: int) -> tuple[Fields, Tensors]:
    """A learned row ends every line of the picture."""
    tensors = _patches(draw, bias=False) | _blocks(draw, "v", bias=False, gate=True)
    tensors |= draw.norm("v.pre_ln", TOWER, bias=False)
    tensors |= draw.norm("mm.input_norm", TOWER, bias=False)
    tensors["mm.patch_merger.weight"] = draw.matrix(TOWER, 4 * TOWER)
    tensors["mm.1.weight"] = draw.matrix(width, TOWER)
    tensors["mm.2.weight"] = draw.matrix(width, width)
    tensors["v.token_embd.img_break"] = draw.rows(width)
    return _picture(256, "pixtral", width, spatial_merge_size=2), tensors


def minicpmv(draw: Draw, width: int) -> tuple[Fields, Tensors]:
    """Queries that read the picture; a picture has slices."""
    queries = 6
    tensors = _patches(draw, places=70 * 70) | _blocks(draw, "v") | draw.norm("v.post_ln", TOWER)
    part = "resampler."
    tensors[part + "pos_embed_k"] = draw.rows(1, width)
    tensors[part + "query"] = draw.rows(queries, width)
    tensors[part + "proj.weight"] = draw.matrix(width, width)
    tensors[part + "kv.weight"] = draw.matrix(width, TOWER)
    for name in ("q", "k", "v", "out"):
        tensors |= draw.linear(f"{part}attn.{name}", width, width, gain=1.5)
    for name in ("q", "kv", "post"):
        tensors |= draw.norm(f"{part}ln_{name}", width)
    return _picture(32, "resampler", width), tensors


def nemotron(draw: Draw, width: int) -> tuple[Fields, Tensors]:
    side = 32
    tensors = _patches(draw, places=(side // PATCH) ** 2) | _blocks(draw, "v")
    tensors["v.class_embd"] = draw.rows(1, TOWER)
    tensors |= draw.norm("v.post_ln", TOWER)
    tensors |= draw.norm("mm.model.mlp.0", 4 * TOWER, bias=False)
    tensors["mm.model.mlp.1.weight"] = draw.matrix(FEED, 4 * TOWER)
    tensors["mm.model.mlp.3.weight"] = draw.matrix(width, FEED)
    return _picture(side, "nemotron_v2_vl", width, **{"projector.scale_factor": 2}), tensors


def _whisper(draw: Draw, projector: str, width: int, **own: Any) -> tuple[Fields, Tensors]:
    tensors = _blocks(draw, "a", key_bias=False) | draw.norm("a.post_ln", TOWER)
    tensors["a.position_embd.weight"] = draw.rows(FRAMES, TOWER, size=0.5)
    for n, inputs in ((1, MELS), (2, TOWER)):  # ggml convolves in half precision
        tensors[f"a.conv1d.{n}.weight"] = draw.matrix(TOWER, inputs, 3).astype(np.float16)
        tensors[f"a.conv1d.{n}.bias"] = draw.rows(TOWER, 1, size=0.2)
    return {"projector_type": projector, "num_mel_bins": MELS, **_sizes(width), **own}, tensors


def ultravox(draw: Draw, width: int) -> tuple[Fields, Tensors]:
    stack = 30
    fields, tensors = _whisper(draw, "ultravox", width, **{"projector.stack_factor": stack})
    tensors |= draw.norm("mm.a.norm_pre", stack * TOWER, bias=False)
    tensors["mm.a.mlp.1.weight"] = draw.matrix(2 * FEED, stack * TOWER)
    tensors |= draw.norm("mm.a.norm_mid", FEED, bias=False)
    tensors["mm.a.mlp.2.weight"] = draw.matrix(width, FEED)
    return fields, tensors


def qwen2a(draw: Draw, width: int) -> tuple[Fields, Tensors]:
    fields, tensors = _whisper(draw, "qwen2a", width)
    return fields, tensors | draw.linear("mm.a.fc", width, TOWER)


def voxtral(draw: Draw, width: int) -> tuple[Fields, Tensors]:
    stack = 25
    fields, tensors = _whisper(draw, "voxtral", width, **{"projector.stack_factor": stack})
    tensors["mm.a.mlp.1.weight"] = draw.matrix(FEED, stack * TOWER)
    tensors["mm.a.mlp.2.weight"] = draw.matrix(width, FEED)
    return fields, tensors

"""Files that tests make for themselves."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np


def write_gguf(path: Path, architecture: str, fields: Mapping[str, Any], tensors) -> Path:
    """A GGUF file; the type of a field follows its Python type (int: uint32, float: float32)."""
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in fields.items():
        if isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        elif isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value[0], str):
            writer.add_array(key, value)
        else:
            kind = gguf.GGUFValueType.INT32 if "token_type" in key else gguf.GGUFValueType.UINT32
            if isinstance(value[0], float):
                kind = gguf.GGUFValueType.FLOAT32
            writer.add_key_value(key, value, gguf.GGUFValueType.ARRAY, sub_type=kind)
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def lora_pair(name: str, n_in: int, n_out: int, rank: int = 4, seed: int = 0, size: float = 0.1):
    """Random A (rank, n_in) and B (n_out, rank) for one matrix."""
    rng = np.random.default_rng(seed)
    a = rng.normal(0, size, (rank, n_in)).astype(np.float32)
    b = rng.normal(0, size, (n_out, rank)).astype(np.float32)
    return {f"{name}.lora_a": a, f"{name}.lora_b": b}


def write_lora(path: Path, tensors=None, *, architecture="llama", alpha=8.0, **fields: Any) -> Path:
    """A LoRA adapter; by default a random one for two matrices of SmolLM2-135M."""
    if tensors is None:
        tensors = {
            **lora_pair("blk.3.attn_q.weight", 576, 576, seed=1),
            **lora_pair("blk.7.ffn_down.weight", 1536, 576, seed=2),
        }
    known = {"general.type": "adapter", "adapter.type": "lora", "adapter.lora.alpha": alpha}
    return write_gguf(path, architecture, {**known, **fields}, tensors)


WIDTH = 64
PIECES = ["<unk>", "<s>", "</s>", *(f"<0x{n:02X}>" for n in range(256))]
PIECES += ["\u2581", *(chr(n) for n in range(97, 123))]
PIECE_TYPES = [2, 3, 3, *[6] * 256, *[1] * 27]
KINDS = ("llama", "gemma3", "mamba", "qwen2vl", "falcon-h1")
"""Tiny models: plain attention, a sliding window, a recurrent state, M-RoPE, both at once."""


def write_tiny(path: Path, architecture: str = "llama", *, seed: int = 0) -> Path:
    """A random language model of a few hundred KB whose tokens are bytes."""
    rng = np.random.default_rng(seed)
    layers = 6 if architecture == "gemma3" else 2  # every sixth has no window

    def weights(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.4, shape).astype(np.float32)

    def ones(n: int) -> np.ndarray:
        return np.ones(n, np.float32)

    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name(f"tiny {architecture} {seed}")
    writer.add_context_length(2048)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(0 if architecture == "mamba" else 2 * WIDTH)
    writer.add_head_count(0 if architecture == "mamba" else 4)
    writer.add_head_count_kv(0 if architecture == "mamba" else 2)
    writer.add_layer_norm_rms_eps(1e-5)
    if architecture != "mamba":
        writer.add_rope_dimension_count(16)
    if architecture == "gemma3":
        writer.add_key_length(16)
        writer.add_value_length(16)
        writer.add_sliding_window(32)
    if architecture == "qwen2vl":
        writer.add_rope_dimension_sections([2, 3, 3, 0])
    inner, state, dt = 2 * WIDTH, 8, 4
    if architecture in ("mamba", "falcon-h1"):
        writer.add_ssm_conv_kernel(4)
        writer.add_ssm_inner_size(inner)
        writer.add_ssm_state_size(state)
        writer.add_ssm_time_step_rank(dt)
    if architecture == "falcon-h1":
        writer.add_ssm_group_count(1)
    pieces = PIECES
    writer.add_tokenizer_model("llama")
    writer.add_token_list(pieces)
    writer.add_token_scores([0.0] * len(pieces))
    writer.add_token_types(PIECE_TYPES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_vocab_size(len(pieces))

    tensors = {"token_embd.weight": weights(len(pieces), WIDTH), "output_norm.weight": ones(WIDTH)}
    if architecture != "gemma3":
        tensors["output.weight"] = weights(len(pieces), WIDTH)
    for n in range(layers):
        block = f"blk.{n}."
        tensors[block + "attn_norm.weight"] = ones(WIDTH)
        if architecture in ("mamba", "falcon-h1"):
            tensors |= {block + k: v for k, v in _ssm(architecture, weights, ones).items()}
        if architecture == "mamba":
            continue
        own = {
            "attn_q.weight": weights(64, WIDTH),
            "attn_k.weight": weights(32, WIDTH),
            "attn_v.weight": weights(32, WIDTH),
            "attn_output.weight": weights(WIDTH, 64),
            "ffn_norm.weight": ones(WIDTH),
            "ffn_gate.weight": weights(2 * WIDTH, WIDTH),
            "ffn_up.weight": weights(2 * WIDTH, WIDTH),
            "ffn_down.weight": weights(WIDTH, 2 * WIDTH),
        }
        if architecture == "gemma3":
            own |= {
                "attn_q_norm.weight": ones(16),
                "attn_k_norm.weight": ones(16),
                "post_attention_norm.weight": ones(WIDTH),
                "post_ffw_norm.weight": ones(WIDTH),
            }
        if architecture == "falcon-h1":
            own["ffn_norm"] = own.pop("ffn_norm.weight")
        if architecture == "qwen2vl":
            own |= {f"attn_{x}.bias": weights(w) for x, w in (("q", 64), ("k", 32), ("v", 32))}
        tensors |= {block + name: values for name, values in own.items()}
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_mtp(path: Path, *, layers: int = 1, seed: int = 0) -> Path:
    """A glm4moe model with a layer that predicts the token after next, and is often right.

    What its other layers add is small, so a token depends nearly on the one before alone; the layer
    passes on the token it is given. layers: 0 leaves it out.
    """
    rng = np.random.default_rng(seed)
    feed, experts, n = 32, 2, len(PIECES)

    def small(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.03, shape).astype(np.float32)

    def ones() -> np.ndarray:
        return np.ones(WIDTH, np.float32)

    tensors = {
        "token_embd.weight": rng.normal(0, 1, (n, WIDTH)).astype(np.float32),
        "output_norm.weight": ones(),
        "output.weight": rng.normal(0, 1, (n, WIDTH)).astype(np.float32),
    }
    for layer in range(2 + layers):
        block = {
            "attn_norm.weight": ones(),
            "attn_q.weight": small(64, WIDTH),
            "attn_k.weight": small(32, WIDTH),
            "attn_v.weight": small(32, WIDTH),
            "attn_output.weight": small(WIDTH, 64),
            "post_attention_norm.weight": ones(),
        }
        if layer < 2:
            block |= {f"ffn_{k}.weight": small(feed, WIDTH) for k in ("gate", "up")}
            block["ffn_down.weight"] = small(WIDTH, feed)
        else:
            block["ffn_gate_inp.weight"] = small(experts, WIDTH)
            block["exp_probs_b.bias"] = small(experts)
            for kind, shape in (("exps", (experts,)), ("shexp", ())):
                block |= {
                    f"ffn_{k}_{kind}.weight": small(*shape, feed, WIDTH) for k in ("gate", "up")
                }
                block[f"ffn_down_{kind}.weight"] = small(*shape, WIDTH, feed)
            passes_on = np.hstack([np.eye(WIDTH), np.zeros((WIDTH, WIDTH))])
            block |= {
                "nextn.eh_proj.weight": passes_on.astype(np.float32),
                "nextn.enorm.weight": ones(),
                "nextn.hnorm.weight": ones(),
            }
        tensors |= {f"blk.{layer}.{name}": values for name, values in block.items()}
    fields = {
        "general.name": "tiny mtp",
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": PIECES,
        "tokenizer.ggml.scores": [0.0] * n,
        "tokenizer.ggml.token_type": PIECE_TYPES,
    }
    known = {
        "context_length": 512,
        "embedding_length": WIDTH,
        "block_count": 2 + layers,
        "feed_forward_length": feed,
        "attention.head_count": 4,
        "attention.head_count_kv": 2,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.dimension_count": 16,
        "expert_count": experts,
        "expert_used_count": 1,
        "expert_shared_count": 1,
        "expert_feed_forward_length": feed,
        "leading_dense_block_count": 2,
        "nextn_predict_layers": layers,
        "vocab_size": n,
    }
    fields |= {f"glm4moe.{key}": value for key, value in known.items()}
    return write_gguf(path, "glm4moe", fields, tensors)


def _ssm(architecture: str, weights, ones) -> dict[str, np.ndarray]:
    inner, state, dt = 2 * WIDTH, 8, 4
    if architecture == "mamba":
        return {
            "ssm_in.weight": weights(2 * inner, WIDTH),
            "ssm_conv1d.weight": weights(inner, 4),
            "ssm_conv1d.bias": weights(inner),
            "ssm_x.weight": weights(dt + 2 * state, inner),
            "ssm_dt.weight": weights(inner, dt),
            "ssm_dt.bias": weights(inner),
            "ssm_a": -np.abs(weights(inner, state)),
            "ssm_d": weights(inner),
            "ssm_out.weight": weights(WIDTH, inner),
        }
    channels = inner + 2 * state
    return {
        "ssm_in.weight": weights(inner + channels + dt, WIDTH),
        "ssm_conv1d.weight": weights(channels, 4),
        "ssm_conv1d.bias": weights(channels),
        "ssm_dt.bias": weights(dt),
        "ssm_a": -np.abs(weights(dt, 1)),
        "ssm_d": weights(dt, 1),
        "ssm_norm.weight": ones(inner),
        "ssm_out.weight": weights(WIDTH, inner),
    }

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

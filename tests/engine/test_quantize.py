"""Quantization: the plan, the file, and what happens when it cannot be written.

`ext/tests/quantize_test.cpp` compares every type with llama.cpp's own quantizer, byte for byte.
"""

import os
import resource
import signal
import subprocess
import sys
import threading
import time

import gguf
import numpy as np
import pytest

from mullama_media import Engine, EngineParams, Model, StreamConfig, hub
from mullama_media.engine import (
    QuantizeParams,
    plan_quantization,
    quantization_types,
    quantize,
    tensor_types,
)
from mullama_media.errors import (
    InvalidOptionError,
    ModelLoadError,
    QuantizeCancelledError,
    QuantizeError,
)
from tests.conftest import GREEDY

REQUANTIZE = QuantizeParams(allow_requantize=True)
# fmt: off
SEED = [
    "Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_0", "Q4_1", "Q4_K_S", "Q4_K_M", "Q5_0", "Q5_1",
    "Q5_K_S", "Q5_K_M", "Q6_K", "Q8_0", "F16", "F32", "BF16", "IQ1_S", "IQ1_M", "IQ2_XXS",
    "IQ2_XS", "IQ2_S", "IQ2_M", "IQ3_XXS", "IQ3_XS", "IQ3_S", "IQ3_M", "IQ4_NL", "IQ4_XS",
]
# fmt: on
REFERENCE = ("Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "TQ2_0", "TQ1_0", "BF16", "F16", "F32")
SHAPE = (64, 256)


@pytest.fixture(scope="session")
def f16(tiny_files: hub.ModelFiles, tmp_path_factory):
    """SmolLM2 in F16: what one would quantize from."""
    target = tmp_path_factory.mktemp("quantize") / "smol-f16.gguf"
    quantize(tiny_files.model, target, "F16", REQUANTIZE)
    return target


@pytest.fixture
def small(tmp_path):
    return write_small(tmp_path / "small.gguf")


def write_small(path, **changes):
    """A llama-like file with one layer, F32; only the quantizer reads it."""
    rng = np.random.default_rng(1)
    writer = gguf.GGUFWriter(path, "llama")
    for key, value in {
        "context_length": 64,
        "embedding_length": 256,
        "block_count": 1,
        "feed_forward_length": 64,
        "attention.head_count": 4,
        "vocab_size": 64,
    }.items():
        writer.add_uint32(f"llama.{key}", value)
    writer.add_float32("llama.attention.layer_norm_rms_epsilon", 1e-5)
    writer.add_array("odd.numbers", [1, 3, 5])
    names = ["token_embd", "output", "blk.0.attn_q", "blk.0.attn_v", "blk.0.ffn_down"]
    for name in names:
        values = rng.normal(0, 0.1, SHAPE).astype(np.float32)
        writer.add_tensor(f"{name}.weight", changes.get(name, values))
    writer.add_tensor("output_norm.weight", np.ones(256, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def tensors_of(path):
    return {t.name: t for t in gguf.GGUFReader(path).tensors}


@pytest.mark.parametrize("kind", SEED)
def test_every_type_can_be_planned(tiny_files, kind):
    plan = plan_quantization(tiny_files.model, kind.lower())
    assert plan.type == kind
    assert len(plan.tensors) == 272
    assert plan.new_size > 0
    assert plan.bits_per_weight < {"F32": 33}.get(kind, 16.1)
    assert bool(plan.missing_imatrix) == kind.startswith(("IQ1", "IQ2"))


def test_the_types_are_those_of_llama_cpp():
    assert set(SEED) < set(quantization_types())
    names = {n.name.removeprefix("MOSTLY_").removeprefix("ALL_") for n in gguf.LlamaFileType}
    assert {n.upper() for n in quantization_types()} <= names | {"Q1_0", "Q2_0", "MXFP4_MOE"}
    assert {"q4_k", "q6_k", "f16", "iq2_xxs"} < set(tensor_types())


@pytest.mark.parametrize("kind", REFERENCE)
def test_the_numbers_are_those_of_the_reference_quantizer(small, tmp_path, kind):
    target = tmp_path / "out.gguf"
    quantize(small, target, kind, QuantizeParams(pure=True))
    before, after = tensors_of(small), tensors_of(target)
    wanted = gguf.GGMLQuantizationType[kind]
    for name in ("blk.0.attn_q.weight", "blk.0.ffn_down.weight"):
        assert after[name].tensor_type == wanted
        want = gguf.quants.quantize(np.array(before[name].data), wanted)
        assert np.array_equal(np.array(after[name].data).view(np.uint8), want.view(np.uint8))


def test_metadata_is_kept_and_says_the_new_type(small, tmp_path):
    target = tmp_path / "out.gguf"
    plan = quantize(small, target, "Q4_K_M")
    before, after = gguf.GGUFReader(small).fields, gguf.GGUFReader(target).fields
    for key, field in before.items():
        if not key.startswith("GGUF."):
            assert after[key].contents() == field.contents()
    assert after["general.file_type"].contents() == gguf.LlamaFileType.MOSTLY_Q4_K_M
    assert [t.name for t in plan.tensors] == list(tensors_of(target))
    assert {t.name: t.new_size for t in plan.tensors} == {
        name: int(t.n_bytes) for name, t in tensors_of(target).items()
    }


def test_rules_decide_single_tensors(small, tmp_path):
    params = QuantizeParams(
        tensor_types=("attn_[qk]=q8_0", "attn=q5_1"),
        output_type="F16",
        token_embedding_type="q6_k",
    )
    target = tmp_path / "out.gguf"
    quantize(small, target, "Q4_0", params)
    types = {name: t.tensor_type.name for name, t in tensors_of(target).items()}
    assert types["blk.0.attn_q.weight"] == "Q8_0"
    assert types["blk.0.attn_v.weight"] == "Q5_1"
    assert types["blk.0.ffn_down.weight"] == "Q4_0"
    assert types["output.weight"] == "F16"
    assert types["token_embd.weight"] == "Q6_K"
    assert types["output_norm.weight"] == "F32"
    left = plan_quantization(small, "Q4_0", QuantizeParams(leave_output=True))
    assert {t.name: t.new_type for t in left.tensors}["output.weight"] == "f32"


@pytest.mark.parametrize("legacy", [True, False])
def test_an_importance_matrix_changes_the_numbers(small, tmp_path, legacy):
    file = tmp_path / "matrix"
    names = [n for n, t in tensors_of(small).items() if len(t.shape) == 2]
    columns = np.where(np.arange(256) % 7 == 0, 100.0, 0.01).astype(np.float32)
    if legacy:
        with file.open("wb") as out:
            out.write(np.int32(len(names)).tobytes())
            for name in names:
                out.write(np.int32(len(name)).tobytes() + name.encode())
                out.write(np.array([2, 256], np.int32).tobytes() + (2 * columns).tobytes())
    else:
        writer = gguf.GGUFWriter(file, "imatrix")
        writer.add_array("imatrix.datasets", ["some.txt"])
        writer.add_uint32("imatrix.chunk_count", 3)
        writer.add_uint32("imatrix.chunk_size", 512)
        for name in names:
            writer.add_tensor(f"{name}.in_sum2", 2 * columns)
            writer.add_tensor(f"{name}.counts", np.array([2.0], np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    params = QuantizeParams(imatrix=str(file))
    target, plain = tmp_path / "with.gguf", tmp_path / "without.gguf"
    quantize(small, target, "IQ2_XS", params)
    quantize(small, plain, "Q4_0")
    quantize(small, target, "Q4_0", params, overwrite=True)
    name = "blk.0.attn_q.weight"
    exact = np.array(tensors_of(small)[name].data)
    errors = []
    for made in (target, plain):
        tensor = tensors_of(made)[name]
        back = gguf.quants.dequantize(np.array(tensor.data), tensor.tensor_type)
        errors.append(float((((back - exact) ** 2) * columns).sum()))
    assert errors[0] < 0.9 * errors[1]
    fields = gguf.GGUFReader(target).fields
    assert fields["quantize.imatrix.file"].contents() == "matrix"
    assert fields["quantize.imatrix.entries_count"].contents() == len(names)
    if not legacy:
        assert fields["quantize.imatrix.dataset"].contents() == "some.txt"
        assert fields["quantize.imatrix.chunks_count"].contents() == 3
    excluded = QuantizeParams(imatrix=str(file), exclude_weights=("attn_q",))
    assert "blk.0.attn_q.weight" in plan_quantization(small, "IQ2_XS", excluded).missing_imatrix


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": "Q4_KM"}, "Q4_K_M"),
        ({"type": "zzz"}, "IQ4_NL"),
        ({"output_type": "q4k"}, "q4_k"),
        ({"tensor_types": ("attn",)}, "regex=type"),
        ({"tensor_types": ("attn(=q8_0",)}, "regular expression"),
        ({"tensor_types": ("attn=i32",)}, "no such tensor type"),
        ({"type": "IQ1_S"}, "importance matrix"),
        ({"type": "F16", "token_embedding_type": "iq2_xxs"}, "importance matrix"),
    ],
)
def test_options_that_cannot_be_are_refused(small, tmp_path, change, message):
    kind = change.pop("type", "Q8_0")
    with pytest.raises(InvalidOptionError, match=message):
        quantize(small, tmp_path / "out.gguf", kind, QuantizeParams(**change))
    assert [f.name for f in tmp_path.iterdir()] == ["small.gguf"]


def test_a_quantized_model_is_refused_unless_allowed(tiny_files, tmp_path):
    with pytest.raises(InvalidOptionError, match="quantized already"):
        quantize(tiny_files.model, tmp_path / "out.gguf", "Q8_0")


def test_damaged_input_is_refused(small, tmp_path):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(small.read_bytes()[:-100])
    for source, message in (
        (cut, "truncated"),
        (tmp_path / "none.gguf", "no such file"),
        (tmp_path, "folder"),
    ):
        with pytest.raises(ModelLoadError, match=message):
            quantize(source, tmp_path / "out.gguf", "Q8_0")
    bad = write_small(tmp_path / "nan.gguf", output=np.full(SHAPE, np.nan, np.float32))
    with pytest.raises(QuantizeError, match="not finite"):
        quantize(bad, tmp_path / "out.gguf", "Q8_0")
    for content in (b"", b"\xff" * 12, b"GGUF"):
        matrix = tmp_path / "matrix"
        matrix.write_bytes(content)
        with pytest.raises(ModelLoadError):
            plan_quantization(small, "Q8_0", QuantizeParams(imatrix=str(matrix)))
    assert not (tmp_path / "out.gguf").exists()


def test_targets_that_cannot_be_are_refused(small, tmp_path):
    with pytest.raises(InvalidOptionError, match="cannot be written over"):
        quantize(small, small, "Q8_0", overwrite=True)
    link = tmp_path / "link.gguf"
    link.symlink_to(small)
    with pytest.raises(InvalidOptionError, match="cannot be written over"):
        quantize(small, link, "Q8_0")
    with pytest.raises(QuantizeError, match="no such folder"):
        quantize(small, tmp_path / "none" / "out.gguf", "Q8_0")
    with pytest.raises(QuantizeError, match="folder"):
        quantize(small, tmp_path, "Q8_0")
    other = tmp_path / "other.gguf"
    other.write_text("mine")
    with pytest.raises(QuantizeError, match="exists"):
        quantize(small, other, "Q8_0")
    assert other.read_text() == "mine"
    quantize(small, other, "Q8_0", overwrite=True)
    assert other.read_bytes().startswith(b"GGUF")


def test_a_disk_that_fills_up_is_an_error_and_leaves_nothing(small, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(QuantizeError, match="writing failed"):
            quantize(small, tmp_path / "out.gguf", "F32")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [f.name for f in tmp_path.iterdir()] == ["small.gguf"]


def test_a_split_model_stays_split_or_becomes_one(small, tmp_path):
    reader = gguf.GGUFReader(small)
    base = tmp_path / "parts"
    halves = [reader.tensors[:3], reader.tensors[3:]]
    for number, tensors in enumerate(halves):
        part = f"{base}-{number + 1:05}-of-00002.gguf"
        writer = gguf.GGUFWriter(part, "llama")
        for key in ("context_length", "embedding_length", "block_count", "feed_forward_length"):
            if number == 0:
                writer.add_uint32(f"llama.{key}", reader.fields[f"llama.{key}"].contents())
        if number == 0:
            writer.add_uint32("llama.attention.head_count", 4)
            writer.add_uint32("llama.vocab_size", 64)
            writer.add_float32("llama.attention.layer_norm_rms_epsilon", 1e-5)
        writer.add_uint16("split.no", number)
        writer.add_uint16("split.count", 2)
        writer.add_int32("split.tensors.count", len(reader.tensors))
        for tensor in tensors:
            writer.add_tensor(tensor.name, np.array(tensor.data))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    first = f"{base}-00001-of-00002.gguf"
    quantize(first, tmp_path / "two.gguf", "Q8_0", QuantizeParams(keep_split=True))
    quantize(first, tmp_path / "one.gguf", "Q8_0")
    one = tensors_of(tmp_path / "one.gguf")
    assert len(one) == len(reader.tensors)
    assert "split.count" not in gguf.GGUFReader(tmp_path / "one.gguf").fields
    for number, tensors in enumerate(halves):
        made = tensors_of(tmp_path / f"two-{number + 1:05}-of-00002.gguf")
        assert set(made) == {t.name for t in tensors}
        for name, tensor in made.items():
            assert np.array_equal(tensor.data, one[name].data)
    with pytest.raises(ModelLoadError, match="first file"):
        quantize(f"{base}-00002-of-00002.gguf", tmp_path / "x.gguf", "Q8_0")


@pytest.mark.model
@pytest.mark.parametrize("kind", ["Q8_0", "Q4_K_M", "Q6_K"])
def test_a_quantized_model_answers(f16, tmp_path, ask, kind):
    target = tmp_path / "out.gguf"
    quantize(f16, target, kind)
    assert target.stat().st_size < 0.65 * f16.stat().st_size
    with Engine(Model.load(target), EngineParams(n_ctx=256, n_parallel=1)) as engine:
        prompt = ask("What is the capital of France? One word.")
        stream = engine.submit(prompt, GREEDY, StreamConfig(max_tokens=12))
        assert "Paris" in stream.result().text


@pytest.mark.model
def test_progress_and_cancel_from_another_thread(f16, tmp_path):
    seen, cancel = [], threading.Event()

    def progress(done, total):
        seen.append(done / total)
        if done > 0.05 * total:
            cancel.set()

    started = time.monotonic()
    with pytest.raises(QuantizeCancelledError):
        quantize(f16, tmp_path / "out.gguf", "Q4_K_M", progress=progress, cancel=cancel)
    assert seen == sorted(seen)
    assert 0 < seen[-1] < 1
    assert time.monotonic() - started < 20
    assert not list(tmp_path.iterdir())


@pytest.mark.model
def test_ctrl_c_leaves_nothing(f16, tmp_path):
    code = "from mullama_media.cli import main; main()"
    target = tmp_path / "out.gguf"
    with subprocess.Popen(
        [sys.executable, "-c", code, "quantize", str(f16), str(target), "Q4_K_M"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        while not list(tmp_path.iterdir()):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 130
    assert not list(tmp_path.iterdir())

"""LoRA adapters and sets of them, on a private context."""

import gc

import gguf
import numpy as np
import pytest

from mullama_media import Model, ModelParams
from mullama_media.engine import AdapterSet, ControlVector, LoraAdapter, Probe
from mullama_media.errors import ContextOverflowError, InvalidOptionError, ModelLoadError
from tests.made import lora_pair, write_lora

NAME = "blk.3.attn_q.weight"


@pytest.fixture(scope="module")
def probe(model):
    return Probe(model, 64)


@pytest.fixture(scope="module")
def tokens(model):
    return model.tokenize("The quick brown fox jumps over the lazy dog.")


@pytest.fixture(scope="module")
def loras(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lora")
    one = write_lora(folder / "one.gguf", lora_pair(NAME, 576, 576, seed=1))
    two = write_lora(folder / "two.gguf", lora_pair("blk.7.ffn_down.weight", 1536, 576, seed=2))
    both = write_lora(folder / "both.gguf")
    return [LoraAdapter.load(model, file) for file in (one, two, both)]


def test_it_describes_itself(model, tmp_path):
    file = write_lora(
        tmp_path / "x.gguf",
        **{"general.name": "Pirate", "adapter.alora.invocation_tokens": [5, 6, 7]},
    )
    lora = LoraAdapter.load(model, file)
    assert lora.path == file
    assert lora.metadata["general.name"] == "Pirate"
    assert lora.alpha == 8.0
    assert lora.n_tensors == 2
    assert lora.size_bytes == 4 * 4 * (576 + 576 + 1536 + 576)
    assert lora.invocation_tokens == (5, 6, 7)
    assert "x.gguf" in repr(lora)


def test_logits_change_and_change_back(probe, tokens, loras):
    base = probe.run(tokens).logits
    assert base.shape == (len(tokens), 49152)
    changed = probe.run(tokens, AdapterSet(((loras[0], 1.0),))).logits
    assert np.abs(changed - base).max() > 0.1
    assert np.array_equal(probe.run(tokens, AdapterSet(((loras[0], 0.0),))).logits, base)
    assert np.array_equal(probe.run(tokens).logits, base)


def test_two_adapters_add(probe, tokens, loras):
    one, two, both = loras
    together = probe.run(tokens, AdapterSet(((one, 1.0), (two, 1.0)))).logits
    in_one_file = probe.run(tokens, AdapterSet(((both, 1.0),))).logits
    np.testing.assert_allclose(together, in_one_file, atol=1e-3)
    alone = probe.run(tokens, AdapterSet(((one, 1.0),))).logits
    assert np.abs(together - alone).max() > 0.1
    twice = probe.run(tokens, AdapterSet(((one, 0.25), (one, 0.75)))).logits
    np.testing.assert_allclose(twice, alone, atol=1e-3)


def test_it_equals_merging(tiny_files, tmp_path, tokens):
    """W + scale * alpha / rank * B A, written into the model."""
    pair = lora_pair(NAME, 576, 576, rank=4, seed=3)
    a, b = pair.values()
    scale, alpha = 0.7, 6.0
    reader = gguf.GGUFReader(tiny_files.model)
    raw = next(t for t in reader.tensors if t.name == NAME)
    weights = gguf.quants.dequantize(np.array(raw.data), raw.tensor_type)
    plain = copy_with(reader, tmp_path / "plain.gguf", {NAME: weights})
    merged = copy_with(
        reader, tmp_path / "merged.gguf", {NAME: weights + np.float32(scale * alpha / 4) * b @ a}
    )
    base = Model.load(plain)
    lora = LoraAdapter.load(base, write_lora(tmp_path / "lora.gguf", pair, alpha=alpha))
    with_lora = Probe(base, 32).run(tokens, AdapterSet(((lora, scale),))).logits
    want = Probe(Model.load(merged), 32).run(tokens).logits
    assert np.abs(want - Probe(base, 32).run(tokens).logits).max() > 0.1
    np.testing.assert_allclose(with_lora, want, atol=0.02)


def copy_with(reader, path, changes):
    """The model again, with other numbers for some tensors."""
    writer = gguf.GGUFWriter(path, "llama")
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        sub = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=sub)
    for tensor in reader.tensors:
        if tensor.name in changes:
            writer.add_tensor(tensor.name, changes[tensor.name].astype(np.float32))
        else:
            writer.add_tensor(tensor.name, np.array(tensor.data), raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_sets_are_values(loras):
    one, two, _ = loras
    push = ControlVector({3: np.ones(576)})
    sets = {
        AdapterSet(((one, 1.0), (two, 0.5))),
        AdapterSet(((two, 0.5), (one, 1.0))),
        AdapterSet(((two, 0.5), (one, 0.25), (one, 0.75))),
    }
    assert len(sets) == 1
    assert AdapterSet(((one, 0.0),)) == AdapterSet()
    assert not AdapterSet(((one, 0.0),))
    assert AdapterSet(((one, 1.0),)) != AdapterSet(((one, 0.9),))
    assert AdapterSet((), push) == AdapterSet((), ControlVector({3: np.ones(576)}))
    assert hash(AdapterSet((), push)) == hash(AdapterSet((), ControlVector({3: np.ones(576)})))
    assert AdapterSet((), push) != AdapterSet((), 2 * push)
    assert AdapterSet(((one, 1.0),), push) != AdapterSet(((one, 1.0),))
    with pytest.raises(InvalidOptionError):
        AdapterSet(((one, float("nan")),))


def test_an_adapter_of_another_model_is_refused(tiny_files, probe, tokens, loras):
    other = Model.load(tiny_files.model)
    with pytest.raises(InvalidOptionError, match="another model"):
        Probe(other, 32).run(tokens, AdapterSet(((loras[0], 1.0),)))
    with pytest.raises(InvalidOptionError, match="12 numbers"):
        probe.run(tokens, AdapterSet((), ControlVector({1: np.ones(12)})))


def test_an_adapter_keeps_its_model(tiny_files, tmp_path):
    lora = LoraAdapter.load(Model.load(tiny_files.model), write_lora(tmp_path / "x.gguf"))
    gc.collect()
    assert lora.n_tensors == 2
    del lora
    gc.collect()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "qwen3"}, "qwen3"),
        ({"general.type": "model"}, "not a LoRA"),
        ({"adapter.type": "ia3"}, "not a LoRA"),
        ({"adapter.type": 7}, "not a text"),
        ({"alpha": "strong"}, "alpha"),
        ({"alpha": float("inf")}, "alpha"),
        ({"adapter.alora.invocation_tokens": "5 6"}, "list of tokens"),
        ({"adapter.alora.invocation_tokens": [5, 60000]}, "60000"),
        ({"tensors": {}}, "no tensors"),
        ({"tensors": lora_pair("blk.99.attn_q.weight", 576, 576)}, "blk.99"),
        ({"tensors": lora_pair(NAME, 575, 576)}, "do not fit"),
        ({"tensors": lora_pair(NAME, 576, 577)}, "do not fit"),
        ({"tensors": lora_pair("token_embd.weight", 576, 576)}, "output too"),
        ({"tensors": {f"{NAME}.lora_a": np.zeros((4, 576), np.float32)}}, "lora_b"),
        ({"tensors": {"odd": np.zeros(4, np.float32)}}, "neither"),
        (
            {
                "tensors": {
                    f"{NAME}.lora_a": np.zeros((2, 4, 576), np.float32),
                    f"{NAME}.lora_b": np.zeros((2, 576, 4), np.float32),
                }
            },
            "do not fit",
        ),
        (
            {
                "tensors": {
                    f"{NAME}.lora_a": np.zeros((4, 576), np.int32),
                    f"{NAME}.lora_b": np.zeros((576, 4), np.int32),
                }
            },
            "type i32",
        ),
    ],
)
def test_a_hostile_adapter_is_refused(model, tmp_path, change, message):
    file = write_lora(tmp_path / "bad.gguf", **change)
    with pytest.raises(ModelLoadError, match=message) as caught:
        LoraAdapter.load(model, file)
    assert caught.value.where == str(file)


def test_broken_files_are_refused(model, tiny_files, tmp_path):
    whole = write_lora(tmp_path / "whole.gguf").read_bytes()
    cut = tmp_path / "cut.gguf"
    for keep in (10, 300, len(whole) - 50):
        cut.write_bytes(whole[:keep])
        with pytest.raises(ModelLoadError):
            LoraAdapter.load(model, cut)
    with pytest.raises(ModelLoadError, match="not a LoRA"):
        LoraAdapter.load(model, tiny_files.model)
    with pytest.raises(ModelLoadError, match="no such file"):
        LoraAdapter.load(model, tmp_path / "none.gguf")
    vocab = Model.load(tiny_files.model, ModelParams(vocab_only=True))
    with pytest.raises(ModelLoadError, match="has no"):
        LoraAdapter.load(vocab, tmp_path / "whole.gguf")


def test_embeddings_that_are_the_output_too_are_refused(model, tmp_path):
    """llama.cpp loads such a file and aborts in the middle of a batch."""
    pair = {
        "token_embd.weight.lora_a": np.zeros((49152, 2), np.float32),
        "token_embd.weight.lora_b": np.zeros((576, 2), np.float32),
    }
    with pytest.raises(ModelLoadError, match="output too"):
        LoraAdapter.load(model, write_lora(tmp_path / "embd.gguf", pair))


def test_the_probe_refuses_what_it_cannot_run(model, probe):
    for bad in ([], [1] * 65):
        with pytest.raises(ContextOverflowError):
            probe.run(bad)
    for token in (-1, 49152):
        with pytest.raises(InvalidOptionError, match="vocabulary"):
            probe.run([token])


def test_hidden_states_have_a_row_for_every_token(probe, tokens):
    hidden = probe.run(tokens, hidden=True).hidden
    assert hidden.shape == (30, len(tokens), 576)
    assert np.isfinite(hidden).all()
    assert (np.abs(hidden).max(axis=(1, 2)) > 0).all()
    shorter = probe.run(tokens[:4], hidden=True).hidden
    np.testing.assert_allclose(shorter, hidden[:, :4], atol=0.05, rtol=0.02)

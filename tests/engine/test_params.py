"""How models are loaded and engines sized: every option does what it says, or is refused."""

import numpy as np
import pytest

from mullama_media import Engine, EngineParams, Model, ModelParams, Prompt, StreamConfig
from mullama_media.engine import Probe, TensorInfo, fit_to_memory
from mullama_media.errors import InvalidOptionError, ModelLoadError
from tests.conftest import GREEDY


def test_a_split_is_a_tuple_of_numbers():
    assert ModelParams(tensor_split=[3, 1]).tensor_split == (3.0, 1.0)
    assert all(isinstance(share, float) for share in ModelParams(tensor_split=(3, 1)).tensor_split)
    with pytest.raises(InvalidOptionError, match="tensor_split"):
        ModelParams(tensor_split=("a",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"devices": ("CUDA99",)}, "no such device: CUDA99"),
        ({"tensor_split": (1.0, -1.0)}, "at least 0"),
        ({"tensor_split": (0.0,)}, "not all be 0"),
        ({"tensor_split": tuple([1.0] * 1000)}, "at most"),
        ({"override_tensors": ("ffn",)}, "regex=buffer type"),
        ({"override_tensors": ("ffn=Nowhere",)}, "There is .*CPU"),
        ({"override_tensors": ("ffn(=CPU",)}, "regular expression"),
        ({"metadata_overrides": ("a.b",)}, "key=type:value"),
        ({"metadata_overrides": ("a.b=int:x",)}, "not a number"),
        ({"metadata_overrides": ("a.b=bool:1",)}, "key=type:value"),
        ({"metadata_overrides": ("a.b=str:" + "x" * 200,)}, "127"),
    ],
)
def test_what_cannot_be_is_refused(tiny_files, change, message):
    with pytest.raises(InvalidOptionError, match=message):
        Model.load(tiny_files.model, ModelParams(**change))


def test_every_way_of_loading_gives_the_same_model(tiny_files, model):
    tokens = model.tokenize("The sky is")
    base = Probe(model, 16).run(tokens).logits
    for params in (
        ModelParams(mmap=False),
        ModelParams(direct_io=True),
        ModelParams(repack=False),
        ModelParams(no_host=True),
        ModelParams(mtp=True),
        ModelParams(devices=("none",)),
        ModelParams(override_tensors=(r"ffn_up\.weight=CPU",)),
        ModelParams(check_tensors=True),
    ):
        logits = Probe(Model.load(tiny_files.model, params), 16).run(tokens).logits
        np.testing.assert_allclose(logits, base, atol=0.5)
        assert logits[-1].argmax() == base[-1].argmax()


def test_metadata_can_be_overridden(tiny_files):
    rules = (
        "llama.context_length=int:1234",
        "general.name=str:Another",
        "tokenizer.ggml.add_bos_token=bool:true",
    )
    model = Model.load(tiny_files.model, ModelParams(metadata_overrides=rules))
    assert model.n_ctx_train == 1234
    assert model.metadata["llama.context_length"] == 1234
    assert model.metadata["general.name"] == "Another"
    assert model.metadata["tokenizer.ggml.add_bos_token"] is True
    assert len(model.tokenize("x", add_special=True)) == 2


def test_metadata_has_its_types(model):
    fields = model.metadata
    assert fields["general.architecture"] == "llama"
    assert fields["llama.block_count"] == 30
    assert isinstance(fields["llama.attention.layer_norm_rms_epsilon"], float)
    assert fields["tokenizer.ggml.add_bos_token"] is False
    assert len(fields["tokenizer.ggml.tokens"]) == 49152
    assert fields["tokenizer.ggml.tokens"][2] == "<|im_end|>"
    assert set(fields["tokenizer.ggml.token_type"]) <= set(range(7))


def test_tensors_are_listed(model):
    tensors = {t.name: t for t in model.tensors}
    assert len(tensors) == 272
    assert tensors["blk.0.attn_q.weight"] == TensorInfo(
        "blk.0.attn_q.weight", (576, 576), "q4_1", 576 * 576 * 5 // 8
    )
    assert sum(t.size for t in model.tensors) == model.size_bytes


def test_rope_and_yarn_reach_the_model(model):
    def answer(**changes):
        params = EngineParams(n_ctx=256, n_parallel=1, **changes)
        with Engine(model, params) as engine:
            prompt = Prompt.of_parts(model, ["One, two, three, four, five, six, seven,"])
            return engine.submit(prompt, GREEDY, StreamConfig(max_tokens=8)).result().text

    plain = answer()
    assert "eight" in plain
    assert answer(op_offload=False, swa_full=False) == plain
    assert answer(rope_freq_base=50.0) != plain
    assert answer(rope_scaling="linear", rope_freq_scale=0.05) != plain
    assert answer(rope_scaling="yarn", rope_freq_scale=0.5, yarn_orig_ctx=2048)
    with pytest.raises(InvalidOptionError):
        EngineParams(rope_scaling="sideways")


def test_fit_chooses_a_context_that_fits(tiny_files):
    fit = fit_to_memory(tiny_files.model, margin_mib=1)
    assert fit.engine.n_ctx == 8192  # all it was trained for: it is small
    assert fit.engine.n_parallel == EngineParams().n_parallel
    given = fit_to_memory(tiny_files.model, engine_params=EngineParams(n_ctx=512), margin_mib=1)
    assert given.engine.n_ctx == 512
    with Engine(
        Model.load(tiny_files.model, fit.model), fit.engine.with_n_parallel(1).with_n_ctx(64)
    ):
        pass


def test_fit_says_when_nothing_fits(tiny_files, tmp_path):
    with pytest.raises(ModelLoadError, match="does not fit"):
        fit_to_memory(
            tiny_files.model,
            engine_params=EngineParams(n_ctx=8192, n_parallel=256),
            margin_mib=1 << 30,
        )
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(tiny_files.model.read_bytes()[:1_000_000])
    with pytest.raises(ModelLoadError):
        fit_to_memory(bad)

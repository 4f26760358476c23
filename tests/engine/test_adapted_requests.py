"""Requests with adapters: what a LoRA and a control vector do inside the engine."""

import numpy as np
import pytest

from mullama_media import Engine, EngineParams, Prompt, StreamConfig
from mullama_media.engine import AdapterSet, ControlVector, LoraAdapter, Probe
from mullama_media.errors import ModelCapabilityError
from tests.conftest import GREEDY
from tests.made import lora_pair, write_lora

TEXT = "The quick brown fox jumps over the lazy dog. The quick brown fox"
FIRST = StreamConfig(max_tokens=1)
SHORT = StreamConfig(max_tokens=24)


@pytest.fixture(scope="module")
def sets(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lora")
    one = write_lora(
        folder / "one.gguf", lora_pair("blk.3.attn_q.weight", 576, 576, seed=1), alpha=16.0
    )
    two = write_lora(folder / "two.gguf", alpha=16.0)
    loras = [LoraAdapter.load(model, file) for file in (one, two)]
    push = np.random.default_rng(0).normal(0, 0.05, (29, 576)).astype(np.float32)
    return {
        "one": AdapterSet(((loras[0], 1.0),)),
        "two": AdapterSet(((loras[1], 1.0),)),
        "both": AdapterSet(((loras[0], 0.5), (loras[1], 1.0))),
        "control": AdapterSet(control_vector=ControlVector(dict(enumerate(push, 1)))),
    }


@pytest.fixture(scope="module")
def exact(model):
    params = EngineParams(n_ctx=512, n_parallel=4, cache_type_k="f32", cache_type_v="f32")
    with Engine(model, params) as engine:
        yield engine


def ids(completion):
    return [token.id for token in completion.tokens if token.id is not None]


@pytest.mark.parametrize("name", ["one", "two", "both", "control", None])
def test_the_logits_are_those_of_the_adapted_model(model, exact, sets, name):
    prompt = Prompt.of_parts(model, [TEXT])
    adapters = sets[name] if name else None
    sampling = GREEDY.with_logprobs(20)
    token = exact.submit(prompt, sampling, FIRST, adapters=adapters).result().tokens[0]
    with_probe = Probe(model, 64).run(model.tokenize(TEXT), adapters or AdapterSet())
    logits = with_probe.logits[-1].astype(np.float64)
    expected = logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
    for number, logprob in token.top:
        assert logprob == pytest.approx(expected[number], abs=0.02)
    bare = exact.submit(prompt, sampling, FIRST).result().tokens[0]
    if name:
        assert max(abs(a - b) for (_, a), (_, b) in zip(token.top, bare.top, strict=True)) > 0.05


def test_different_sets_run_at_once_and_keep_apart(model, exact, sets):
    prompt = Prompt.of_parts(model, [TEXT])
    wanted = [None, sets["one"], sets["two"], sets["control"]]
    alone = [exact.submit(prompt, GREEDY, SHORT, adapters=a).result() for a in wanted]
    streams = [exact.submit(prompt, GREEDY, SHORT, adapters=a) for a in wanted * 2]
    together = [stream.result() for stream in streams]
    for n, answer in enumerate(together):
        assert ids(answer)[:8] == ids(alone[n % 4])[:8]
    assert len({tuple(ids(answer)) for answer in alone}) > 1


def test_a_cache_made_with_other_adapters_is_not_reused(model, sets):
    prompt = Prompt.of_parts(model, [TEXT])
    with Engine(model, EngineParams(n_ctx=256, n_parallel=1)) as engine:
        for adapters, reused in (
            (None, False),
            (None, True),
            (sets["one"], False),
            (sets["one"], True),
            (AdapterSet(), False),
        ):
            answer = engine.submit(prompt, GREEDY, FIRST, adapters=adapters).result()
            assert (answer.timings.reused_tokens > 0) == reused


def test_an_activated_lora_is_refused(model, exact, tmp_path):
    file = write_lora(tmp_path / "a.gguf", **{"adapter.alora.invocation_tokens": [5, 6]})
    lora = LoraAdapter.load(model, file)
    with pytest.raises(ModelCapabilityError, match="activated"):
        exact.submit(Prompt.of_parts(model, ["Hi"]), adapters=AdapterSet(((lora, 1.0),)))

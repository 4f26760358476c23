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


CALL = " Answer like a pirate:"


@pytest.fixture(scope="module")
def activated(model, tmp_path_factory):
    """An adapter that always acts, and the same one activated by CALL."""
    folder = tmp_path_factory.mktemp("alora")
    pair = lora_pair("blk.3.attn_v.weight", 576, 192, seed=1)
    call = model.tokenize(CALL, add_special=False)
    always = write_lora(folder / "always.gguf", pair, alpha=16.0)
    called = write_lora(
        folder / "called.gguf", pair, alpha=16.0, **{"adapter.alora.invocation_tokens": call}
    )
    return [AdapterSet(((LoraAdapter.load(model, f), 1.0),)) for f in (always, called)]


@pytest.fixture
def unbatched(model):
    """Numbers that do not depend on how rows are batched, and nothing in the caches."""
    exact = {"cache_type_k": "f32", "cache_type_v": "f32", "flash_attention": "off"}
    with Engine(model, EngineParams(n_ctx=256, n_parallel=6, **exact)) as engine:
        yield engine


def scores(engine, prompt, adapters=None):
    """Log-probabilities of the prompt's tokens and of an answer."""
    config = SHORT.with_echo(True)
    done = engine.submit(prompt, GREEDY.with_logprobs(0), config, adapters=adapters).result()
    return np.array([t.logprob for t in (*done.prompt, *done.tokens) if t.logprob is not None])


def test_an_activated_lora_acts_from_its_invocation_on(model, unbatched, activated):
    always, called = activated
    prompt = Prompt.of_parts(model, [TEXT + CALL + " Ahoy, the ship is"])
    ids = list(prompt.chunks[0][1])
    call = model.tokenize(CALL, add_special=False)
    start = next(i for i in range(len(ids)) if ids[i : i + len(call)] == call)
    bare = scores(unbatched, prompt)
    got = scores(unbatched, prompt, called)
    np.testing.assert_array_equal(got[:start], bare[:start])  # of tokens 1 to start
    assert np.abs(got[start : start + 8] - bare[start : start + 8]).max() > 0.05
    everywhere = scores(unbatched, prompt, always)
    assert np.abs(got[start : start + 8] - everywhere[start : start + 8]).max() > 1e-3


def test_without_its_invocation_it_does_not_act_and_at_the_start_it_always_does(
    model, unbatched, activated
):
    always, called = activated
    silent = Prompt.of_parts(model, [TEXT])
    np.testing.assert_array_equal(scores(unbatched, silent, called), scores(unbatched, silent))
    first = Prompt.of_parts(model, [CALL + TEXT])
    np.testing.assert_array_equal(
        scores(unbatched, first, called), scores(unbatched, first, always)
    )


def test_what_is_before_the_invocation_is_shared_with_the_bare_model(model, unbatched, activated):
    _, called = activated
    start = len(model.tokenize(TEXT))
    prompt = Prompt.of_parts(model, [TEXT + CALL])
    sampling = GREEDY.with_logprobs(0)

    def ask(prompt, adapters=None):
        done = unbatched.submit(prompt, sampling, SHORT, adapters=adapters).result()
        return done.timings.reused_tokens, [token.logprob for token in done.tokens]

    reused, fresh = ask(prompt, called)
    assert reused == 0
    ask(Prompt.of_parts(model, [TEXT + " and on and on"]))
    reused, again = ask(prompt, called)
    assert reused >= start
    assert again == fresh
    reused, bare = ask(prompt)
    assert reused == start
    assert abs(bare[0] - fresh[0]) > 1e-3


def test_activated_and_other_requests_run_side_by_side(model, unbatched, activated):
    prompts = [Prompt.of_parts(model, [TEXT + CALL + f" {n}"]) for n in range(6)]
    sets = [None, *activated, *activated, None]
    alone = [
        ids(unbatched.submit(p, GREEDY, SHORT, adapters=s).result())
        for p, s in zip(prompts, sets, strict=True)
    ]
    streams = [
        unbatched.submit(p, GREEDY, SHORT, adapters=s) for p, s in zip(prompts, sets, strict=True)
    ]
    assert [ids(stream.result()) for stream in streams] == alone


def test_one_activated_lora_a_request(model, exact, activated, tmp_path):
    file = write_lora(tmp_path / "a.gguf", **{"adapter.alora.invocation_tokens": [5, 6]})
    two = AdapterSet((*activated[1].loras, (LoraAdapter.load(model, file), 1.0)))
    with pytest.raises(ModelCapabilityError, match="second"):
        exact.submit(Prompt.of_parts(model, ["Hi"]), adapters=two)

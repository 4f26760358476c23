"""The prompt given back, scored: what evaluation harnesses ask for."""

import numpy as np
import pytest

from mullama_media import AudioFrame, EngineParams, MultimodalProcessor, Prompt, SamplingParams
from mullama_media.engine import Engine, Probe, StreamConfig
from tests.conftest import GREEDY

SCORED = SamplingParams(temperature=0, logprobs=3)
ECHO = StreamConfig(max_tokens=0, echo=True)
TEXT = "The capital of France is Paris, and the capital of Japan is Tōkyō 東京."


def log_softmax(logits):
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def test_every_token_has_the_log_probability_of_the_model(model, engine):
    prompt = Prompt.of_parts(model, [TEXT])
    engine.submit(prompt, GREEDY, StreamConfig(max_tokens=1)).result()  # nothing of this is reused
    done = engine.submit(prompt, SCORED, ECHO).result()
    ids = [token.id for token in done.prompt]
    assert ids == list(prompt.chunks[0][1])
    assert "".join(token.text for token in done.prompt) == TEXT
    want = log_softmax(Probe(model).run(ids).logits)
    assert done.prompt[0].logprob is None
    assert done.prompt[0].top == ()
    for i, token in enumerate(done.prompt[1:]):
        assert token.logprob == pytest.approx(want[i, token.id], abs=1e-3)
        assert [each for each, _ in token.top] == list(np.argsort(-want[i], kind="stable")[:3])
    assert done.timings.reused_tokens == 0


def test_nothing_is_generated_with_max_tokens_0(model, engine):
    before = engine.counters.generated_tokens
    done = engine.submit(Prompt.of_parts(model, [TEXT]), SCORED, ECHO).result()
    assert (done.text, done.tokens, done.finish_reason) == ("", (), "length")
    assert engine.counters.generated_tokens == before


def test_an_answer_goes_with_it(model, engine):
    prompt = Prompt.of_parts(model, [TEXT])
    plain = engine.submit(prompt, GREEDY, StreamConfig(max_tokens=8)).result()
    echoed = engine.submit(prompt, SCORED, StreamConfig(max_tokens=8, echo=True)).result()
    assert echoed.text == plain.text
    assert len(echoed.prompt) == prompt.n_tokens
    unscored = engine.submit(prompt, GREEDY, StreamConfig(max_tokens=8, echo=True)).result()
    assert [t.id for t in unscored.prompt] == [t.id for t in echoed.prompt]
    assert all(token.logprob is None for token in unscored.prompt)
    assert unscored.timings.reused_tokens > 0
    assert plain.prompt == ()


def test_it_streams_from_the_first_token_on(model, engine):
    prompt = Prompt.of_parts(model, [TEXT])
    stream = engine.submit(prompt, SCORED, StreamConfig(max_tokens=4, echo=True))
    next(stream)
    assert len(stream.prompt) == prompt.n_tokens


def test_long_prompts_are_scored_in_several_steps_beside_others(model):
    long = Prompt.of_parts(model, [" ".join(f"{TEXT} {n}" for n in range(40))])
    assert long.n_tokens > 800
    exact = {"cache_type_k": "f32", "cache_type_v": "f32", "flash_attention": "off"}
    params = EngineParams(n_ctx=2048, n_parallel=2, **exact)  # any batches give the same then
    with Engine(model, params) as engine:
        alone = engine.submit(long, SCORED, ECHO).result().prompt
        other = engine.submit(
            Prompt.of_parts(model, ["Once upon"]), GREEDY, StreamConfig(max_tokens=60)
        )
        beside = engine.submit(long, SCORED, ECHO).result().prompt
        other.result()
    ours = [np.array([token.logprob for token in got[1:]]) for got in (alone, beside)]
    np.testing.assert_allclose(*ours, atol=1e-4)
    ids = [token.id for token in alone]
    want = log_softmax(Probe(model, 2048).run(ids).logits)[np.arange(len(ids) - 1), ids[1:]]
    np.testing.assert_allclose(ours[0], want, atol=0.5)  # the probe rounds to 16 bits,
    assert np.abs(ours[0] - want).mean() < 0.02  # which shows where the text surprises


def test_text_behind_a_recording_is_scored(processor: MultimodalProcessor):
    rate = processor.engine.media.sample_rate
    tone = np.sin(np.arange(rate) * 0.1).astype(np.float32) * 0.1
    prompt = processor.prepare(["Listen: ", AudioFrame(tone, rate), "What was it? A tone."])
    done = processor.engine.submit(prompt, SCORED, ECHO).result()
    texts = [ids for kind, ids in prompt.chunks if kind == "text"]
    assert [token.id for token in done.prompt] == [each for ids in texts for each in ids]
    assert [i for i, token in enumerate(done.prompt) if token.logprob is None] == [0]

"""Where an engine's time goes."""

import time

import numpy as np

from mullama_media import AudioFrame, Engine, EngineParams, Prompt, SamplingParams, StreamConfig
from tests.conftest import GREEDY


def test_it_adds_up(model):
    with Engine(model, EngineParams(n_ctx=1024, n_parallel=2, reuse_prefix=False)) as engine:
        began = time.perf_counter()
        assert (engine.perf().prefill_tokens, engine.perf().decode_rate) == (0, 0)
        prompt = Prompt.of_parts(model, ["word " * 300])
        done = engine.submit(prompt, GREEDY, StreamConfig(max_tokens=20, ignore_eos=True)).result()
        perf = engine.perf()
        wall_ms = 1000 * (time.perf_counter() - began)
    assert perf.prefill_tokens == prompt.n_tokens
    assert perf.decode_tokens == 19  # the first comes with the prompt
    spent = perf.prefill_ms + perf.decode_ms + perf.sampling_ms
    assert spent <= perf.wall_ms
    assert perf.wall_ms <= wall_ms + 1000  # the engine was made before
    assert spent >= 0.8 * (done.timings.prefill_ms + done.timings.decode_ms)
    assert perf.prefill_ms > perf.decode_ms / 19  # 300 rows cost more than one
    assert 0 < perf.busy <= 1
    assert f"{perf.prefill_tokens} tokens" in str(perf)


def test_it_can_be_taken_between_two_moments(processor, ask):
    engine = processor.engine
    before = engine.perf()
    sampled = SamplingParams(temperature=0, seed=1)
    engine.submit(ask("Count to ten."), sampled, StreamConfig(max_tokens=5)).result()
    since = engine.perf(before)
    assert since.media_encoded == 0
    assert since.encode_ms == 0
    assert 0 < since.prefill_tokens <= ask("Count to ten.").n_tokens
    rate = engine.media.sample_rate
    noise = np.random.default_rng(time.time_ns()).normal(0, 0.1, rate).astype(np.float32)
    processor.generate([AudioFrame(noise, rate), "What is it?"], config=StreamConfig(max_tokens=2))
    assert engine.perf(before).media_encoded == 1
    assert engine.perf(before).encode_ms > 0

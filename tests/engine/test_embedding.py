"""Embeddings of encoders and decoders, against NumPy and the probe."""

import asyncio
import gc
import time

import gguf
import numpy as np
import pytest

from mullama_media import (
    AdapterSet,
    EmbeddingParams,
    Engine,
    EngineParams,
    LoraAdapter,
    Model,
    MultimodalProcessor,
    Prompt,
    StreamConfig,
)
from mullama_media.engine import Probe
from mullama_media.errors import (
    ContextOverflowError,
    DeadlineError,
    EngineClosedError,
    InvalidOptionError,
    ModelCapabilityError,
    OverloadedError,
    RequestCancelledError,
)
from mullama_media.vision.decode import read
from tests.bert import CLS, SEP, WORDS, TinyBert
from tests.conftest import GREEDY, SAMPLES
from tests.made import write_lora

RAW = EmbeddingParams(normalize=False)
POOLINGS = ("none", "mean", "cls", "last")
EXACT = {"n_ctx": 1024, "n_parallel": 4, "cache_type_k": "f32", "cache_type_v": "f32"}
TEXTS = ["The cat sat on the mat.", "Snow", "Where is the station, please? I am late.", "42 + 17"]


@pytest.fixture(scope="module")
def bert():
    return TinyBert.random()


@pytest.fixture(scope="module")
def bert_model(bert, tmp_path_factory):
    path = bert.write(tmp_path_factory.mktemp("bert") / "b.gguf", **{"bert.pooling_type": 1})
    return Model.load(path)


@pytest.fixture(scope="module")
def bert_engine(bert_model):
    with Engine(bert_model, EngineParams(pooling="model")) as engine:
        yield engine


@pytest.fixture(scope="module")
def decoder(model):
    with Engine(model, EngineParams(**EXACT, pooling="mean")) as engine:
        yield engine


def sentences(count, longest, seed=0):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(1, longest + 1))) for _ in range(count)]


def pooled(states, pooling):
    kinds = {"none": states, "mean": states.mean(0), "cls": states[0], "last": states[-1]}
    return kinds[pooling]


def normal(values):
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def close(values, expected, part=2e-3):
    """Half-precision tables in ggml make up the difference."""
    return np.abs(values - expected).max() <= part * np.abs(expected).max()


def alike(values, others):
    """The same but for the rounding that the shape of a batch brings."""
    cosines = (values * others).sum(-1)
    lengths = np.linalg.norm(values, axis=-1) * np.linalg.norm(others, axis=-1)
    return (cosines / lengths).min() > 0.9985


@pytest.mark.parametrize("pooling", POOLINGS)
def test_an_encoder_gives_what_numpy_gives(bert, bert_engine, pooling):
    text = "the small cat sat under a red moon !"
    raw = bert_engine.embed(text, RAW.with_pooling(pooling)).result()
    ids = [CLS, *(len("PUCSM") + WORDS.index(word) for word in text.split()), SEP]
    assert raw.tokens.tolist() == ids
    assert raw.n_tokens == raw.timings.prompt_tokens == len(ids)
    expected = pooled(bert.states(ids), pooling)
    assert raw.values.dtype == np.float32
    assert raw.values.shape == expected.shape
    assert close(raw.values, expected)
    unit = bert_engine.embed(text, EmbeddingParams(pooling=pooling)).result()
    assert np.allclose(np.linalg.norm(unit.values, axis=-1), 1, atol=1e-6)
    assert np.allclose(unit.values, normal(raw.values), atol=1e-6)
    assert raw.timings.prefill_ms > 0
    assert raw.timings.queue_ms >= 0


def test_many_short_texts_share_an_evaluation(bert, bert_engine):
    texts = sentences(300, 40)
    before = bert_engine.counters.steps
    made = bert_engine.embed(texts, RAW).result()
    steps = bert_engine.counters.steps - before
    total = sum(m.n_tokens for m in made)
    assert steps <= 1.3 * total / 512 + 2
    for text, one in zip(texts, made, strict=True):
        assert one.n_tokens == len(text.split()) + 2
        assert close(one.values, bert.states(one.tokens).mean(0))


def test_the_model_says_how_it_pools(bert_engine, bert, tmp_path, model):
    assert bert_engine.pooling == "mean"
    text = "the cat ran"
    made = Model.load(bert.write(tmp_path / "cls.gguf", **{"bert.pooling_type": 2}))
    assert made.n_embd_out == 32
    with Engine(made, EngineParams(pooling="model")) as engine:
        assert engine.pooling == "cls"
        one = engine.embed(text, RAW).result()
        assert close(one.values, bert.states(one.tokens)[0])
    with pytest.raises(InvalidOptionError, match="does not say how it pools"):
        Engine(model, EngineParams(n_ctx=256, pooling="model"))


def test_an_encoder_does_not_generate(bert_model, bert_engine):
    with pytest.raises(ModelCapabilityError, match=r"encoder.*pooling="):
        Engine(bert_model)
    with pytest.raises(ModelCapabilityError, match="encoder"):
        bert_engine.submit(Prompt.of_parts(bert_model, ["the cat"]))


def test_the_wrong_kind_of_engine_says_which_is_right(engine, decoder, bert_model):
    with pytest.raises(InvalidOptionError, match=r"pooling=\"off\".*pooling=\"model\""):
        engine.embed("Hello")
    with pytest.raises(InvalidOptionError, match=r"pooling=\"mean\".*pooling=\"rank\""):
        decoder.score("a", ["b"])
    with pytest.raises(ModelCapabilityError, match="no classification head"):
        Engine(bert_model, EngineParams(pooling="rank"))
    with pytest.raises(InvalidOptionError, match="guesses"):
        Engine(engine.model, EngineParams(n_ctx=256, pooling="mean", speculative="lookup"))


def test_a_long_text_is_refused_by_its_place_or_cut(bert, bert_model):
    texts = ["the cat", " ".join(WORDS), "a dog"]
    with Engine(bert_model, EngineParams(pooling="mean", n_ubatch=16)) as engine:
        assert engine.max_embedding_tokens == 16
        with pytest.raises(ContextOverflowError, match=r"prompts\[1\].*22 tokens.*16.*n_ubatch"):
            engine.embed(texts)
        assert engine.counters.requests == 0
        cut = engine.embed(texts, RAW.with_truncate(True)).result()
    assert [m.n_tokens for m in cut] == [4, 16, 4]
    assert cut[1].tokens[-1] == SEP
    assert cut[1].tokens[-2] == len("PUCSM") + 13
    assert close(cut[1].values, bert.states(cut[1].tokens).mean(0))
    long = " ".join(["cat"] * 600)
    big = EngineParams(pooling="mean", n_ubatch=1024)
    with Engine(bert_model, big) as engine:  # it was made with 512 positions
        with pytest.raises(ContextOverflowError, match=r"602 tokens.*512.*no more positions"):
            engine.embed(long)
        whole = engine.embed(long, RAW.with_truncate(True)).result()
        assert close(whole.values, bert.states(whole.tokens).mean(0))


@pytest.mark.parametrize("empty", ["", "  \n"])
def test_an_empty_text_is_refused_by_its_place(bert_engine, empty):
    with pytest.raises(InvalidOptionError, match=r"prompts\[2\].*no text"):
        bert_engine.embed(["a", "the", empty])
    assert bert_engine.embed([]).result() == []


def test_dimensions_are_the_first_ones(bert_engine):
    whole = bert_engine.embed("the cat", RAW).result().values
    part = bert_engine.embed("the cat", EmbeddingParams(dimensions=8)).result().values
    assert np.allclose(part, normal(whole[:8]), atol=1e-6)
    with pytest.raises(InvalidOptionError, match=r"32 dimensions, not 33"):
        bert_engine.embed("the cat", EmbeddingParams(dimensions=33))


# -- decoders


@pytest.fixture(scope="module")
def weights(model):
    """Final norm and output matrix, float32."""
    found = {t.name: t for t in gguf.GGUFReader(model.path).tensors}
    read = [found["output_norm.weight"], found.get("output.weight", found["token_embd.weight"])]
    return [gguf.quants.dequantize(t.data, t.tensor_type) for t in read]


def states_of(probe, weights, tokens, adapters=None):
    """What the decoder's last layer gives, after the final norm."""
    hidden = probe.run(tokens, adapters, hidden=True).hidden[-1].astype(np.float64)
    return hidden / np.sqrt((hidden**2).mean(-1, keepdims=True) + 1e-5) * weights[0]


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_decoder_gives_its_last_states(model, decoder, weights, pooling):
    probe = Probe(model)
    made = decoder.embed(TEXTS, RAW.with_pooling(pooling)).result()
    for text, one in zip(TEXTS, made, strict=True):
        assert one.tokens.tolist() == model.tokenize(text, add_special=True)
        expected = pooled(states_of(probe, weights, one.tokens.tolist()), pooling)
        assert close(one.values, expected, 0.02)


def test_a_text_may_take_many_evaluations(model, weights):
    text = " ".join(f"Item {n} costs {n * 7 % 100} euros." for n in range(20))
    with Engine(model, EngineParams(**EXACT, pooling="mean", n_ubatch=32)) as engine:
        made = [engine.embed(text, RAW.with_pooling(p)).result() for p in POOLINGS]
        assert made[0].n_tokens > 150
        assert engine.counters.steps >= 3 * (made[0].n_tokens // 32)
    states = states_of(Probe(model, 512), weights, made[0].tokens.tolist())
    for one, pooling in zip(made, POOLINGS, strict=True):
        assert alike(one.values, pooled(states, pooling))


def test_batched_equals_one_by_one(decoder):
    texts = [f"{text} {n}" for n in range(2) for text in TEXTS]
    for pooling in POOLINGS:
        params = EmbeddingParams(pooling=pooling)
        together = decoder.embed(texts, params).result()
        for text, one in zip(texts, together, strict=True):
            assert alike(one.values, decoder.embed(text, params).result().values)


def test_answers_and_embeddings_share_an_engine(model, decoder, ask):
    config = StreamConfig(max_tokens=60)
    with Engine(model, EngineParams(**EXACT)) as plain:
        expected = plain.submit(ask("Tell me a story."), GREEDY, config).result()
    alone = decoder.embed(TEXTS).result()
    stream = decoder.submit(ask("Tell me a story."), GREEDY, config)
    next(stream)
    jobs = [decoder.embed(TEXTS, EmbeddingParams(pooling=p)) for p in ("mean", "last")]
    beside = jobs[0].result()
    assert stream.result().text == expected.text
    for one, other in zip(beside, alone, strict=True):
        assert alike(one.values, other.values)


def test_a_running_answer_goes_on_beside_a_long_text(model, ask):
    long = " ".join(str(n) for n in range(200))
    with Engine(model, EngineParams(n_ctx=2048, pooling="mean", prefill_chunk=64)) as engine:
        running = engine.submit(
            ask("Tell me a long story."), GREEDY, StreamConfig(max_tokens=400, buffer_tokens=500)
        )
        next(running)
        before = engine.counters
        made = engine.embed(long).result()
        after = engine.counters
        running.cancel()
    chunks = made.n_tokens // 64
    assert chunks >= 8
    assert after.generated_tokens - before.generated_tokens >= chunks - 1


def test_short_texts_do_not_wait_for_a_long_one(model):
    long = " ".join(str(n) for n in range(250))
    with Engine(model, EngineParams(n_ctx=1024, pooling="mean", n_ubatch=64)) as engine:
        slow = engine.embed(long)
        while engine.counters.steps == 0:
            time.sleep(0.001)
        quick = engine.embed(TEXTS).result()
        assert not slow.done
        assert len(quick) == 4
        assert slow.result().n_tokens > 600


def test_only_the_last_row_lets_a_prefix_be_reused(model):
    shared = " ".join(f"Item {n} costs {n * 7 % 100} euros." for n in range(20))
    params = EmbeddingParams(pooling="last")
    with Engine(model, EngineParams(**EXACT, pooling="last")) as engine:
        first = engine.embed(shared + " One.", params).result()
        second = engine.embed(shared + " Two.", params).result()
        assert first.timings.reused_tokens == 0
        assert second.timings.reused_tokens >= first.n_tokens - 4
        mean = engine.embed(shared + " Two.", params.with_pooling("mean")).result()
        assert mean.timings.reused_tokens == 0
        # What a mean left in a cache is as good as any.
        further = engine.embed(shared + " Two. Three.", params).result()
        assert further.timings.reused_tokens >= mean.n_tokens
    with Engine(model, EngineParams(**EXACT, pooling="last", reuse_prefix=False)) as fresh:
        for one, text in ((second, shared + " Two."), (further, shared + " Two. Three.")):
            assert alike(one.values, fresh.embed(text, params).result().values)


def test_adapters_change_what_is_made(model, decoder, weights, tmp_path):
    lora = LoraAdapter.load(model, write_lora(tmp_path / "a.gguf", alpha=16.0))
    adapters = AdapterSet([(lora, 4.0)])
    plain, changed = (
        decoder.embed(TEXTS, RAW.with_pooling("last"), adapters=which) for which in (None, adapters)
    )
    probe = Probe(model)
    for before, after in zip(plain.result(), changed.result(), strict=True):
        expected = states_of(probe, weights, after.tokens.tolist(), adapters)[-1]
        assert close(after.values, expected, 0.02)
        assert not close(before.values, expected, 0.02)


def test_pictures_and_recordings_have_states_too(model, media, weights):
    with Engine(model, EngineParams(**EXACT, pooling="mean"), media=media) as engine:
        processor = MultimodalProcessor(engine)
        for name in ("shapes.png", "seven.wav"):
            prompt = processor.prepare([SAMPLES / name, "What is this?"])
            rows = engine.embed(prompt, RAW.with_pooling("none")).result()
            assert rows.values.shape == (prompt.n_tokens, 576)
            kinds = {kind: size for kind, size in prompt.chunks if kind != "text"}
            assert (rows.tokens == -1).sum() == next(iter(kinds.values()))
            mean = engine.embed(prompt, RAW).result()
            assert close(mean.values, rows.values.mean(0), 0.01)
            last = engine.embed(prompt, RAW.with_pooling("last")).result()
            assert close(last.values, rows.values[-1], 0.02)
            first = next(engine.submit(prompt, GREEDY, StreamConfig(max_tokens=1)))
            assert (last.values @ weights[1].T).argmax() == first.id
        assert engine.counters.media_encoded == 2


def test_an_encoder_takes_no_media(bert_engine, model, media):
    prompt = Prompt.of_parts(model, [read(SAMPLES / "shapes.png"), "?"], media=media)
    with pytest.raises(ModelCapabilityError, match=r"prompts\[0\].*text only"):
        bert_engine.embed(prompt)


# -- how a job is read and ended


@pytest.fixture
def busy(model, ask):
    """An engine with one sequence, held by an answer that nobody reads."""
    params = EngineParams(n_ctx=512, n_parallel=1, max_queue=3, pooling="mean")
    with Engine(model, params) as engine:
        config = StreamConfig(max_tokens=200, buffer_tokens=1)
        stream = engine.submit(ask("Tell me a story."), GREEDY, config)
        next(stream)
        yield engine, stream


def test_cancelling_leaves_the_queue(busy):
    engine, stream = busy
    job = engine.embed(TEXTS[:2])
    assert not job.done
    with pytest.raises(TimeoutError, match="not done"):
        job.result(0.05)
    job.cancel()
    with pytest.raises(RequestCancelledError):
        job.result(5)
    assert engine.counters.queued == 0
    dropped = engine.embed(TEXTS[0])
    del dropped
    gc.collect()
    stream.cancel()
    assert len(engine.embed(TEXTS[:3]).result(30)) == 3
    assert engine.counters.queued == 0


def test_a_deadline_is_an_error(busy):
    engine, _ = busy
    job = engine.embed(TEXTS[0], EmbeddingParams(max_time_ms=40))
    with pytest.raises(DeadlineError, match="time is up") as caught:
        job.result(5)
    assert isinstance(caught.value, TimeoutError)


def test_a_full_queue_takes_all_or_none(busy):
    engine, stream = busy
    before = engine.counters.requests
    with pytest.raises(OverloadedError, match=r"max_queue.*4 more are too many"):
        engine.embed(TEXTS)
    assert engine.counters.requests == before
    job = engine.embed(TEXTS[:3])
    with pytest.raises(OverloadedError):
        engine.embed(TEXTS[3])
    stream.cancel()
    assert len(job.result(30)) == 3


def test_a_higher_priority_goes_first(busy):
    engine, stream = busy
    low = engine.embed(TEXTS[:2])
    high = engine.embed(TEXTS[2], EmbeddingParams(priority=1))
    stream.cancel()
    waited = [one.timings.queue_ms for one in low.result(30)]
    done = high.result(30).timings
    assert done.queue_ms + done.prefill_ms < min(waited) + 20  # it was asked for later
    assert high.done


def test_closing_ends_what_waits(busy):
    engine, _ = busy
    job = engine.embed(TEXTS[:2])
    engine.close()
    with pytest.raises(EngineClosedError):
        job.result(5)
    with pytest.raises(EngineClosedError):
        engine.embed("Hello")


def test_jobs_are_awaited_on_a_loop(bert_engine, bert):
    texts = sentences(40, 20, seed=3)

    async def run():
        jobs = [bert_engine.embed(text, RAW) for text in texts]
        many = bert_engine.embed(texts, RAW)
        return await asyncio.gather(*jobs), await many, await many

    alone, many, again = asyncio.run(run())
    assert again is many
    for one, other in zip(alone, many, strict=True):
        assert close(one.values, bert.states(one.tokens).mean(0))
        assert alike(one.values, other.values)

    async def fail():
        await bert_engine.embed(["a", ""])

    with pytest.raises(InvalidOptionError, match=r"prompts\[1\]"):
        asyncio.run(fail())


def test_leaving_the_task_cancels(busy):
    engine, _ = busy

    async def run():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.ensure_future(_read(engine.embed(TEXTS[:2]))), 0.05)

    async def _read(job):
        return await job

    asyncio.run(run())
    deadline = time.monotonic() + 5
    while engine.counters.queued and time.monotonic() < deadline:
        time.sleep(0.01)
    assert engine.counters.queued == 0

"""What the scheduler saves and how it shares: prefixes, media, queue, context."""

import asyncio
import json

import numpy as np
import pytest

from mullama_media import (
    Engine,
    EngineParams,
    Media,
    Message,
    Model,
    ModelParams,
    MultimodalProcessor,
    Prompt,
    SamplingParams,
    StreamConfig,
)
from mullama_media.errors import InvalidOptionError, ModelCapabilityError, OverloadedError
from tests.conftest import GREEDY, SAMPLES

SHORT = StreamConfig(max_tokens=12)
SHAPES = SAMPLES / "shapes.png"
SEVEN = SAMPLES / "seven.wav"
LOREM = " ".join(f"Item {n} costs {n * 7 % 100} euros." for n in range(30))


# With a 32-bit cache attention rounds so little that the shape of a batch hardly shows in the
# logits; with the usual 16 bits near ties may go either way.
EXACT = {"n_ctx": 1024, "n_parallel": 2, "cache_type_k": "f32", "cache_type_v": "f32"}


def engine_of(model: Model, media: Media | None = None, **options) -> Engine:
    return Engine(model, EngineParams(**{**EXACT, **options}), media=media)


def ids(completion):
    return [token.id for token in completion.tokens if token.id is not None]


def chat(model, *texts):
    roles = ("user", "assistant")
    return Prompt.of_messages(
        model, [Message(roles[i % 2], [text]) for i, text in enumerate(texts)]
    )


def test_a_conversation_reuses_what_was_evaluated(model):
    with engine_of(model) as engine, engine_of(model, reuse_prefix=False) as fresh:
        first = engine.submit(chat(model, LOREM + " Which is cheapest?"), GREEDY, SHORT).result()
        assert first.timings.reused_tokens == 0
        again = chat(model, LOREM + " Which is cheapest?", first.text, "And the dearest?")
        second = engine.submit(again, GREEDY, SHORT).result()
        # All of the first prompt; its answer too unless it tokenises otherwise as text.
        assert second.timings.reused_tokens >= first.timings.prompt_tokens
        assert engine.counters.reused_tokens == second.timings.reused_tokens
        expected = fresh.submit(again, GREEDY, SHORT).result()
        assert expected.timings.reused_tokens == 0
        assert ids(second) == ids(expected)
        assert second.timings.prefill_ms < expected.timings.prefill_ms


def test_another_conversation_takes_a_copy_and_the_first_keeps_its_own(model):
    shared = LOREM
    own = " ".join(f"Number {n} is mine." for n in range(20))
    with engine_of(model) as engine:
        one = chat(model, shared + own + " Which is first?")
        answer = engine.submit(one, GREEDY, SHORT).result()
        other = chat(model, shared + " Something else entirely. Write a poem about the moon.")
        copied = engine.submit(other, GREEDY, SHORT).result()
        assert copied.timings.reused_tokens > 0.6 * answer.timings.prompt_tokens
        goes_on = chat(model, shared + own + " Which is first?", answer.text, "Why?")
        assert (
            engine.submit(goes_on, GREEDY, SHORT).result().timings.reused_tokens
            >= answer.timings.prompt_tokens
        )


def test_a_second_question_about_the_same_media_encodes_nothing(model, media):
    with engine_of(model, media) as engine:
        processor = MultimodalProcessor(engine)
        for medium, other in ((SHAPES, SEVEN), (SEVEN, SHAPES)):
            first = processor.generate([medium, "What is this?"], sampling=GREEDY, config=SHORT)
            assert (first.timings.encode_ms > 0) == (medium == SHAPES)  # the other was below
            second = processor.generate([medium, "Tell me more."], sampling=GREEDY, config=SHORT)
            assert second.timings.encode_ms == 0
            assert second.timings.reused_tokens > 16
            # Behind another medium its rows must be evaluated anew, but not encoded.
            third = processor.generate([other, medium, "Well?"], sampling=GREEDY, config=SHORT)
            fresh = MultimodalProcessor(engine_of(model, media, reuse_prefix=False))
            with fresh:
                expected = fresh.generate([medium, "Tell me more."], sampling=GREEDY, config=SHORT)
            assert ids(second) == ids(expected)
            assert third.finish_reason in ("stop", "length")
        assert engine.counters.media_encoded == 2
        assert engine.counters.media_reused >= 2


def test_a_medium_changed_in_one_pixel_is_another(model, media):
    with engine_of(model, media) as engine:
        processor = MultimodalProcessor(engine)
        picture = np.full((64, 64, 3), 200, np.uint8)
        processor.generate([picture, "What is this?"], sampling=GREEDY, config=SHORT)
        changed = picture.copy()
        changed[63, 63, 2] = 0
        answer = processor.generate([changed, "What is this?"], sampling=GREEDY, config=SHORT)
        assert answer.timings.encode_ms > 0
        assert engine.counters.media_encoded == 2


def test_the_media_cache_keeps_to_its_budget(model, media):
    with engine_of(model, media, media_cache_mb=0) as engine:
        processor = MultimodalProcessor(engine)
        for _ in range(2):
            for picture in (SHAPES, np.zeros((9, 9, 3), np.uint8)):
                done = processor.generate([picture, "What?"], sampling=GREEDY, config=SHORT)
                assert done.finish_reason in ("stop", "length")
        assert engine.counters.media_cache_bytes == 0


def test_many_answers_share_one_prefill(model):
    prompt = chat(model, LOREM + " Tell me about one of them.")
    with engine_of(model, n_parallel=4) as engine:
        sampling = SamplingParams(temperature=1.0, seed=7)
        streams = engine.submit_many(prompt, 4, sampling, SHORT)
        answers = [stream.result() for stream in streams]
        reused = sorted(answer.timings.reused_tokens for answer in answers)
        assert reused == [0, *[prompt.n_tokens - 1] * 3]
        assert len({answer.text for answer in answers}) > 1
        alone = engine.submit(prompt, SamplingParams(temperature=1.0, seed=9), SHORT).result()
        assert alone.text[:20] == answers[2].text[:20]  # rounding may part them later


def test_a_full_queue_refuses_and_loses_nothing(model, ask):
    with engine_of(model, n_parallel=1, max_queue=2) as engine:
        running = engine.submit(ask("Tell me a story."), GREEDY, StreamConfig(max_tokens=200))
        next(running)
        waiting = [engine.submit(ask(f"Say {n}."), GREEDY, SHORT) for n in range(2)]
        with pytest.raises(OverloadedError, match="max_queue"):
            engine.submit(ask("One too many."), GREEDY, SHORT)
        running.cancel()
        assert all(stream.result().text for stream in waiting)
        assert engine.submit(ask("Now there is room."), GREEDY, SHORT).result().text


def test_priorities_and_clients_decide_who_is_next(model, ask):
    order = []

    async def read(name, stream):
        async for _ in stream:
            if name not in order:
                order.append(name)

    async def run():
        with engine_of(model, n_parallel=1) as engine:
            first = engine.submit(ask("Tell me a story."), GREEDY, StreamConfig(max_tokens=60))
            await anext(first)
            asked = {}
            for name, client, priority in (
                ("a1", "a", 0),
                ("a2", "a", 0),
                ("b1", "b", 0),
                ("urgent", "a", 1),
            ):
                config = StreamConfig(max_tokens=20, client=client, priority=priority)
                asked[name] = engine.submit(ask(f"Say {name}."), GREEDY, config)
            async with asyncio.TaskGroup() as group:
                group.create_task(read("first", first))
                for name, stream in asked.items():
                    group.create_task(read(name, stream))

    asyncio.run(run())
    assert order[:2] == ["first", "urgent"]
    # The urgent one was a's as well, so b is next; then a goes on.
    assert order[2:] == ["b1", "a1", "a2"]


def test_a_long_prompt_does_not_hold_up_a_running_answer(model, ask):
    long_prompt = Prompt.of_parts(model, [" ".join(str(n) for n in range(400))])
    assert long_prompt.n_tokens > 1000
    fast = {"cache_type_k": "f16", "cache_type_v": "f16"}
    with engine_of(model, n_ctx=2048, prefill_chunk=64, **fast) as engine:
        running = engine.submit(
            ask("Tell me a long story."), GREEDY, StreamConfig(max_tokens=400, buffer_tokens=500)
        )
        next(running)
        before = engine.counters
        late = engine.submit(long_prompt, GREEDY, StreamConfig(max_tokens=1))
        next(late)
        after = engine.counters
        steps = after.steps - before.steps
        assert steps >= late_chunks(long_prompt.n_tokens, 64)
        # Every step that evaluated a chunk also gave the running answer its token.
        assert after.generated_tokens - before.generated_tokens >= steps - 1
        running.cancel()


def late_chunks(tokens, chunk):
    return -(-tokens // chunk)


def test_a_recording_is_encoded_while_others_decode(model, media):
    with engine_of(model, media) as engine:
        processor = MultimodalProcessor(engine)
        running = processor.stream(
            "Tell me a long story.",
            sampling=GREEDY,
            config=StreamConfig(max_tokens=600, buffer_tokens=700),
        )
        next(running)
        before = engine.counters.generated_tokens
        heard = processor.generate([SEVEN, "What is said?"], sampling=GREEDY, config=SHORT)
        during = engine.counters.generated_tokens - before - heard.timings.generated_tokens
        running.cancel()
        assert heard.timings.encode_ms > 0
        assert during > 3


def test_overflow_stops_or_shifts(model, ask):
    with engine_of(model, n_ctx=256, n_parallel=1) as engine:
        prompt = ask("Count from one to one thousand, slowly and with many words.")
        sampling = SamplingParams(temperature=0, repeat_penalty=1.3)
        endless = StreamConfig(max_tokens=400, ignore_eos=True)
        stopped = engine.submit(prompt, sampling, endless).result()
        assert stopped.finish_reason == "length"
        assert prompt.n_tokens + stopped.timings.generated_tokens == 257
        config = endless.with_overflow("shift")
        shifted = engine.submit(prompt, sampling, config).result()
        assert shifted.timings.generated_tokens > stopped.timings.generated_tokens
        assert ids(shifted)[: len(ids(stopped))] == ids(stopped)
        assert engine.counters.shifts >= 1


def test_a_shift_keeps_media_whole(model, media):
    with engine_of(model, media, n_ctx=160, n_parallel=1) as engine:
        processor = MultimodalProcessor(engine)
        config = StreamConfig(max_tokens=300, overflow="shift")
        sampling = SamplingParams(temperature=1.5, top_k=0, top_p=1.0, min_p=0.0, seed=3)
        answer = processor.generate(
            ["Look: ", SHAPES, " Tell me a very long story about it."],
            sampling=sampling,
            config=config,
        )
        assert answer.timings.generated_tokens > 160 or answer.finish_reason == "stop"
        question = [SEVEN, "What is said?"]
        expected = json.loads((SAMPLES / "expected.json").read_text())["seven.wav"]
        heard = processor.generate(question, sampling=GREEDY).text.strip()
        assert heard == expected["What is said?"]


def test_counters_end_where_the_work_ends(model, ask):
    with engine_of(model) as engine:
        answers = [engine.submit(ask(f"Say {n}."), GREEDY, SHORT).result() for n in range(3)]
        counters = engine.counters
        assert counters.active == 0
        assert counters.queued == 0
        assert counters.requests == 3
        assert counters.generated_tokens == sum(a.timings.generated_tokens for a in answers)
        assert counters.prompt_tokens == sum(a.timings.prompt_tokens for a in answers)


def repeating(model):
    """A text whose continuation is certain."""
    return Prompt.of_parts(model, ["The cat sat on the mat and looked at the moon.\n" * 8])


@pytest.mark.parametrize("kind", ["lookup", "draft"])
def test_speculative_decoding_gives_the_same_tokens(model, kind):
    prompts = [repeating(model), chat(model, "Write a haiku about snow.")]
    config = StreamConfig(max_tokens=60)
    with engine_of(model) as plain:
        expected = [plain.submit(prompt, GREEDY, config).result() for prompt in prompts]
    draft = model if kind == "draft" else None
    params = EngineParams(**EXACT, speculative=kind, draft_p_min=0.3)
    with Engine(model, params, draft=draft) as engine:
        streams = [engine.submit(prompt, GREEDY, config) for prompt in prompts]
        answers = [stream.result() for stream in streams]
        assert [ids(a) for a in answers] == [ids(e) for e in expected]
        timings = answers[0].timings
        assert timings.accepted_tokens > 10
        assert timings.accepted_tokens <= timings.drafted_tokens
        assert engine.counters.accepted_tokens == sum(a.timings.accepted_tokens for a in answers)
        if kind == "draft":  # it drafts for itself: nearly all is right
            assert timings.accepted_tokens > 0.8 * timings.drafted_tokens
        sampled = SamplingParams(temperature=1.0, seed=5)
        first, second = (engine.submit(prompts[1], sampled, config).result() for _ in range(2))
        assert first.text == second.text


def test_a_models_own_layers_guess(tmp_path):
    from tests.made import write_mtp

    path = write_mtp(tmp_path / "mtp.gguf")
    config = StreamConfig(max_tokens=60, ignore_eos=True)
    with Engine(Model.load(path), EngineParams(**EXACT)) as plain:
        texts = ["hello", "12345", "q"]
        prompts = [Prompt.of_parts(plain.model, [text]) for text in texts]
        expected = [ids(plain.submit(prompt, GREEDY, config).result()) for prompt in prompts]
        with pytest.raises(ModelCapabilityError, match=r"ModelParams\(mtp=True\)"):
            Engine(plain.model, EngineParams(n_ctx=256, speculative="mtp"))
    assert len({tuple(answer) for answer in expected}) == 3
    params = EngineParams(**EXACT, speculative="mtp", draft_p_min=0.0)
    with Engine(Model.load(path, ModelParams(mtp=True)), params) as engine:
        prompts = [Prompt.of_parts(engine.model, [text]) for text in texts]
        streams = [engine.submit(prompt, GREEDY, config) for prompt in prompts]
        answers = [stream.result() for stream in streams]
        assert [ids(answer) for answer in answers] == expected
        for answer in answers:
            assert answer.timings.accepted_tokens > 0.5 * answer.timings.drafted_tokens > 10
    none = Model.load(write_mtp(tmp_path / "none.gguf", layers=0), ModelParams(mtp=True))
    with pytest.raises(ModelCapabilityError):
        Engine(none, EngineParams(n_ctx=256, speculative="mtp"))


def test_speculation_keeps_to_limits_and_buffers(model):
    prompt = repeating(model)
    params = EngineParams(**EXACT, speculative="lookup", draft_max=16)
    with engine_of(model) as plain, Engine(model, params) as engine:
        for config in (
            StreamConfig(max_tokens=7),
            StreamConfig(max_tokens=40, buffer_tokens=1),
            StreamConfig(max_tokens=60, stop=("looked",)),
        ):
            expected = plain.submit(prompt, GREEDY, config).result()
            answer = engine.submit(prompt, GREEDY, config).result()
            assert answer.text == expected.text
            assert answer.finish_reason == expected.finish_reason


def test_a_draft_model_is_asked_for(model):
    with pytest.raises(InvalidOptionError, match="draft model"):
        Engine(model, EngineParams(n_ctx=256, n_parallel=1, speculative="draft"))
    with pytest.raises(ModelCapabilityError):
        Engine(model, EngineParams(n_ctx=256, n_parallel=1, speculative="mtp"))


def test_prompts_together_may_be_longer_than_a_small_context_was_asked_for(model):
    # llama.cpp rounds the context up, but not the size of its batches
    params = EngineParams(n_ctx=64, n_parallel=2, reuse_prefix=False)
    with Engine(model, params) as engine:
        prompts = [Prompt.of_parts(model, [f"{n} " + "word " * 150]) for n in range(2)]
        assert sum(prompt.n_tokens for prompt in prompts) > 256
        streams = [engine.submit(prompt, GREEDY, StreamConfig(max_tokens=4)) for prompt in prompts]
        assert [stream.result().timings.generated_tokens for stream in streams] == [4, 4]

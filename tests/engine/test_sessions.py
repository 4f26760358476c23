"""A sequence by hand: what it holds, what is taken out of it, and who may use it."""

import asyncio
import threading

import numpy as np
import pytest

from mullama_media import (
    Engine,
    EngineParams,
    Model,
    MultimodalProcessor,
    Prompt,
    SamplingParams,
    StreamConfig,
)
from mullama_media.errors import (
    EngineClosedError,
    InvalidOptionError,
    ModelCapabilityError,
    OverloadedError,
    SessionError,
)
from tests.conftest import GREEDY, SAMPLES
from tests.made import write_tiny

SHORT = StreamConfig(max_tokens=12, ignore_eos=True)
# 32-bit caches, so that the shape of a batch hardly shows in the logits.
EXACT = {"n_ctx": 512, "n_parallel": 3, "cache_type_k": "f32", "cache_type_v": "f32"}
STORY = " The old lighthouse keeper walked down to the sea every morning."
OTHER = " Nobody in the village knew the name of his little grey boat."


@pytest.fixture
def engine(model, media):
    with Engine(model, EngineParams(**EXACT), media=media) as engine:
        yield engine


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A tiny model by architecture."""
    folder = tmp_path_factory.mktemp("tiny")

    def load(architecture="llama"):
        path = folder / f"{architecture}.gguf"
        return Model.load(path if path.exists() else write_tiny(path, architecture))

    return load


def text(model, *parts, special=True):
    return Prompt.of_parts(model, ["".join(parts)], add_special=special)


def ids(completion):
    return [token.id for token in completion.tokens if token.id is not None]


def tokens_of(session):
    return [token for held in session.view().held for token in held.tokens]


def test_it_holds_what_was_said_in_it(engine):
    prompt = text(engine.model, STORY)
    with engine.session() as session:
        assert session.view().held == ()
        answer = session.submit(prompt, GREEDY, SHORT).result()
        (ids_of_prompt,) = [chunk for kind, chunk in prompt.chunks if kind == "text"]
        # The last token was drawn and never evaluated.
        assert tokens_of(session) == [*ids_of_prompt, *ids(answer)[:-1]]
        view = session.view()
        assert view.rows == view.positions == view.exact_rows == prompt.n_tokens + 11
        again = text(engine.model, STORY, answer.text, " And then?")
        assert session.submit(again, GREEDY, SHORT).result().timings.reused_tokens > prompt.n_tokens


def test_media_are_named_by_their_content(engine):
    prompt = MultimodalProcessor(engine).prepare(
        [SAMPLES / "shapes.png", SAMPLES / "seven.wav", "?"]
    )
    with engine.session() as session:
        session.prefill(prompt).result()
        kinds = [(held.kind, held.rows) for held in session.view().held]
        assert kinds == [
            (kind, held if isinstance(held, int) else len(held)) for kind, held in prompt.chunks
        ]
        keys = [held.key for held in session.view().held if held.kind != "text"]
        assert len(set(keys)) == 2
        assert all(keys)


def test_prefill_evaluates_and_says_nothing(engine):
    prompt = text(engine.model, STORY, OTHER)
    with engine.session() as session:
        done = session.prefill(prompt).result()
        assert (done.text, done.tokens, done.finish_reason) == ("", (), "length")
        assert done.timings.generated_tokens == 0
        assert session.rows == prompt.n_tokens
        longer = text(engine.model, STORY, OTHER, " One day")
        answer = session.submit(longer, GREEDY, SHORT).result()
        assert answer.timings.reused_tokens == prompt.n_tokens
    expected = fresh(engine.model, longer)
    assert ids(answer) == expected


def fresh(model, prompt, media=None, **options):
    with Engine(model, EngineParams(**{**EXACT, **options}), media=media) as engine:
        return ids(engine.submit(prompt, GREEDY, SHORT).result())


def test_without_its_tail_it_goes_on_as_if_that_was_never_said(engine):
    with engine.session() as session:
        session.submit(text(engine.model, STORY), GREEDY, SHORT).result()
        rows = text(engine.model, STORY).n_tokens
        session.remove(rows)
        assert session.rows == session.view().exact_rows == rows
        other = text(engine.model, STORY, OTHER)
        answer = session.submit(other, GREEDY, SHORT).result()
        assert answer.timings.reused_tokens == rows
    assert ids(answer) == fresh(engine.model, other)


def test_copies_go_their_own_ways(engine):
    base = text(engine.model, STORY)
    with engine.session() as one:
        one.prefill(base).result()
        with one.copy() as two:
            assert two.view() == one.view()
            prompts = [text(engine.model, STORY, end) for end in (" He sang.", " It rained.")]
            streams = [s.submit(p, GREEDY, SHORT) for s, p in zip((one, two), prompts, strict=True)]
            answers = [stream.result() for stream in streams]
            assert all(a.timings.reused_tokens == base.n_tokens for a in answers)
            one.clear()
            assert two.rows == prompts[1].n_tokens + 11
            again = two.submit(prompts[1], GREEDY, SHORT).result()
            assert again.timings.reused_tokens == prompts[1].n_tokens - 1
    for prompt, answer in zip(prompts, answers, strict=True):
        assert ids(answer) == fresh(engine.model, prompt)


def test_keep_forgets_both_ends(engine):
    prompt = text(engine.model, STORY, OTHER)
    (all_ids,) = [chunk for _, chunk in prompt.chunks]
    with engine.session() as session:
        session.prefill(prompt).result()
        session.keep(0, 10)
        assert tokens_of(session) == all_ids[:10]
        session.keep(4, 8)
        view = session.view()
        assert tokens_of(session) == all_ids[4:8]
        assert (view.rows, view.positions, view.exact_rows) == (4, 8, 0)
        assert view.held[0].position == 4


@pytest.mark.parametrize("close_gap", [True, False])
def test_what_follows_a_removed_row_is_reused_by_the_session_alone(engine, close_gap):
    model = engine.model
    whole = text(model, STORY, OTHER * 3, STORY)
    rest = text(model, OTHER * 3, STORY, " Then")  # long enough to be worth a copy
    cut = text(model, STORY).n_tokens
    first = 0 if text(model, STORY).n_tokens == len(model.tokenize(STORY)) else 1  # a BOS stays
    with engine.session() as session:
        session.prefill(whole).result()
        rows = session.rows
        session.remove(first, cut, close_gap=close_gap)
        view = session.view()
        assert view.rows == rows - cut + first
        assert view.positions == (view.rows if close_gap else rows)
        assert view.exact_rows == first
        shifted = session.submit(rest, GREEDY, SHORT).result()
        assert shifted.timings.reused_tokens >= rows - cut + first - 1
        outside = engine.submit(rest, GREEDY, SHORT).result()
        assert outside.timings.reused_tokens == first
        assert ids(outside) == fresh(model, rest)


def test_closing_a_gap_is_what_a_full_context_does(tiny):
    """overflow="shift" forgets the older half of the answer; by hand it must give the same rows."""
    model = tiny()
    letters = range(model.n_vocab - 26, model.n_vocab)
    bias = {token: float("-inf") for token in range(model.n_vocab) if token not in letters}
    sampling = SamplingParams(
        temperature=0, logit_bias=bias
    )  # texts that tokenise as they were said
    prompt = text(model, STORY[:20])
    (asked,) = [chunk for _, chunk in prompt.chunks]
    n_ctx = 256
    full = n_ctx - prompt.n_tokens  # tokens of the answer in the cache when it is full

    def config(n, overflow="stop"):
        return StreamConfig(max_tokens=n, ignore_eos=True, overflow=overflow)

    with Engine(model, EngineParams(**{**EXACT, "n_ctx": n_ctx})) as engine:
        shifted = ids(engine.submit(prompt, sampling, config(n_ctx, "shift")).result())
        assert engine.counters.shifts == 1
        with engine.session() as session:
            first = session.submit(prompt, sampling, config(full + 1)).result()
            said = ids(first)
            assert said == shifted[: full + 1]
            assert session.rows == n_ctx
            session.remove(prompt.n_tokens, prompt.n_tokens + full // 2, close_gap=True)
            assert tokens_of(session) == [*asked, *said[full // 2 : -1]]
            by_hand = text(model, STORY[:20], first.text[full // 2 :])
            answer = session.submit(by_hand, sampling, config(n_ctx - full - 1)).result()
            assert answer.timings.reused_tokens == by_hand.n_tokens - 1
            assert ids(answer) == shifted[full + 1 :]


def test_a_medium_goes_whole_or_not_at_all(engine):
    prompt = MultimodalProcessor(engine).prepare([SAMPLES / "shapes.png", "What is this?"])
    with engine.session() as session:
        session.prefill(prompt).result()
        before = session.view()
        picture = next(held for held in before.held if held.kind == "image")
        start = picture.position
        with pytest.raises(InvalidOptionError, match=f"rows {start} to {start + picture.rows}"):
            session.remove(start + 1, start + 5)
        with pytest.raises(InvalidOptionError, match="cut a picture"):
            session.keep(0, start + 5)
        assert session.view() == before
        session.remove(start, start + picture.rows, close_gap=True)
        assert "image" not in [held.kind for held in session.view().held]


def test_rows_that_are_not_there(engine):
    with engine.session() as session:
        session.prefill(text(engine.model, STORY)).result()
        for start, end in ((5, 4), (0, 1000), (-1, 3), (2**40, None)):
            with pytest.raises(InvalidOptionError, match="row"):
                session.remove(start, end)
        session.remove(3, 3)
        assert session.rows == text(engine.model, STORY).n_tokens


def test_a_recurrent_state_can_only_go_whole(tiny):
    for architecture in ("mamba", "falcon-h1"):
        model = tiny(architecture)
        with Engine(model, EngineParams(**EXACT)) as engine, engine.session() as session:
            prompt = text(model, STORY)
            session.prefill(prompt).result()
            for change in (lambda: session.remove(5), lambda: session.keep(0, 3)):
                with pytest.raises(ModelCapabilityError, match="recurrent"):
                    change()
            with session.copy() as copy:
                longer = text(model, STORY, OTHER)
                answer = copy.submit(longer, GREEDY, SHORT).result()
                assert answer.timings.reused_tokens == prompt.n_tokens
                assert ids(answer) == fresh(model, longer)
            session.clear()
            assert session.rows == 0


def test_positions_of_m_rope_cannot_be_moved(tiny):
    model = tiny("qwen2vl")
    with Engine(model, EngineParams(**EXACT)) as engine, engine.session() as session:
        session.prefill(text(model, STORY)).result()
        with pytest.raises(ModelCapabilityError, match="close_gap"):
            session.remove(2, 8, close_gap=True)
        rows = session.rows
        session.remove(2, 8)
        assert (session.rows, session.positions) == (rows - 6, rows)


def test_a_window_that_has_passed_is_evaluated_again(tiny):
    model = tiny("gemma3")
    prompt = text(model, STORY, OTHER)
    for swa_full in (True, False):
        params = EngineParams(**{**EXACT, "n_ctx": 1024}, swa_full=swa_full, n_ubatch=64)
        with Engine(model, params) as engine, engine.session() as session:
            session.prefill(text(model, STORY, OTHER, STORY * 9)).result()
            session.remove(prompt.n_tokens)
            answer = session.submit(prompt, GREEDY, SHORT).result()
            assert (answer.timings.reused_tokens > 0) == swa_full
        assert ids(answer) == fresh(model, prompt)


def test_the_last_sequence_is_left_to_requests(engine, ask):
    with engine.session(), engine.session() as second:
        with pytest.raises(OverloadedError, match="2 sessions are open"):
            engine.session()
        with pytest.raises(OverloadedError, match="n_parallel"):
            second.copy()
        assert engine.submit(ask("Hello."), GREEDY, SHORT).result().text
    with engine.session() as again:
        assert again.rows == 0


def test_an_only_sequence_may_be_taken(model, ask):
    with Engine(model, EngineParams(**{**EXACT, "n_parallel": 1})) as engine:
        with engine.session() as session:
            with pytest.raises(OverloadedError, match="the only sequence"):
                engine.submit(ask("Hello."))
            assert session.submit(ask("Hello."), GREEDY, SHORT).result().text
        running = engine.submit(ask("Tell me a story."), GREEDY, StreamConfig(max_tokens=300))
        next(running)
        with pytest.raises(OverloadedError, match="wait or run in every"):
            engine.session()
        running.cancel()
        running.result()
        engine.session().close()


def test_a_running_request_is_not_disturbed(engine, ask):
    with engine.session() as session:
        running = session.submit(ask("Tell me a story."), GREEDY, StreamConfig(max_tokens=100))
        waiting = session.submit(ask("Say one word."), GREEDY, SHORT)
        next(running)
        assert session.view().rows > 0
        for change in (session.clear, session.copy, session.to_bytes, lambda: session.remove(0, 1)):
            with pytest.raises(SessionError, match="waits or runs"):
                change()
        assert len(ids(running.result())) > 10
        assert waiting.result().text
        session.clear()


def test_closing_cancels_its_requests_and_leaves_the_cache(engine, ask):
    session = engine.session()
    running = session.submit(ask("Tell me a story."), GREEDY, StreamConfig(max_tokens=400))
    waiting = session.submit(ask("Say one word."), GREEDY, SHORT)
    next(running)
    session.close()
    session.close()
    assert running.result().finish_reason == "cancelled"
    assert waiting.result().finish_reason == "cancelled"
    assert session.closed
    for use in (session.view, session.clear, lambda: session.submit(ask("Hello."))):
        with pytest.raises(SessionError, match="closed"):
            use()
    again = engine.submit(ask("Tell me a story."), GREEDY, SHORT).result()
    assert again.timings.reused_tokens > 0


def test_dropping_the_last_reference_gives_the_sequence_back(engine):
    for _ in range(5):
        engine.session()
    engine.session().close()


def test_closing_the_engine_ends_its_sessions(model, ask):
    engine = Engine(model, EngineParams(**EXACT))
    session = engine.session()
    running = session.submit(ask("Tell me a story."), GREEDY, StreamConfig(max_tokens=400))
    engine.close()
    with pytest.raises(EngineClosedError):
        running.result()
    for use in (session.view, session.clear, session.copy, session.to_bytes, engine.session):
        with pytest.raises(EngineClosedError):
            use()
    assert session.closed
    session.close()


def test_many_threads_at_once(engine):
    prompt = text(engine.model, STORY)
    failures = []

    def work(seed):
        rng = np.random.default_rng(seed)
        try:
            for _ in range(6):
                try:
                    session = engine.session()
                except OverloadedError:
                    continue
                with session:
                    session.prefill(prompt).result()
                    session.remove(int(rng.integers(1, prompt.n_tokens)))
                    answer = session.submit(prompt, GREEDY, SHORT).result()
                    if ids(answer) != expected:
                        failures.append(answer.text)
        except Exception as error:
            failures.append(error)

    expected = fresh(engine.model, prompt)
    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_on_an_event_loop(engine):
    prompt = text(engine.model, STORY)

    async def main():
        session = await asyncio.to_thread(engine.session)
        async with session:
            await session.prefill(prompt)
            answer = await session.submit(prompt, GREEDY, SHORT)
            state = await asyncio.to_thread(session.to_bytes)
        restored = await asyncio.to_thread(engine.load_session, state)
        async with restored:
            again = await restored.submit(prompt, GREEDY, SHORT)
        return answer, again

    answer, again = asyncio.run(main())
    assert ids(answer) == ids(again)
    assert again.timings.reused_tokens == prompt.n_tokens - 1

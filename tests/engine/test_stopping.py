"""Where an answer ends, and what never comes into it."""

import asyncio
import math
import time

import pytest

from mullama_media import Engine, EngineParams, Prompt, SamplingParams, StreamConfig
from mullama_media.errors import CallbackError, DecodeError, InvalidOptionError
from tests.conftest import GREEDY

FORTY = StreamConfig(max_tokens=40)


@pytest.fixture(scope="module")
def story(ask):
    return ask("Tell me a long story about a dragon and the sea.")


@pytest.fixture(scope="module")
def free(engine, story):
    """The greedy answer without any stop."""
    return engine.submit(story, GREEDY, FORTY).result()


@pytest.fixture(scope="module")
def brief(ask):
    """A question that is answered in a few tokens."""
    return ask("What is 2+2? Answer with one digit.")


def test_min_tokens_and_ignore_eos_hold_off_the_end(engine, brief, model):
    plain = engine.submit(brief, GREEDY).result()
    assert plain.finish_reason == "stop"
    count = plain.timings.generated_tokens
    assert count < 60
    longer = engine.submit(brief, SamplingParams(temperature=0, min_tokens=count + 5)).result()
    assert longer.timings.generated_tokens >= count + 5
    assert longer.text.startswith(plain.text)
    config = StreamConfig(max_tokens=100, ignore_eos=True)
    endless = engine.submit(brief, GREEDY, config).result()
    assert endless.finish_reason == "length"
    assert endless.timings.generated_tokens == 100
    assert not any(model.is_end(token.id) for token in endless.tokens if token.id is not None)


def test_the_engine_does_not_count_the_end_token(engine, brief):
    before = engine.counters.generated_tokens
    completion = engine.submit(brief, GREEDY).result()
    assert completion.finish_reason == "stop"
    ids = [token for token in completion.tokens if token.id is not None]
    assert engine.counters.generated_tokens - before == len(ids)
    assert completion.timings.generated_tokens == len(ids)


def test_a_stop_token_ends_the_answer_and_is_not_in_it(engine, story, free, model):
    ids = [token.id for token in free.tokens]
    stop = next(i for i in ids[5:] if i not in ids[:5])
    config = FORTY.with_stop_tokens((stop,))
    cut = engine.submit(story, GREEDY, config).result()
    assert cut.finish_reason == "stop"
    assert [token.id for token in cut.tokens] == ids[: ids.index(stop)]
    held_off = SamplingParams(temperature=0, min_tokens=ids.index(stop) + 1)
    assert engine.submit(story, held_off, config).result().tokens[ids.index(stop)].id != stop
    with pytest.raises(InvalidOptionError, match="not in the vocabulary") as caught:
        engine.submit(story, GREEDY, StreamConfig(stop_tokens=(model.n_vocab,)))
    assert caught.value.where == "StreamConfig.stop_tokens"


def test_a_stop_expression_matches_across_tokens(engine, story, free):
    word = free.text.split()[8].strip(",.")
    at = free.text.index(word)
    middle = word[: len(word) // 2]
    pattern = rf"{middle[0]}{middle[1:]}[a-z]+\W"
    seen = ""
    stream = engine.submit(story, GREEDY, FORTY.with_stop_regex(pattern))
    for token in stream:
        seen += token.text
        assert free.text[:at].startswith(seen)  # nothing of the match, not even its beginning
    completion = stream.result()
    assert completion.finish_reason == "stop"
    assert seen == completion.text == free.text[:at]
    assert free.text[at:].startswith(completion.stop_text)
    none = engine.submit(story, GREEDY, FORTY.with_stop_regex("never [0-9]+ there")).result()
    assert none.text == free.text


def test_a_bad_or_catastrophic_expression(engine, story):
    with pytest.raises(InvalidOptionError, match="without its") as caught:
        engine.submit(story, GREEDY, FORTY.with_stop_regex("(a"))
    assert caught.value.where == "StreamConfig.stop_regex"
    with pytest.raises(InvalidOptionError, match="empty text"):
        engine.submit(story, GREEDY, FORTY.with_stop_regex("x*"))
    slow = FORTY.with_stop_regex(r"((\w|\s|.)*)*(((.|\s)*)*)*#@#")
    completion = engine.submit(story, GREEDY, slow).result()
    assert completion.timings.generated_tokens == 40


def test_stop_when_ends_after_the_token(engine, story, free):
    for read in (lambda s: s.result(), lambda s: asyncio.run(s._read_all())):
        seen = []

        def sixth(token, seen=seen):
            seen.append(token)
            if len(seen) == 6:
                time.sleep(0.2)  # the engine is ahead of the reader now
            return len(seen) == 6

        completion = read(engine.submit(story, GREEDY, FORTY.with_stop_when(sixth)))
        assert completion.finish_reason == "stop"
        assert completion.tokens == tuple(seen) == free.tokens[:6]
        assert completion.text == "".join(token.text for token in seen)


def test_an_error_in_stop_when_reaches_the_reader(engine, story):
    def broken(token):
        raise KeyError("oops")

    stream = engine.submit(story, GREEDY, FORTY.with_stop_when(broken))
    for _ in range(2):
        with pytest.raises(CallbackError, match=r"stop_when: it raised KeyError") as caught:
            stream.result()
    assert isinstance(caught.value.__cause__, KeyError)
    end = time.monotonic() + 10
    while engine.counters.active and time.monotonic() < end:
        time.sleep(0.01)
    assert engine.counters.active == 0


def test_a_deadline_keeps_what_there_is(engine, story):
    config = StreamConfig(max_tokens=1500, max_time_ms=300, ignore_eos=True)
    began = time.perf_counter()
    completion = engine.submit(story, GREEDY, config).result()
    assert 0.3 <= time.perf_counter() - began < 3
    assert completion.finish_reason == "deadline"


def test_a_deadline_is_seen_in_the_queue_and_while_nobody_reads(model, story):
    with Engine(model, EngineParams(n_ctx=2048, n_parallel=1)) as engine:
        first = engine.submit(story, GREEDY, StreamConfig(max_tokens=None, buffer_tokens=1))
        next(first)
        waiting = engine.submit(story, GREEDY, StreamConfig(max_time_ms=150))
        time.sleep(0.5)  # the first is paused, so the engine has nothing to do but wait
        assert engine.counters.queued == 0
        completion = waiting.result()
        assert completion.finish_reason == "deadline"
        assert completion.text == ""
        first.cancel()


def test_a_bias_bans_and_prefers(engine, story, free, model):
    first = free.tokens[0].id
    banned = SamplingParams(temperature=0, logit_bias={first: -math.inf})
    ids = [token.id for token in engine.submit(story, banned, FORTY).result().tokens]
    assert first not in ids
    (sea,) = model.tokenize(" sea")
    only = SamplingParams(temperature=0, logit_bias={" sea": 1000})
    completion = engine.submit(story, only, StreamConfig(max_tokens=5)).result()
    assert [token.id for token in completion.tokens] == [sea] * 5


# -- banned strings


def spread_of(free, model):
    """A text of the free answer that begins in one token and ends in another."""
    pieces = [token.text for token in free.tokens]
    return pieces[4][-2:] + pieces[5] + pieces[6][:2]


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_banned_strings_never_appear(engine, story, free, model, temperature):
    banned = (spread_of(free, model), " the", "drag", ".")
    assert any(text in free.text for text in banned)
    for seed in range(3):
        sampling = SamplingParams(
            temperature=temperature, seed=seed, banned_strings=banned, repeat_penalty=1.1
        )
        stream = engine.submit(story, sampling, FORTY)
        shown = "".join(token.text for token in stream)
        completion = stream.result()
        assert shown == completion.text
        assert not [text for text in banned if text in completion.text]
        assert completion.timings.generated_tokens == 40 or completion.finish_reason == "stop"


def test_going_back_equals_never_having_been_there(engine, story, free, model):
    """What follows a roll-back is what the model says to the same tokens from scratch."""
    banned = spread_of(free, model)
    sampling = SamplingParams(temperature=0, banned_strings=(banned,), logprobs=0)
    completion = engine.submit(story, sampling, FORTY).result()
    ids = [token.id for token in completion.tokens if token.id is not None]
    assert ids[:4] == [token.id for token in free.tokens[:4]]
    assert ids[4] != free.tokens[4].id
    forced = list(ids)

    def follow(seen, logits):
        wanted = forced[len(seen) - story.n_tokens]
        scores.append(logits[wanted] - logits.max())
        logits[:] = -math.inf
        logits[wanted] = 0

    scores = []
    replay = engine.submit(
        story, SamplingParams(temperature=0, logprobs=0), FORTY, logits_processor=follow
    ).result()
    again = [token.logprob for token in replay.tokens if token.id is not None]
    first = [token.logprob for token in completion.tokens if token.id is not None]
    assert again == pytest.approx(first, abs=0.02)
    assert [s for i, s in enumerate(scores) if i not in (4,)] == pytest.approx([0] * 39, abs=0.02)


def test_what_only_begins_a_banned_string_is_shown(engine, story, free):
    sampling = SamplingParams(temperature=0, banned_strings=(free.text[-4:] + "never comes",))
    completion = engine.submit(story, sampling, FORTY).result()
    assert completion.text == free.text
    assert completion.timings.generated_tokens == 40


def test_banning_works_beside_others_and_with_stops(engine, story, free, model):
    banned = SamplingParams(temperature=0, banned_strings=(spread_of(free, model),))
    alone = engine.submit(story, banned, FORTY).result().text
    streams = [engine.submit(story, s, FORTY) for s in (banned, GREEDY, banned, GREEDY)]
    assert [s.result().text for s in streams] == [alone, free.text, alone, free.text]
    stop = alone[60:66]
    cut = engine.submit(story, banned, FORTY.with_stop((stop,))).result()
    assert cut.text == alone[: alone.index(stop)]
    assert cut.stop_text == stop


def test_everything_banned_is_an_error_of_that_request(engine, model):
    prompt = Prompt.of_parts(model, ["a b c"])
    sampling = SamplingParams(
        temperature=0, logit_bias=dict.fromkeys(range(model.n_vocab), -math.inf)
    )
    with pytest.raises(DecodeError, match="no token is left"):
        engine.submit(prompt, sampling).result()
    assert engine.submit(prompt, GREEDY, StreamConfig(max_tokens=2)).result().text

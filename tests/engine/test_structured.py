"""Grammars at work: what a model writes under them."""

import asyncio
import json
import random
import re
import threading

import jsonschema
import pytest

from mullama_media import (
    Engine,
    EngineParams,
    Grammar,
    Message,
    Prompt,
    SamplingParams,
    StreamConfig,
)
from mullama_media.errors import AnswerFormatError, GrammarError, InvalidOptionError
from tests.conftest import GREEDY
from tests.engine import schemas

pytestmark = pytest.mark.model


@pytest.fixture
def sea(ask):
    return ask("Tell me about the sea.")


@pytest.fixture
def say(engine, sea):
    def make(grammar, tokens=40, sampling=GREEDY):
        return engine.submit(
            sea, sampling, StreamConfig(max_tokens=tokens), grammar=grammar
        ).result()

    return make


def wild(seed):
    return SamplingParams(temperature=1.5, top_k=0, top_p=1, min_p=0, seed=seed)


def test_an_answer_is_one_of_the_choices_and_ends_by_itself(say):
    texts = ["yes", "no", "maybe so", "é😀"]
    answers = [say(Grammar.choice(texts), sampling=wild(seed)) for seed in range(12)]
    assert {answer.text for answer in answers} <= set(texts)
    assert len({answer.text for answer in answers}) > 1
    assert {answer.finish_reason for answer in answers} == {"stop"}


def test_the_end_comes_only_where_the_grammar_allows_it(engine, ask):
    prompt = ask("What is 2+2? Answer with one digit.")
    free = engine.submit(prompt, GREEDY, StreamConfig(max_tokens=100)).result()
    assert free.finish_reason == "stop"
    endless = Grammar.regex("(.|\n){1000,}")
    longer = engine.submit(prompt, GREEDY, StreamConfig(max_tokens=60), grammar=endless).result()
    assert longer.finish_reason == "length"
    assert longer.text.startswith(free.text)  # what the grammar allows is not touched


def test_a_grammar_that_allows_everything_changes_nothing(say):
    everything = Grammar.gbnf("root ::= .*")
    assert say(everything).text == say(None).text
    assert say(everything, sampling=wild(3)).text == say(None, sampling=wild(3)).text


def test_random_schemas(engine, sea):
    rng = random.Random(77)
    made = [schemas.schema(rng) for _ in range(64)]
    config = StreamConfig(max_tokens=500, buffer_tokens=500)
    streams = [
        engine.submit(sea, wild(i), config, grammar=Grammar.json_schema(schema, compact=True))
        for i, schema in enumerate(made)
    ]
    for schema, stream in zip(made, streams, strict=True):
        completion = stream.result()
        assert completion.finish_reason == "stop", (schema, completion.text)
        jsonschema.validate(completion.json(), schema, jsonschema.Draft202012Validator)


PATTERNS = ["[A-Z][a-z]{2,6}( [a-z]{1,5}){0,2}[.?]", "(é|\\d){3}", "[^a-z\\n]{4}"]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_expressions(say, pattern):
    for seed in range(3):
        assert re.fullmatch(pattern, say(Grammar.regex(pattern), sampling=wild(seed)).text)


def test_one_grammar_serves_many_requests_and_engines_at_once(engine, model, sea):
    grammar = Grammar.json_schema({"type": "array", "items": {"type": "integer"}, "maxItems": 3})
    config = StreamConfig(max_tokens=60, buffer_tokens=60)
    with Engine(model, EngineParams(n_ctx=512, n_parallel=2)) as other:
        streams = [
            host.submit(sea, wild(seed), config, grammar=grammar)
            for seed in range(4)
            for host in (engine, other)
        ]
        texts = [stream.result().text for stream in streams]
    for alone, beside in zip(texts[::2], texts[1::2], strict=True):
        assert alone == beside
        json.loads(alone)


# -- waiting for a trigger


def test_a_waiting_grammar_begins_with_its_word(engine, sea, say):
    grammar = Grammar.gbnf('root ::= " the" [A-Z]{3} "!"').when([" the"])
    text = say(grammar, tokens=80).text
    free = say(None, tokens=80).text
    begin = free.index(" the")
    assert text[: begin + 4] == free[: begin + 4]
    assert re.fullmatch(" the[A-Z]{3}!", text[begin:])


def test_a_waiting_grammar_may_begin_behind_its_trigger(say, model):
    free = say(None, tokens=80)
    rest = Grammar.regex("[xyz]{3}")
    word = say(rest.when(["mysterious"], after=True), tokens=80).text
    assert re.fullmatch(".*mysterious[xyz]{3}", word)
    token = next(t.id for t in free.tokens if t.text == " sea")
    assert re.fullmatch("The sea[xyz]{3}", say(rest.when(tokens=[token], after=True)).text)
    pattern = Grammar.regex("[a-z]{8,}")
    text = say(rest.when(patterns=[pattern], after=True), tokens=80).text
    assert re.fullmatch("[^a-z]*([a-z]{1,7}[^a-z]+)*[a-z]{8,}[xyz]{3}", text)
    assert say(rest.when(["@@@"])).text == say(None).text


# -- change while running


def test_a_grammar_set_while_running_holds_from_the_next_token(engine, sea):
    stream = engine.submit(sea, GREEDY, StreamConfig(max_tokens=60, buffer_tokens=1))
    first = [next(stream) for _ in range(5)]
    stream.set_grammar(Grammar.regex("[0-9]{6}"))
    completion = stream.result()
    assert re.search("[0-9]{6}$", completion.text)
    assert completion.finish_reason == "stop"
    free = completion.text[:-6]
    assert free.startswith("".join(map(str, first)))
    # at most what was chosen already: one that waited, one being computed
    assert len(completion.tokens) <= 5 + 2 + 6


def test_a_grammar_can_be_taken_away(engine, sea):
    endless = Grammar.gbnf('root ::= ("The " [#@])+')
    config = StreamConfig(max_tokens=40, buffer_tokens=1)
    stream = engine.submit(sea, GREEDY, config, grammar=endless)
    for _ in range(4):
        next(stream)
    stream.set_grammar(None)
    text = stream.result().text
    assert re.match("The [#@]", text)
    assert not endless.begins(text)


def test_setting_a_grammar_is_thread_safe_and_late_is_harmless(engine, sea):
    stream = engine.submit(sea, GREEDY, StreamConfig(max_tokens=30, buffer_tokens=1))
    grammars = [Grammar.regex("[a-z ]{500}"), None]
    threads = [
        threading.Thread(target=lambda: [stream.set_grammar(grammars[i % 2]) for i in range(200)])
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    assert stream.result().timings.generated_tokens == 30
    for thread in threads:
        thread.join()
    stream.set_grammar(None)


def test_a_grammar_set_before_the_start_counts(engine, model):
    async def run():
        prompt = lambda: Prompt.of_messages(model, [Message("user", ["Hi"])])  # noqa: E731
        stream = engine.submit(prompt, GREEDY, StreamConfig(max_tokens=400))
        stream.set_grammar(Grammar.choice(["one", "two"]))
        return await stream

    assert re.search("(one|two)$", asyncio.run(run()).text)


# -- errors


def test_a_grammar_no_token_can_follow_ends_its_request_alone(engine, model, sea):
    impossible = Grammar.gbnf('root ::= "ab" <[999999]>')
    with pytest.raises(GrammarError, match="999999"):
        engine.submit(sea, GREEDY, grammar=impossible)
    with pytest.raises(GrammarError, match="does not have"):
        engine.submit(sea, GREEDY, grammar=Grammar.gbnf("root ::= <no such token>"))
    # a token set by name or number can be generated
    end = model.tokenize("<|im_end|>", parse_special=True)[0]
    only_end = Grammar.gbnf(f'root ::= "ab" <[{end}]> "c"')  # an end before the end: a dead end
    neighbour = engine.submit(sea, GREEDY, StreamConfig(max_tokens=20))
    stream = engine.submit(sea, GREEDY, grammar=only_end)
    with pytest.raises(GrammarError, match="no token"):
        stream.result()
    assert neighbour.result().timings.generated_tokens == 20
    changed = engine.submit(sea, GREEDY, StreamConfig(max_tokens=20, buffer_tokens=1))
    next(changed)
    changed.set_grammar(impossible)
    with pytest.raises(GrammarError, match="999999"):
        changed.result()


def test_tokens_by_name_and_any_other(say, model):
    named = say(Grammar.gbnf('root ::= "x" <|im_start|> "y"'))
    assert [t.id for t in named.tokens][1] == model.tokenize("<|im_start|>", parse_special=True)[0]
    assert named.text == "xy"  # names of control tokens are no text
    first = say(None).tokens[0].id
    other = say(Grammar.gbnf(f"root ::= !<[{first}]>"))
    assert len(other.tokens) == 1
    assert other.tokens[0].id != first


def test_an_ambiguous_grammar_does_not_hold_up_the_engine(say):
    doubling = Grammar.gbnf('root ::= s\ns ::= "a" s "b"? | "a" s "c"? | "a"')
    assert set(say(doubling, tokens=60).text) <= set("abc")


def test_a_stop_text_and_max_tokens_still_count(engine, sea):
    numbers = Grammar.regex("[0-9]+")
    short = engine.submit(sea, GREEDY, StreamConfig(max_tokens=3), grammar=numbers).result()
    assert short.finish_reason == "length"
    stopped = engine.submit(
        sea, GREEDY, StreamConfig(max_tokens=20, stop=("B",)), grammar=Grammar.choice(["AAABCD"])
    ).result()
    assert (stopped.text, stopped.stop_text) == ("AAA", "B")


def test_json_of_a_completion(engine, sea, say):
    assert say(Grammar.choice(['{"a": [1]}'])).json() == {"a": [1]}
    with pytest.raises(AnswerFormatError, match="Raise max_tokens"):
        say(Grammar.choice(['{"a": [1, 2, 3, 4, 5]}']), tokens=3).json()
    with pytest.raises(AnswerFormatError, match="with a grammar"):
        say(Grammar.choice(["no"])).json()


def test_the_processor_takes_grammars(processor):
    yes = Grammar.choice(["yes", "no"])
    assert processor.generate("Is it?", grammar=yes).text in ("yes", "no")
    assert processor.stream("Is it?", grammar=yes).result().text in ("yes", "no")
    answers = processor.generate_batch(["Is it?"] * 3, grammar=yes)
    assert {answer.text for answer in answers} <= {"yes", "no"}


def test_logprobs_stay_those_of_the_model(say):
    completion = say(Grammar.choice(["zebra"]), sampling=SamplingParams(temperature=0, logprobs=1))
    token = completion.tokens[0]
    assert token.logprob < token.top[0][1]  # the model would have said something else


def test_a_grammar_beside_tools_is_refused(engine, model):
    from mullama_media import Tool

    prompt = Prompt.of_messages(
        model, [Message("user", ["Hi"])], tools=[Tool("f")], tool_choice="required"
    )
    with pytest.raises(InvalidOptionError, match="tools constrain"):
        engine.submit(prompt, grammar=Grammar.choice(["a"]))

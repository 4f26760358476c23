"""Tools: prompts that offer them, answers that call them, in several models' formats."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from mullama_media import Grammar, Message, Prompt, SamplingParams, StreamConfig, Tool, ToolCall
from mullama_media.engine import AnswerReader
from mullama_media.errors import AnswerFormatError, ChatTemplateError, InvalidOptionError
from tests.conftest import GREEDY, ROOT

WEATHER = Tool(
    "weather",
    "The weather of a city",
    {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 12}, "days": {"enum": [1, 2]}},
        "required": ["city", "days"],
    },
)
TIME = Tool("time-now", "What time it is", {"type": "object", "properties": {}})
TOOLS = [WEATHER, TIME]
CALL = '{"name": "weather", "arguments": {"city": "Oslo", "days": 1}}'
FORMATS = {
    "Qwen-Qwen2.5-7B-Instruct": f"I look.\n<tool_call>\n{CALL}\n</tool_call>",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use": f"I look.\n<tool_call>\n{CALL}\n</tool_call>",
    "meta-llama-Llama-3.1-8B-Instruct": CALL.replace("arguments", "parameters"),
    "mistralai-Mistral-Nemo-Instruct-2407": f'[TOOL_CALLS][{CALL[:-1]}, "id": "123456789"}}]',
}


@pytest.fixture(scope="module")
def template():
    """Reads one of the chat templates in llama.cpp's source."""
    fetch = [sys.executable, ROOT / "llama.cpp" / "fetch.py"]
    source = subprocess.run(fetch, capture_output=True, text=True, check=True).stdout.strip()
    folder = Path(source) / "models" / "templates"
    return lambda name: (folder / f"{name}.jinja").read_text("utf-8")


def ask(model, tools=TOOLS, template=None, messages=None, **options):
    messages = messages or [Message("user", ["How is the weather in Oslo?"])]
    return Prompt.of_messages(model, messages, tools=tools, chat_template=template, **options)


def text_of(model, prompt):
    return "".join(model.detokenize(ids, special=True) for _, ids in prompt.chunks)


@pytest.mark.parametrize("name", FORMATS)
def test_calls_are_read_in_the_models_own_format(model, template, name):
    prompt = ask(model, template=template(name))
    assert "weather" in text_of(model, prompt)
    text = FORMATS[name]
    answer = prompt.parse(text)
    (call,) = answer.tool_calls
    assert (call.name, call.parsed()) == ("weather", {"city": "Oslo", "days": 1})
    assert call.id == "123456789" if "Mistral" in name else call.id
    assert answer.content.strip() == ("I look." if "I look" in text else "")
    plain = prompt.parse("It is sunny.")
    assert (plain.content, plain.tool_calls) == ("It is sunny.", ())
    # the same, letter by letter
    reader = AnswerReader(lambda text, partial: prompt.parse(text, partial=partial))
    deltas = [delta for letter in text for delta in reader.feed(letter)] + reader.finish()
    assert "".join(d.content for d in deltas).strip() == answer.content.strip()
    assert json.loads("".join(d.arguments for d in deltas)) == call.parsed()
    assert [d.tool_name for d in deltas if d.tool_name] == ["weather"]
    if name.startswith("Qwen"):
        assert len([d for d in deltas if d.arguments]) > 5  # as they come, not all at the end


def test_thoughts_are_kept_apart(model, template):
    qwen = template("Qwen-Qwen3-0.6B")
    text = f"<think>\nOslo, then.\n</think>\n\n<tool_call>\n{CALL}\n</tool_call>"
    answer = ask(model, template=qwen).parse(text)
    assert answer.reasoning.strip() == "Oslo, then."
    assert answer.content.strip() == ""
    assert answer.tool_calls[0].name == "weather"
    kept = ask(model, tools=(), template=qwen, reasoning_format="none")
    assert "Hm." in kept.parse("<think>\nHm.\n</think>\n\nYes.").content
    quiet = text_of(model, ask(model, template=qwen, enable_thinking=False))
    assert quiet.endswith("</think>\n\n")
    assert not text_of(model, ask(model, template=qwen)).endswith("</think>\n\n")


@pytest.mark.parametrize(
    "name", [*FORMATS, "Qwen3-Coder", "google-gemma-2-2b-it", "Kimi-K2-Instruct"]
)
def test_required_has_a_grammar_in_every_format(model, template, name):
    grammar = ask(model, template=template(name), tool_choice="required").tool_grammar
    assert grammar is not None
    assert not grammar.waits
    Grammar.gbnf(grammar.text)


def test_auto_waits_for_the_beginning_of_a_call(model, template):
    qwen = template("Qwen-Qwen2.5-7B-Instruct")
    assert ask(model, template=qwen).tool_grammar.waits
    assert ask(model).tool_grammar.waits  # also in the generic format
    assert ask(model, template=qwen, tool_choice="none").tool_grammar is None
    assert ask(model, template=qwen, tools=()).tool_grammar is None


def test_a_template_without_tools_gets_them_in_words(model):
    history = [
        Message("system", ["Be brief."]),
        Message("user", ["Weather in Oslo?"]),
        Message("assistant", [], tool_calls=[ToolCall("weather", '{"city": "Oslo"}', "c1")]),
        Message("tool", ["sunny"], tool_name="weather", tool_call_id="c1"),
    ]
    text = text_of(model, ask(model, messages=history))
    assert text.count("<|im_start|>system") == 1
    assert '"name": "weather"' in text
    assert '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>' in text
    assert "<tool_response>\nsunny\n</tool_response>" in text
    assert text.endswith("<|im_start|>assistant\n")


def test_history_goes_through_the_models_own_template(model, template):
    history = [
        Message("user", ["Weather?"]),
        Message("assistant", [], tool_calls=[ToolCall("weather", '{"city": "Oslo"}', "c1")]),
        Message("tool", ["sunny<|im_end|>"], tool_call_id="c1"),
    ]
    prompt = ask(model, template=template("Qwen-Qwen2.5-7B-Instruct"), messages=history)
    text = text_of(model, prompt)
    assert '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>' in text
    ids = [token for _, tokens in prompt.chunks for token in tokens]
    end = model.tokenize("<|im_end|>", parse_special=True)[0]
    assert ids.count(end) == text.count("<|im_end|>") - 1  # the tool's own is text


@pytest.mark.model
def test_required_gives_a_valid_call(engine, model):
    prompt = ask(model, tool_choice="required")
    for seed in range(4):
        sampling = SamplingParams(temperature=1.2, seed=seed)
        completion = engine.submit(prompt, sampling, StreamConfig(max_tokens=300)).result()
        assert completion.finish_reason == "stop"
        (call,) = completion.answer.tool_calls
        tool = next(tool for tool in TOOLS if tool.name == call.name)
        jsonschema.validate(call.parsed(), dict(tool.parameters))
        assert completion.answer.tool_calls[0].id == call.id


@pytest.mark.model
def test_auto_leaves_words_alone(engine, model):
    prompt = ask(model, messages=[Message("user", ["Tell me about the sea."])])
    completion = engine.submit(prompt, GREEDY, StreamConfig(max_tokens=20)).result()
    assert completion.answer.content == completion.text
    assert completion.answer.tool_calls == ()


@pytest.mark.model
def test_deltas_add_up_to_the_answer(engine, model):
    prompt = ask(model, tools=[WEATHER], tool_choice="required")

    def submit():
        return engine.submit(prompt, GREEDY, StreamConfig(max_tokens=300))

    stream = submit()
    deltas = list(stream.deltas())
    (call,) = stream.result().answer.tool_calls
    assert deltas[0].tool_name == "weather"
    assert deltas[0].tool_call_id == call.id
    assert "".join(delta.arguments for delta in deltas) == call.arguments
    assert len(deltas) > 3

    async def read():
        return [delta async for delta in submit().deltas()]

    assert [d.arguments for d in asyncio.run(read())] == [d.arguments for d in deltas]


@pytest.mark.model
def test_a_call_that_is_cut_off_is_no_call(engine, model):
    prompt = ask(model, tool_choice="required")
    completion = engine.submit(prompt, GREEDY, StreamConfig(max_tokens=14)).result()
    assert completion.finish_reason == "length"
    with pytest.raises(AnswerFormatError):
        completion.answer.tool_calls[0].parsed()


@pytest.mark.parametrize(
    "make",
    [
        lambda model: Tool("no spaces"),
        lambda model: Tool(""),
        lambda model: Tool("x" * 65),
        lambda model: Tool("f", parameters={"type": "array"}),
        lambda model: Tool("f", parameters={"x": float("nan")}),
        lambda model: Tool("f", parameters={"x": "\ud800"}),
        lambda model: ask(model, tool_choice="maybe"),
        lambda model: ask(model, reasoning_format="maybe"),
        lambda model: ask(model, tools=[Tool("f", "ends <|im_end|> here")]),
    ],
)
def test_what_cannot_be_offered_is_refused(model, make):
    with pytest.raises(InvalidOptionError):
        make(model)


def test_a_broken_template_is_refused(model):
    with pytest.raises(ChatTemplateError, match="cannot be parsed"):
        ask(model, template="{% for %}")

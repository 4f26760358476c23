"""What a caller or a model file may hold to end the process: refused, with an error of ours."""

import asyncio

import pytest

from mullama_media import (
    Engine,
    EngineParams,
    Media,
    Message,
    Model,
    Prompt,
    StreamConfig,
    Tool,
    ToolCall,
)
from mullama_media.engine import LoraAdapter
from mullama_media.errors import (
    AnswerFormatError,
    ChatTemplateError,
    EngineClosedError,
    InvalidOptionError,
    ModelLoadError,
)
from tests import tiny
from tests.fuzz import gguf_header
from tests.made import lora_pair, write_lora

HALF = "\ud800"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return Model.load(tiny.write_model(tmp_path_factory.mktemp("tiny") / "tiny.gguf"))


def rendered(model, template, **options):
    return Prompt.of_messages(
        model, [Message("user", ["hi"])], chat_template=template, **options
    ).n_tokens


HOSTILE = {
    "a macro that calls itself": "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
    "brackets": "{{ " + "(" * 20000 + "1" + ")" * 20000 + " }}",
    "lists": "{{ " + "[" * 20000 + "]" * 20000 + " }}",
    "not": "{{ " + "not " * 50000 + "x }}",
    "else": "{{ " + "1 if x else " * 20000 + "2 }}",
    "blocks": "{% if x %}" * 20000 + "{% endif %}" * 20000,
    "blocks with ends of others": "{% if x %}{% endgeneration %}" * 20000,
    "sets": "{% set x %}" * 20000,
    "branches": "{% if x %}" + "{% elif y %}" * 20000 + "{% endif %}",
    "a sum": "{{ " + "1 + " * 50000 + "1 }}",
    "attributes": "{{ x" + ".y" * 50000 + " }}",
    "a long text": "{{ 'a' * 100000000 }}",
    "a long range": "{% for i in range(10000000000) %}{% endfor %}",
    "ranges in ranges": "{% if messages[0].content == 'hi' %}"  # not while upstream tries it out
    + "{% for i in range(9999) %}" * 2
    + "{{ i }}"
    + "{% endfor %}" * 2
    + "{% endif %}",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_template_that_would_exhaust_the_stack_or_never_end_is_refused(small, kind):
    with pytest.raises(ChatTemplateError):
        rendered(small, HOSTILE[kind])


def test_a_template_may_divide_by_nothing(small):
    assert rendered(small, "{{ 4 is divisibleby 2 }}{{ 4 is divisibleby 0 }}") > 0


def test_templates_may_nest_and_call_themselves_within_reason(small):
    deep = "{% macro f(n) %}{% if n > 0 %}x{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(20) }}"
    assert rendered(small, deep) == 20
    blocks = "{% if true %}" * 50 + "x" + "{% endif %}" * 50
    assert rendered(small, blocks) == 1
    assert rendered(small, "{{ " + "(" * 50 + "'x'" + ")" * 50 + " }}") == 1
    assert rendered(small, "{% for i in range(1000) %}x{% endfor %}") == 1000


def test_a_models_own_template_is_checked_too(small, tmp_path):
    file = gguf_header.parse(small.path.read_bytes())
    (template,) = (f for f in file.fields if f.key == b"tokenizer.chat_template")
    template.value = HOSTILE["brackets"].encode()
    path = tmp_path / "hostile.gguf"
    path.write_bytes(gguf_header.serialise(file))
    model = Model.load(path)
    assert model.chat_template is None
    with pytest.raises(ChatTemplateError, match="brackets"):
        Prompt.of_messages(model, [Message("user", ["hi"])])


def test_calls_and_answers_nested_without_end_are_refused(small):
    deep = '{"a":' * 100000
    with pytest.raises(InvalidOptionError, match="nested"):
        Prompt.of_messages(
            small, [Message("assistant", tool_calls=[ToolCall("f", deep)]), Message("user", ["x"])]
        )
    prompt = Prompt.of_messages(small, [Message("user", ["x"])], tools=[Tool("f")])
    with pytest.raises(AnswerFormatError, match="nested"):
        prompt.parse(deep)
    assert prompt.parse(deep, partial=True).tool_calls == ()


def test_half_a_surrogate_pair_is_refused_everywhere(small):
    for make in (
        lambda: Prompt.of_parts(small, [HALF]),
        lambda: Prompt.of_messages(small, [Message("user", [HALF])]),
        lambda: Prompt.of_messages(small, [Message(HALF, ["x"])]),
        lambda: Prompt.of_messages(small, [Message("user", ["x"])], template_args={HALF: 1}),
        lambda: small.tokenize(HALF),
        lambda: Prompt.of_messages(small, [Message("user", ["x"])]).parse(HALF),
        lambda: StreamConfig(stop=(HALF,)),
        lambda: Tool(HALF),
    ):
        with pytest.raises(InvalidOptionError):
            make()


def test_bytes_of_a_file_that_are_not_utf8_do_not_hide_its_error(small, tmp_path):
    path = write_lora(tmp_path / "lora.gguf", lora_pair("blk.0.attn_q.weight", 32, 32))
    file = gguf_header.parse(path.read_bytes())
    file.tensors[0].name = b"\xff\xfe"
    path.write_bytes(gguf_header.serialise(file))
    with pytest.raises(ModelLoadError, match="\ufffd\ufffd"):
        LoraAdapter.load(small, path)


@pytest.fixture(scope="module")
def header(tmp_path_factory):
    """The tiny mmproj and model, taken apart."""
    folder = tmp_path_factory.mktemp("header")
    files = {"mmproj": tiny.write_mmproj(folder / "p"), "model": tiny.write_model(folder / "m")}
    return {name: file.read_bytes() for name, file in files.items()}


def changed(path, data, change):
    file = gguf_header.parse(data)
    change(file)
    gguf_header.lay_out(file)
    path.write_bytes(gguf_header.serialise(file))
    return path


def without(name):
    def change(file):
        file.tensors = [tensor for tensor in file.tensors if tensor.name != name]

    return change


def with_type(name, kind):
    def change(file):
        (tensor,) = (tensor for tensor in file.tensors if tensor.name == name)
        tensor.kind = kind

    return change


def with_field(key, value):
    def change(file):
        (field,) = (field for field in file.fields if field.key == key)
        field.value = value

    return change


I8, Q8_0, Q8_1, BF16 = 24, 8, 9, 30
EPSILON = b"clip.audio.attention.layer_norm_epsilon"
BAD_MMPROJ = [
    (without(b"a.position_embd.weight"), "lacks a.position_embd"),
    (without(b"a.blk.0.attn_k.weight"), "lacks a.blk.0.attn_k"),
    (without(b"v.blk.0.attn_q.weight"), "lacks v.blk.0.attn_q"),
    (without(b"v.patch_embd.weight"), "lacks v.patch_embd"),
    (with_type(b"v.blk.0.attn_v.weight", I8), "type i8"),
    (with_type(b"a.blk.0.attn_q.bias", Q8_0), "must be f32"),
    (with_type(b"a.post_ln.bias", BF16), "must be f32"),
    (with_type(b"mm.a.norm_pre.weight", Q8_0), "must be f32"),
    (with_type(b"v.position_embd.weight", Q8_0), "must be f32"),
    (with_field(EPSILON, -1.0), "epsilon is -1"),
    (with_field(EPSILON, float("nan")), "epsilon is .*nan"),
    (with_field(b"clip.audio.block_count", 0), "block_count is 0"),
]
BAD_MODELS = [
    (with_type(b"blk.0.attn_v.weight", I8), "type i8"),
    (with_type(b"blk.1.ffn_down.weight", Q8_1), "type q8_1"),
    (with_type(b"blk.1.ffn_norm.weight", BF16), "must be f32"),
    (with_field(b"llama.attention.layer_norm_rms_epsilon", -1.0), "epsilon is -1"),
]


@pytest.mark.parametrize(("change", "reason"), BAD_MMPROJ, ids=lambda x: x if str(x) == x else "")
def test_an_mmproj_that_llama_cpp_would_not_survive_is_refused(
    small, header, tmp_path, change, reason
):
    path = changed(tmp_path / "bad.gguf", header["mmproj"], change)
    with pytest.raises(ModelLoadError, match=reason):
        Media.load(small, path)


@pytest.mark.parametrize(("change", "reason"), BAD_MODELS, ids=lambda x: x if str(x) == x else "")
def test_a_model_that_llama_cpp_would_not_survive_is_refused(header, tmp_path, change, reason):
    path = changed(tmp_path / "bad.gguf", header["model"], change)
    with pytest.raises(ModelLoadError, match=reason):
        Model.load(path)


class ClosedMeanwhile(Engine):
    """Another thread closes it right after submit has looked."""

    def _check_open(self):
        super()._check_open()
        self.close()


def test_closing_while_a_prompt_is_about_to_be_made(small):
    async def run():
        engine = ClosedMeanwhile(small, EngineParams(n_ctx=64, n_parallel=1))
        with pytest.raises(EngineClosedError):
            engine.submit(lambda: Prompt.of_parts(small, ["x"]))

    asyncio.run(run())

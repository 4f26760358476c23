"""Options: checked, immutable, loadable from TOML, and the same in Python and in the core."""

import dataclasses

import pytest

from mullama_media import EngineParams, MediaParams, ModelParams, SamplingParams, StreamConfig
from mullama_media.engine import EmbeddingParams, QuantizeParams, ScoreParams
from mullama_media.engine.native import core
from mullama_media.errors import InvalidOptionError
from mullama_media.options import describe, from_mapping, from_toml, load_toml, replace

ALL = (
    SamplingParams,
    StreamConfig,
    ModelParams,
    MediaParams,
    EngineParams,
    QuantizeParams,
    ScoreParams,
    EmbeddingParams,
)


@pytest.mark.parametrize("cls", ALL)
def test_dataclass_and_native_caster_have_the_same_fields(cls):
    fields = dataclasses.fields(cls)
    native = [field.name for field in fields if field.metadata["native"]]
    assert native == core().OPTION_FIELDS[cls.__name__]
    assert cls.__doc__
    assert describe(cls).count("\n") == len(fields) - 1


@pytest.mark.parametrize("cls", ALL)
def test_defaults_make_a_round_trip_through_a_mapping(cls):
    assert from_mapping(cls, dataclasses.asdict(cls())) == cls()


@pytest.mark.parametrize(
    ("cls", "change", "message"),
    [
        (SamplingParams, {"temperature": -0.1}, "at least 0"),
        (SamplingParams, {"temperature": float("nan")}, "nan"),
        (SamplingParams, {"top_p": 0.0}, "more than 0"),
        (SamplingParams, {"top_p": 1.01}, "at most 1"),
        (SamplingParams, {"top_k": 1.5}, "is not int"),
        (SamplingParams, {"top_k": True}, "is not int"),
        (SamplingParams, {"seed": 2**32}, "at most"),
        (StreamConfig, {"stop": ("",)}, "empty"),
        (StreamConfig, {"stop": "word"}, "is not tuple"),
        (StreamConfig, {"stop": (1,)}, "is not tuple"),
        (StreamConfig, {"max_tokens": -1}, "at least 0"),
        (StreamConfig, {"max_tokens": 2**31}, "at most"),
        (StreamConfig, {"stop_tokens": ("a",)}, "is not tuple"),
        (StreamConfig, {"stop_regex": ""}, "empty"),
        (StreamConfig, {"stop_when": 3}, "is not Callable"),
        (SamplingParams, {"temperature": float("inf")}, "finite"),
        (SamplingParams, {"seed": 2**32 - 1}, "at most"),
        (SamplingParams, {"samplers": ("top_k", "top_q")}, "one of penalties, dry"),
        (SamplingParams, {"samplers": ("top_k", "top_k")}, "named twice"),
        (SamplingParams, {"mirostat": 2, "adaptive_p_target": 0.5}, "both draw"),
        (SamplingParams, {"logit_bias": {3: "much"}}, "is not Mapping or tuple"),
        (SamplingParams, {"logit_bias": {3: float("inf")}}, "or -inf to ban"),
        (SamplingParams, {"logit_bias": {True: 1.0}}, "is not Mapping or tuple"),
        (SamplingParams, {"logit_bias": ((1, 2.0, 3.0),)}, "is not Mapping or tuple"),
        (SamplingParams, {"banned_strings": ("",)}, "empty"),
        (SamplingParams, {"dry_sequence_breakers": ("x" * 41,)}, "40 bytes"),
        (EngineParams, {"flash_attention": "maybe"}, "one of auto, on, off"),
        (ModelParams, {"mmap": 1}, "is not bool"),
    ],
)
def test_a_bad_value_says_which_option_and_why(cls, change, message):
    with pytest.raises(InvalidOptionError, match=message) as caught:
        cls(**change)
    assert caught.value.where == f"{cls.__name__}.{next(iter(change))}"


def test_a_bias_is_given_as_a_mapping_and_kept_as_pairs(tmp_path):
    params = SamplingParams(logit_bias={3: 1, " yes": float("-inf")})
    assert params.logit_bias == ((3, 1.0), (" yes", float("-inf")))
    assert hash(params)
    assert replace(params, seed=1).logit_bias == params.logit_bias
    file = tmp_path / "run.toml"
    file.write_text("[sampling]\nlogit_bias = [[3, 1], [' yes', -inf]]\nsamplers = ['top_k']\n")
    read = from_toml(SamplingParams, file, "sampling")
    assert read == params.with_samplers(("top_k",))


def test_ints_are_fine_where_floats_are_wanted():
    assert SamplingParams(temperature=1).temperature == 1.0
    assert isinstance(SamplingParams(temperature=1).temperature, float)


def test_values_are_immutable_and_changed_by_copy():
    cold = SamplingParams()
    warm = cold.with_temperature(1.5).with_seed(3)
    assert (cold.temperature, warm.temperature, warm.seed) == (0.8, 1.5, 3)
    assert replace(warm, seed=None).seed is None
    with pytest.raises(dataclasses.FrozenInstanceError):
        cold.temperature = 1.0
    with pytest.raises(InvalidOptionError):
        cold.with_temperature(-1)


def test_toml_tables_are_options(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('[sampling]\ntemperature = 0\nseed = 7\n[stream]\nstop = ["a", "b"]\n')
    assert from_toml(SamplingParams, file, "sampling") == SamplingParams(temperature=0, seed=7)
    assert from_toml(StreamConfig, file, "stream").stop == ("a", "b")
    assert from_toml(EngineParams, file, "engine") == EngineParams()


def test_toml_errors_name_file_and_table(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("[sampling]\ntemprature = 0\n")
    with pytest.raises(InvalidOptionError, match=r"run\.toml \[sampling\].*temprature.*It has: "):
        from_toml(SamplingParams, file, "sampling")
    file.write_text("[sampling\n")
    with pytest.raises(InvalidOptionError, match="not valid TOML"):
        from_toml(SamplingParams, file, "sampling")
    with pytest.raises(InvalidOptionError, match="cannot be read"):
        from_toml(SamplingParams, tmp_path / "none.toml", "sampling")


def test_a_whole_toml_file_has_no_table_that_nobody_reads(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("[stream]\nmax_tokens = 3\n")
    tables = {"sampling": SamplingParams, "stream": StreamConfig}
    read = load_toml(file, tables)
    assert read == {"sampling": SamplingParams(), "stream": StreamConfig(max_tokens=3)}
    assert list(read) == list(tables)
    for text in ("[sampler]\nseed = 1\n", "seed = 1\n"):
        file.write_text(text)
        with pytest.raises(InvalidOptionError, match=r"run\.toml: .*Tables are \[sampling\], \["):
            load_toml(file, tables)
    file.write_text("stream = 1\n")
    with pytest.raises(InvalidOptionError, match=r"run\.toml \[stream\]: it is not a table"):
        load_toml(file, tables)


def test_options_of_another_kind_are_refused_by_the_core():
    with pytest.raises(TypeError):
        core().Model.load("x.gguf", SamplingParams())

"""The ear's options: tables within a table, presets, and errors that say where."""

import dataclasses

import pytest

from mullama_media.audio.config import (
    PRESETS,
    AudioStreamConfig,
    DenoiseConfig,
    SegmenterConfig,
    VadConfig,
)
from mullama_media.errors import InvalidOptionError
from mullama_media.options import describe, from_mapping, replace

TABLES = [
    field.default for field in dataclasses.fields(AudioStreamConfig) if "Config" in str(field.type)
]


def test_tables_of_a_file_are_options(tmp_path):
    file = tmp_path / "ear.toml"
    file.write_text(
        "[audio]\nsample_rate = 24000\n[audio.denoise]\nstrength = 0.5\n"
        "[audio.vad]\nbackends = ['energy', 'webrtc']\n[audio.segmenter]\nsilence_ms = 500\n"
    )
    config = AudioStreamConfig.load(file)
    assert config == AudioStreamConfig(
        sample_rate=24000,
        denoise=DenoiseConfig(strength=0.5),
        vad=VadConfig(backends=("energy", "webrtc")),
        segmenter=SegmenterConfig(silence_ms=500),
    )
    assert AudioStreamConfig.load(file, "none") == AudioStreamConfig()


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("[audio.denoise]\nstrength = 1.5\n", "[audio.denoise] strength", "at most 1"),
        ("[audio]\nsample_rate = 4000\n", "[audio] sample_rate", "at least 8000"),
        ("[audio.denoise]\nstrenght = 1\n", "[audio.denoise]", "no option 'strenght'"),
        ("[audio]\ndenoise = 3\n", "[audio] denoise", "is not DenoiseConfig"),
        ("[audio.vad]\nbackends = ['magic']\n", "[audio.vad] backends", "one of energy"),
        ("[audio.vad]\nbackends = []\n", "[audio.vad] backends", "name one detector"),
        (
            "[audio.segmenter]\npost_roll_ms = 900\n",
            "[audio.segmenter] post_roll_ms",
            "at most 600",
        ),
    ],
)
def test_an_error_in_a_file_says_file_table_key_and_range(tmp_path, text, where, what):
    file = tmp_path / "ear.toml"
    file.write_text(text)
    with pytest.raises(InvalidOptionError, match=what) as caught:
        AudioStreamConfig.load(file)
    assert caught.value.where == f"{file} {where}"
    assert caught.value.hint or "at most" in what or "DenoiseConfig" in what or "detector" in what


@pytest.mark.parametrize("table", [AudioStreamConfig(), *TABLES], ids=lambda t: type(t).__name__)
def test_defaults_make_a_round_trip_and_every_field_is_described(table):
    cls = type(table)
    assert from_mapping(cls, dataclasses.asdict(table)) == table == cls()
    assert hash(table) == hash(cls())
    assert describe(cls).count("\n") == len(dataclasses.fields(cls)) - 1
    for field in dataclasses.fields(cls):
        assert getattr(table, f"with_{field.name}")(getattr(table, field.name)) == table


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_changes_what_it_says_and_nothing_else(name):
    config = AudioStreamConfig.preset(name)
    for field in dataclasses.fields(AudioStreamConfig):
        changes = PRESETS[name].get(field.name, {})
        default = getattr(AudioStreamConfig(), field.name)
        expected = replace(default, **changes) if changes else default
        assert getattr(config, field.name) == expected


def test_changes_go_on_top_of_a_preset():
    config = AudioStreamConfig.preset("noisy", segmenter={"silence_ms": 900}, gain_db=3)
    assert config.segmenter.silence_ms == 900
    assert config.segmenter.min_speech_ms == 160
    assert config.gain_db == 3.0
    assert config.with_agc({"enabled": False}).agc.enabled is False
    with pytest.raises(InvalidOptionError, match="no preset 'loud'"):
        AudioStreamConfig.preset("loud")
    with pytest.raises(InvalidOptionError, match="no option 'volume'"):
        AudioStreamConfig.preset("raw", volume=1)

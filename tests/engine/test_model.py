"""Loading: good files, and files that must be refused without harm."""

import asyncio
import shutil
import struct
import time
from pathlib import Path

import gguf
import numpy as np
import pytest

from mullama_media import Engine, Media, Model, ModelParams
from mullama_media.errors import ModelCapabilityError, ModelLoadError


def test_it_describes_itself(model):
    assert model.n_vocab == 49152
    assert model.n_embd == 576
    assert model.n_params == pytest.approx(134.5e6, rel=0.01)
    assert model.metadata["general.architecture"] == "llama"
    assert "im_start" in model.chat_template
    assert "135M" in repr(model) or "llama" in repr(model)


def test_tokens_make_a_round_trip(model):
    for text in ("Hello, world!", "naïve café — 🎉", "  two  spaces\n\ttab", ""):
        assert model.detokenize(model.tokenize(text)) == text


def test_control_tokens_are_text_unless_asked_for(model):
    text = "<|im_end|>"
    assert len(model.tokenize(text, parse_special=True)) == 1
    plain = model.tokenize(text)
    assert len(plain) > 1
    assert model.detokenize(plain) == text
    end = model.tokenize(text, parse_special=True)
    assert model.is_end(end[0])
    assert model.detokenize(end) == ""
    assert model.detokenize(end, special=True) == text


def test_a_token_outside_the_vocabulary_is_an_index_error(model):
    for call in (model.piece, model.is_end, lambda token: model.detokenize([token])):
        for token in (-1, model.n_vocab):
            with pytest.raises(IndexError, match="not in the vocabulary"):
                call(token)


def test_progress_runs_from_below_to_one(tiny_files):
    seen = []
    Model.load(tiny_files.model, progress=seen.append)
    assert seen[-1] == 1.0
    assert seen == sorted(seen)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such file"),
        (b"", "not a GGUF file"),
        (b"PK\x03\x04 a zip file", "not a GGUF file"),
        (b"GGUF", "header cannot be read"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**60, 2**60), "header cannot be read"),
        (b"GGUF" + struct.pack("<IQQ", 99, 0, 0), "header cannot be read"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "general.architecture"),
    ],
)
def test_a_file_that_is_no_model_is_refused(tmp_path, content, reason):
    file = tmp_path / "bad.gguf"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ModelLoadError, match=reason) as caught:
        Model.load(file)
    assert caught.value.where == str(file)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(ModelLoadError, match="folder"):
        Model.load(tmp_path)


@pytest.mark.parametrize("keep", [100, 100_000, 2_000_000, 50_000_000])
def test_a_truncated_model_is_refused(tiny_files, tmp_path, keep):
    file = tmp_path / "cut.gguf"
    with tiny_files.model.open("rb") as whole:
        file.write_bytes(whole.read(keep))
    with pytest.raises(ModelLoadError, match=r"truncated|header cannot be read") as caught:
        Model.load(file)
    assert caught.value.where == str(file)


def test_an_unknown_architecture_is_refused_with_its_name(tmp_path):
    file = tmp_path / "odd.gguf"
    writer = gguf.GGUFWriter(file, "perceptron9000")
    writer.add_tensor("w", np.zeros((4, 4), np.float32))
    _finish(writer)
    with pytest.raises(ModelLoadError, match="perceptron9000"):
        Model.load(file)


def test_hostile_numbers_in_the_header_do_not_end_the_process(tmp_path):
    """Values upstream asserts on: the guard turns its abort into an error."""
    for changes in (
        {"block_count": 2**31 - 1},
        {"attention.head_count": 0},
        {"embedding_length": 0},
        {"expert_count": 2**31 - 1},
        {"rope.dimension_count": 7},
    ):
        file = tmp_path / "hostile.gguf"
        writer = gguf.GGUFWriter(file, "llama")
        values = {
            "context_length": 64,
            "embedding_length": 32,
            "block_count": 1,
            "feed_forward_length": 64,
            "attention.head_count": 4,
            **changes,
        }
        for key, value in values.items():
            writer.add_uint32(f"llama.{key}", value)
        writer.add_float32("llama.attention.layer_norm_rms_epsilon", 1e-5)
        writer.add_tokenizer_model("gpt2")
        writer.add_token_list(["a", "b"])
        writer.add_token_merges(["a b"])
        writer.add_tensor("token_embd.weight", np.zeros((2, 32), np.float32))
        _finish(writer)
        with pytest.raises(ModelLoadError):
            Model.load(file)


def test_a_vocabulary_alone_tokenises_but_does_not_generate(tiny_files):
    vocab = Model.load(tiny_files.model, ModelParams(vocab_only=True))
    assert vocab.detokenize(vocab.tokenize("just words")) == "just words"
    with pytest.raises(ModelCapabilityError, match="vocab") as caught:
        Engine(vocab)
    assert "vocab_only" in str(caught.value)
    with pytest.raises(ModelCapabilityError):
        Media.load(vocab, tiny_files.mmproj)


def test_an_mmproj_is_not_a_model_nor_a_model_an_mmproj(model, tiny_files):
    with pytest.raises(ModelLoadError, match="mmproj"):
        Model.load(tiny_files.mmproj)
    with pytest.raises(ModelLoadError, match="not an mmproj"):
        Media.load(model, tiny_files.model)
    with pytest.raises(ModelLoadError, match="no such file"):
        Media.load(model, "nowhere.gguf")


def test_the_encoders_say_what_they_take(media):
    assert media.vision
    assert media.audio
    assert media.sample_rate == 16000
    assert "vision and audio" in repr(media)


def test_a_truncated_mmproj_is_refused(model, tiny_files, tmp_path):
    file = tmp_path / "cut.gguf"
    file.write_bytes(tiny_files.mmproj.read_bytes()[:-1000])
    with pytest.raises(ModelLoadError, match="truncated"):
        Media.load(model, file)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("clip.audio.projector.stack_factor", 7, "does not divide"),
        ("clip.audio.projector.stack_factor", 0, "does not divide"),
        ("clip.audio.attention.head_count", 5, "not a multiple"),
        ("clip.audio.embedding_length", 0, "is 0"),
        ("clip.audio.projection_dim", 2048, "wide"),
        ("clip.vision.embedding_length", 16, None),
        ("clip.vision.patch_size", 13, None),
        ("clip.vision.block_count", 99, None),
        ("clip.audio.block_count", 99, None),
    ],
)
def test_an_mmproj_that_does_not_fit_is_refused(model, tiny_files, tmp_path, key, value, reason):
    file = tmp_path / "changed.gguf"
    shutil.copy(tiny_files.mmproj, file)
    reader = gguf.GGUFReader(file, "r+")
    field = reader.get_field(key)
    assert field is not None, f"{key} is not in the file"
    field.parts[field.data[0]][0] = value
    reader.data.flush()
    with pytest.raises(ModelLoadError, match=reason) as caught:
        Media.load(model, file)
    assert caught.value.where == str(file)


def test_loading_leaves_the_event_loop_free(tiny_files):
    async def run() -> tuple[Model, float]:
        longest = 0.0

        async def tick() -> None:
            nonlocal longest
            while True:
                before = time.perf_counter()
                await asyncio.sleep(0.001)
                longest = max(longest, time.perf_counter() - before)

        ticking = asyncio.create_task(tick())
        started = time.perf_counter()
        loaded = await Model.load_async(tiny_files.model, ModelParams(mmap=False))
        assert time.perf_counter() - started > 0.02  # long enough to have been noticed
        ticking.cancel()
        return loaded, longest

    loaded, longest = asyncio.run(run())
    assert loaded.n_vocab == 49152
    assert longest < 0.25


def _finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_paths_may_be_str_or_path(tiny_files):
    assert Model.load(str(tiny_files.model)).path == Path(tiny_files.model)

from __future__ import annotations

import itertools

import pytest

from mullama_media.errors import ModelNameError
from mullama_media.hub.pick import MODEL_PREFERENCE, pick_mmproj, pick_model, shards


def test_preference_order_holds_for_every_subset() -> None:
    for size in range(1, len(MODEL_PREFERENCE) + 1):
        for quants in itertools.combinations(MODEL_PREFERENCE, size):
            files = [f"model-{q}.gguf" for q in reversed(quants)]
            assert pick_model(files) == f"model-{quants[0]}.gguf"


def test_the_pick_ignores_projectors_and_other_files() -> None:
    files = ["README.md", "mmproj-x-Q4_K_M.gguf", "x-imatrix.gguf", "x-Q8_0.gguf", "x-f16.gguf"]
    assert pick_model(files) == "x-Q8_0.gguf"
    assert pick_mmproj(files) == "mmproj-x-Q4_K_M.gguf"


def test_quantisations_are_whole_words_of_any_case() -> None:
    assert pick_model(["a-bf16.gguf", "a.q4_0.gguf"]) == "a.q4_0.gguf"
    assert pick_model(["a-Q4_0_4_4.gguf", "a-Q8_0.gguf"]) == "a-Q8_0.gguf"
    assert pick_mmproj(["mmproj-bf16.gguf", "mmproj-Q8_0.gguf"]) == "mmproj-Q8_0.gguf"
    assert pick_mmproj(["mmproj-Q8_0.gguf", "x-mmproj-f16.gguf"]) == "x-mmproj-f16.gguf"


def test_an_asked_for_quantisation_is_never_replaced() -> None:
    files = ["a-Q4_K_M.gguf", "a-Q6_K.gguf"]
    assert pick_model(files, quant="Q6_K") == "a-Q6_K.gguf"
    with pytest.raises(ModelNameError, match=r"no Q8_0 model.*a-Q4_K_M\.gguf, a-Q6_K\.gguf"):
        pick_model(files, quant="Q8_0")


def test_one_odd_model_is_taken_and_two_are_not() -> None:
    assert pick_model(["a-IQ2_M.gguf", "mmproj.gguf"]) == "a-IQ2_M.gguf"
    with pytest.raises(ModelNameError, match="not obvious"):
        pick_model(["a-IQ2_M.gguf", "a-IQ3_M.gguf"])
    with pytest.raises(ModelNameError, match="no GGUF model"):
        pick_model(["mmproj.gguf", "model.safetensors"], repo="hf:o/r")
    assert pick_mmproj(["a.gguf"]) is None


def test_a_split_model_is_picked_by_its_first_part_and_expands_to_all() -> None:
    parts = [f"q/m-Q4_K_M-{i:05d}-of-00003.gguf" for i in (1, 2, 3)]
    assert pick_model(list(reversed(parts))) == parts[0]
    assert shards(parts[1]) == parts
    assert shards("m.gguf") == ["m.gguf"]

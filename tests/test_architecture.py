"""The rooms: who may import whom, who may touch the native core, and how large a room may be."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "mullama_media"
EXT = PACKAGE.parent / "ext"
MODULES = sorted(PACKAGE.rglob("*.py"))

LEVELS = {
    "errors": 0,
    "lazy": 0,
    "parallel": 0,
    "frames": 1,
    "options": 1,
    "loudspeaker": 2,
    "audio": 2,
    "vision": 2,
    "engine": 2,
    "hub": 3,
    "io": 3,
    "speech": 5,
    "multimodal": 4,
    "caption": 5,
    "assistant": 6,
    "cli": 7,
    "testing": 8,
}
MAY_USE_CORE = ("engine/", "audio/ring.py", "audio/playback.py")


def room_of(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(module: Path) -> set[str]:
    """Dotted names under mullama_media that the module imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mullama_media"):
            assert node.level == 0, f"{module}: relative import"
            if node.module == "mullama_media":
                found |= {alias.name for alias in node.names}
            else:
                found.add(node.module.removeprefix("mullama_media."))
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.removeprefix("mullama_media.")
                for alias in node.names
                if alias.name.startswith("mullama_media.")
            }
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(PACKAGE)))
def test_a_module_imports_only_from_lower_rooms(module):
    room = room_of(module)
    if room == "__init__":
        return  # lends names from every room, when they are used
    assert room in LEVELS, f"{room} has no level; give it one here and in the architecture"
    for name in imports_of(module):
        other = name.split(".")[0]
        if other in ("_core", room):
            continue
        assert LEVELS[other] < LEVELS[room], f"{room} imports {other}"


def test_only_engine_and_rings_touch_the_native_core():
    users = {str(m.relative_to(PACKAGE)) for m in MODULES if "_core" in imports_of(m)}
    assert users, "the check itself found nobody"
    assert all(user.startswith(MAY_USE_CORE) for user in users), users


def test_there_are_no_import_cycles():
    names = {str(m.relative_to(PACKAGE).with_suffix("")).replace("/", "."): m for m in MODULES}
    names = {name.removesuffix(".__init__"): m for name, m in names.items() if name != "__init__"}
    graph = {
        name: {n for n in _eager_imports(m) if n in names and n != name}
        for name, m in names.items()
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path, name))
        if name in done:
            return
        for other in graph[name]:
            visit(other, (*path, name))
        done.add(name)

    for name in graph:
        visit(name, ())


def _eager_imports(module: Path) -> set[str]:
    """What importing the module imports: not inside functions, not for type checking."""
    tree = ast.parse(module.read_text("utf-8"))
    tree.body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    found = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mullama_media"):
            base = node.module.removeprefix("mullama_media").lstrip(".")
            inside = {f"{base}.{alias.name}".lstrip(".") for alias in node.names}
            modules = {name for name in inside if (PACKAGE / name.replace(".", "/")).is_dir()}
            modules |= {n for n in inside if (PACKAGE / f"{n.replace('.', '/')}.py").is_file()}
            found |= modules or {base}
    return found


def test_rooms_are_small():
    lines = {m: len(m.read_text("utf-8").splitlines()) for m in MODULES}
    lines |= {m: len(m.read_text("utf-8").splitlines()) for m in EXT.glob("core/*.[ch]pp")}
    large = {str(m): n for m, n in lines.items() if n > 500}
    assert not large
    for binding in EXT.glob("bind/*"):
        assert len(binding.read_text("utf-8").splitlines()) <= 250, binding
    assert sorted(lines.values())[len(lines) // 2] <= 150


def test_mtmd_is_included_in_one_place():
    users = [f.name for f in EXT.glob("core/*") if '#include "mtmd' in f.read_text("utf-8")]
    assert sorted(set(users) - {"log.cpp"}) == ["media.cpp"]
    assert '#include "mtmd.h"' not in (EXT / "core/log.cpp").read_text("utf-8")

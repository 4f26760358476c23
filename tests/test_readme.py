"""The README is true: its Python runs, its shell commands run, its make targets exist."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, SAMPLES

README = (ROOT / "README.md").read_text("utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, re.S)
SHELL = re.findall(r"```sh\n(.*?)```", README, re.S)
COMMANDS = [line for block in SHELL for line in block.splitlines() if "mullama " in line]
TARGETS = re.findall(r"^make (\w+)", "\n".join(SHELL), re.M)


EXPECTED = json.loads((SAMPLES / "expected.json").read_text("utf-8"))
ANSWERS = [answer for asked in EXPECTED.values() for answer in asked.values()]


@pytest.mark.parametrize("code", PYTHON)
def test_python_blocks_run(code):
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert any(answer in done.stdout for answer in [*ANSWERS, "yes\n", "no\n", " door"])


@pytest.mark.parametrize("command", COMMANDS)
def test_shell_commands_run(command):
    if " say " in command and not shutil.which("espeak-ng"):
        pytest.skip("espeak-ng is not installed, and scripts/apt.sh could not install it")
    bin_folder = Path(sys.executable).parent
    env = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=120, env=env
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_make_targets_exist():
    assert TARGETS == ["demo", "test"]
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in TARGETS:
        assert re.search(rf"^{target}:", makefile, re.M)

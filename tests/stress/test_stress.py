import os
import random
import subprocess
import sys

import pytest

from tests.stress.interleave import interleave
from tests.stress.world import World


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("stress"))


@pytest.mark.parametrize("seed", range(5))
def test_ten_interleavings_keep_every_promise(world, seed):
    for number in range(10):
        interleave(world, random.Random(f"{seed}:{number}"))


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc what it has handed out")
def test_requests_leave_nothing_behind():
    code = "from tests.stress.growth import measure; print(*measure(500, media=False))"
    env = {**os.environ, "PYTHONMALLOC": "malloc"}
    said = subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True)
    grown, _ = (int(word) for word in said.stdout.split())
    assert grown < 500 * 200  # a leak of 1 KiB a request would be five times that

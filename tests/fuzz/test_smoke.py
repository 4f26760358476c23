import random

import pytest

from tests.fuzz.target import available, kept, make


@pytest.mark.parametrize("name", available())
def test_what_once_broke_it_and_some_new_inputs_do_no_harm(name, tmp_path):
    target = make(name, tmp_path)
    for _, data in kept(name):
        target.fuzz_one(data)
    rng = random.Random(1)
    seeds = target.seeds()
    assert any(target.fuzz_one(data) for data in seeds)
    for _ in range(60):
        target.fuzz_one(target.mutated(rng.choice(seeds), rng))

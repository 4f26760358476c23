from tests.fuzz import grammars, states


def test_three_seconds_break_nothing():
    assert grammars.run(3, seed=1) > 100


def test_three_seconds_of_states_break_nothing():
    assert states.run(3, seed=1) > 20


def test_good_states_are_taken_up():
    for architecture in ("llama", "gemma3", "falcon-h1"):
        which = states.engine(architecture)
        assert all(states.fuzz_one(seed, which) for seed in states.seeds(which))

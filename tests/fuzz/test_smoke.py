from tests.fuzz import grammars


def test_three_seconds_break_nothing():
    assert grammars.run(3, seed=1) > 100

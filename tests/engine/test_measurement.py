"""Measuring an engine through itself."""

from mullama_media import Engine, EngineParams
from mullama_media.engine import measure


def test_it_measures_what_was_asked_for(model):
    seen = []
    with Engine(model, EngineParams(n_ctx=128, n_parallel=2)) as engine:
        results = measure(
            engine,
            prompts=(32,),
            answers=(8,),
            parallel=(1, 2),
            repetitions=2,
            progress=lambda done, total: seen.append((done, total)),
        )
        counters = engine.counters
    assert [r.test for r in results] == ["pp32", "pp32x2", "tg8", "tg8x2"]
    for result in results:
        assert len(result.rates) == 2
        assert result.mean > 1
        assert result.deviation >= 0
    assert 24 <= results[0].n_tokens <= 40
    assert results[1].n_tokens > 1.5 * results[0].n_tokens
    assert results[2].n_tokens <= 8
    assert seen == [(i, 12) for i in range(13)]
    assert counters.requests == 3 + 6 + 3 + 6

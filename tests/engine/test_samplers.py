"""Every sampler against a float64 implementation of its own, on random logits."""

import math

import numpy as np
import pytest

from mullama_media import Sampler, SamplingParams
from mullama_media.engine.sampling import PRESETS, SAMPLERS
from mullama_media.errors import DecodeError, InvalidOptionError

N = 300
OFF = SamplingParams(
    temperature=1, top_k=0, top_p=1, min_p=0, seed=5, penalty_last_n=0, dry_sequence_breakers=()
)
CASES = [(seed, scale) for seed in range(4) for scale in (0.7, 3.0)]


def off(**changes):
    return SamplingParams(**{**vars(OFF), **changes})


def some_logits(seed, scale, n=N):
    return np.random.default_rng(seed).normal(0, scale, n)


# -- the references: logits in, logits out, -inf for what is removed


def softmax(logits):
    p = np.exp(logits - logits.max())
    return p / p.sum()


def keep(logits, mask):
    return np.where(mask, logits, -np.inf)


def best_first(logits):
    return np.argsort(-logits, kind="stable")


def keep_first(logits, order, count):
    mask = np.zeros(len(logits), bool)
    mask[order[:count]] = True
    return keep(logits, mask)


def top_k(logits, k):
    return keep_first(logits, best_first(logits), k)


def top_p(logits, p, min_keep=1):
    order = best_first(logits)
    enough = np.cumsum(softmax(logits)[order]) >= p
    return keep_first(logits, order, max(int(enough.argmax()) + 1, min_keep))


def min_p(logits, p):
    probs = softmax(logits)
    return keep(logits, probs >= p * probs.max())


def typical_p(logits, p):
    probs = softmax(logits)
    surprise = np.full_like(probs, np.inf)
    alive = probs > 0
    surprise[alive] = -np.log(probs[alive])
    entropy = (probs[alive] * surprise[alive]).sum()
    order = np.argsort(np.abs(surprise - entropy), kind="stable")
    enough = np.cumsum(probs[order]) > p
    return keep_first(logits, order, int(enough.argmax()) + 1 if enough.any() else len(order))


def tfs_z(logits, z):
    alive = np.isfinite(logits).sum()
    order = best_first(logits)[:alive]
    curvature = np.abs(np.diff(softmax(logits)[order], 2))
    shares = np.cumsum(curvature / curvature.sum())
    # As published: the first stays, the last goes, and the mask lies on those between.
    stays = np.concatenate([[True], shares <= z, [False]])
    return keep_first(logits, order, int(stays.argmin()))


def top_n_sigma(logits, n):
    alive = logits[np.isfinite(logits)]
    return keep(logits, logits >= alive.max() - n * alive.std())


def xtc(logits, threshold):
    probs = softmax(logits)
    top = np.flatnonzero(probs >= threshold)
    if len(top) < 2:
        return logits
    mask = np.ones(len(logits), bool)
    mask[top] = False
    mask[top[probs[top].argmin()]] = True
    return keep(logits, mask)


def temperature(logits, t):
    return logits / t


def dynamic_temperature(logits, t, spread, exponent):
    probs = softmax(logits)
    probs = probs[probs > 0]
    share = -(probs * np.log(probs)).sum() / math.log(np.isfinite(logits).sum())
    low, high = max(0.0, t - spread), t + spread
    return logits / (low + (high - low) * share**exponent)


def penalties(logits, seen, last_n, repeat=1.0, frequency=0.0, presence=0.0):
    out = logits.copy()
    for token in set(seen[-last_n:]):
        count = seen[-last_n:].count(token)
        out[token] = out[token] / repeat if out[token] > 0 else out[token] * repeat
        out[token] -= count * frequency + presence
    return out


def dry(logits, seen, multiplier, base, allowed):
    out = logits.copy()
    longest = {}
    for i in range(1, len(seen)):
        length = 0
        while length < i and seen[i - 1 - length] == seen[-1 - length]:
            length += 1
        longest[seen[i]] = max(longest.get(seen[i], 0), length)
    for token, length in longest.items():
        if length >= allowed:
            out[token] -= multiplier * base ** (length - allowed)
    return out


def assert_same(params, logits, expected, seen=()):
    """The sampler's distribution is softmax(expected), exactly on the same tokens."""
    sampler = Sampler(params, len(logits))
    for token in seen:
        sampler.accept(token)
    compare(sampler.apply(logits), expected)


def compare(result, expected):
    ids, probabilities = result
    assert sorted(ids) == list(np.flatnonzero(np.isfinite(expected)))
    np.testing.assert_allclose(probabilities, softmax(expected)[ids], rtol=2e-4, atol=1e-7)


SINGLE = [
    ({}, lambda x: x),
    ({"top_k": 7}, lambda x: top_k(x, 7)),
    ({"top_k": 7, "min_keep": 9}, lambda x: top_k(x, 9)),
    ({"top_p": 0.6}, lambda x: top_p(x, 0.6)),
    ({"top_p": 0.01, "min_keep": 5}, lambda x: top_p(x, 0.01, 5)),
    ({"min_p": 0.1}, lambda x: min_p(x, 0.1)),
    ({"typical_p": 0.5}, lambda x: typical_p(x, 0.5)),
    ({"tfs_z": 0.9}, lambda x: tfs_z(x, 0.9)),
    ({"tfs_z": 0.2}, lambda x: tfs_z(x, 0.2)),
    ({"top_n_sigma": 1.5}, lambda x: top_n_sigma(x, 1.5)),
    ({"xtc_probability": 1, "xtc_threshold": 0.02}, lambda x: xtc(x, 0.02)),
    ({"temperature": 0.4}, lambda x: temperature(x, 0.4)),
    (
        {"dynamic_temperature_range": 0.5, "dynamic_temperature_exponent": 1.5},
        lambda x: dynamic_temperature(x, 1.0, 0.5, 1.5),
    ),
]


@pytest.mark.parametrize(("seed", "scale"), CASES)
@pytest.mark.parametrize(("changes", "reference"), SINGLE, ids=lambda v: str(v)[:40])
def test_one_sampler(changes, reference, seed, scale):
    logits = some_logits(seed, scale).astype(np.float32).astype(np.float64)
    assert_same(off(**changes), logits, reference(logits))


@pytest.mark.parametrize(("seed", "scale"), CASES)
def test_penalties_count_what_was_accepted(seed, scale):
    logits = some_logits(seed, scale)
    seen = [int(t) for t in np.random.default_rng(seed).integers(0, 30, 40)]
    params = off(penalty_last_n=16, repeat_penalty=1.3, frequency_penalty=0.2, presence_penalty=0.4)
    assert_same(params, logits, penalties(logits, seen, 16, 1.3, 0.2, 0.4), seen)


@pytest.mark.parametrize("seed", range(20))
def test_dry_penalises_what_continues_a_repetition(seed):
    logits = some_logits(seed, 1.0, 8)
    seen = [int(t) for t in np.random.default_rng(seed).integers(0, 3, 30)]
    seen += seen[3:8]
    params = off(dry_multiplier=0.7, dry_base=1.2, dry_allowed_length=2)
    expected = dry(logits, seen, 0.7, 1.2, 2)
    assert not np.array_equal(expected, logits)
    assert_same(params, logits, expected, seen)


def test_dry_stops_at_a_sequence_breaker(model):
    """A breaker inside the repetition ends it, so nothing is penalised."""
    words = model.tokenize(" one two three four")
    line = model.tokenize("\n")
    logits = np.zeros(model.n_vocab)

    def penalised(breakers):
        params = off(dry_multiplier=2, dry_sequence_breakers=breakers)
        sampler = Sampler(params, model)
        for token in [*words, *line, *words[:2], *line, *words[2:], *words[:3]]:
            sampler.accept(token)
        ids, probs = sampler.apply(logits)
        return set(ids[probs < probs.max() / 2])

    assert penalised(()) == {words[3]}
    sampler = Sampler(off(dry_multiplier=2, dry_sequence_breakers=("\n",)), model)
    for token in [*words[:2], *line, *words[2:], *words[:2], *line]:
        sampler.accept(token)
    assert len(set(sampler.apply(logits)[1])) == 1


@pytest.mark.parametrize(("seed", "scale"), CASES)
@pytest.mark.parametrize("reverse", [False, True])
def test_any_order_and_any_subset(seed, scale, reverse):
    logits = some_logits(seed, scale)
    steps = {
        "temperature": lambda x: temperature(x, 0.6),
        "top_k": lambda x: top_k(x, 60),
        "typical_p": lambda x: typical_p(x, 0.9),
        "top_n_sigma": lambda x: top_n_sigma(x, 2.0),
        "tfs_z": lambda x: tfs_z(x, 0.95),
        "min_p": lambda x: min_p(x, 0.02),
        "top_p": lambda x: top_p(x, 0.9),
    }
    values = {"temperature": 0.6, "top_k": 60, "typical_p": 0.9, "top_n_sigma": 2.0}
    values |= {"tfs_z": 0.95, "min_p": 0.02, "top_p": 0.9}
    names = tuple(np.random.default_rng(seed).permutation(list(steps))[: 3 + seed])
    names = tuple(map(str, names[::-1] if reverse else names))
    expected = logits
    for name in names:
        expected = steps[name](expected)
    assert_same(off(**values, samplers=names), logits, expected)


def test_the_order_matters():
    logits = some_logits(1, 3.0)
    params = off(temperature=3, top_p=0.7)
    hot_last = Sampler(params.with_samplers(("top_p", "temperature")), N).apply(logits)
    hot_first = Sampler(params.with_samplers(("temperature", "top_p")), N).apply(logits)
    assert len(hot_first[0]) > len(hot_last[0])


@pytest.mark.parametrize(("seed", "scale"), CASES)
def test_mirostat_2_follows_its_update(seed, scale):
    tau, eta = 3.0, 0.2
    sampler = Sampler(off(mirostat=2, mirostat_tau=tau, mirostat_eta=eta), N)
    mu = 2 * tau
    for step in range(6):
        logits = some_logits(100 * seed + step, scale)
        surprise = -np.log2(softmax(logits))
        expected = keep(logits, (surprise <= mu) | (surprise == surprise.min()))
        compare(sampler.apply(logits), expected)
        token = sampler.sample(logits)
        mu -= eta * (-math.log2(softmax(expected)[token]) - tau)


@pytest.mark.parametrize("seed", range(4))
def test_mirostat_1_follows_its_update(seed):
    tau, eta = 2.0, 0.3
    sampler = Sampler(off(mirostat=1, mirostat_tau=tau, mirostat_eta=eta), N)
    mu = 2 * tau
    for step in range(6):
        logits = some_logits(100 * seed + step, 3.0)
        probs = np.sort(softmax(logits))[::-1][:100]
        ranks = np.arange(1, len(probs))
        t, b = np.log((ranks + 1) / ranks), np.log(probs[:-1] / probs[1:])
        s_hat = (t * b).sum() / (t * t).sum()
        epsilon = s_hat - 1
        k = (epsilon * 2**mu / (1 - N**-epsilon)) ** (1 / s_hat)
        expected = top_k(logits, max(int(k), 1))
        compare(sampler.apply(logits), expected)
        token = sampler.sample(logits)
        mu -= eta * (-math.log2(softmax(expected)[token]) - tau)


def test_adaptive_p_follows_its_update():
    target, decay = 0.3, 0.8
    params = off(adaptive_p_target=target, adaptive_p_decay=decay, top_k=12)
    sampler = Sampler(params, N)
    weighted, weight = target / (1 - decay), 1 / (1 - decay)
    for step in range(8):
        logits = top_k(some_logits(step, 2.0), 12)
        probs = softmax(logits)
        distance = np.abs(probs - np.clip(2 * target - weighted / weight, 0, 1)) / 0.3
        expected = keep(5 - 10 * distance**2 / (1 + distance), np.isfinite(logits))
        compare(sampler.apply(some_logits(step, 2.0)), expected)
        token = sampler.sample(some_logits(step, 2.0))
        sampler.accept(token)
        weighted, weight = probs[token] + decay * weighted, 1 + decay * weight


def test_xtc_acts_as_often_as_asked():
    logits = np.log([0.4, 0.3, 0.2, 0.1])
    sampler = Sampler(off(xtc_probability=0.5, xtc_threshold=0.15), 4)
    drawn = np.bincount([sampler.sample(logits) for _ in range(4000)], minlength=4) / 4000
    expected = 0.5 * np.array([0.4, 0.3, 0.2, 0.1]) + 0.5 * np.array([0, 0, 2 / 3, 1 / 3])
    np.testing.assert_allclose(drawn, expected, atol=0.03)


def test_draws_follow_the_distribution():
    logits = some_logits(3, 1.5, 20)
    sampler = Sampler(off(temperature=0.8), 20)
    drawn = np.bincount([sampler.sample(logits) for _ in range(6000)], minlength=20) / 6000
    np.testing.assert_allclose(drawn, softmax(logits / 0.8), atol=0.025)


@pytest.mark.parametrize(
    "changes",
    [{}, {"mirostat": 1}, {"mirostat": 2}, {"adaptive_p_target": 0.2}, {"xtc_probability": 0.5}],
    ids=str,
)
def test_a_seed_repeats_exactly(changes):
    def draws(seed):
        sampler = Sampler(off(xtc_threshold=0.01, **changes).with_seed(seed), N)
        tokens = []
        for step in range(60):
            tokens.append(sampler.sample(some_logits(step, 1.0)))
            sampler.accept(tokens[-1])
        return tokens

    assert draws(7) == draws(7)
    assert draws(2**32 - 2) == draws(2**32 - 2)
    assert draws(7) != draws(8)
    assert draws(None) != draws(None)
    sampler = Sampler(off(seed=None), N)
    assert draws(sampler.seed) == draws(sampler.seed)


def test_looking_changes_nothing():
    params = off(mirostat=2)
    quiet, watched = Sampler(params, N), Sampler(params, N)
    for step in range(20):
        logits = some_logits(step, 2.0)
        watched.apply(logits)
        assert watched.sample(logits) == quiet.sample(logits)


def test_bias_moves_and_bans():
    logits = some_logits(2, 1.0)
    expected = logits.copy()
    expected[3] += 4.5
    expected[250] -= 2
    expected[7] = -np.inf
    assert_same(off(logit_bias={3: 4.5, 250: -2, 7: -math.inf}), logits, expected)
    best = int(logits.argmax())
    greedy = Sampler(off(temperature=0, logit_bias={best: -math.inf}), N)
    assert greedy.sample(logits) == best_first(logits)[1]
    everything = dict.fromkeys(range(N), -math.inf)
    with pytest.raises(DecodeError, match="no token is left"):
        Sampler(off(logit_bias=everything), N).sample(logits)
    with pytest.raises(InvalidOptionError, match="300 is not in the vocabulary"):
        Sampler(off(logit_bias={300: 1.0}), N)


def test_text_keys_of_a_bias_are_tokens(model):
    (yes,) = model.tokenize(" yes")
    logits = np.zeros(model.n_vocab)
    ids, probs = Sampler(off(logit_bias={" yes": 5.0}), model).apply(logits)
    assert ids[probs.argmax()] == yes
    with pytest.raises(InvalidOptionError, match="tokens and not one"):
        Sampler(off(logit_bias={"quite a long text": 1.0}), model)
    with pytest.raises(InvalidOptionError, match="needs a model"):
        Sampler(off(logit_bias={"x": 1.0}), N)


def test_what_reads_text_needs_a_model():
    with pytest.raises(InvalidOptionError, match="sequence breakers"):
        Sampler(off(dry_multiplier=1, dry_sequence_breakers=("\n",)), N)
    with pytest.raises(InvalidOptionError, match="banned strings"):
        Sampler(off(banned_strings=("x",)), N)


@pytest.mark.parametrize("name", SAMPLERS)
def test_hostile_logits_do_no_harm(name):
    """Not numbers, infinities, huge spreads, all the same: always a token that exists."""
    changes = {
        "top_k": 3,
        "top_p": 0.5,
        "min_p": 0.2,
        "typical_p": 0.5,
        "tfs_z": 0.5,
        "top_n_sigma": 1.0,
        "xtc_probability": 1.0,
    }
    logits = [
        np.array([np.nan, 1.0, -np.inf, np.nan]),
        np.array([1e30, -1e30, 0.0, 1.0]),
        np.zeros(4),
        np.array([0.0, -200.0, -200.0, -np.inf]),
    ]
    for extra in ({}, {"mirostat": 1}, {"mirostat": 2}, {"adaptive_p_target": 0.5}):
        sampler = Sampler(off(**{name: changes[name]} if name in changes else {}, **extra), 4)
        for array in logits:
            for _ in range(10):
                token = sampler.sample(array)
                assert np.isfinite(array[token])
                sampler.accept(token)
    with pytest.raises(DecodeError):
        sampler.sample(np.full(4, np.nan))
    assert Sampler(off(), 1).sample([3.0]) == 0


def test_temperature_zero_is_greedy_whatever_else_is_set():
    logits = some_logits(9, 1.0)
    params = off(temperature=0, xtc_probability=1, mirostat=2, samplers=("xtc", "temperature"))
    sampler = Sampler(params, N)
    assert {sampler.sample(logits) for _ in range(5)} == {int(logits.argmax())}
    assert sampler.apply(logits)[1] == [1.0]
    assert Sampler(off(temperature=1e-9), N).sample(logits) == logits.argmax()


def test_shapes_are_checked():
    with pytest.raises(InvalidOptionError, match="5 logits for a vocabulary of 300"):
        Sampler(off(), N).sample(np.zeros(5))
    with pytest.raises(InvalidOptionError, match="vocabulary of 0"):
        Sampler(off(), 0)
    with pytest.raises(InvalidOptionError, match="not in the vocabulary"):
        Sampler(off(), N).accept(N)


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name):
    params = SamplingParams.preset(name, seed=3)
    assert params.seed == 3
    assert {k: getattr(params, k) for k in PRESETS[name]} == PRESETS[name]
    ids, probabilities = Sampler(params.with_dry_sequence_breakers(()), N).apply(some_logits(1, 2))
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert len(ids) == 1 or name != "greedy"


def test_presets_differ_as_their_names_say():
    def entropy(name):
        params = SamplingParams.preset(name, dry_sequence_breakers=())
        p = Sampler(params, N).apply(some_logits(1, 2))[1]
        return -(p * np.log(p)).sum()

    assert entropy("greedy") == 0
    assert entropy("greedy") < entropy("precise") < entropy("balanced") < entropy("creative")
    with pytest.raises(InvalidOptionError, match=r"no preset 'wild'.*balanced"):
        SamplingParams.preset("wild")

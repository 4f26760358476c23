"""Sequences as bytes and files: what comes back is what was saved, or an error that says why."""

import os
import stat
import subprocess
import sys
import textwrap

import pytest

from mullama_media import (
    AdapterSet,
    Engine,
    EngineParams,
    LoraAdapter,
    Media,
    Model,
    ModelParams,
    MultimodalProcessor,
    Prompt,
    SamplingParams,
    StreamConfig,
)
from mullama_media.engine.native import core
from mullama_media.errors import ContextOverflowError, OverloadedError, StateError
from tests.conftest import GREEDY, ROOT, SAMPLES
from tests.made import KINDS, write_lora, write_tiny

SHORT = StreamConfig(max_tokens=12, ignore_eos=True)
LONG = StreamConfig(max_tokens=64, ignore_eos=True)
EXACT = {"n_ctx": 512, "n_parallel": 2, "cache_type_k": "f32", "cache_type_v": "f32"}
STORY = " The old lighthouse keeper walked down to the sea every morning."
PROBED = SamplingParams(temperature=0, logprobs=5)


def engine_of(model, media=None, **options):
    return Engine(model, EngineParams(**{**EXACT, **options}), media=media)


def ids(completion):
    return [token.id for token in completion.tokens if token.id is not None]


def logprobs(completion):
    return [(token.id, token.logprob, token.top) for token in completion.tokens]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")

    def load(architecture="llama", seed=0, **params):
        path = folder / f"{architecture}-{seed}.gguf"
        if not path.exists():
            write_tiny(path, architecture, seed=seed)
        return Model.load(path, ModelParams(**params))

    return load


def prompt_of(model, *parts):
    return Prompt.of_parts(model, ["".join(parts)])


def state_of(model, text=STORY, **options):
    with engine_of(model, **options) as engine, engine.session() as session:
        session.prefill(prompt_of(model, text)).result()
        return session.to_bytes()


@pytest.mark.parametrize("architecture", KINDS)
@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"flash_attention": "off"},
        {"flash_attention": "off", "cache_type_k": "f16", "cache_type_v": "f16"},
        {"flash_attention": "on", "cache_type_k": "q8_0", "cache_type_v": "f16"},
    ],
)
def test_it_comes_back_bit_for_bit(tiny, architecture, layout):
    model = tiny(architecture)
    if "q8_0" in layout.values():  # blocks of 32 numbers, and a head here has 16
        layout = {**layout, "cache_type_k": "bf16"}
    first, then = prompt_of(model, STORY), prompt_of(model, STORY, " And then")
    with engine_of(model, **layout) as engine, engine.session() as session:
        session.prefill(first).result()
        state = session.to_bytes()
        view = session.view()
        expected = session.submit(then, PROBED, LONG).result()
    other = engine_of(model, n_ctx=256, n_parallel=4, **layout)  # another shape of cache
    with other, other.session(), other.load_session(state) as session:
        assert session.view() == view
        assert session.to_bytes() == state
        answer = session.submit(then, PROBED, LONG).result()
    assert answer.timings.reused_tokens == expected.timings.reused_tokens == first.n_tokens
    assert ids(answer) == ids(expected)
    if architecture == "gemma3":  # without the rows behind its window the sums have another order
        found, wanted = ([token.logprob for token in c.tokens] for c in (answer, expected))
        assert found == pytest.approx(wanted, abs=1e-4)
    else:
        assert logprobs(answer) == logprobs(expected)


def test_a_conversation_with_media_goes_on_where_it_was(model, media, tmp_path):
    path = tmp_path / "talk.state"
    parts = [SAMPLES / "shapes.png", SAMPLES / "seven.wav", "What is said, and what is shown?"]
    with engine_of(model, media) as engine, engine.session() as session:
        prepare = MultimodalProcessor(engine).prepare
        first = session.submit(prepare(parts, raw=True), GREEDY, SHORT).result()
        session.save(path)
        then = prepare([*parts, first.text, " Tell me more."], raw=True)
        expected = session.submit(then, PROBED, LONG).result()
    with engine_of(model, media) as engine, engine.load_session(path) as session:
        answer = session.submit(then, PROBED, LONG).result()
        assert answer.timings.encode_ms == 0
        assert engine.counters.media_encoded == 0
    assert answer.timings.reused_tokens == expected.timings.reused_tokens
    assert answer.timings.reused_tokens > 0.8 * then.n_tokens
    assert logprobs(answer) == logprobs(expected)


def test_another_process_takes_it_up(tiny_files, model, tmp_path):
    path = tmp_path / "talk.state"
    with engine_of(model) as engine, engine.session() as session:
        session.prefill(prompt_of(model, STORY)).result()
        session.save(path, note=b"from afar")
        then = prompt_of(model, STORY, " And then")
        expected = session.submit(then, GREEDY, LONG).result()
    program = f"""
        from tests.engine.test_saved_states import *
        model = Model.load({str(tiny_files.model)!r})
        with engine_of(model) as engine:
            print(engine.load({str(path)!r}).note)
            answer = engine.submit(prompt_of(model, STORY, " And then"), GREEDY, LONG).result()
            print(answer.timings.reused_tokens, ids(answer))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "b'from afar'",
        f"{expected.timings.reused_tokens} {ids(expected)}",
    ]


@pytest.mark.parametrize("pending", ["shift", "copy"])
def test_what_llama_cpp_has_put_off_is_saved_too(tiny, pending):
    """Shifts and copies wait for the next evaluation; the state must not be that of before."""
    model = tiny()
    with engine_of(model, n_parallel=4) as engine, engine.session() as session:
        session.prefill(prompt_of(model, STORY)).result()
        if pending == "shift":
            session.remove(5, 15, close_gap=True)
            copy = session
        else:
            copy = session.copy()
        state = copy.to_bytes()
        with engine.session() as reader:  # an evaluation elsewhere does what was put off
            reader.prefill(prompt_of(model, "x")).result()
        assert copy.to_bytes() == state
        copy.close()


def test_loading_over_a_copy_that_was_put_off(tiny):
    model = tiny()
    states = {text: state_of(model, text, n_parallel=3) for text in (STORY, STORY[::-1])}
    with engine_of(model, n_parallel=3) as engine, engine.load_session(states[STORY]) as session:
        session.copy().close()  # the copy has not happened yet
        with engine.load_session(states[STORY[::-1]]) as other:
            for held, text in ((session, STORY), (other, STORY[::-1])):
                held.submit(prompt_of(model, text, "!"), GREEDY, SHORT).result()
                held.keep(0, prompt_of(model, text).n_tokens)
                assert held.to_bytes() == states[text]


def test_gaps_and_rows_that_are_not_exact_survive(tiny):
    model = tiny()
    with engine_of(model) as engine, engine.session() as session:
        session.prefill(prompt_of(model, STORY)).result()
        session.remove(4, 9)
        state = session.to_bytes()
        view = session.view()
    assert view.exact_rows == 4
    assert view.positions == view.rows + 5
    with engine_of(model) as engine, engine.load_session(state) as session:
        assert session.view() == view


def test_a_draft_model_starts_over(model):
    params = {"speculative": "draft", "draft_max": 4}
    plain = state_of(model)
    then = prompt_of(model, STORY, " And then")
    with engine_of(model) as engine, engine.load_session(plain) as session:
        expected = session.submit(then, GREEDY, LONG).result()
    engine = Engine(model, EngineParams(**EXACT, **params), draft=model)
    with engine, engine.load_session(plain) as session:
        answer = session.submit(then, GREEDY, LONG).result()
        assert answer.timings.reused_tokens == expected.timings.reused_tokens
        assert ids(answer) == ids(expected)
        session.remove(3, 6)  # a hole, which the draft does not have
        again = session.submit(then, GREEDY, LONG).result()
        assert ids(again) == ids(expected)


def test_a_restarted_engine_keeps_its_warm_prefixes(model, media, tmp_path):
    path = tmp_path / "warm.state"
    prompts = [
        prompt_of(model, text * 20) for text in (" It rained all day.", " He sang.", STORY[:20])
    ]
    with engine_of(model, media, n_parallel=4) as engine:
        expected = [ids(engine.submit(p, GREEDY, SHORT).result()) for p in prompts]
        running = engine.submit(prompt_of(model, "Once"), GREEDY, StreamConfig(max_tokens=400))
        next(running)
        assert engine.save(path, note=b"four") == 3
        running.cancel()
    with engine_of(model, media, n_parallel=4) as engine:
        loaded = engine.load(path)
        assert (loaded.sequences, loaded.note) == (3, b"four")
        for prompt, tokens in zip(prompts, expected, strict=True):
            answer = engine.submit(prompt, GREEDY, SHORT).result()
            assert answer.timings.reused_tokens == prompt.n_tokens - 1
            assert ids(answer) == tokens
    with engine_of(model, media, n_parallel=1) as engine:
        assert engine.load(path).sequences == 1
        answer = engine.submit(prompts[-1], GREEDY, SHORT).result()  # the last used
        assert answer.timings.reused_tokens == prompts[-1].n_tokens - 1


def test_what_a_session_loads_is_its_own(tiny, tmp_path):
    """A state could hold any values under any text: they must not reach the answers of others."""
    model = tiny()
    prompt, held = prompt_of(model, STORY, "!"), prompt_of(model, STORY).n_tokens
    with engine_of(model, n_parallel=4) as engine:
        with engine.load_session(state_of(model)) as session, session.copy() as copy:
            for own in (session, copy):
                assert own.submit(prompt, GREEDY, SHORT).result().timings.reused_tokens == held
            assert engine.submit(prompt, GREEDY, SHORT).result().timings.reused_tokens == 0
        assert engine.save(tmp_path / "own.state") == 1
        assert engine.load(state_of(model, STORY + "?")).sequences == 1
        other = prompt_of(model, STORY, "?", STORY)
        assert engine.submit(other, GREEDY, SHORT).result().timings.reused_tokens == held + 1


def test_a_session_takes_one_sequence(tiny, tmp_path):
    model, path = tiny(), tmp_path / "two.state"
    with engine_of(model) as engine:
        for text in (STORY, STORY[::-1]):
            engine.submit(prompt_of(model, text), GREEDY, SHORT).result()
        assert engine.save(path) == 2
        with pytest.raises(StateError, match=r"holds 2 sequences.*Engine\.load"):
            engine.load_session(path)
        with engine.session(), pytest.raises(OverloadedError):
            engine.load_session(state_of(model))
        assert engine.session().rows == 0


def test_a_file_appears_whole_or_not_at_all(tiny, tmp_path):
    model, path = tiny(), tmp_path / "talk.state"
    with engine_of(model) as engine, engine.session() as session:
        session.prefill(prompt_of(model, STORY)).result()
        session.save(path)
        before = path.read_bytes()
        assert before == session.to_bytes()
        session.clear()
        session.save(path)
        assert len(path.read_bytes()) < len(before)
        assert os.listdir(tmp_path) == [path.name]
        with pytest.raises(StateError, match="cannot be written"):
            session.save(tmp_path / "no" / "such" / "folder")
        with pytest.raises(OSError, match="cannot be read"):
            engine.load_session(tmp_path / "missing")
        with pytest.raises(StateError):
            engine.load_session(tmp_path)
    assert stat.S_ISREG(path.stat().st_mode)


REFUSED = {
    "cache_type_k": ({"cache_type_k": "f16"}, "cache_type_k f32 and this engine has f16"),
    "cache_type_v": ({"cache_type_v": "bf16"}, "cache_type_v f32 and this engine has bf16"),
    "flash_attention": ({"flash_attention": "off"}, "flash_attention"),
    "rope": ({"rope_freq_base": 5e5}, "RoPE settings"),
    "n_ctx": ({"n_ctx": 256}, "Make the engine with a larger n_ctx"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_engine_of_another_kind_refuses_it(tiny, name):
    model = tiny()
    options, why = REFUSED[name]
    state = state_of(model, STORY * 5, flash_attention="on")
    with engine_of(model, **{"flash_attention": "on", **options}) as engine:
        with pytest.raises((StateError, ContextOverflowError), match=why):
            engine.load_session(state)
        with pytest.raises((StateError, ContextOverflowError), match=why):
            engine.load(state)
        engine.session().close()


def test_another_model_refuses_it(tiny, model):
    state = state_of(tiny())
    for other, why in (
        (tiny(seed=1), "another file of"),
        (tiny(metadata_overrides=("llama.rope.freq_base=float:5000",)), "another file of"),
        (tiny("qwen2vl"), "with the model"),
        (model, "with the model"),
    ):
        with engine_of(other) as engine, pytest.raises(StateError, match=why):
            engine.load_session(state)


def test_other_encoders_refuse_media(model, media, tiny_files, tmp_path):
    with engine_of(model, media) as engine, engine.session() as session:
        session.prefill(MultimodalProcessor(engine).prepare([SAMPLES / "shapes.png", "?"])).result()
        seen = session.to_bytes()
        session.prefill(prompt_of(model, STORY)).result()
        read = session.to_bytes()
    copy = tmp_path / "other.gguf"
    data = bytearray(tiny_files.mmproj.read_bytes())
    data[-100] ^= 1
    copy.write_bytes(data)
    for encoders, why in ((None, "has no encoders"), (Media.load(model, copy), "another mmproj")):
        with engine_of(model, encoders) as engine:
            with pytest.raises(StateError, match=why):
                engine.load_session(seen)
            engine.load_session(read).close()  # text alone needs none


def test_adapters_must_be_those_it_was_evaluated_with(model, tmp_path):
    lora = LoraAdapter.load(model, write_lora(tmp_path / "a.gguf"))
    changed = AdapterSet([(lora, 0.5)])
    first, then = prompt_of(model, STORY), prompt_of(model, STORY, " And then")
    path = tmp_path / "talk.state"
    with engine_of(model) as engine, engine.session() as session:
        session.prefill(first, adapters=changed).result()
        session.save(path)
        expected = session.submit(then, GREEDY, LONG, adapters=changed).result()
    with engine_of(model) as engine:
        for wrong in (None, AdapterSet([(lora, 0.4)])):
            with pytest.raises(StateError, match="adapters"):
                engine.load_session(path, adapters=wrong)
        with pytest.raises(StateError, match="not given"):
            engine.load(path)
        with pytest.raises(StateError, match="without adapters"):
            engine.load_session(state_of(model), adapters=changed)
        assert engine.load(path, adapters=[AdapterSet(), changed]).sequences == 1
        with engine.load_session(path, adapters=AdapterSet([(lora, 0.5)])) as session:
            answer = session.submit(then, GREEDY, LONG, adapters=changed).result()
            assert answer.timings.reused_tokens == first.n_tokens
            assert ids(answer) == ids(expected)
            bare = session.submit(then, GREEDY, SHORT).result()
            assert bare.timings.reused_tokens == 0


def test_damage_anywhere_is_found(tiny):
    model = tiny()
    state = state_of(model, "sand")
    with engine_of(model) as engine:
        for at in [
            *range(600),
            *range(600, len(state), 37),
            *range(len(state) - 40, len(state)),
        ]:
            broken = bytearray(state)
            broken[at] ^= 0x41
            with pytest.raises(StateError):
                engine.load_session(bytes(broken))
        for length in [*range(64), *range(64, len(state), 101), len(state) - 1]:
            with pytest.raises(StateError):
                engine.load_session(state[:length])
        with pytest.raises(StateError, match="bytes and has"):
            engine.load_session(state + b"x")
        with pytest.raises(StateError, match="not a saved state"):
            engine.load_session(b"GGUF" + state[4:])
        with engine.load_session(state) as session:
            assert session.to_bytes() == state


def resigned(state, at, value):
    data = bytearray(state)
    data[at : at + len(value)] = value
    return bytes(core().sign_state(bytes(data)))


def test_a_version_from_the_future_says_so(tiny):
    model = tiny()
    with engine_of(model) as engine:
        for at, version in ((8, "2.3"), (12, "1.9")):
            state = resigned(state_of(model), at, (2 if at == 8 else 9).to_bytes(4, "little"))
            with pytest.raises(StateError, match=f"version {version}".replace(".", r"\.")):
                engine.load_session(state)


def test_what_is_signed_is_not_believed(tiny):
    """Positions, counts and numbers that fit a valid checksum, but nothing else."""
    model = tiny()
    state = state_of(model, "sand", flash_attention="on")
    n = prompt_of(model, "sand").n_tokens
    cells = b"".join(i.to_bytes(4, "little") + b"\1\0\0\0" for i in range(1))
    table = next(
        at
        for at in range(len(state))
        if all(
            state[at + 12 * i : at + 12 * i + 8] == i.to_bytes(4, "little") + b"\1\0\0\0"
            for i in range(n)
        )
    )
    assert state[table : table + 8] == cells
    tensors = table + 12 * n + 8
    with engine_of(model, flash_attention="on") as engine:
        for at, value, why in (
            (table, (2**31 - 1).to_bytes(4, "little"), "positions"),
            (table, (-1 % 2**32).to_bytes(4, "little"), "positions"),
            (table + 12, bytes(4), "positions"),  # two rows at one place
            (table + 4, b"\2", "several sequences"),
            (table - 12, b"\xff\xff\xff\xff", "too early|cells"),
            (table + 12 * n, b"\1", "another order"),
            (table + 12 * n + 4, b"\xff\xff\xff\x7f", "layers"),
            (tensors, b"\1", "another type"),
            (tensors + 4, bytes(8), "another type or size"),
            (tensors + 12, b"\0\0\xc0\x7f", "too large or none"),  # NaN
            (tensors + 12, b"\0\0\x80\x7f", "too large or none"),  # infinity
        ):
            with pytest.raises(StateError, match=why):
                engine.load_session(resigned(state, at, value))
        engine.load_session(resigned(state, tensors + 12, b"\0\0\x80\x3f")).close()

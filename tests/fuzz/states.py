"""Broken and made-up states of sessions.

Whatever comes in is refused with one of the errors of `Engine.load_session`, or taken up; the
engine answers as before either way, and what was taken up can be used, cut and saved again. Most
inputs are signed anew, so that the checksum does not keep them from what lies behind it.
"""

from __future__ import annotations

import contextlib
import functools
import random
import struct
import tempfile
from pathlib import Path

from mullama_media import Engine, EngineParams, Model, Prompt, SamplingParams, StreamConfig
from mullama_media.engine.native import core
from mullama_media.errors import ContextOverflowError, InvalidOptionError, StateError
from tests.made import write_tiny

ODD = [0, 1, 2, 7, 255, 256, 2**16, 2**24, 2**30, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1]
SIZE_AT = 16  # of the field that holds the length of the whole


@functools.cache
def engine(architecture: str = "llama", flash_attention: str = "off") -> Engine:
    """Without flash attention by default: there a NaN left in a free cell would show."""
    path = Path(tempfile.mkdtemp()) / "tiny.gguf"
    params = EngineParams(
        n_ctx=64,
        n_parallel=3,
        n_batch=64,
        n_ubatch=64,
        threads=1,
        cache_type_k="f32",
        cache_type_v="f32",
        flash_attention=flash_attention,
    )
    return Engine(Model.load(write_tiny(path, architecture)), params)


@functools.cache
def prompt(which: Engine, text: str = "sea and sand") -> Prompt:
    return Prompt.of_parts(which.model, [text])


def answer(which: Engine, ask=None) -> list[int | None]:
    config = StreamConfig(max_tokens=3, ignore_eos=True)
    stream = (ask or which).submit(prompt(which), SamplingParams(temperature=0), config)
    return [token.id for token in stream.result().tokens]


@functools.cache
def expected(which: Engine) -> list[int | None]:
    return answer(which)


@functools.cache
def seeds(which: Engine) -> tuple[bytes, ...]:
    """Good states: empty, with text and a note, with a hole."""
    expected(which)
    with which.session() as session:
        empty = session.to_bytes()
        session.prefill(prompt(which)).result()
        full = session.to_bytes(note=b"a note")
        if which.model.metadata["general.architecture"] in ("mamba", "falcon-h1"):
            return empty, full
        session.remove(2, 5)
        return empty, full, session.to_bytes()


def fuzz_one(data: bytes, which: Engine | None = None) -> bool:
    """One input; raises when the promise is broken. Returns whether it was taken up."""
    which = which or engine()
    right = expected(which)
    taken = True
    try:
        with which.load_session(data) as session:
            rows = session.view().rows
            which.load_session(session.to_bytes()).close()
            answer(which, session)
            with contextlib.suppress(ValueError):  # part of a medium, or of a recurrent state
                if rows > 2:
                    session.remove(1, 2)
                    answer(which, session)
            with session.copy() as copy:
                copy.clear()
                assert answer(which, copy) == right, "it left something behind in its sequence"
            assert answer(which) == right, "others begin with what it holds"
    except (StateError, ContextOverflowError, InvalidOptionError):
        taken = False
    assert answer(which) == right, "it changed an answer that has nothing to do with it"
    return taken


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Some fields changed, something cut out or put in; mostly with size and checksum set right."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        # Structure is rare among the tensors: prefer the beginning, and fields of 4 bytes.
        at = rng.randrange(len(out)) if rng.random() < 0.4 else rng.randrange(min(len(out), 1200))
        kind = rng.random()
        if kind < 0.35:
            out[at] = rng.randrange(256)
        elif kind < 0.7:
            value = rng.choice(ODD)
            out[at : at + 4] = struct.pack("<I", value)
        elif kind < 0.8:
            value = struct.unpack("<I", bytes(out[at : at + 4]).ljust(4, b"\0"))[0]
            out[at : at + 4] = struct.pack("<I", (value + rng.randint(-2, 2)) % 2**32)
        elif kind < 0.9:
            del out[at : at + rng.choice([1, 4, 12, 100])]
        else:
            out[at:at] = out[max(0, at - rng.choice([4, 12, 48])) : at]
    if rng.random() < 0.95 and len(out) >= SIZE_AT + 8:
        out[SIZE_AT : SIZE_AT + 8] = struct.pack("<Q", len(out))
        return bytes(core().sign_state(bytes(out)))
    return bytes(out)


class State:
    """On engines with three kinds of memory; each refuses the states of the others."""

    slow_s = 15.0

    def __init__(self, folder: Path) -> None:
        self._engines = [engine(name) for name in ("llama", "gemma3", "falcon-h1")]

    def seeds(self) -> list[bytes]:
        return [seed for which in self._engines for seed in seeds(which)]

    def mutated(self, data: bytes, rng: random.Random) -> bytes:
        return mutated(data, rng)

    def fuzz_one(self, data: bytes) -> bool:
        taken = [fuzz_one(data, which) for which in self._engines]
        return any(taken)

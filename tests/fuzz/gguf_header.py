"""GGUF files taken apart, changed where it hurts, and put together again, valid or not.

Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, field
from typing import Any

STRING, ARRAY = 8, 9
CODES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
NUMBERS = [0, 1, 2, 3, 4, 5, 7, 8, 31, 33, 64, 100, 127, 255, 256, 1000, 4096, 65535, 2**20 + 1]
NUMBERS += [
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**32,
    2**62,
    2**63 - 1,
    2**63,
    2**64 - 1,
    -1,
    -2,
    -(2**31),
]
REALS = [0.0, -1.0, 1e-30, 1e30, float("inf"), float("nan"), 0.5, 1e6]
TEXTS = [
    b"",
    b"x",
    b"llama",
    b"clip",
    b"gpt2",
    b"bert",
    b"mamba",
    b"\xff\xfe",
    b"%s%n",
    b"A" * 5000,
]
ALIGNMENT = b"general.alignment"


@dataclass
class Field:
    key: bytes
    kind: int
    value: Any
    """A number, bytes, or for an array (kind of its elements, elements)"""
    length: int | None = None
    """Of an array as written, if not the true one"""


@dataclass
class Tensor:
    name: bytes
    shape: list[int]
    kind: int
    offset: int


@dataclass
class File:
    fields: list[Field] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)
    data: bytes = b""
    version: int = 3
    alignment: int = 32
    n_fields: int | None = None
    n_tensors: int | None = None


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def number(self, code: str) -> Any:
        (value,) = struct.unpack_from("<" + code, self.data, self.at)
        self.at += struct.calcsize(code)
        return value

    def text(self) -> bytes:
        size = self.number("Q")
        if size > len(self.data):
            raise ValueError("too long")
        self.at += size
        return self.data[self.at - size : self.at]

    def value(self, kind: int) -> Any:
        if kind == STRING:
            return self.text()
        if kind == ARRAY:
            inner, count = self.number("I"), self.number("Q")
            if count > len(self.data):
                raise ValueError("too long")
            return inner, [self.value(inner) for _ in range(count)]
        return self.number(CODES[kind])


def parse(data: bytes) -> File:
    """Raises ValueError, KeyError or struct.error for what is too broken to be taken apart."""
    reader = _Reader(data)
    file = File()
    if reader.number("4s") != b"GGUF":
        raise ValueError("not GGUF")
    file.version = reader.number("I")
    n_tensors, n_fields = reader.number("Q"), reader.number("Q")
    if max(n_tensors, n_fields) > len(data):
        raise ValueError("too many")
    for _ in range(n_fields):
        key, kind = reader.text(), reader.number("I")
        file.fields.append(Field(key, kind, reader.value(kind)))
        if key == ALIGNMENT and kind == 4:
            file.alignment = max(1, min(file.fields[-1].value, 1 << 16))
    for _ in range(n_tensors):
        name = reader.text()
        shape = [reader.number("Q") for _ in range(min(reader.number("I"), 64))]
        file.tensors.append(Tensor(name, shape, reader.number("I"), reader.number("Q")))
    file.data = data[reader.at + -reader.at % file.alignment :]
    return file


def _number(code: str, value: Any) -> bytes:
    if code in "fd":
        return struct.pack("<" + code, float(value))
    size = struct.calcsize(code)
    return (int(value) & (1 << 8 * size) - 1).to_bytes(size, "little")


def _text(text: bytes) -> bytes:
    return _number("Q", len(text)) + text


def _value(kind: int, value: Any, length: int | None = None) -> bytes:
    if kind == STRING:
        return _text(value if isinstance(value, bytes) else str(value).encode())
    if kind == ARRAY and isinstance(value, tuple):
        inner, elements = value
        head = _number("I", inner) + _number("Q", len(elements) if length is None else length)
        return head + b"".join(_value(inner, element) for element in elements)
    if isinstance(value, tuple | bytes):
        value = len(value)
    return _number(CODES.get(kind, "I"), 0 if value != value and kind not in (6, 12) else value)


def serialise(file: File) -> bytes:
    counts = (
        len(file.tensors) if file.n_tensors is None else file.n_tensors,
        len(file.fields) if file.n_fields is None else file.n_fields,
    )
    out = bytearray(
        b"GGUF" + _number("I", file.version) + b"".join(_number("Q", n) for n in counts)
    )
    for entry in file.fields:
        out += _text(entry.key) + _number("I", entry.kind)
        out += _value(entry.kind, entry.value, entry.length)
    for tensor in file.tensors:
        out += _text(tensor.name) + _number("I", len(tensor.shape))
        out += b"".join(_number("Q", n) for n in tensor.shape)
        out += _number("I", tensor.kind) + _number("Q", tensor.offset)
    return bytes(out + b"\0" * (-len(out) % max(file.alignment, 1)) + file.data)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A few changes to the header, mostly such that the rest of the file still makes sense."""
    try:
        file = parse(data)
    except (ValueError, KeyError, struct.error):
        return _flipped(data, rng)
    for _ in range(rng.choice([1, 1, 1, 2, 2, 3, 6])):
        rng.choice([_in_field, _in_field, _in_field, _in_tensor, _in_tensor, _in_file])(file, rng)
    if rng.random() < 0.5:
        lay_out(file)
    try:
        out = serialise(file)
    except (OverflowError, ValueError, TypeError):
        return _flipped(data, rng)
    return _flipped(out, rng) if rng.random() < 0.1 else out


def _flipped(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        if out:
            out[rng.randrange(min(len(out), 6000))] = rng.choice(
                [0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)]
            )
    return bytes(out[: rng.randrange(len(out))] if rng.random() < 0.1 else out)


def _some_number(rng: random.Random, old: Any) -> Any:
    if isinstance(old, float):
        return rng.choice([*REALS, -old, old * 2])
    number = old if isinstance(old, int) else 1
    return rng.choice([*NUMBERS, number + 1, number - 1, number * 2, number // 2, number * 1000])


def _in_field(file: File, rng: random.Random) -> None:
    if not file.fields:
        return
    entry = rng.choice(file.fields)
    kind = rng.random()
    if kind < 0.08:
        file.fields.remove(entry)
    elif kind < 0.12:
        file.fields.insert(
            rng.randrange(len(file.fields)), Field(entry.key, entry.kind, entry.value)
        )
    elif kind < 0.22:
        entry.kind = rng.choice([*range(13), 13, 255])
        if entry.kind == ARRAY and not isinstance(entry.value, tuple):
            entry.value = (rng.choice([4, 5, 6, 7, STRING]), [entry.value] * rng.randint(0, 3))
    elif kind < 0.26:
        entry.key = rng.choice([b"", entry.key + b"x", rng.choice(file.fields).key, *TEXTS])
    elif isinstance(entry.value, tuple):
        _in_array(entry, rng)
    elif isinstance(entry.value, bytes):
        entry.value = rng.choice([*TEXTS, entry.value[:-1], entry.value + b"{{", entry.value * 2])
    else:
        entry.value = _some_number(rng, entry.value)


def _in_array(entry: Field, rng: random.Random) -> None:
    inner, elements = entry.value
    elements = list(elements)
    kind = rng.random()
    if kind < 0.2:
        inner = rng.choice([*range(13), 99])
    elif kind < 0.35:
        entry.length = rng.choice(NUMBERS)
    elif kind < 0.55:
        elements = elements[: rng.randint(0, len(elements))]
    elif kind < 0.65:
        elements = elements + elements[: rng.randint(0, 300)]
    elif kind < 0.7:
        inner, elements = ARRAY, [(inner, elements[:3])]
    elif elements:
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(elements))
            old = elements[at]
            if isinstance(old, bytes):
                elements[at] = rng.choice([*TEXTS, old + b" ", rng.choice(elements)])
            elif not isinstance(old, tuple):
                elements[at] = _some_number(rng, old)
    entry.value = (inner, elements)


def _in_tensor(file: File, rng: random.Random) -> None:
    if not file.tensors:
        return
    tensor = rng.choice(file.tensors)
    other = rng.choice(file.tensors)
    kind = rng.random()
    if kind < 0.1:
        file.tensors.remove(tensor)
    elif kind < 0.25:
        tensor.name, other.name = other.name, tensor.name
    elif kind < 0.32:
        tensor.name = rng.choice([tensor.name + b"x", other.name, b"", b"output.weight", b"A" * 70])
    elif kind < 0.6 and tensor.shape:
        at = rng.randrange(len(tensor.shape))
        tensor.shape[at] = rng.choice([0, 1, _some_number(rng, tensor.shape[at])])
    elif kind < 0.68:
        rng.shuffle(tensor.shape)
    elif kind < 0.74:
        tensor.shape = rng.choice(
            [[], [*tensor.shape, 1], [*tensor.shape, 2], tensor.shape[:-1], [1] * 5]
        )
    elif kind < 0.9:
        tensor.kind = rng.choice(
            [0, 1, 2, 3, 6, 7, 8, 9, 10, 12, 14, 15, 16, 20, 24, 28, 30, 34, 39, 41, 99]
        )
    else:
        tensor.offset = _some_number(rng, tensor.offset)


def _in_file(file: File, rng: random.Random) -> None:
    kind = rng.random()
    if kind < 0.2:
        file.n_fields = rng.choice([*NUMBERS, len(file.fields) + 1])
    elif kind < 0.4:
        file.n_tensors = rng.choice([*NUMBERS, len(file.tensors) + 1])
    elif kind < 0.5:
        file.version = rng.choice([0, 1, 2, 4, 0x03000000, 2**32 - 1])
    elif kind < 0.7:
        file.fields.append(Field(ALIGNMENT, 4, rng.choice([0, 1, 8, 33, 64, 2**31])))
    elif kind < 0.85:
        file.data = file.data[: rng.randint(0, len(file.data))]
    else:
        at = rng.randrange(len(file.data) + 1)
        count = 4 * rng.randint(1, 16)
        file.data = (
            file.data[:at] + rng.choice([b"\xff", b"\0", b"\x7f"]) * count + file.data[at + count :]
        )


# Bytes and elements of a block, for the types that the tiny files are likely to get.
BLOCKS = {
    0: (4, 1),
    1: (2, 1),
    2: (18, 32),
    3: (20, 32),
    6: (22, 32),
    7: (24, 32),
    8: (34, 32),
    24: (1, 1),
    30: (2, 1),
}


def lay_out(file: File) -> None:
    """Right offsets and enough data for what the tensors now say, so that the loader goes on."""
    at = 0
    for tensor in file.tensors:
        size, block = BLOCKS.get(tensor.kind, (4, 1))
        count = 1
        for n in tensor.shape:
            count *= max(n, 0)
        tensor.offset = at
        at += count // block * size
        at += -at % max(file.alignment, 1)
        if at > 1 << 24:
            return
    file.data = file.data[:at].ljust(at, b"\0")

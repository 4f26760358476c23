"""Reader for CTranslate2 ``model.bin`` files, version 6, without CTranslate2 itself."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mullama_media.errors import ModelLoadError

VERSION = 6
_DTYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)
_MAX_TENSORS = 100_000


class _Cursor:
    """Reads little-endian fields from a bytes object, in order."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._at = 0

    def take(self, count: int) -> memoryview:
        piece = self._data[self._at : self._at + count]
        if len(piece) != count:
            raise ValueError("the file ends in the middle of a field")
        self._at += count
        return piece

    def number(self, code: str) -> int:
        (value,) = struct.unpack("<" + code, self.take(struct.calcsize(code)))
        return int(value)

    def text(self) -> str:
        return bytes(self.take(self.number("H"))).rstrip(b"\0").decode()


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Return every variable of the model by name, as arrays in their stored type.

    Raises `ModelLoadError` if the file cannot be read or is not a version 6 model.
    """
    try:
        return _parse(_Cursor(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise ModelLoadError(f"not a readable CTranslate2 model: {error}", where=path) from error


def _parse(cursor: _Cursor) -> dict[str, NDArray[Any]]:
    if (version := cursor.number("I")) != VERSION:
        raise ValueError(f"binary version {version}, expected {VERSION}")
    cursor.text()  # specification name
    cursor.number("I")  # specification revision
    if (count := cursor.number("I")) > _MAX_TENSORS:
        raise ValueError(f"claims {count} variables")
    tensors: dict[str, NDArray[Any]] = {}
    for _ in range(count):
        name = cursor.text()
        shape = [cursor.number("I") for _ in range(cursor.number("B"))]
        if (code := cursor.number("B")) >= len(_DTYPES):
            raise ValueError(f"{name} has unknown type {code}")
        tensors[name] = np.frombuffer(cursor.take(cursor.number("I")), _DTYPES[code]).reshape(shape)
    return tensors

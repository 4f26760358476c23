"""Reader for ``.safetensors`` files in half or single precision."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mullama_media.errors import ModelLoadError

_DTYPES: dict[str, np.dtype[Any]] = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4")}
_LENGTH = 8  # bytes of the little-endian header length that the file starts with


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Return every tensor by name. Raises `ModelLoadError` if the file is not readable."""
    try:
        return _parse(path.read_bytes())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelLoadError(f"not a readable safetensors file: {error!r}", where=path) from error


def _parse(data: bytes) -> dict[str, NDArray[Any]]:
    body = _LENGTH + int.from_bytes(data[:_LENGTH], "little")
    header: dict[str, Any] = json.loads(data[_LENGTH:body])
    header.pop("__metadata__", None)
    tensors: dict[str, NDArray[Any]] = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        raw = data[body + begin : body + end]
        tensors[name] = np.frombuffer(raw, _DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors

"""Raw samples as they travel in sockets and telephony, to arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mullama_media.errors import InvalidOptionError

__all__ = ["ENCODINGS", "PcmDecoder"]

ENCODINGS = {
    "s16le": (2, "int16"),
    "s16be": (2, "int16"),
    "mulaw": (1, "int16"),
    "alaw": (1, "int16"),
    "u8": (1, "float32"),
    "s24le": (3, "float32"),
    "s32le": (4, "float32"),
    "f32le": (4, "float32"),
}
"""Bytes of a sample, and the dtype it becomes without loss"""


class PcmDecoder:
    """Bytes in pieces of any size to frames; what does not make a frame waits for the rest.

    Args:
        encoding: one of ENCODINGS. mulaw and alaw are those of ITU-T G.711.
        channels: interleaved.

    Raises:
        InvalidOptionError: an encoding that is not known.
    """

    def __init__(self, encoding: str, channels: int = 1) -> None:
        if encoding not in ENCODINGS:
            raise InvalidOptionError(
                f"{encoding!r} is not an encoding",
                where="encoding",
                hint=f"Use one of {', '.join(ENCODINGS)}",
            )
        self.encoding = encoding
        self.channels = channels
        self.sample_bytes, self.dtype = ENCODINGS[encoding]
        self._rest = b""

    def decode(self, data: bytes | bytearray | memoryview) -> npt.NDArray[Any]:
        """Whole frames, shape (n, channels), dtype `self.dtype`; n may be 0."""
        whole = self._rest + bytes(data)
        size = len(whole) // (self.sample_bytes * self.channels) * self.sample_bytes * self.channels
        self._rest = whole[size:]
        return _samples(whole[:size], self.encoding).reshape(-1, self.channels)

    @property
    def pending_bytes(self) -> int:
        """Bytes that wait for the rest of their frame."""
        return len(self._rest)


def _samples(data: bytes, encoding: str) -> npt.NDArray[Any]:
    if encoding == "s16le":
        return np.frombuffer(data, "<i2").astype(np.int16, copy=False)
    if encoding == "s16be":
        return np.frombuffer(data, ">i2").astype(np.int16)
    if encoding == "f32le":
        return np.frombuffer(data, "<f4").astype(np.float32, copy=False)
    if encoding == "s32le":
        return (np.frombuffer(data, "<i4") / np.float64(2**31)).astype(np.float32)
    if encoding == "s24le":
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return ((wide.view("<i4")[:, 0] >> 8) / np.float64(2**23)).astype(np.float32)
    codes = np.frombuffer(data, np.uint8)
    if encoding == "u8":
        return (codes.astype(np.float32) - 128) / 128
    return (_MULAW if encoding == "mulaw" else _ALAW)[codes]


def _mulaw_table() -> npt.NDArray[np.int16]:
    """G.711 section 2, table 2: 14 bits, here scaled to 16 as everybody does."""
    code = ~np.arange(256, dtype=np.uint8)
    exponent, mantissa = (code >> 4 & 7).astype(np.int32), (code & 15).astype(np.int32)
    size = ((mantissa << 3) + 0x84 << exponent) - 0x84
    return np.where(code & 0x80, -size, size).astype(np.int16)


def _alaw_table() -> npt.NDArray[np.int16]:
    """G.711 section 2, table 1: 13 bits, here scaled to 16."""
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent, mantissa = (code >> 4 & 7).astype(np.int32), (code & 15).astype(np.int32)
    size = (mantissa << 4) + 8
    size = np.where(exponent > 0, size + 0x100 << np.maximum(exponent - 1, 0), size)
    return np.where(code & 0x80, size, -size).astype(np.int16)


_MULAW = _mulaw_table()
_ALAW = _alaw_table()

"""Probability of speech along a stream, from detectors that each have their own frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mullama_media.audio.denoise import Denoiser
from mullama_media.audio.resample import Resampler, map_index
from mullama_media.audio.vad import agree
from mullama_media.frames import Vad

__all__ = ["PresenceTrack", "Track", "VadTrack", "merge"]

Samples = npt.NDArray[np.float32]


class Track(Protocol):
    """Pieces of a stretch with one probability each, oldest first."""

    pieces: deque[tuple[int, float | None]]
    """(index after the piece, probability), counted from the start of the stretch"""

    def feed(self, raw: Samples, denoised: Samples) -> None:
        """Go on by what came before and after noise reduction; the lengths may differ."""
        ...

    def flush(self, total: int) -> None:
        """The stretch ends after `total` samples; the next begins at 0."""
        ...


class VadTrack:
    """What a `Vad` says.

    Args:
        vad: the detector.
        sample_rate: of the stream; it is converted if the detector wants another.
        denoised: whether the detector hears the sound after noise reduction.
    """

    def __init__(self, vad: Vad, sample_rate: int, *, denoised: bool) -> None:
        self.pieces: deque[tuple[int, float | None]] = deque()
        self._vad = vad
        self._rate = sample_rate
        self._denoised = denoised
        self._resampler = Resampler(sample_rate, vad.sample_rate)
        self._frame = np.zeros(vad.frame_samples, np.float32)
        self._fill = 0
        self._frames = 0

    def feed(self, raw: Samples, denoised: Samples) -> None:
        """Go on by what came before and after noise reduction; the lengths may differ."""
        self._take(self._resampler.process(denoised if self._denoised else raw))

    def _take(self, samples: Samples) -> None:
        size = self._frame.size
        taken = 0
        while taken < samples.size:
            n = min(size - self._fill, samples.size - taken)
            self._frame[self._fill : self._fill + n] = samples[taken : taken + n]
            self._fill += n
            taken += n
            if self._fill == size:
                self._answer()

    def _answer(self) -> None:
        self._fill = 0
        self._frames += 1
        end = map_index(self._frames * self._frame.size, self._vad.sample_rate, self._rate)
        self.pieces.append((end, self._vad.probability(self._frame)))

    def flush(self, total: int) -> None:
        """The stretch ends after `total` samples; the next begins at 0."""
        self._take(self._resampler.flush())
        if self._fill:
            self._frame[self._fill :] = 0
            self._answer()
        _end(self.pieces, total)
        self._frames = 0


class PresenceTrack:
    """What a `Denoiser` found out on the way."""

    def __init__(self, denoiser: Denoiser) -> None:
        self.pieces: deque[tuple[int, float | None]] = deque()
        self._denoiser = denoiser
        self._end = 0

    def feed(self, raw: Samples, denoised: Samples) -> None:  # noqa: ARG002
        """Take the denoiser's answers of late."""
        presence = self._denoiser.presence
        while presence:
            self._end += self._denoiser.hop
            self.pieces.append((self._end, presence.popleft()))

    def flush(self, total: int) -> None:
        """The stretch ends after `total` samples; the next begins at 0."""
        _end(self.pieces, total)
        self._end = 0


def _end(pieces: deque[tuple[int, float | None]], total: int) -> None:
    """Make the pieces end at `total` exactly."""
    last: float | None = None
    while pieces and pieces[-1][0] >= total:
        last = pieces.pop()[1]
    pieces.append((total, last))


def merge(tracks: Sequence[Track], upto: int, how: str) -> list[tuple[int, float | None]]:
    """Take out the pieces up to index `upto` that all tracks have an answer for, agreed on.

    A piece that reaches beyond `upto` stays, to be given from there.
    """
    merged: list[tuple[int, float | None]] = []
    if len(tracks) == 1:
        pieces = tracks[0].pieces
        while pieces and pieces[0][0] <= upto:
            merged.append(pieces.popleft())
        return merged
    while all(track.pieces for track in tracks):
        end = min(track.pieces[0][0] for track in tracks)
        if end > upto:
            break
        merged.append((end, agree(how, [track.pieces[0][1] for track in tracks])))
        for track in tracks:
            if track.pieces[0][0] == end:
                track.pieces.popleft()
    return merged

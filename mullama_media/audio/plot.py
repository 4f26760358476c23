"""A picture of a recording: waveform, spectrograms, probability of speech, utterances."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mullama_media.audio.inspect import Inspection
from mullama_media.errors import MediaError, MissingExtraError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["check", "figure", "plot"]

_WINDOW_MS = 32
_COLUMNS = 1600  # about as many as the picture has pixels
_RANGE_DB = 80


def plot(inspection: Inspection, target: str | os.PathLike[str]) -> None:
    """Write the picture to a file; its ending says the format (png, svg, pdf).

    Raises:
        MissingExtraError: matplotlib is not installed.
        MediaError: the file cannot be written.
    """
    try:
        figure(inspection).savefig(target)
    except (OSError, ValueError) as error:
        raise MediaError(f"it cannot be written: {error}", where=os.fspath(target)) from error


def check(target: str | os.PathLike[str]) -> None:
    """Whether `plot` could write this file.

    Raises:
        MissingExtraError: matplotlib is not installed.
        MediaError: an ending that it does not know, or no such folder.
    """
    path = Path(target)
    known = _figure_class()().canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in known:
        raise MediaError(
            f"no picture is known for the ending {path.suffix!r}",
            where=str(path),
            hint=f"Endings are {', '.join(sorted(known))}",
        )
    if not path.parent.is_dir():
        raise MediaError("there is no such folder", where=str(path.parent))


def figure(inspection: Inspection) -> Figure:
    """The picture as matplotlib's own. Raises MissingExtraError."""
    sound = inspection.sound
    seconds = sound.samples.size / sound.sample_rate
    made = _figure_class()(figsize=(14, 9), layout="constrained")
    wave, before, after, voice = made.subplots(4, 1, sharex=True, height_ratios=(2, 3, 3, 1.5))
    wave.set_title(f"{sound.name}: {seconds:.1f} s, {len(inspection.utterances)} utterances")
    low, high = _envelope(sound.samples)
    wave.fill_between(np.linspace(0, seconds, low.size), low, high, linewidth=0, label="sound")
    wave.set(ylabel="waveform", ylim=(-1, 1))
    rate = min(sound.sample_rate, inspection.heard_rate)
    _spectrogram(before, sound.samples, sound.sample_rate, rate, "as it came, Hz")
    _spectrogram(after, inspection.heard, inspection.heard_rate, rate, "as utterances have it, Hz")
    voice.step(inspection.times, inspection.probability, where="pre", linewidth=0.8)
    voice.set(ylabel="P(speech)", ylim=(-0.05, 1.05), xlabel="seconds", xlim=(0, seconds))
    for utterance in inspection.utterances:
        each = utterance.index_rate
        for axes in (wave, voice):
            axes.axvspan(utterance.start / each, utterance.end / each, alpha=0.15, color="C1")
            axes.axvspan(
                utterance.speech_start / each, utterance.speech_end / each, alpha=0.2, color="C2"
            )
    return made


def _figure_class() -> type[Figure]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError.of("plots", "plot") from error
    return Figure


def _envelope(
    samples: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Lowest and highest sample of each column."""
    edges = np.linspace(0, samples.size, min(_COLUMNS, samples.size) + 1).astype(int)[:-1]
    return np.minimum.reduceat(samples, edges), np.maximum.reduceat(samples, edges)


def _spectrogram(
    axes: Any, samples: npt.NDArray[np.float32], rate: int, shown_rate: int, label: str
) -> None:
    window = rate * _WINDOW_MS // 1000
    padded = np.pad(samples, (0, window))
    starts = np.linspace(0, samples.size, min(_COLUMNS, samples.size), endpoint=False).astype(int)
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[starts]
    level = np.abs(np.fft.rfft(frames * np.hanning(window).astype(np.float32), axis=1)) / window
    level = 20 * np.log10(level[:, : window * shown_rate // rate // 2 + 1] + 1e-7)
    axes.imshow(
        level.T,
        origin="lower",
        aspect="auto",
        extent=(0, samples.size / rate, 0, shown_rate / 2),
        vmax=level.max(),
        vmin=level.max() - _RANGE_DB,
        cmap="magma",
    )
    axes.set(ylabel=label)

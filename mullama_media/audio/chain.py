"""The ear: from a source's samples to utterances, every stage in its order.

    source ─> fold ─> resample ─┬─> denoise ─┬─> gate ─> AGC ─> limiter ─> segmenter ─> events
                                └─> detectors<┘ ──────probability───────────^

Automatic gain comes after noise reduction, because a gain that moves would move the noise, which
the reduction has to know. Detectors hear neither gate nor gain. Delays are compensated: every index
in an event is that of the source's sample.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from mullama_media.audio.config import AudioStreamConfig
from mullama_media.audio.denoise import Denoiser
from mullama_media.audio.gain import Agc, Gate, Limiter, level_db
from mullama_media.audio.history import History
from mullama_media.audio.resample import Resampler, fold, map_index
from mullama_media.audio.segmenter import Segmenter
from mullama_media.audio.tracks import PresenceTrack, Track, VadTrack, merge
from mullama_media.audio.vad import make_vad
from mullama_media.errors import InvalidOptionError, MediaError
from mullama_media.frames import (
    AudioChunk,
    Discontinuity,
    NoAudio,
    Partial,
    Pause,
    SpeechEnded,
    SpeechEvent,
    SpeechStarted,
    Stage,
    Utterance,
    Vad,
)

__all__ = ["Chain", "Metrics"]

Samples = npt.NDArray[np.float32]

_INDICES = ("start", "end", "speech_start", "speech_end", "decided", "at_sample")
_Inside: TypeAlias = SpeechStarted | Partial | Pause | Utterance | SpeechEnded | NoAudio


@dataclass(frozen=True, slots=True)
class Metrics:
    """How a stream sounds, and what was made of it."""

    rms_db: float
    """Level of the last chunk in dBFS"""
    peak_db: float
    """Highest sample of the last chunk in dBFS"""
    seconds: float
    """Of sound so far, gaps not counted"""
    voice_ratio: float
    """Share of it that was speech, 0..1"""
    snr_db: float | None
    """Loudest over quietest of the last seconds; None without noise reduction"""
    gain_db: float
    """What automatic gain amplifies by at present"""
    lost: int
    """Samples of the source that never came"""


class Chain:
    """Composes the stages; usable without threads. Not thread-safe; never blocks on anything.

    Args:
        config: what to do.
        sample_rate: of the source, in Hz.
        vads: detectors of your own instead of those of the config; they hear denoised sound if
            there is any, or that of the source.
        at_sample: index of the first sample.
        on_frame: called with every frame on its way to the segmenter, shape (n,), valid during the
            call, and the probability of speech in it; for those who want to look inside.

    Raises:
        InvalidOptionError: a rate that is none, or no detector.
        MissingExtraError: the config names a detector that is not installed.
    """

    def __init__(
        self,
        config: AudioStreamConfig,
        sample_rate: int,
        *,
        vads: list[Vad] | None = None,
        at_sample: int = 0,
        on_frame: Callable[[Samples, float | None], None] | None = None,
    ) -> None:
        self.config = config
        self._on_frame = on_frame
        self.sample_rate = sample_rate
        rate = config.sample_rate
        self._gain = 10 ** (config.gain_db / 20)
        self._resampler = Resampler(sample_rate, rate)
        self._denoiser = Denoiser(config.denoise, rate) if config.denoise.enabled else None
        self._agc = Agc(config.agc, rate) if config.agc.enabled else None
        self._after: list[Stage] = [Gate(config.gate, rate)] if config.gate.enabled else []
        if self._agc is not None:
            ceiling, ahead = config.agc.ceiling_db, config.agc.lookahead_ms
            self._after += [self._agc, Limiter(ceiling, ahead, rate)]
        self._tracks = self._make_tracks(vads)
        self._segmenter = Segmenter(config.segmenter, rate)
        self._ready = History()  # through all stages, waiting for a probability
        self._taken = 0  # samples of this stretch, of the source
        self._resampled = 0  # and after the resampler
        self._stretch = (at_sample, 0)  # where it begins: index of the source, of the segmenter
        self._heard = self._voiced = 0
        self._levels = (level_db(np.empty(0, np.float32)),) * 2
        self._total = self._lost = 0

    def _make_tracks(self, vads: list[Vad] | None) -> list[Track]:
        config, rate = self.config.vad, self.config.sample_rate
        if vads is not None:
            if not vads:
                raise InvalidOptionError("name at least one detector", where="vads")
            return [VadTrack(vad, rate, denoised=True) for vad in vads]
        tracks: list[Track] = []
        for backend in config.backends:
            if backend == "energy" and self._denoiser is not None:
                tracks.append(PresenceTrack(self._denoiser))
            else:
                # A network has heard noise: reduction gains it 0.01 of AUC there, and loses 0.04 in
                # babble (tests/bench/audio.py).
                vad = make_vad(backend, config, rate)
                tracks.append(VadTrack(vad, rate, denoised=backend != "neural"))
        return tracks

    @property
    def delay_ms(self) -> float:
        """The most time samples wait inside before the segmenter sees them."""
        inner = sum(stage.delay for stage in self._stages())
        return 1000 * (self._resampler.delay / self.sample_rate + inner / self.config.sample_rate)

    def _stages(self) -> list[Stage]:
        return [self._denoiser, *self._after] if self._denoiser is not None else self._after

    @property
    def speaking(self) -> bool:
        """Whether an utterance is open."""
        return self._segmenter.speaking

    @property
    def at_sample(self) -> int:
        """Index of the sample of the source that is to come."""
        return self._stretch[0] + self._taken

    @property
    def metrics(self) -> Metrics:
        """Of now."""
        return Metrics(
            rms_db=self._levels[0],
            peak_db=self._levels[1],
            seconds=self._total / self.sample_rate,
            voice_ratio=self._voiced / max(self._heard, 1),
            snr_db=None if self._denoiser is None else self._denoiser.snr_db,
            gain_db=0.0 if self._agc is None else self._agc.gain_db,
            lost=self._lost,
        )

    def push(self, item: AudioChunk | Discontinuity | npt.ArrayLike) -> list[SpeechEvent]:
        """Go on by what a source gave, or by an array as `fold` takes it.

        Events come in the order of their indices and a while after their sound: `delay_ms`, and
        what the segmenter waits for.

        Raises:
            MediaError: samples of another shape, dtype or rate, from before those that were had,
                or not finite. Nothing was taken.
        """
        if isinstance(item, Discontinuity):
            return self._gap(item)
        if not isinstance(item, AudioChunk):
            return self._take(fold(item, self._gain))
        if item.format.sample_rate != self.sample_rate:
            raise MediaError(
                f"the chunk has {item.format.sample_rate} Hz", where=f"sample {item.at_sample}"
            )
        missing = item.at_sample - self.at_sample
        if missing < 0:
            raise MediaError("the chunk was had before", where=f"sample {item.at_sample}")
        samples = fold(item.samples, self._gain)
        if not missing:
            return self._take(samples)
        hole = Discontinuity(self.at_sample, missing, "both")
        return [*self._gap(hole), *self._take(samples)]

    def starve(self, n: int) -> list[SpeechEvent]:
        """Nothing has come for the time of another `n` samples of the source.

        When `no_audio_ms` are over, what waits in the stages is given to the segmenter, an open
        utterance ends, and `NoAudio` is told.
        """
        n = map_index(n, self.sample_rate, self.config.sample_rate)
        segmenter = self._segmenter
        waited = segmenter.waited + n
        events: list[SpeechEvent] = []
        over = waited >= segmenter.patience > segmenter.waited
        if over:
            events += self._end_stretch()
        events = self._at_source([*events, *segmenter.starve(waited - segmenter.waited)])
        if over:
            self._begin_stretch()
        return events

    def finish(self) -> list[SpeechEvent]:
        """The stream ended: the rest. More may be pushed after it, as another stretch."""
        events = self._at_source([*self._end_stretch(), *self._segmenter.finish()])
        self._begin_stretch()
        return events

    def _gap(self, hole: Discontinuity) -> list[SpeechEvent]:
        events = self._at_source([*self._end_stretch(), *self._segmenter.gap(0)])
        self._lost += hole.lost
        self._begin_stretch(hole.lost)
        return [*events, hole]

    def _begin_stretch(self, lost: int = 0) -> None:
        self._stretch = (self.at_sample + lost, self._segmenter.now)
        self._taken = 0

    def _at_source(self, events: list[SpeechEvent]) -> list[SpeechEvent]:
        """The events with indices of the source."""
        return [
            event if isinstance(event, Discontinuity) else self._moved(event) for event in events
        ]

    def _moved(self, event: _Inside) -> _Inside:
        source, inside = self._stretch
        rate = self.config.sample_rate
        moved: dict[str, int] = {"index_rate": self.sample_rate}
        for field in dataclasses.fields(event):
            value = getattr(event, field.name)
            if field.name in _INDICES:
                moved[field.name] = source + min(
                    map_index(value - inside, rate, self.sample_rate), self._taken
                )
            elif field.name == "waited":
                moved[field.name] = map_index(value, rate, self.sample_rate)
        return dataclasses.replace(event, **moved)  # type: ignore[arg-type]

    def _take(self, samples: Samples) -> list[SpeechEvent]:
        if not samples.size:
            return []
        self._taken += samples.size
        self._total += samples.size
        self._levels = (level_db(samples), level_db(np.abs(samples).max(keepdims=True)))
        return self._at_source(self._through(self._resampler.process(samples)))

    def _through(self, raw: Samples) -> list[SpeechEvent]:
        self._resampled += raw.size
        denoised = raw if self._denoiser is None else self._denoiser.process(raw)
        for track in self._tracks:
            track.feed(raw, denoised)
        for stage in self._after:
            denoised = stage.process(denoised)
        self._ready.append(denoised)
        return self._segment()

    def _segment(self) -> list[SpeechEvent]:
        events: list[SpeechEvent] = []
        ready = self._ready
        threshold = self.config.segmenter.threshold
        for end, probability in merge(self._tracks, ready.end, self.config.vad.agreement):
            samples = ready.view(ready.start, end)
            if self._on_frame is not None:
                self._on_frame(samples, probability)
            self._heard += samples.size
            if probability is not None and probability >= threshold:
                self._voiced += samples.size
            events += self._segmenter.push(samples, probability)
            ready.drop(end)
        return events

    def _end_stretch(self) -> list[SpeechEvent]:
        """Everything that still waits in a stage."""
        if not self._taken:
            return []
        raw = self._resampler.flush()
        events = self._through(raw)
        rest = np.empty(0, np.float32) if self._denoiser is None else self._denoiser.flush()
        for track in self._tracks:
            track.feed(rest[:0], rest)
            track.flush(self._resampled)
        for stage in self._after:
            rest = np.concatenate([stage.process(rest), stage.flush()])
        self._ready.append(rest)
        events += self._segment()
        self._ready.restart(0)
        self._resampled = 0
        return events

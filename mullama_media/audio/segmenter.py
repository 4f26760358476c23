"""Where utterances begin and end: a pure state machine over probabilities and samples.

    quiet ──speech──> maybe ──min_speech──> speaking ──silence_ms──> quiet
                        │                     │    └──max_utterance──> split, speaking
                        └──dip──> quiet       ├──pause_ms──> Pause, speaking
                                              └──partial_ms──> Partial, speaking

It knows no clock, device or event loop: time is the number of samples it was given. Every limit is
met on the sample, not on the frame, so a stretch with one probability may be pushed whole or in
pieces and gives the same events at the same indices.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mullama_media.audio.config import SegmenterConfig
from mullama_media.audio.history import History
from mullama_media.audio.split import quietest
from mullama_media.errors import InvalidOptionError
from mullama_media.frames import (
    EndReason,
    NoAudio,
    Partial,
    Pause,
    SpeechEnded,
    SpeechEvent,
    SpeechStarted,
    Utterance,
)

__all__ = ["Segmenter"]


class Segmenter:
    """Turns probabilities of speech into utterances. Not thread-safe; never blocks.

    Utterances never overlap. Those of one `SpeechStarted` follow each other without a gap, and all
    speech of at least `min_speech_ms` is in one of them, with up to `pre_roll_ms` before it and
    `post_roll_ms` after it.

    Args:
        config: the limits.
        sample_rate: of the samples and of all indices, in Hz.
        start: index of the first sample.
    """

    def __init__(self, config: SegmenterConfig, sample_rate: int, start: int = 0) -> None:
        self._config = config
        self._rate = sample_rate
        self._history = History(start)
        self._min_speech = self._samples(config.min_speech_ms)
        self._silence = self._samples(config.silence_ms)
        self._pause = self._samples(config.pause_ms)
        self._partial = self._samples(config.partial_ms)
        self._pre_roll = self._samples(config.pre_roll_ms)
        self._post_roll = self._samples(config.post_roll_ms)
        self._limit = self._samples(config.max_utterance_ms)
        self._search = self._samples(config.split_search_ms)
        self._no_audio = self._samples(config.no_audio_ms)
        self._forget(start)

    def _samples(self, ms: int) -> int:
        return self._rate * ms // 1000

    def _forget(self, now: int) -> None:
        self._now = now
        self._floor = now  # utterances begin here or later
        self._waited = 0
        self._active = False
        self._run = now  # index since when it is
        self._heard = 0  # samples of speech in what may become speech
        self._onset = now  # index of its first sample
        self._last_speech = now  # index after the last sample of speech
        self._open = False
        self._speech_origin = now  # `start` of SpeechStarted
        self._start = now  # of the utterance
        self._first_speech: int | None = None  # in the utterance
        self._paused = False
        self._told = now  # index at which a partial was told last
        self._silences: list[tuple[int, int]] = []  # inside the utterance, finished ones

    @property
    def now(self) -> int:
        """Index of the sample to come."""
        return self._now

    @property
    def speaking(self) -> bool:
        """Whether an utterance is open."""
        return self._open

    @property
    def waited(self) -> int:
        """For how many samples' time nothing came."""
        return self._waited

    @property
    def patience(self) -> int:
        """For how many samples' time it waits."""
        return self._no_audio

    def push(
        self, samples: npt.NDArray[np.float32], probability: float | None
    ) -> list[SpeechEvent]:
        """Go on by `samples`, shape (n,), all with one probability of speech.

        None says that there is no answer yet: things stay as they are and nothing is lost.
        """
        if probability is not None:
            if not 0 <= probability <= 1:
                raise InvalidOptionError(
                    f"{probability!r} is not a probability", where="Segmenter.push"
                )
            limit = self._config.release_threshold if self._active else self._config.threshold
            active = probability >= limit
            if active and not self._active:
                self._run = self._now
            self._active = active
        self._history.append(samples)
        self._waited = 0
        events: list[SpeechEvent] = []
        end = self._now + samples.size
        while self._now < end:
            step = self._speaking_step if self._open else self._quiet_step
            step(end, events)
        return events

    def gap(self, lost: int) -> list[SpeechEvent]:
        """`lost` samples will never come: what is open ends here, the index jumps over them."""
        events = self._close("gap")
        self._forget(self._now + lost)
        self._history.restart(self._now)
        return events

    def starve(self, n: int) -> list[SpeechEvent]:
        """Nothing has come for the time of another `n` samples.

        After `no_audio_ms` of that what is open ends and `NoAudio` is told, once. The index does
        not move: what was not captured has none.
        """
        before, self._waited = self._waited, self._waited + n
        if not before < self._no_audio <= self._waited:
            return []
        events = self._close("no_audio")
        self._rest()
        return [*events, NoAudio(self._now, self._waited, self._rate)]

    def finish(self) -> list[SpeechEvent]:
        """The stream ended. More may be pushed after it, as another stretch."""
        events = self._close("end")
        self._rest()
        return events

    def _rest(self) -> None:
        waited = self._waited
        self._forget(self._now)
        self._waited = waited
        self._history.drop(self._now)

    def _quiet_step(self, end: int, events: list[SpeechEvent]) -> None:
        """Up to `end`, or to where speech is certain or given up.

        It is certain when `min_speech_ms` of it came within twice that time.
        """
        given_up = self._onset + 2 * self._min_speech
        if self._heard and self._now >= given_up:
            # What is being said now may still come to something.
            self._onset = self._run
            self._heard = self._now - self._run if self._active else 0
            given_up = self._onset + 2 * self._min_speech
        if self._heard:
            end = min(end, given_up)
        if not self._active:
            self._now = end
            self._history.drop(self._earliest())
            return
        if not self._heard:
            self._onset = self._now
        n = min(end - self._now, max(self._min_speech - self._heard, 1))
        self._heard += n
        self._now += n
        self._last_speech = self._now
        if self._heard >= self._min_speech:
            self._begin(events)

    def _earliest(self) -> int:
        """Where an utterance that begins now, or is about to, could start."""
        onset = self._onset if self._heard else self._now
        return max(self._floor, onset - self._pre_roll)

    def _begin(self, events: list[SpeechEvent]) -> None:
        self._start = self._speech_origin = self._earliest()
        self._first_speech = self._onset
        self._open, self._paused, self._heard = True, False, 0
        self._silences = []
        self._told = self._now
        events.append(SpeechStarted(self._start, self._onset, self._now, self._rate))

    def _speaking_step(self, end: int, events: list[SpeechEvent]) -> None:
        """Up to `end`, or to the next limit."""
        split_at = self._start + self._limit
        if self._active:
            if self._now > self._last_speech:
                self._silences.append((self._last_speech, self._now))
            if self._first_speech is None:
                self._first_speech = self._now
            self._paused = False
            self._speak(min(end, split_at), events)
        else:
            pause_at = self._last_speech + self._pause
            quiet_at = self._last_speech + self._silence
            told = self._paused or not self._pause
            limits = (end, quiet_at, split_at) if told else (end, quiet_at, split_at, pause_at)
            self._now = min(limits)
            if self._now >= quiet_at:
                events += self._close("silence")
                return
            if not told and self._now >= pause_at:
                self._tell_pause(events)
        if self._now >= split_at:
            self._split(events)

    def _speak(self, end: int, events: list[SpeechEvent]) -> None:
        """Up to `end`, or to where a partial is due."""
        due = max(self._told + self._partial, self._now)
        if not self._partial or due > end:
            self._now = self._last_speech = end
            return
        self._now = self._last_speech = self._told = due
        samples = self._history.view(self._start, due).copy()
        events.append(Partial(samples, self._rate, self._start, due, self._rate))

    def _tell_pause(self, events: list[SpeechEvent]) -> None:
        self._paused = True
        if self._first_speech is None:
            return
        samples = self._history.view(self._start, self._now).copy()
        events.append(
            Pause(samples, self._rate, self._start, self._now, self._last_speech, self._rate)
        )

    def _close(self, why: EndReason) -> list[SpeechEvent]:
        """End the utterance and the speech, if there is any."""
        if not self._open:
            return []
        events: list[SpeechEvent] = []
        end = self._start
        if self._first_speech is not None:
            end = min(self._now, self._last_speech + self._post_roll)
            events.append(self._utterance(end, self._last_speech, why))
        events.append(
            SpeechEnded(
                self._speech_origin,
                end,
                min(self._last_speech, end),
                self._now,
                self._rate,
            )
        )
        self._open, self._active, self._heard = False, False, 0
        self._floor = end
        self._history.drop(self._earliest())
        return events

    def _split(self, events: list[SpeechEvent]) -> None:
        """Give the utterance up to the best place, and go on with the rest.

        That is the middle of the longest silence of the last `split_search_ms`, or where the
        samples are quietest if there is none.
        """
        low = max(self._now - self._search, self._start + 1)
        silences = [*self._silences, (self._last_speech, self._now)]
        inside = [(max(a, low), b) for a, b in silences if b > low and b > a]
        if inside:
            begin, stop = max(inside, key=lambda run: (run[1] - run[0], run[1]))
            cut = (begin + stop) // 2
        else:
            cut = low + quietest(self._history.view(low, self._now), self._rate)
        after = [run for run in silences if run[1] > cut]
        if self._first_speech is not None and self._first_speech < cut:
            spoken = [a for a, b in silences if a < cut <= b]
            speech_end = spoken[0] if spoken else min(cut, self._last_speech)
            events.append(self._utterance(cut, speech_end, "max_utterance"))
        self._first_speech = None
        if self._last_speech > cut:
            inside_silence = [b for a, b in after if a <= cut]
            self._first_speech = inside_silence[0] if inside_silence else cut
        self._start = cut
        self._told = self._now
        self._silences = [run for run in self._silences if run[1] > cut]
        self._history.drop(cut)

    def _utterance(self, end: int, speech_end: int, why: EndReason) -> Utterance:
        return Utterance(
            samples=self._history.view(self._start, end).copy(),
            sample_rate=self._rate,
            start=self._start,
            end=end,
            speech_start=self._start if self._first_speech is None else self._first_speech,
            speech_end=speech_end,
            decided=self._now,
            index_rate=self._rate,
            ended_by=why,
        )

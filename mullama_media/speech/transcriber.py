"""What every transcriber does: find speech, have it heard, check what was heard, say when it was.

Sound comes as a recording, a file or an `Utterance`. In the first two `TranscriptionParams.ear`
finds speech, and only that reaches the backend; an `Utterance`, which came from some detector, has
to be speech for the ear, too. What a backend makes of noise all the same is caught by its own
figures (Radford et al. 2022, section 4.5).
"""

from __future__ import annotations

import abc
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from mullama_media.audio.decode import SoundFile
from mullama_media.audio.resample import resample
from mullama_media.errors import EngineClosedError, InvalidOptionError
from mullama_media.frames import AudioFrame, Utterance
from mullama_media.options import replace
from mullama_media.speech.gate import utterances, why_quiet
from mullama_media.speech.job import TranscriptJob
from mullama_media.speech.params import TranscriberParams, TranscriptionParams
from mullama_media.speech.transcript import Segment, Transcript, Word

__all__ = ["Heard", "Sound", "ThreadedTranscriber", "Transcriber", "compression_ratio", "refuse"]

Sound: TypeAlias = AudioFrame | Utterance | SoundFile
"""What may be transcribed; files are read piece by piece"""

_SLACK_MS = 200  # a detector may be so late


class Transcriber(Protocol):
    """Sound to text. Every method is thread-safe."""

    @property
    def name(self) -> str:
        """Of the backend, as `Transcript.backend` says it."""
        ...

    def transcribe(self, sound: Sound, params: TranscriptionParams | None = None) -> TranscriptJob:
        """Begin, on a thread of its own; returns at once.

        `await` what it gives, or ask for its `result()`; what has no speech in it has an empty
        text. Errors of the sound come there.

        Args:
            sound: a recording, an utterance, or a sound file (path, bytes or binary file).
            params: language, words to expect, limits.

        Raises:
            InvalidOptionError: the backend does not know such an option.
            ModelCapabilityError: the model cannot do what is asked.
            EngineClosedError: it was closed.
        """
        ...

    def close(self) -> None:
        """Stop and free everything. Idempotent; blocks for what is running."""
        ...


@dataclass(frozen=True, slots=True)
class Heard:
    """What a backend heard in a piece of sound; seconds count from the beginning of the piece."""

    text: str
    start_s: float
    end_s: float
    words: tuple[tuple[str, float, float, float | None], ...] = ()
    """Text with the space before it, start and end in seconds, probability"""
    average_logprob: float | None = None
    no_speech_probability: float | None = None
    compression_ratio: float | None = None
    temperature: float | None = None
    language: str | None = None
    language_probability: float | None = None


class ThreadedTranscriber(abc.ABC):
    """Base of transcribers: threads, gate, times and checks; what hears is `_hear`."""

    name: str
    sample_rate: int = 16_000
    """Of the samples that `_hear` gets, in Hz"""
    no_speech_threshold: float = 0.6
    """Where `TranscriptionParams` leaves it open"""
    unknown: tuple[str, ...] = ()
    """Fields of `TranscriptionParams` that mean nothing to the backend, and are refused if set"""

    def __init__(self, parallel: int = 1) -> None:
        self._closed = False
        self._pool = ThreadPoolExecutor(parallel, f"mullama-{self.name}")

    def transcribe(self, sound: Sound, params: TranscriptionParams | None = None) -> TranscriptJob:
        """See `Transcriber.transcribe`."""
        params = params or TranscriptionParams()
        if self._closed:
            raise EngineClosedError("the transcriber is closed")
        self.check(params)
        params = replace(params, ear=params.ear.with_sample_rate(self.sample_rate))  # type: ignore[attr-defined]
        job = TranscriptJob()
        try:
            self._pool.submit(self._run, sound, params, job)
        except RuntimeError as error:  # closed meanwhile
            raise EngineClosedError("the transcriber is closed") from error
        return job

    def check(self, params: TranscriptionParams) -> None:
        """Refuse what this backend cannot do. Raises what `transcribe` does."""
        refuse(params, self.name, *self.unknown)

    @abc.abstractmethod
    def _hear(
        self, samples: npt.NDArray[np.float32], params: TranscriptionParams
    ) -> Iterator[Heard]:
        """What is said in `samples`, mono at `sample_rate`. Runs on a thread of the pool."""

    def close(self) -> None:
        """See `Transcriber.close`."""
        self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=False)

    def _run(self, sound: Sound, params: TranscriptionParams, job: TranscriptJob) -> None:
        try:
            transcript = self._transcribe(sound, params, job)
        except BaseException as error:  # whatever it was, whoever waits has to know
            job._fail(error)
        else:
            job._finish(transcript)

    def _transcribe(
        self, sound: Sound, params: TranscriptionParams, job: TranscriptJob
    ) -> Transcript:
        job._check()
        if isinstance(sound, Utterance):
            parts = [self._utterance(sound, params, job, found=False)]
            return _joined(self.name, parts, sound.start, sound.end, sound.index_rate)
        end_s = 0.0

        def progress(seconds: float) -> None:
            nonlocal end_s
            end_s = seconds
            job._progress(seconds)

        parts = [
            self._utterance(utterance, params, job, found=True)
            for utterance in utterances(sound, params.ear, progress)
        ]
        rate = parts[0].index_rate if parts else self.sample_rate
        return _joined(self.name, parts, 0, round(end_s * rate), rate)

    def _utterance(
        self, utterance: Utterance, params: TranscriptionParams, job: TranscriptJob, *, found: bool
    ) -> Transcript:
        kept: list[Segment] = []
        rejected: list[Segment] = []
        language: tuple[str | None, float | None] = (params.language, None)
        quiet = why_quiet(utterance, params, found=found)
        if quiet is None:
            sound = resample(utterance.frame, self.sample_rate)
            for heard in self._hear(sound.samples, params):
                job._check()
                if params.language is None:
                    language = (heard.language, heard.language_probability)
                segment = _segment(heard, utterance)
                if not segment.text:
                    continue
                if self._is_speech(heard, params):
                    kept.append(segment)
                    job._found(segment)
                else:
                    rejected.append(segment)
        job._progress(utterance.end / utterance.index_rate)
        return Transcript(
            start=utterance.start,
            end=utterance.end,
            index_rate=utterance.index_rate,
            segments=tuple(kept),
            backend=self.name,
            language=language[0],
            language_probability=language[1],
            rejected=tuple(rejected),
            quiet=quiet,
        )

    def _is_speech(self, heard: Heard, params: TranscriptionParams) -> bool:
        limit = params.no_speech_threshold
        limit = self.no_speech_threshold if limit is None else limit
        ratio, logprob = heard.compression_ratio, heard.average_logprob
        if not any(char.isalnum() for char in heard.text):
            return False
        if ratio is not None and ratio > params.compression_ratio_threshold:
            return False
        if logprob is None or heard.no_speech_probability is None:
            return True
        return logprob >= params.logprob_threshold or heard.no_speech_probability <= limit

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def compression_ratio(text: str) -> float:
    """Bytes of the text over those zlib makes of it; of a short text less than 1."""
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw))


def refuse(params: TranscriptionParams | TranscriberParams, backend: str, *names: str) -> None:
    """Refuse options that were set.

    Raises:
        InvalidOptionError: one of them has another value than its default.
    """
    plain = type(params)()
    for name in names:
        if getattr(params, name) != getattr(plain, name):
            raise InvalidOptionError(
                f"the backend {backend} has no such option",
                where=f"{type(params).__name__}.{name}",
            )


def _segment(heard: Heard, utterance: Utterance) -> Segment:
    """With times at the source, inside the speech: models often begin and end with the sound."""
    rate = utterance.index_rate
    slack = rate * _SLACK_MS // 1000
    first = max(utterance.start, utterance.speech_start - slack)
    last = min(utterance.end, utterance.speech_end + slack)

    def index(seconds: float) -> int:
        return min(max(utterance.start + round(seconds * rate), first), last)

    words = tuple(
        Word(index(start), index(end), rate, text, probability)
        for text, start, end, probability in heard.words
    )
    return Segment(
        start=index(heard.start_s),
        end=index(heard.end_s),
        index_rate=rate,
        text=heard.text.strip(),
        words=words,
        average_logprob=heard.average_logprob,
        no_speech_probability=heard.no_speech_probability,
        compression_ratio=heard.compression_ratio,
        temperature=heard.temperature,
    )


def _joined(name: str, parts: list[Transcript], start: int, end: int, rate: int) -> Transcript:
    """One transcript of all; its language is that of most of the speech."""
    spoken: dict[tuple[str | None, float | None], int] = {}
    for part in parts:
        if part.segments:
            heard = (part.language, part.language_probability)
            spoken[heard] = spoken.get(heard, 0) + part.end - part.start
    language = max(spoken, key=lambda heard: spoken[heard], default=(None, None))
    quiets = {part.quiet for part in parts}
    return Transcript(
        start=start,
        end=end,
        index_rate=rate,
        segments=tuple(segment for part in parts for segment in part.segments),
        backend=name,
        language=language[0],
        language_probability=language[1],
        rejected=tuple(segment for part in parts for segment in part.rejected),
        quiet=None if None in quiets else next(iter(quiets), "no speech"),
    )

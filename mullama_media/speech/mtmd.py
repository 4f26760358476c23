"""Transcription by a language model with ears, through libmtmd."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mullama_media.audio.split import split
from mullama_media.engine.params import EngineParams
from mullama_media.engine.sampling import SamplingParams
from mullama_media.engine.stream import Completion, StreamConfig
from mullama_media.frames import AudioFrame
from mullama_media.multimodal import MultimodalProcessor
from mullama_media.speech.params import TranscriberParams, TranscriptionParams
from mullama_media.speech.transcriber import (
    Heard,
    ThreadedTranscriber,
    compression_ratio,
    refuse,
)

__all__ = ["MtmdTranscriber"]

_DEFAULT = "tiny-omni"
_INSTRUCTION = "Transcribe the audio."
_MAX_TOKENS = 448  # a window of Whisper's
_NOTHING = frozenset({"nothing is said", "[blank_audio]", "(silence)", "[silence]"})
"""What models answer to sound without words; the first is tiny-omni's"""


class MtmdTranscriber(ThreadedTranscriber):
    """A model that hears is asked to transcribe. Use `load`, or give it a processor you have.

    Each utterance is one question; there are no times within it, and no probability of no speech.
    Thread-safe.

    Args:
        processor: a model with an audio encoder. It stays open.
        parallel: utterances at once, up to the sequences of the processor's engine.

    Raises:
        ModelCapabilityError: the model takes no recordings.
    """

    name = "mtmd"
    unknown = ("word_times", "beam_size", "no_speech_threshold", "task")

    def __init__(self, processor: MultimodalProcessor, parallel: int = 1) -> None:
        self._processor = processor
        self._own = False
        self.sample_rate = processor.require("audio", "transcription").sample_rate
        super().__init__(parallel)

    @classmethod
    def load(cls, params: TranscriberParams | None = None, *, download: Any = None) -> Self:
        """Find, fetch if need be, and load a model. Blocks.

        Args:
            params: which, and what it runs on.
            download: told about the bytes of a download (see `mullama_media.hub`).

        Raises:
            InvalidOptionError: an option of another backend.
            What `MultimodalProcessor.load` raises.
        """
        params = params or TranscriberParams(backend="mtmd")
        refuse(params, "mtmd", "device", "compute_type")
        processor = MultimodalProcessor.load(
            params.model or _DEFAULT,
            mmproj=params.mmproj,
            engine_params=EngineParams(n_parallel=params.parallel, threads=params.threads),
            download=download,
        )
        try:
            made = cls(processor, params.parallel)
        except BaseException:
            processor.close()
            raise
        made._own = True
        return made

    def _hear(
        self, samples: npt.NDArray[np.float32], params: TranscriptionParams
    ) -> Iterator[Heard]:
        at_s = 0.0
        for piece in split(AudioFrame(samples, self.sample_rate, "utterance")):
            end_s = at_s + piece.duration_ms / 1000
            yield self._piece(piece, params, at_s, end_s)
            at_s = end_s

    def _piece(
        self, piece: AudioFrame, params: TranscriptionParams, start_s: float, end_s: float
    ) -> Heard:
        """Asked at one temperature after the other, until the answer passes the checks."""
        question = [piece, _question(params)]
        config = StreamConfig(max_tokens=params.max_tokens or _MAX_TOKENS)
        for temperature in params.temperatures or (0.0,):
            sampling = SamplingParams(temperature=temperature, logprobs=1)
            answer = self._processor.generate(question, sampling=sampling, config=config)
            text = answer.text.strip()
            logprob, ratio = _average_logprob(answer), compression_ratio(text)
            failed = logprob is not None and logprob < params.logprob_threshold
            if not failed and ratio <= params.compression_ratio_threshold:
                break
        if text.lower().rstrip(".") in _NOTHING:
            text = ""
        return Heard(
            text,
            start_s,
            end_s,
            average_logprob=logprob,
            compression_ratio=ratio,
            temperature=temperature,
            language=params.language,
        )

    def close(self) -> None:
        """Wait for what is running; free the model, if `load` loaded it. Idempotent."""
        super().close()
        if self._own:
            self._processor.close()


def _question(params: TranscriptionParams) -> str:
    said = [params.instruction or _INSTRUCTION]
    if params.language is not None:
        said.append(f"The language is {params.language}.")
    if params.hot_words:
        said.append(f"These words are likely: {', '.join(params.hot_words)}.")
    if params.prompt is not None:
        said.append(f"Before it was said: {params.prompt}")
    return " ".join(said)


def _average_logprob(answer: Completion) -> float | None:
    found = [token.logprob for token in answer.tokens if token.logprob is not None]
    return sum(found) / len(found) if found else None

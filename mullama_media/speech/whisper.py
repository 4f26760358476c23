"""Whisper models through faster-whisper, which runs them on CTranslate2."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mullama_media import hub
from mullama_media.errors import (
    InvalidOptionError,
    MissingExtraError,
    ModelCapabilityError,
    ModelLoadError,
)
from mullama_media.speech.params import TranscriberParams, TranscriptionParams
from mullama_media.speech.transcriber import Heard, ThreadedTranscriber, refuse

__all__ = ["WhisperTranscriber"]

_DEFAULT = "whisper:tiny.en"
_NEEDED = ("config.json", "model.bin", "tokenizer.json")
_LADDER = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


class WhisperTranscriber(ThreadedTranscriber):
    """A Whisper model. Use `load`.

    Utterances go through it one by one, each in a window of 30 s, on threads of its own.
    Thread-safe.
    """

    name = "whisper"
    unknown = ("instruction",)

    def __init__(self, model: Any, parallel: int = 1) -> None:
        super().__init__(parallel)
        self._model = model
        self._lock = threading.Lock()

    @classmethod
    def load(cls, params: TranscriberParams | None = None, *, download: Any = None) -> Self:
        """Find, fetch if need be, and load a model. Blocks.

        Args:
            params: which, and what it runs on.
            download: told about the bytes of a download (see `mullama_media.hub`).

        Raises:
            MissingExtraError: faster-whisper is not installed.
            ModelNameError, DownloadError, ChecksumError: see `mullama_media.hub.resolve_folder`.
            ModelLoadError: the folder is incomplete or broken, or the device cannot be used.
            InvalidOptionError: the device has no such `compute_type`.
        """
        params = params or TranscriberParams()
        refuse(params, "whisper", "mmproj")
        library = _faster_whisper()
        folder = hub.resolve_folder(params.model or _DEFAULT, progress=download)
        missing = [name for name in _NEEDED if not (folder / name).is_file()]
        if missing:
            raise ModelLoadError(
                f"it has no {', '.join(missing)}",
                where=folder,
                hint="Name the folder of a Whisper model converted for CTranslate2",
            )
        return cls(_open(library, folder, params), params.parallel)

    def check(self, params: TranscriptionParams) -> None:
        """Refuse what the model cannot do."""
        super().check(params)
        known = self._model.supported_languages
        if params.language is not None and params.language not in known:
            raise ModelCapabilityError(
                f"the model does not know the language {params.language!r}",
                where="TranscriptionParams.language",
                hint=f"It knows {', '.join(known)}"
                + ("; whisper:base knows 99 languages" if len(known) == 1 else ""),
            )
        if params.task == "translate" and not self._model.model.is_multilingual:
            raise ModelCapabilityError(
                "a model of English alone translates nothing",
                where="TranscriptionParams.task",
                hint="whisper:base does",
            )

    def _hear(
        self, samples: npt.NDArray[np.float32], params: TranscriptionParams
    ) -> Iterator[Heard]:
        segments, info = self._model.transcribe(
            samples,
            language=params.language,
            task=params.task,
            beam_size=params.beam_size or 5,
            temperature=list(_LADDER if params.temperatures is None else params.temperatures),
            compression_ratio_threshold=params.compression_ratio_threshold,
            log_prob_threshold=params.logprob_threshold,
            no_speech_threshold=self.no_speech_threshold
            if params.no_speech_threshold is None
            else params.no_speech_threshold,
            condition_on_previous_text=False,  # one bad window would spoil those behind it
            initial_prompt=params.prompt,
            hotwords=", ".join(params.hot_words) or None,
            word_timestamps=params.word_times,
            max_new_tokens=params.max_tokens,
        )
        for segment in segments:
            yield Heard(
                text=segment.text,
                start_s=float(segment.start),
                end_s=float(segment.end),
                words=tuple(
                    (w.word, float(w.start), float(w.end), float(w.probability))
                    for w in segment.words or ()
                ),
                average_logprob=float(segment.avg_logprob),
                no_speech_probability=float(segment.no_speech_prob),
                compression_ratio=float(segment.compression_ratio),
                temperature=segment.temperature,
                language=info.language,
                language_probability=info.language_probability,
            )

    def close(self) -> None:
        """Wait for what is running, then free the model. Idempotent."""
        super().close()
        with self._lock:
            if self._model.model.model_is_loaded:
                self._model.model.unload_model()


def _open(library: ModuleType, folder: Path, params: TranscriberParams) -> Any:
    import ctranslate2

    cuda = params.device == "cuda" or (
        params.device == "auto" and ctranslate2.get_cuda_device_count() > 0
    )
    device = "cuda" if cuda else "cpu"
    compute_type = params.compute_type or ("float16" if cuda else "int8")
    try:
        return library.WhisperModel(
            str(folder),
            device=device,
            compute_type=compute_type,
            cpu_threads=params.threads or _cores(),
            num_workers=params.parallel,
            local_files_only=True,
        )
    except ValueError as error:  # the device has no such kind of numbers
        raise InvalidOptionError(
            f"{compute_type!r} cannot be used on {device}: {error}",
            where="TranscriberParams.compute_type",
            hint=", ".join(sorted(ctranslate2.get_supported_compute_types(device))),
        ) from error
    except Exception as error:  # RuntimeError of CTranslate2, Exception of tokenizers
        raise ModelLoadError(f"it cannot be loaded: {error}", where=folder) from error


def _faster_whisper() -> ModuleType:
    try:
        import faster_whisper
    except ImportError as error:
        raise MissingExtraError.of("transcription with Whisper", "whisper") from error
    return faster_whisper  # type: ignore[no-any-return, unused-ignore]


def _cores() -> int:
    """That this process may use; more threads than those wait for each other."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

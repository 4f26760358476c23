"""Who transcribes, and how."""

from __future__ import annotations

from mullama_media.audio.config import AudioStreamConfig
from mullama_media.errors import InvalidOptionError
from mullama_media.options import option, options

__all__ = ["BACKENDS", "TranscriberParams", "TranscriptionParams"]

BACKENDS = ("whisper", "mtmd")


@options
class TranscriberParams:
    """Which model hears, and what it runs on."""

    backend: str = option(
        default="whisper",
        doc="Who hears: whisper (faster-whisper), or mtmd, a language model with ears.",
        choices=BACKENDS,
    )
    model: str | None = option(
        default=None,
        doc="For whisper an alias (whisper:tiny.en, whisper:base), hf:owner/repo or the path of a "
        "CTranslate2 folder; for mtmd as for `mullama run`. Left out: whisper:tiny.en, tiny-omni.",
    )
    mmproj: str | None = option(
        default=None, doc="mtmd: the encoders, where the model's name does not bring them."
    )
    device: str = option(
        default="auto",
        doc="whisper: what it runs on; auto takes CUDA where CTranslate2 finds it.",
        choices=("auto", "cpu", "cuda"),
    )
    compute_type: str | None = option(
        default=None,
        doc="whisper: kind of numbers, such as int8, int8_float16, float16, float32. Left out: "
        "int8 on a CPU, float16 on CUDA.",
    )
    threads: int | None = option(
        default=None, doc="CPU threads of one transcription; None for one a core.", ge=1
    )
    parallel: int = option(default=1, doc="Transcriptions at once.", ge=1, le=64)


@options
class TranscriptionParams:
    """What one transcription is asked. What a backend cannot do it refuses; None leaves it open."""

    language: str | None = option(
        default=None, doc="ISO 639-1 code of what is spoken, such as en; left out it is heard."
    )
    task: str = option(
        default="transcribe",
        doc="transcribe, or translate into English.",
        choices=("transcribe", "translate"),
    )
    prompt: str | None = option(
        default=None, doc="Text that came before: its names and style are taken up."
    )
    hot_words: tuple[str, ...] = option(
        default=(), doc="Names and terms that are likely to be said."
    )
    instruction: str | None = option(
        default=None, doc='mtmd: what is asked of the model; "Transcribe the audio." if left out.'
    )
    word_times: bool = option(default=False, doc="Whether each word gets its times.")
    beam_size: int | None = option(
        default=None, doc="whisper: hypotheses that are followed; 5 if left out.", ge=1, le=64
    )
    temperatures: tuple[float, ...] | None = option(
        default=None,
        doc="Temperatures of decoding, 0..2, each tried where the one before gave what the checks "
        "refuse. Left out: 0, 0.2 ... 1 for whisper, 0 for mtmd.",
        source="Radford et al. 2022, section 4.5",
    )
    no_speech_threshold: float | None = option(
        default=None,
        doc="whisper: with a probability of no speech above this and a log-probability below "
        "`logprob_threshold` nothing was said; 0.6 if left out.",
        ge=0,
        le=1,
    )
    logprob_threshold: float = option(
        default=-1.0, doc="Average log-probability of tokens below which decoding has failed.", le=0
    )
    compression_ratio_threshold: float = option(
        default=2.4, doc="Text that compresses better than this repeats itself.", gt=1
    )
    max_tokens: int | None = option(
        default=None, doc="Most tokens of a segment; what the model allows if left out.", ge=1
    )
    min_level_db: float = option(
        default=-60.0,
        doc="What never gets louder than this is silence, in dBFS (RMS of 100 ms).",
        ge=-120,
        le=0,
    )
    ear: AudioStreamConfig = option(
        default=AudioStreamConfig.preset("transcription"),
        doc="How speech is found in a recording; only that is transcribed.",
    )

    def __post_init__(self) -> None:
        ladder = self.temperatures
        if ladder is not None and not (ladder and all(0 <= one <= 2 for one in ladder)):
            raise InvalidOptionError(
                f"{ladder!r} must be one or more numbers from 0 to 2",
                where="TranscriptionParams.temperatures",
            )

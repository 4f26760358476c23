"""What a TurnTaker is told."""

from __future__ import annotations

from mullama_media.errors import InvalidOptionError
from mullama_media.options import option, options
from mullama_media.speech.turns.words import normalized

__all__ = ["TurnParams"]


@options
class TurnParams:
    """When it is whose turn. Times are of sound: milliseconds' worth of samples."""

    end_silence_ms: int = option(
        default=600,
        doc="Silence after the last speech that ends a turn; the segmenter's own silence is part "
        "of it, so it cannot be less than that.",
        ge=0,
        le=60_000,
    )
    end_threshold: float | None = option(
        default=None,
        doc="Probability from the end-of-turn model below which a turn waits for "
        "`max_end_silence_ms`; None asks no model.",
        ge=0,
        le=1,
    )
    max_end_silence_ms: int = option(
        default=3000,
        doc="Silence that ends a turn that the model takes for unfinished, or does not judge.",
        ge=0,
        le=60_000,
    )
    min_turn_speech_ms: int = option(
        default=0, doc="Turns with less speech than this are none.", ge=0, le=10_000
    )
    resume_ms: int = option(
        default=1000,
        doc="Who goes on within this time after the end of a turn, before anything of the answer "
        "is heard, goes on with that turn; 0 for never.",
        ge=0,
        le=60_000,
    )
    pause_after_ms: int = option(
        default=200,
        doc="Speech during an answer that pauses it, until it is known what it was.",
        ge=0,
        le=10_000,
    )
    min_interrupt_ms: int = option(
        default=500,
        doc="Speech during an answer that interrupts it, from its first sound to its last.",
        ge=0,
        le=60_000,
    )
    min_interrupt_words: int = option(
        default=0,
        doc="Words in the transcript that interrupt an answer, instead of `min_interrupt_ms`; for "
        "where transcripts are given. 0: length alone decides.",
        ge=0,
        le=100,
    )
    false_interrupt_ms: int = option(
        default=2000,
        doc="Time after speech within which its words have to come; then the answer goes on.",
        ge=0,
        le=60_000,
    )
    backchannels: tuple[str, ...] = option(
        default=(
            *("uh-huh", "mm-hmm", "mhm", "hmm", "hm", "mm", "uh", "um", "ah", "oh", "aha"),
            *("yeah", "yep", "ok", "okay", "right", "i see", "got it"),
        ),
        doc="What listeners say while they listen; where words decide, it interrupts nothing.",
    )
    half_duplex: bool = option(
        default=False,
        doc="Whether the ear is mute while an answer plays; for loudspeakers without echo "
        "cancellation. Speech cannot interrupt then.",
    )
    half_duplex_tail_ms: int = option(
        default=300, doc="How long the ear stays mute after that, for the room.", ge=0, le=10_000
    )
    no_audio_timeout_ms: int = option(
        default=2000, doc="Time without samples after which it is told.", ge=20, le=3_600_000
    )
    wake_phrase: str = option(
        default="",
        doc="Turns without it are ignored, until it was said; needs transcripts. Empty: none.",
    )
    wake_similarity: float = option(
        default=0.8,
        doc="How alike what was said has to be to the phrase; 1 is the same.",
        gt=0,
        le=1,
    )
    awake_ms: int = option(
        default=10_000,
        doc="How long after the phrase, and after each answer, no phrase is needed.",
        ge=0,
        le=3_600_000,
    )
    transcript_wait_ms: int = option(
        default=3000,
        doc="How long the end of a turn waits for the transcript in which the phrase may be.",
        ge=0,
        le=60_000,
    )

    def __post_init__(self) -> None:
        if self.end_threshold is not None and self.max_end_silence_ms < self.end_silence_ms:
            raise InvalidOptionError(
                f"{self.max_end_silence_ms} must be at least {self.end_silence_ms}: end_silence_ms",
                where="TurnParams.max_end_silence_ms",
            )
        if self.wake_phrase and not normalized(self.wake_phrase):
            raise InvalidOptionError("there is no word in it", where="TurnParams.wake_phrase")

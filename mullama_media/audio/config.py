"""What the ear may be told: one table of options for each stage.

In TOML a stage is a table inside that of the stream::

    [audio]
    sample_rate = 16000
    [audio.denoise]
    strength = 0.8
    [audio.segmenter]
    silence_ms = 500

read with `AudioStreamConfig.load("ear.toml")`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mullama_media.errors import InvalidOptionError
from mullama_media.options import from_mapping, from_toml, option, options, replace

__all__ = [
    "PRESETS",
    "AgcConfig",
    "AudioStreamConfig",
    "DenoiseConfig",
    "GateConfig",
    "SegmenterConfig",
    "VadConfig",
]

VAD_BACKENDS = ("energy", "webrtc", "neural")


@options
class DenoiseConfig:
    """Noise reduction by spectral subtraction."""

    enabled: bool = option(default=True, doc="Whether noise is reduced.")
    method: str = option(
        default="wiener",
        doc="Gain rule: wiener, or subtraction of powers, which removes less.",
        choices=("wiener", "subtraction"),
        source="Plapous et al. 2006; Boll 1979, Berouti et al. 1979",
    )
    strength: float = option(
        default=1.0,
        doc="Factor on what is taken away in dB: 0 changes nothing, 1 brings noise to `floor_db`.",
        ge=0,
        le=1,
    )
    floor_db: float = option(
        default=-25.0, doc="Gain where there is noise alone, in dB.", ge=-60, le=0
    )
    clean_snr_db: float = option(
        default=45.0,
        doc="Peak SNR from which sound passes as it is; reduction fades out over 15 dB below.",
        ge=0,
        le=120,
    )
    over_subtraction: float = option(
        default=1.0, doc="Factor on the noise estimate; more than 1 removes more.", ge=0.5, le=6
    )
    smoothing: float = option(
        default=0.98,
        doc="Weight of the past in the a-priori SNR, per 8 ms; more makes less musical noise.",
        ge=0,
        le=0.999,
        source="decision-directed, Ephraim & Malah 1984",
    )


@options
class GateConfig:
    """A noise gate: what is quieter than a threshold becomes silence."""

    enabled: bool = option(default=False, doc="Whether the gate works.")
    threshold_db: float = option(
        default=-45.0, doc="Level at which it opens, in dBFS (RMS of 10 ms).", ge=-120, le=0
    )
    hysteresis_db: float = option(
        default=6.0, doc="It closes this many dB below `threshold_db`.", ge=0, le=40
    )
    attack_ms: float = option(default=5.0, doc="Time it takes to open.", ge=0, le=1000)
    hold_ms: float = option(
        default=200.0, doc="Time it stays open below the level.", ge=0, le=10_000
    )
    release_ms: float = option(default=100.0, doc="Time it takes to close.", ge=0, le=10_000)
    range_db: float = option(default=-60.0, doc="Gain when closed, in dB.", ge=-120, le=0)


@options
class AgcConfig:
    """Automatic gain with a limiter behind it."""

    enabled: bool = option(default=True, doc="Whether loudness is evened out and peaks limited.")
    target_db: float = option(
        default=-23.0, doc="Level speech is brought to, in dBFS.", ge=-60, le=0
    )
    max_gain_db: float = option(default=30.0, doc="The most it amplifies.", ge=0, le=60)
    min_gain_db: float = option(default=-20.0, doc="The most it attenuates.", ge=-60, le=0)
    attack_ms: float = option(
        default=100.0, doc="Time constant when it gets louder.", gt=0, le=10_000
    )
    release_ms: float = option(
        default=1000.0, doc="Time constant when it gets quieter.", gt=0, le=60_000
    )
    floor_db: float = option(
        default=-60.0, doc="What is below never moves the gain, in dBFS.", ge=-120, le=0
    )
    ceiling_db: float = option(
        default=-1.0, doc="No sample leaves above this, in dBFS.", ge=-60, le=0
    )
    lookahead_ms: float = option(
        default=5.0, doc="How early the limiter sees a peak; its delay.", gt=0, le=100
    )


@options
class VadConfig:
    """Voice activity detection."""

    backends: tuple[str, ...] = option(
        default=("energy",),
        doc="Detectors: energy (built in), webrtc, neural.",
        choices=VAD_BACKENDS,
    )
    agreement: str = option(
        default="mean",
        doc="How several become one probability: the highest (any), the lowest (all), the median "
        "of votes at 0.5 (majority), or the mean.",
        choices=("any", "all", "majority", "mean"),
    )
    webrtc_mode: int = option(default=2, doc="0 hears most as speech, 3 the least.", ge=0, le=3)

    def __post_init__(self) -> None:
        if not self.backends or len(set(self.backends)) != len(self.backends):
            raise InvalidOptionError(
                "name one detector or several different ones", where="VadConfig.backends"
            )


@options
class SegmenterConfig:
    """When an utterance begins and ends."""

    threshold: float = option(
        default=0.5, doc="Probability at which silence turns to speech.", gt=0, le=1
    )
    release_threshold: float = option(
        default=0.35, doc="Probability below which speech turns to silence.", ge=0, le=1
    )
    min_speech_ms: int = option(default=100, doc="Speech shorter than this is none.", ge=0, le=5000)
    silence_ms: int = option(
        default=600, doc="Silence that ends an utterance (hangover).", ge=20, le=10_000
    )
    pause_ms: int = option(
        default=200, doc="Silence after which a `Pause` is told; 0 tells none.", ge=0, le=10_000
    )
    partial_ms: int = option(
        default=0,
        doc="Time after which speech that goes on is told as a `Partial`, again and again; 0 tells "
        "none.",
        ge=0,
        le=60_000,
    )
    pre_roll_ms: int = option(
        default=300, doc="Sound kept from before speech was heard.", ge=0, le=5000
    )
    post_roll_ms: int = option(
        default=200,
        doc="Sound kept after the last speech. As long as `pause_ms`, the last pause holds the "
        "whole utterance.",
        ge=0,
        le=10_000,
    )
    max_utterance_ms: int = option(
        default=28_000,
        doc="Longer utterances are split; encoders work in windows of 30 s.",
        ge=1000,
        le=3_600_000,
    )
    split_search_ms: int = option(
        default=8000,
        doc="How far back from the limit the longest silence is looked for.",
        ge=20,
        le=60_000,
    )
    no_audio_ms: int = option(
        default=2000, doc="Time without samples that ends an utterance.", ge=20, le=3_600_000
    )

    def __post_init__(self) -> None:
        start = self.pre_roll_ms + 2 * self.min_speech_ms
        room = self.max_utterance_ms - self.split_search_ms
        for field, most, name in (
            ("release_threshold", self.threshold, "threshold"),
            ("post_roll_ms", self.silence_ms, "silence_ms"),
            ("silence_ms", room, "max_utterance_ms - split_search_ms"),
            ("pre_roll_ms", room - start + self.pre_roll_ms, "what split_search_ms leaves"),
        ):
            if getattr(self, field) > most:
                raise InvalidOptionError(
                    f"{getattr(self, field)!r} must be at most {most!r}: {name}",
                    where=f"SegmenterConfig.{field}",
                )


PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "default": {},
    "lowest-latency": {
        "segmenter": {"silence_ms": 350, "pause_ms": 120, "post_roll_ms": 120, "min_speech_ms": 60}
    },
    "dictation": {
        "segmenter": {"silence_ms": 1200, "pause_ms": 400, "post_roll_ms": 400, "pre_roll_ms": 500}
    },
    "noisy": {"denoise": {"floor_db": -30.0}, "segmenter": {"min_speech_ms": 160}},
    "transcription": {
        "denoise": {"enabled": False},
        "agc": {"enabled": False},
        "vad": {"backends": ("neural",)},
        "segmenter": {"silence_ms": 2000, "post_roll_ms": 400, "pause_ms": 400},
    },
    "raw": {"denoise": {"enabled": False}, "agc": {"enabled": False}},
}
"""What each preset changes of the defaults."""


@options
class AudioStreamConfig:
    """From a microphone's samples to utterances: everything the stages are told."""

    sample_rate: int = option(
        default=16_000, doc="Rate utterances have, in Hz; the model's.", ge=8000, le=48_000
    )
    gain_db: float = option(default=0.0, doc="Fixed gain on what comes in, in dB.", ge=-60, le=60)
    denoise: DenoiseConfig = option(default=DenoiseConfig(), doc="Noise reduction.")
    gate: GateConfig = option(default=GateConfig(), doc="Noise gate.")
    agc: AgcConfig = option(default=AgcConfig(), doc="Automatic gain and limiter.")
    vad: VadConfig = option(default=VadConfig(), doc="Voice activity detection.")
    segmenter: SegmenterConfig = option(
        default=SegmenterConfig(), doc="Where utterances begin and end."
    )

    @classmethod
    def preset(cls, name: str, **changes: Any) -> AudioStreamConfig:
        """The defaults with the changes of a preset, then with yours.

        Args:
            name: default, lowest-latency, dictation, noisy, transcription or raw.
            **changes: fields to set; a mapping sets some fields of a stage's table.

        Raises:
            InvalidOptionError: there is no such preset or field, or a value is out of its range.
        """
        if name not in PRESETS:
            raise InvalidOptionError(
                f"there is no preset {name!r}", hint=f"There are: {', '.join(PRESETS)}"
            )
        return replace(from_mapping(cls, PRESETS[name]), **changes)

    @classmethod
    def load(cls, path: str | Path, table: str = "audio") -> AudioStreamConfig:
        """Read `[audio]` and the tables in it from a TOML file.

        Raises:
            InvalidOptionError: the file cannot be read or parsed, or holds a bad option; `where`
                names file, table and key.
        """
        return from_toml(cls, path, table)

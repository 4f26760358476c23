"""Options of the edge. They load nothing, so that a command line can show them."""

from __future__ import annotations

from mullama_media.options import option, options

__all__ = ["PREFERENCES", "MicrophoneParams", "MqttSourceParams", "SpeakerParams"]

PREFERENCES = ("default", "lowest-latency", "highest-quality")
"""Which device is meant when none is named"""


@options
class MicrophoneParams:
    """Which microphone, and how it is read."""

    device: int | str | None = option(
        default=None, doc="Index, name or part of the name; by preference if left out."
    )
    preference: str = option(
        default="default", doc="Which one without a device.", choices=PREFERENCES
    )
    sample_rate: int | None = option(
        default=None, doc="In Hz; the device's own if left out.", ge=1000, le=768_000
    )
    channels: int = option(default=1, doc="Channels to record.", ge=1, le=64)
    dtype: str | None = option(
        default=None,
        doc="Samples; int16 if left out, float32 for highest-quality.",
        choices=("int16", "float32"),
    )
    block_ms: float = option(default=20.0, doc="Samples the device hands over at a time.", ge=1)
    latency_ms: float | None = option(
        default=None,
        doc="Buffer between device and callback; the device's low one if left out, its high one "
        "for highest-quality.",
        ge=0,
    )
    buffer_ms: float = option(
        default=10_000.0, doc="How long a reader may be away before samples are dropped.", ge=100
    )
    capture: str = option(
        default="auto",
        doc="Who takes the samples: a C callback, or a Python one that needs the GIL.",
        choices=("auto", "native", "python"),
    )
    reconnect: bool = option(default=True, doc="Come back when the device does.")
    reconnect_max_s: float = option(
        default=10.0, doc="Longest time between two tries; they begin at 0.25 s and double.", gt=0
    )
    stall_ms: float = option(
        default=3000.0, doc="Without samples for so long, the device is taken for lost.", ge=200
    )


@options
class MqttSourceParams:
    """A topic that carries sound, and the broker that has it."""

    host: str = option(default="localhost", doc="The broker.")
    port: int = option(default=1883, doc="8883 is usual with TLS.", ge=1, le=65_535)
    topic: str = option(default="audio/in", doc="Where the samples come; + and # are not allowed.")
    qos: int = option(default=0, doc="0 at most once, 1 at least once, 2 exactly once.", ge=0, le=2)
    username: str | None = option(default=None, doc="For the broker.")
    password: str | None = option(default=None, doc="For the broker.")
    tls: bool = option(default=False, doc="Encrypt, and check the broker's certificate.")
    sample_rate: int = option(default=16_000, doc="In Hz.", ge=1000, le=768_000)
    channels: int = option(default=1, doc="Interleaved.", ge=1, le=64)
    encoding: str = option(
        default="s16le",
        doc="Of the samples: s16le, s16be, mulaw, alaw, u8, s24le, s32le or f32le.",
    )
    buffer_ms: float = option(
        default=10_000.0, doc="How long a reader may be away before samples are dropped.", ge=100
    )
    timeout_s: float = option(default=10.0, doc="How long the broker may take to answer.", gt=0)
    reconnect_max_s: float = option(
        default=10.0, doc="Longest time between two tries; they begin at 0.25 s and double.", gt=0
    )


@options
class SpeakerParams:
    """Which loudspeaker, and how it is played to."""

    device: int | str | None = option(
        default=None, doc="Index, name or part of the name; by preference if left out."
    )
    preference: str = option(
        default="default", doc="Which one without a device.", choices=PREFERENCES
    )
    sample_rate: int | None = option(
        default=None, doc="In Hz; the device's own if left out.", ge=1000, le=768_000
    )
    channels: int | None = option(
        default=None, doc="That get the sound; two if the device has them.", ge=1, le=64
    )
    dtype: str = option(
        default="int16", doc="Samples for the device.", choices=("int16", "float32")
    )
    block_ms: float = option(
        default=10.0, doc="Samples the device asks for at a time; a stop takes one.", ge=1
    )
    latency_ms: float | None = option(
        default=None,
        doc="Buffer between callback and device, heard even after a stop; the device's low one if "
        "left out.",
        ge=0,
    )
    buffer_ms: float = option(
        default=10_000.0, doc="Sound that may wait to be played before a writer does.", ge=100
    )
    volume: float = option(default=1.0, doc="Factor; what passes full scale clips.", ge=0, le=16)
    fade_ms: float = option(
        default=5.0, doc="Over which stop and pause fade out, and a pause in again.", ge=0, le=1000
    )
    reconnect: bool = option(default=True, doc="Come back when the device does, and go on.")
    reconnect_max_s: float = option(
        default=10.0, doc="Longest time between two tries; they begin at 0.25 s and double.", gt=0
    )
    stall_ms: float = option(
        default=3000.0,
        doc="If it asks for nothing for so long, the device is taken for lost.",
        ge=200,
    )

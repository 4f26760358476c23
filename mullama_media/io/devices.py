"""Which microphones and loudspeakers there are, and which one is meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mullama_media.errors import AudioDeviceError
from mullama_media.io.portaudio import portaudio, refresh

__all__ = ["AudioDevice", "input_devices", "output_devices", "pick_input", "pick_output"]


@dataclass(frozen=True, slots=True)
class AudioDevice:
    """A microphone or loudspeaker as PortAudio lists it."""

    index: int
    """Valid until devices come or go"""
    name: str
    host_api: str
    channels: int
    """The most it has"""
    sample_rate: int
    """Its own, in Hz"""
    low_latency_ms: float
    high_latency_ms: float
    default: bool
    """Whether the system would choose it"""


def input_devices(*, look_again: bool = False) -> list[AudioDevice]:
    """All microphones; empty if there are none.

    Args:
        look_again: find devices that came since PortAudio began; not while a stream is open.

    Raises:
        MissingExtraError: sounddevice is not installed.
        AudioDeviceError: PortAudio is not there or fails.
    """
    return _devices("input", look_again)


def output_devices(*, look_again: bool = False) -> list[AudioDevice]:
    """All loudspeakers; as `input_devices`."""
    return _devices("output", look_again)


def pick_input(device: int | str | None = None, preference: str = "default") -> AudioDevice:
    """The microphone that is meant.

    Args:
        device: its index, its name, or a part of its name that only one has.
        preference: without a device, the default, the one with the lowest latency, or the one
            with the highest sample rate and most channels.

    Raises:
        AudioDeviceError: there is none, or more than one.
    """
    return _picked(input_devices(), "microphone", device, preference)


def pick_output(device: int | str | None = None, preference: str = "default") -> AudioDevice:
    """The loudspeaker that is meant; as `pick_input`."""
    return _picked(output_devices(), "loudspeaker", device, preference)


def _picked(
    devices: list[AudioDevice], kind: str, device: int | str | None, preference: str
) -> AudioDevice:
    if not devices:
        raise AudioDeviceError(
            f"there is no {kind}",
            where=None if device is None else str(device),
            hint="mullama devices shows what PortAudio sees; a sound server may not be running",
        )
    if isinstance(device, int):
        found = [d for d in devices if d.index == device]
    elif device is not None:
        found = _named(devices, device)
    else:
        return _preferred(devices, preference)
    if len(found) != 1:
        names = ", ".join(f"{d.index}: {d.name}" for d in found or devices)
        what = f"more than one {kind} has this name" if found else f"there is no such {kind}"
        raise AudioDeviceError(what, where=str(device), hint=f"There are {names}")
    return found[0]


def _named(devices: list[AudioDevice], name: str) -> list[AudioDevice]:
    wanted = name.casefold()
    exact = [d for d in devices if d.name.casefold() == wanted]
    found = exact or [d for d in devices if wanted in d.name.casefold()]
    if len(found) > 1:  # one device through several host APIs: the default's API decides
        api = next((d.host_api for d in devices if d.default), None)
        found = [d for d in found if d.host_api == api] or found
    return found


def _preferred(devices: list[AudioDevice], preference: str) -> AudioDevice:
    if preference == "lowest-latency":
        return min(devices, key=lambda d: (d.low_latency_ms, not d.default))
    if preference == "highest-quality":
        return max(devices, key=lambda d: (d.sample_rate, d.channels, d.default))
    return next((d for d in devices if d.default), devices[0])


def _devices(kind: str, look_again: bool) -> list[AudioDevice]:
    sounddevice = portaudio()
    if look_again:
        refresh()
    apis = [str(api["name"]) for api in sounddevice.query_hostapis()]
    chosen = sounddevice.default.device[0 if kind == "input" else 1]
    if chosen < 0:
        chosen = (
            sounddevice._lib.Pa_GetDefaultInputDevice()
            if kind == "input"
            else (sounddevice._lib.Pa_GetDefaultOutputDevice())
        )
    return [
        _device(index, info, kind, apis, chosen)
        for index, info in enumerate(sounddevice.query_devices())
        if info[f"max_{kind}_channels"] > 0
    ]


def _device(index: int, info: Any, kind: str, apis: list[str], chosen: int) -> AudioDevice:
    return AudioDevice(
        index=index,
        name=str(info["name"]),
        host_api=apis[info["hostapi"]],
        channels=int(info[f"max_{kind}_channels"]),
        sample_rate=round(info["default_samplerate"]),
        low_latency_ms=1000 * float(info[f"default_low_{kind}_latency"]),
        high_latency_ms=1000 * float(info[f"default_high_{kind}_latency"]),
        default=index == chosen,
    )

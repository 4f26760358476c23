"""A loudspeaker."""

from __future__ import annotations

import atexit
from collections.abc import Callable

from mullama_media.audio.playback import PlaybackRing
from mullama_media.errors import AudioDeviceError
from mullama_media.frames import DeviceChange
from mullama_media.io.devices import AudioDevice, pick_output
from mullama_media.io.keeper import DeviceKeeper
from mullama_media.io.params import SpeakerParams
from mullama_media.io.portaudio import PlaybackStream, StreamRequest
from mullama_media.io.sink import RingSink

__all__ = ["Speaker"]


class Speaker(RingSink):
    """An output device, fed by a C callback that runs no Python.

        with Speaker() as speaker:
            speech = speaker.begin(sample_rate=22050)
            speech.write(samples)
            played = speech.drain()  # or, from another thread, speaker.stop()

    When the device goes away, it is tried again with back-off (`reconnect`), on the same device or
    whatever is preferred then; writers wait meanwhile, and what the device did not have yet plays
    when it is back. Without `reconnect` they get an AudioDeviceError. PortAudio finds new devices
    only while this process has no other stream open.

    Args:
        params: which device, and how it is played to.
        on_change: called with every loss and return of the device, on a thread of the speaker's.

    Raises:
        MissingExtraError: at open, if sounddevice is not installed.
        AudioDeviceError: at open, if PortAudio or the device is missing, busy, or cannot do
            what is asked.
    """

    def __init__(
        self,
        params: SpeakerParams | None = None,
        *,
        on_change: Callable[[DeviceChange], None] | None = None,
    ) -> None:
        super().__init__()
        self.params = params or SpeakerParams()
        self._on_change = on_change
        self._device: AudioDevice | None = None
        self._channels = 1
        self._keeper = DeviceKeeper(
            "mullama-speaker",
            self.params,
            self._closing,
            silent_ms=lambda: self._ring.silent_ms,
            gone=self._gone,
            back=self._back,
            over=self._lost,
        )

    @property
    def device(self) -> AudioDevice:
        """The one that is open, or was last. Raises AudioDeviceError before open."""
        if self._device is None:
            raise AudioDeviceError("it is not open", where="Speaker", hint="Call open()")
        return self._device

    @property
    def connected(self) -> bool:
        """Whether there is a device now."""
        return self._keeper.stream is not None

    @property
    def latency_ms(self) -> float | None:
        """From callback to ear, as the device tells with its buffers; None without a device."""
        return self._ring.meter.latency_ms if self.connected else None

    def _start(self) -> None:
        device = pick_output(self.params.device, self.params.preference)
        self._channels = self.params.channels or min(2, device.channels)
        if self._channels > device.channels:
            raise AudioDeviceError(
                f"it has {device.channels} channels, not {self._channels}", where=device.name
            )
        self._maybe_ring = PlaybackRing(
            self.params.sample_rate or device.sample_rate,
            channels=self._channels,
            dtype=self.params.dtype,  # type: ignore[arg-type]
            capacity_ms=self.params.buffer_ms,
            fade_ms=self.params.fade_ms,
        )
        self._ring.volume = self.params.volume
        self._connect(device).start()
        self._keeper.start()
        atexit.register(self._abort)  # before sounddevice ends PortAudio under the callback

    def _end(self) -> None:
        atexit.unregister(self._abort)
        self._keeper.join()

    def _abort(self) -> None:
        self._ring.stop()
        self.close()

    def _connect(self, device: AudioDevice) -> PlaybackStream:
        latency: float | str = "high" if self.params.preference == "highest-quality" else "low"
        if self.params.latency_ms is not None:
            latency = self.params.latency_ms / 1000
        request = StreamRequest(
            device.index,
            device.name,
            self._ring.sample_rate,
            self._channels,
            self._ring.dtype,
            max(1, round(self._ring.sample_rate * self.params.block_ms / 1000)),
            latency,
        )
        stream = PlaybackStream(request, self._ring)
        self._ring.set_latency(stream.latency_ms / 1000)
        self._keeper.hold(stream)
        self._device = device
        return stream

    def _gone(self, why: str) -> None:
        self._tell(self._ring.meter.played, False, why)

    def _back(self) -> None:
        device = pick_output(self.params.device, self.params.preference)
        stream = self._connect(device)
        self._ring.restart()
        at = self._ring.meter.played
        stream.start()
        self._tell(at, True)

    def _lost(self) -> None:
        self._why_gone = "it is closed" if self._closing.is_set() else "the device went away"
        self._ring.wake()

    def _tell(self, at: int, connected: bool, why: str = "") -> None:
        if self._on_change is not None:
            self._on_change(DeviceChange(at, self.device.name, connected, why))

    def __repr__(self) -> str:
        name = self._device.name if self._device else "not open"
        return f"<Speaker {name}>"

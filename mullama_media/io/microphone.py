"""A microphone as a source."""

from __future__ import annotations

import atexit

from mullama_media.errors import AudioDeviceError
from mullama_media.frames import AudioFormat, DeviceChange
from mullama_media.io.devices import AudioDevice, pick_input
from mullama_media.io.keeper import DeviceKeeper
from mullama_media.io.params import MicrophoneParams
from mullama_media.io.portaudio import Capture, CaptureStream, StreamRequest
from mullama_media.io.source import RingSource

__all__ = ["Microphone"]


class Microphone(RingSource):
    """Samples of an input device, taken by a C callback that runs no Python.

    When the device goes away a `DeviceChange` says so. With `reconnect` it is tried again with
    back-off, on the same device or whatever is preferred then, and the time without it becomes a
    `Discontinuity`; without, the source ends. PortAudio finds new devices only while this process
    has no other stream open.

    Raises:
        MissingExtraError: at open, if sounddevice is not installed.
        AudioDeviceError: at open, if PortAudio or the device is missing, busy, or cannot do
            what is asked.
    """

    def __init__(self, params: MicrophoneParams | None = None) -> None:
        self.params = params or MicrophoneParams()
        super().__init__(None, buffer_ms=self.params.buffer_ms)
        self._device: AudioDevice | None = None
        self._lost_at = 0
        self._keeper = DeviceKeeper(
            "mullama-microphone",
            self.params,
            self._closing,
            silent_ms=lambda: self._ring.silent_ms,
            gone=self._gone,
            back=self._back,
            over=lambda: self._ring.finish(),
        )

    @property
    def device(self) -> AudioDevice:
        """The one that is open, or was last. Raises AudioDeviceError before open."""
        if self._device is None:
            raise AudioDeviceError("it is not open", where="Microphone", hint="Call open()")
        return self._device

    @property
    def capture(self) -> Capture | None:
        """Who takes the samples: native, python, or None while there is no device."""
        stream = self._keeper.stream
        return stream.capture if isinstance(stream, CaptureStream) else None

    @property
    def latency_ms(self) -> float | None:
        """What PortAudio says of the time from microphone to callback; None without a device."""
        stream = self._keeper.stream
        return stream.latency_ms if stream else None

    def _start(self) -> None:
        device = pick_input(self.params.device, self.params.preference)
        best = self.params.preference == "highest-quality" and self.params.device is None
        dtype = self.params.dtype or ("float32" if best else "int16")
        rate = self.params.sample_rate or device.sample_rate
        if self.params.channels > device.channels:
            raise AudioDeviceError(
                f"it has {device.channels} channels, not {self.params.channels}", where=device.name
            )
        self._make_ring(AudioFormat(rate, self.params.channels, dtype))  # type: ignore[arg-type]
        self._connect(device).start()
        self._keeper.start()
        atexit.register(self.close)  # before sounddevice ends PortAudio under the callback

    def _stop(self) -> None:
        atexit.unregister(self.close)
        self._keeper.join()

    def _connect(self, device: AudioDevice) -> CaptureStream:
        latency: float | str = "high" if self.params.preference == "highest-quality" else "low"
        if self.params.latency_ms is not None:
            latency = self.params.latency_ms / 1000
        request = StreamRequest(
            device.index,
            device.name,
            self.format.sample_rate,
            self.format.channels,
            self.format.dtype,
            max(1, self.format.frames(self.params.block_ms)),
            latency,
        )
        stream = CaptureStream(request, self._ring, self.params.capture)
        self._keeper.hold(stream)
        self._device = device
        return stream

    def _gone(self, why: str) -> None:
        self._lost_at = self._index
        self._tell(DeviceChange(self._lost_at, self.device.name, False, why))

    def _back(self) -> None:
        device = pick_input(self.params.device, self.params.preference)
        stream = self._connect(device)
        self._ring.restart()
        self._ring.gap(self._missing())
        index = self._index
        stream.start()
        self._tell(DeviceChange(index, device.name, True))

    def _missing(self) -> int:
        """Frames that time says should have come since the device was lost, not yet counted."""
        since = self.format.frames(self._ring.silent_ms or 0)
        return max(0, self._lost_at + since - self._index)

    @property
    def _index(self) -> int:
        """Index of the next frame to come in. Only while no stream runs."""
        meter = self._ring.meter
        return meter.written + meter.device_lost

"""PortAudio through sounddevice: found when it is first needed, and never in Python's way.

PortAudio lists devices once and cannot look again while a stream is open, and it is not
thread-safe where streams are opened and closed; both are kept here.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from mullama_media.audio.playback import PlaybackRing
from mullama_media.audio.ring import AudioRing
from mullama_media.errors import AudioDeviceError, MissingExtraError

if TYPE_CHECKING:
    from types import ModuleType

__all__ = [
    "Capture",
    "CaptureStream",
    "DeviceStream",
    "PlaybackStream",
    "StreamRequest",
    "portaudio",
    "refresh",
]

Capture = Literal["native", "python"]
"""Who takes the samples: our C callback, or a Python one that needs the GIL for each buffer"""

_CLOSE_S = 2.0

_lock = threading.RLock()
_open_streams = 0
_stuck: list[Any] = []  # streams that would not close: their ring must stay


def portaudio() -> ModuleType:
    """The sounddevice module.

    Raises:
        MissingExtraError: it is not installed.
        AudioDeviceError: PortAudio is not, or cannot begin.
    """
    try:
        with _lock:
            import sounddevice
    except ImportError as error:
        raise MissingExtraError.of("microphones and loudspeakers", "streaming-audio") from error
    except OSError as error:
        raise AudioDeviceError(
            "the PortAudio library was not found",
            where="PortAudio",
            hint="Debian, Ubuntu: sudo apt install libportaudio2   Fedora: sudo dnf install "
            "portaudio",
        ) from error
    except Exception as error:  # its Pa_Initialize runs at import
        raise AudioDeviceError(f"it cannot begin: {error}", where="PortAudio") from error
    return cast("ModuleType", sounddevice)


def refresh() -> bool:
    """Look for devices that came or went. False where open streams of ours forbid it.

    PortAudio has to be ended and begun for that: a stream that a program opened through
    sounddevice itself would not survive it.
    """
    sounddevice = portaudio()
    with _lock, _errors("PortAudio"):
        if _open_streams:
            return False
        with contextlib.suppress(sounddevice.PortAudioError):  # it failed to begin last time
            sounddevice._terminate()
        sounddevice._initialize()
        return True


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """What to open."""

    device: int
    name: str
    sample_rate: int
    channels: int
    dtype: str
    block_frames: int
    latency: float | str
    """Seconds, or low or high"""


class DeviceStream:
    """A stream of PortAudio's, opened; subclasses say with which callback.

    Args:
        request: what to open.

    Raises:
        AudioDeviceError: the device is missing, busy, or cannot do what is asked.
    """

    def __init__(self, request: StreamRequest) -> None:
        global _open_streams
        self._sounddevice = portaudio()
        self.name = request.name
        with _lock, _errors(request.name):
            self._stream = self._opened(request)
            _open_streams += 1

    def _opened(self, request: StreamRequest) -> Any:
        raise NotImplementedError

    def start(self) -> None:
        """Samples flow from now on. Raises AudioDeviceError, and is closed then."""
        try:
            with _errors(self.name):
                self._stream.start()
        except BaseException:
            self.close()
            raise

    def _native(self, kind: str, request: StreamRequest, addresses: tuple[int, int, int]) -> Any:
        """A stream with C callbacks: (PaStreamCallback, PaStreamFinishedCallback, userData)."""
        ffi = self._sounddevice._ffi
        callback, finished, ring = addresses
        return self._sounddevice._StreamBase(
            kind=kind,
            callback=ffi.cast("PaStreamCallback*", callback),
            finished_callback=ffi.cast("PaStreamFinishedCallback*", finished),
            userdata=ffi.cast("void*", ring),
            **_options(request),
        )

    @property
    def active(self) -> bool:
        """Whether the device still calls, as far as PortAudio knows."""
        with contextlib.suppress(Exception):
            return bool(self._stream.active)
        return False

    @property
    def latency_ms(self) -> float:
        """What PortAudio says of the time between device and callback."""
        return 1000 * float(self._stream.latency)

    def close(self) -> None:
        """Stop at once and let go; a driver that hangs is left behind after 2 s."""
        global _open_streams
        closing = threading.Thread(target=self._close, name="mullama-close", daemon=True)
        closing.start()
        closing.join(_CLOSE_S)
        with _lock:
            _open_streams -= 1
            if closing.is_alive():
                _stuck.append(self)
                _open_streams += 1  # PortAudio must not be ended under it

    def _close(self) -> None:
        with contextlib.suppress(Exception):
            self._stream.abort(ignore_errors=True)  # stop() may hang
        with contextlib.suppress(Exception):
            self._stream.close(ignore_errors=True)


class CaptureStream(DeviceStream):
    """An input stream that fills a ring, once it is started.

    Args:
        request: what to open.
        ring: where the samples go; nobody else may write into it.
        capture: native, python, or auto for native where sounddevice allows it.
    """

    def __init__(self, request: StreamRequest, ring: AudioRing, capture: str = "auto") -> None:
        self._ring = ring
        self._wanted = capture
        self.capture: Capture = "native"
        super().__init__(request)

    def _opened(self, request: StreamRequest) -> Any:
        if self._wanted != "python":
            try:
                return self._native("input", request, self._ring.addresses)
            except (AttributeError, TypeError):  # a sounddevice that lends no C pointers
                if self._wanted == "native":
                    raise
        self.capture = "python"
        return self._python(request)

    def _python(self, request: StreamRequest) -> Any:
        ring = self._ring

        def callback(data: Any, _: int, time: Any, status: Any) -> None:
            frames = np.frombuffer(data, request.dtype).reshape(-1, request.channels)
            ring.capture(frames, time=time.inputBufferAdcTime, overflow=status.input_overflow)

        return self._sounddevice.RawInputStream(
            callback=callback, finished_callback=ring.wake, **_options(request)
        )


class PlaybackStream(DeviceStream):
    """An output stream that plays a ring, once it is started.

    Args:
        request: what to open.
        ring: what is played; of one stream at a time.
    """

    def __init__(self, request: StreamRequest, ring: PlaybackRing) -> None:
        self._ring = ring
        super().__init__(request)

    def _opened(self, request: StreamRequest) -> Any:
        return self._native("output", request, self._ring.addresses)


def _options(request: StreamRequest) -> dict[str, Any]:
    return {
        "device": request.device,
        "samplerate": request.sample_rate,
        "channels": request.channels,
        "dtype": request.dtype,
        "blocksize": request.block_frames,
        "latency": request.latency,
    }


@contextlib.contextmanager
def _errors(where: str) -> Iterator[None]:
    try:
        yield
    except (AttributeError, TypeError):
        raise
    except AudioDeviceError:
        raise
    except Exception as error:  # sounddevice's own class exists only once it is imported
        raise AudioDeviceError(
            f"PortAudio refused: {error}",
            where=where,
            hint="mullama devices lists what there is",
        ) from error

"""A device that is kept: its loss is noticed, and it is opened again when it comes back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from mullama_media.errors import AudioDeviceError
from mullama_media.io.portaudio import DeviceStream, refresh

__all__ = ["DeviceKeeper"]

_LOOK_S = 0.1  # how often it looks whether the device is alive
_FIRST_DELAY_S = 0.25
_JOIN_S = 5.0


class _Params(Protocol):
    @property
    def reconnect(self) -> bool: ...
    @property
    def reconnect_max_s(self) -> float: ...
    @property
    def stall_ms(self) -> float: ...


class DeviceKeeper:
    """A thread that watches one stream of a device.

    Args:
        name: of the thread.
        params: whether and how patiently it reconnects, and what silence means.
        closing: ends it.
        silent_ms: time since the device's last buffer, None before the first.
        gone: told why the device is taken for lost; its stream is closed by then.
        back: opens and starts another stream, giving it to `hold`; raises AudioDeviceError.
        over: told once that there will be no stream any more.
    """

    def __init__(
        self,
        name: str,
        params: _Params,
        closing: threading.Event,
        *,
        silent_ms: Callable[[], float | None],
        gone: Callable[[str], None],
        back: Callable[[], None],
        over: Callable[[], None],
    ) -> None:
        self._params = params
        self._closing = closing
        self._silent_ms, self._gone, self._back, self._over = silent_ms, gone, back, over
        self._thread = threading.Thread(target=self._watch, name=name, daemon=True)
        self._connected_at = 0.0
        self.stream: DeviceStream | None = None
        """None while there is no device"""

    def hold(self, stream: DeviceStream) -> None:
        """Watch this stream from now on."""
        self.stream = stream
        self._connected_at = time.monotonic()

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def join(self) -> None:
        """Wait for the end; not for a driver that hangs while it opens."""
        if self._thread.ident is not None:
            self._thread.join(_JOIN_S)

    def _watch(self) -> None:
        try:
            while not self._closing.wait(_LOOK_S):
                why = self._lost()
                if why and not self._recovered(why):
                    break
        finally:
            self._let_go()
            self._over()

    def _lost(self) -> str:
        if self.stream is None or not self.stream.active:
            return "the device ended the stream"
        open_ms = 1000 * (time.monotonic() - self._connected_at)
        silent_ms = self._silent_ms()
        silent_ms = open_ms if silent_ms is None else min(silent_ms, open_ms)
        return f"no samples for {silent_ms:.0f} ms" if silent_ms > self._params.stall_ms else ""

    def _recovered(self, why: str) -> bool:
        self._let_go()
        self._gone(why)
        return self._params.reconnect and self._reconnect()

    def _let_go(self) -> None:
        stream, self.stream = self.stream, None
        if stream is not None:
            stream.close()

    def _reconnect(self) -> bool:
        """Try until it works (True) or it is closed."""
        delay = _FIRST_DELAY_S
        while not self._closing.wait(delay):
            delay = min(2 * delay, self._params.reconnect_max_s)
            try:
                refresh()
                self._back()
            except AudioDeviceError:
                self.stream = None
                continue
            return True
        return False

"""Time that passes when a test says so."""

from __future__ import annotations

from collections.abc import Callable

from mullama_media.errors import InvalidOptionError

__all__ = ["ManualClock"]


class ManualClock:
    """A clock that stands still until it is advanced. Not thread-safe.

    Args:
        seconds: what it shows first.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self._now = seconds
        self._listeners: list[Callable[[float], None]] = []

    def __call__(self) -> float:
        """The time in seconds, as `time.monotonic` would give it."""
        return self._now

    def advance(self, milliseconds: float) -> None:
        """Let time pass, and let everybody who listens do what became due, on this thread."""
        if milliseconds < 0:
            raise InvalidOptionError("time does not go back", where="milliseconds")
        self._now += milliseconds / 1000
        for listener in tuple(self._listeners):
            listener(self._now)

    def listen(self, listener: Callable[[float], None]) -> None:
        """Call `listener` with the time in seconds after every advance."""
        self._listeners.append(listener)

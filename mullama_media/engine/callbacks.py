"""The functions a caller may give with a request. They run where its stream is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mullama_media.errors import CallbackError, InvalidOptionError

if TYPE_CHECKING:
    from mullama_media.engine.stream import TokenData

__all__ = ["Callbacks", "LogitsProcessor"]

T = TypeVar("T")

LogitsProcessor = Callable[
    [NDArray[np.int32], NDArray[np.float32]], "NDArray[np.floating[Any]] | None"
]
"""(token ids so far, logits of the next token) -> changed logits, or None if changed in place"""


@dataclass(frozen=True, slots=True)
class Callbacks:
    """The functions of one request; errors in them become CallbackError."""

    stop_when: Callable[[TokenData], bool] | None = None
    logits_processor: LogitsProcessor | None = None

    def wants_stop(self, token: TokenData) -> bool:
        """Whether the answer ends after this token."""
        if self.stop_when is None:
            return False
        return bool(_called("stop_when", self.stop_when, token))

    def change_logits(
        self, ids: NDArray[np.int32], logits: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """What the processor makes of the logits, checked."""
        size = logits.shape
        processor = self.logits_processor
        assert processor is not None  # the engine asks only where there is one  # noqa: S101

        def run() -> NDArray[np.float32]:
            changed = processor(ids, logits)
            return _checked(logits if changed is None else changed, size)

        return _called("logits_processor", run)


def _called(name: str, function: Callable[..., T], *args: Any) -> T:
    try:
        return function(*args)
    except Exception as error:
        raise CallbackError(f"it raised {type(error).__name__}: {error}", where=name) from error


def _checked(logits: Any, size: tuple[int, ...]) -> NDArray[np.float32]:
    array = np.ascontiguousarray(logits, np.float32)
    if array.shape != size:
        raise InvalidOptionError(f"logits of shape {array.shape} where {size} is needed")
    if np.isnan(array).any() or np.isposinf(array).any():
        raise InvalidOptionError("the logits hold nan or inf", hint="-inf bans a token")
    if not np.isfinite(array).any():
        raise InvalidOptionError("the logits ban every token")
    return array

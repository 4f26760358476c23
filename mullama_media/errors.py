"""The one error tree.

Every error raised on purpose is a `MullamaError` and also the built-in that fits, so callers
can catch broadly or exactly::

    MullamaError
    ├── InvalidOptionError (ValueError)      an option or argument out of its range
    ├── GrammarError (ValueError)            a grammar, schema or pattern cannot be used
    ├── MissingExtraError (ImportError)      an optional dependency is not installed
    ├── ModelError
    │   ├── ModelLoadError (OSError)         a model file is missing, broken or does not fit
    │   ├── ModelCapabilityError (ValueError)  the model cannot do what was asked of it
    │   ├── ChatTemplateError (ValueError)   a chat template is missing or failed
    │   └── QuantizeError (OSError)          a model cannot be written
    │       └── QuantizeCancelledError       it was asked to stop
    ├── MediaError (ValueError)              a picture or recording cannot be used
    ├── AudioDeviceError (OSError)           a microphone or loudspeaker cannot be used
    ├── VoiceError (OSError)                 a voice is missing or cannot speak
    ├── EngineError
    │   ├── CallbackError (RuntimeError)     a function given to the engine raised
    │   ├── EngineClosedError (RuntimeError) the engine was closed
    │   ├── ContextOverflowError (ValueError)  a prompt does not fit the context
    │   ├── OverloadedError (RuntimeError)   too many requests are waiting
    │   ├── SessionError (RuntimeError)      a session is closed, or busy with a request
    │   ├── StateError (OSError, ValueError) a saved state is damaged, foreign, or does not fit
    │   ├── AnswerFormatError (ValueError)   an answer is not in the format that was asked for
    │   ├── RequestCancelledError (RuntimeError)  it was cancelled and has nothing to show
    │   ├── DeadlineError (TimeoutError)     its time is up and it has nothing to show
    │   └── DecodeError (RuntimeError)       the backend failed while evaluating
    ├── ClusterError (ConnectionError)       a cluster cannot be reached or its workers cannot start
    └── HubError
        ├── ModelNameError (ValueError)      a model name means nothing to us
        ├── DownloadError (OSError)          a file could not be obtained
        └── ChecksumError (OSError)          a file is not the one that was asked for

Native code throws one C++ type that carries one of these names; `ext/bind/errors.cpp` is the
only place that turns it into the class here.
"""

from __future__ import annotations

import os
import re

__all__ = [
    "AnswerFormatError",
    "AudioDeviceError",
    "CallbackError",
    "ChatTemplateError",
    "ChecksumError",
    "ClusterError",
    "ContextOverflowError",
    "DeadlineError",
    "DecodeError",
    "DownloadError",
    "EngineClosedError",
    "EngineError",
    "GrammarError",
    "HubError",
    "InvalidOptionError",
    "MediaError",
    "MissingExtraError",
    "ModelCapabilityError",
    "ModelError",
    "ModelLoadError",
    "ModelNameError",
    "MullamaError",
    "OverloadedError",
    "QuantizeCancelledError",
    "QuantizeError",
    "RequestCancelledError",
    "SessionError",
    "StateError",
    "VoiceError",
]


class MullamaError(Exception):
    """Root of the tree.

    Args:
        what: what went wrong, one sentence without a full stop.
        where: the file, option or part it happened in.
        hint: what to do about it.
    """

    def __init__(
        self, what: str, *, where: str | os.PathLike[str] | None = None, hint: str | None = None
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = None if where is None else os.fspath(where)
        self.hint = hint

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}. {self.hint}" if self.hint else head

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.where, self.hint)


def _rebuild(
    cls: type[MullamaError], what: str, where: str | None, hint: str | None
) -> MullamaError:
    return cls(what, where=where, hint=hint)


class InvalidOptionError(MullamaError, ValueError):
    """An option or argument is out of its range."""


class GrammarError(MullamaError, ValueError):
    """A grammar, JSON schema or pattern is wrong, too large, or asks for what is not supported.

    `where` is "line L, column C" for GBNF, "position P" for a pattern, and a JSON pointer such as
    "#/properties/age/multipleOf" for a schema. A request ends with it when no token of the model
    can go on as its grammar wants.
    """

    @property
    def line(self) -> int | None:
        """Line of the GBNF text, from 1."""
        return self._number("line")

    @property
    def column(self) -> int | None:
        """Column of the GBNF text in characters, from 1."""
        return self._number("column")

    @property
    def position(self) -> int | None:
        """Index of the character in a pattern, from 0."""
        return self._number("position")

    def _number(self, name: str) -> int | None:
        found = re.search(rf"\b{name} (\d+)$|\b{name} (\d+),", self.where or "")
        return int(found[1] or found[2]) if found else None


class MissingExtraError(MullamaError, ImportError):
    """An optional dependency is not installed; `hint` holds the `pip install` that brings it."""

    @classmethod
    def of(cls, feature: str, extra: str) -> MissingExtraError:
        """Say that `feature` needs the optional `extra`."""
        return cls(
            f"{feature} needs an optional dependency",
            hint=f"Install it with: pip install 'mullama-media[{extra}]'",
        )


class ModelError(MullamaError):
    """Anything about a model."""


class ModelLoadError(ModelError, OSError):
    """A model file is missing, broken or does not fit."""


class ModelCapabilityError(ModelError, ValueError):
    """The model cannot do what was asked of it (no vision, no vocabulary, no generation)."""


class ChatTemplateError(ModelError, ValueError):
    """A chat template is missing, cannot be parsed, or refused the messages."""


class QuantizeError(ModelError, OSError):
    """A model cannot be written: no space, no permission, or weights that do not convert."""


class QuantizeCancelledError(QuantizeError):
    """Quantizing was asked to stop; nothing was written."""


class MediaError(MullamaError, ValueError):
    """A picture or recording is broken, empty, or of a kind that cannot be used."""


class AudioDeviceError(MullamaError, OSError):
    """A microphone or loudspeaker is missing, busy, or does not do what was asked of it."""


class VoiceError(MullamaError, OSError):
    """A voice or the program behind it is missing, broken, or failed while it spoke."""


class EngineError(MullamaError):
    """Anything about running requests."""


class CallbackError(EngineError, RuntimeError):
    """A function given to the engine raised; `__cause__` is what it raised."""


class EngineClosedError(EngineError, RuntimeError):
    """The engine was closed before or during the request."""


class ContextOverflowError(EngineError, ValueError):
    """A prompt with its answer does not fit the context."""


class OverloadedError(EngineError, RuntimeError):
    """As many requests wait as may (`EngineParams.max_queue`), or no sequence is free for a
    session; try again later.
    """


class SessionError(EngineError, RuntimeError):
    """A session is closed, or a request of it waits or runs."""


class StateError(EngineError, OSError, ValueError):
    """A saved state is damaged, foreign, made with something else, or cannot be read or written."""


class AnswerFormatError(EngineError, ValueError):
    """An answer is not what its prompt or caller asked for: broken JSON or a broken tool call."""


class RequestCancelledError(EngineError, RuntimeError):
    """A request was cancelled, and it is of a kind that gives nothing before it is done."""


class DeadlineError(EngineError, TimeoutError):
    """The time of a request is up, and it is of a kind that gives nothing before it is done."""


class DecodeError(EngineError, RuntimeError):
    """The backend failed while evaluating a batch."""


class ClusterError(MullamaError, ConnectionError):
    """A cluster cannot be reached, ended while it was used, or its workers cannot start."""


class HubError(MullamaError):
    """Anything about getting model files."""


class ModelNameError(HubError, ValueError):
    """A model name that means nothing to us."""


class DownloadError(HubError, OSError):
    """A file could not be obtained; trying again resumes where it stopped."""


class ChecksumError(HubError, OSError):
    """A file is not the one that was asked for."""

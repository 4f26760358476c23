"""A transcriber by the name of its backend."""

from __future__ import annotations

import asyncio
from typing import Any

from mullama_media.speech.params import TranscriberParams
from mullama_media.speech.transcriber import ThreadedTranscriber

__all__ = ["load_transcriber", "load_transcriber_async"]


def load_transcriber(
    params: TranscriberParams | None = None, *, download: Any = None
) -> ThreadedTranscriber:
    """Find, fetch if need be, and load what `params.backend` and `params.model` name. Blocks.

    Raises:
        As `WhisperTranscriber.load` and `MtmdTranscriber.load`.
    """
    params = params or TranscriberParams()
    if params.backend == "mtmd":
        from mullama_media.speech.mtmd import MtmdTranscriber

        return MtmdTranscriber.load(params, download=download)
    from mullama_media.speech.whisper import WhisperTranscriber

    return WhisperTranscriber.load(params, download=download)


async def load_transcriber_async(
    params: TranscriberParams | None = None, *, download: Any = None
) -> ThreadedTranscriber:
    """`load_transcriber` without blocking the event loop."""
    return await asyncio.to_thread(lambda: load_transcriber(params, download=download))

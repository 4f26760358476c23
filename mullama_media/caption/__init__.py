"""Captions for many pictures: found, decoded ahead, asked together, journalled, written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mullama_media.lazy import lend

if TYPE_CHECKING:
    from mullama_media.caption.captioner import Captioner
    from mullama_media.caption.journal import Journal
    from mullama_media.caption.record import Caption
    from mullama_media.multimodal.params import CaptionParams

__all__ = ["Caption", "CaptionParams", "Captioner", "Journal"]

_HOMES = {
    "Caption": "mullama_media.caption.record",
    "CaptionParams": "mullama_media.multimodal.params",
    "Captioner": "mullama_media.caption.captioner",
    "Journal": "mullama_media.caption.journal",
}

__getattr__, __dir__ = lend(__name__, _HOMES)

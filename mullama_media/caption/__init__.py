"""Captions for many pictures: found, decoded ahead, asked together, journalled, written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mullama_media.lazy import lend

if TYPE_CHECKING:
    from mullama_media.caption.captioner import Captioner
    from mullama_media.caption.cluster import ClusterCaptioner, Job
    from mullama_media.caption.inputs import find
    from mullama_media.caption.journal import Journal
    from mullama_media.caption.ondisk import Results
    from mullama_media.caption.params import ClusterParams
    from mullama_media.caption.record import Caption
    from mullama_media.multimodal.params import CaptionParams

__all__ = [
    "Caption",
    "CaptionParams",
    "Captioner",
    "ClusterCaptioner",
    "ClusterParams",
    "Job",
    "Journal",
    "Results",
    "find",
]

_HOMES = {
    "Caption": "mullama_media.caption.record",
    "CaptionParams": "mullama_media.multimodal.params",
    "Captioner": "mullama_media.caption.captioner",
    "ClusterCaptioner": "mullama_media.caption.cluster",
    "ClusterParams": "mullama_media.caption.params",
    "Job": "mullama_media.caption.cluster",
    "Journal": "mullama_media.caption.journal",
    "Results": "mullama_media.caption.ondisk",
    "find": "mullama_media.caption.inputs",
}

__getattr__, __dir__ = lend(__name__, _HOMES)

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
    from mullama_media.caption.params import CaptionParams, ClusterParams
    from mullama_media.caption.record import Caption

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
    "Caption": "record",
    "CaptionParams": "params",
    "Captioner": "captioner",
    "ClusterCaptioner": "cluster",
    "ClusterParams": "params",
    "Job": "cluster",
    "Journal": "journal",
    "Results": "ondisk",
    "find": "inputs",
}

__getattr__, __dir__ = lend(__name__, {name: f"{__name__}.{home}" for name, home in _HOMES.items()})

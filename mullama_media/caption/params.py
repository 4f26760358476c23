"""Who captions pictures, where it is more than this process."""

from __future__ import annotations

from mullama_media.options import option, options

__all__ = ["ClusterParams"]


@options
class ClusterParams:
    """Where on a Ray cluster pictures are captioned, and by how many."""

    address: str = option(
        default="local",
        doc="Of a Ray cluster, such as auto or 10.0.0.1:6379; local starts one on this machine "
        "that ends with the command.",
    )
    workers: int | None = option(
        default=None,
        doc="Workers, each with the model loaded once; None for one on each machine.",
        ge=1,
    )
    cpus: float | None = option(
        default=None,
        doc="Processors of a worker; None for its share of the smallest machine's.",
        gt=0,
    )
    gpus: float = option(default=0.0, doc="GPUs of a worker; a fraction shares one.", ge=0)
    batch: int = option(
        default=16,
        doc="Pictures that a worker takes at once. Their captions come back together, and are "
        "made again if it dies before.",
        ge=1,
        le=10_000,
    )
    attempts: int = option(
        default=3,
        doc="How often a batch is begun whose worker dies, before its pictures are tried one by "
        "one and as often.",
        ge=1,
        le=100,
    )

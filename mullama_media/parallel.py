"""The same work on many things, on threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["each"]

A = TypeVar("A")
R = TypeVar("R")


def each(
    work: Callable[[A], R],
    items: Iterable[A],
    workers: int | None,
    progress: Callable[[R], None] | None,
) -> list[R]:
    """What `work` makes of every item, in their order. Blocks.

    Args:
        work: called on a worker thread; what it raises ends everything.
        items: all of them are taken at once.
        workers: items at a time; as many as there are CPUs if left out.
        progress: called on this thread as each is done, in order.
    """
    done = []
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        for result in pool.map(work, items):
            done.append(result)
            if progress is not None:
                progress(result)
    return done

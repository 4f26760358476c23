"""Progress bars on stderr."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from mullama_media import hub

__all__ = ["Downloads", "fetch", "loading"]

console = Console(stderr=True, highlight=False)


class Downloads:
    """Draws one bar for each file; on a pipe or log, one line for each file instead."""

    def __init__(self) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bars.add_task("", total=None, visible=False)

    def start(self, name: str, total_bytes: int | None, done_bytes: int) -> None:
        """A file begins, perhaps part of it already there."""
        if not console.is_terminal:
            size = f" ({total_bytes / 1e6:.0f} MB)" if total_bytes else ""
            console.print(f"fetching {name}{size}")
        self._bars.start()
        self._task = self._bars.add_task(name, total=total_bytes, completed=done_bytes)

    def advance(self, n: int) -> None:
        """So many more bytes are there."""
        self._bars.advance(self._task, n)

    def finish(self) -> None:
        """The file is complete."""
        self._bars.stop()


def fetch(model: str, mmproj: str | None) -> hub.ModelFiles:
    """`hub.resolve` with bars."""
    downloads = Downloads()
    try:
        return hub.resolve(model, mmproj=mmproj, progress=downloads)
    finally:
        downloads.finish()


@contextlib.contextmanager
def loading(name: str) -> Iterator[Callable[[float], None]]:
    """A bar while a model loads; gone afterwards."""
    with Progress(
        TextColumn(f"loading {name}"),
        BarColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bars:
        task = bars.add_task("", total=1.0)
        yield lambda fraction: bars.update(task, completed=fraction)

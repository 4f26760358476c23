"""A contact sheet: every picture beside its caption, in one HTML file."""

from __future__ import annotations

import base64
import html
import io
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from mullama_media.caption import storage
from mullama_media.caption.record import Caption
from mullama_media.errors import MediaError, MullamaError
from mullama_media.options import replace
from mullama_media.vision import video
from mullama_media.vision.fetch import Url, is_url, short_name
from mullama_media.vision.fit import fit
from mullama_media.vision.load import load
from mullama_media.vision.params import FitParams, PictureParams, VideoParams

__all__ = ["Report"]

_SIDE = 240  # pixels, the longer side of a thumbnail
_MIDDLE = VideoParams(count=1, sound=False)
_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Captions</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 15px/1.4 system-ui, sans-serif; margin: 1.5rem; background: #fafafa; color: #222 }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(270px, 1fr)); gap: 1rem }
figure { margin: 0; padding: .8rem; background: #fff; border: 1px solid #ddd; border-radius: 6px }
img { display: block; margin: 0 auto .6rem; max-width: 100% }
code { color: #777; font-size: 12px; overflow-wrap: anywhere }
pre { white-space: pre-wrap; margin: .3rem 0 } .error { color: #b00020 }
</style></head><body><h1>Captions</h1>
<main>
"""


class Report:
    """Writes the sheet picture by picture, in memory that does not grow. Not thread-safe.

    The file is self-contained: thumbnails are in it. It appears when the block is left.

    Args:
        path: the file.
        pictures: as they were read; what was fetched is fetched again.

    Raises:
        MediaError: the file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], pictures: PictureParams | None = None) -> None:
        self._pictures = replace(pictures or PictureParams(), fit=FitParams(size=(_SIDE, _SIDE)))
        self._path = Path(path)
        self._part = self._path.with_name(f".{self._path.name}.part")
        self._count = self._failed = 0
        try:
            self._file = self._part.open("w", encoding="utf-8", errors="backslashreplace")
            self._file.write(_HEAD)
        except OSError as error:
            raise self._error(error) from error

    def add(self, caption: Caption) -> None:
        """Append one picture. One that cannot be shown has its caption or error alone."""
        self._count += 1
        self._failed += caption.error is not None
        try:
            picture = f'<img src="{self._thumbnail(caption.path)}" alt="">'
        except MullamaError:
            picture = ""
        said = html.escape(caption.text)
        if caption.error is not None:
            said = f'<span class="error">{html.escape(caption.error)}</span>'
        elif caption.data is not None:
            pretty = json.dumps(caption.data, ensure_ascii=False, indent=1)
            said = f"<pre>{html.escape(pretty)}</pre>"
        name = html.escape(short_name(caption.path) if is_url(caption.path) else caption.path)
        try:
            self._file.write(
                f"<figure>{picture}<figcaption>{said}<br><code>{name}</code></figcaption></figure>\n"
            )
        except OSError as error:
            raise self._error(error) from error

    def close(self) -> None:
        """Complete the file."""
        try:
            self._file.write(
                f"</main><p>{self._count} pictures, {self._failed} failed</p></body></html>\n"
            )
            self._file.close()
            os.replace(self._part, self._path)
        except OSError as error:
            raise self._error(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._file.close()
            self._part.unlink(missing_ok=True)

    def _thumbnail(self, path: str) -> str:
        """A `data:` URL of the picture, small."""
        from PIL import Image

        if is_url(path):
            shown = load(Url(path), self._pictures)
        elif storage.is_uri(path):
            shown = load(storage.read(path), self._pictures, name=path)
        elif video.is_video(path):
            shown = fit(video.read(path, _MIDDLE).frames[0], self._pictures.fit)
        else:
            shown = load(path, self._pictures)
        buffer = io.BytesIO()
        Image.fromarray(shown.pixels).save(buffer, "JPEG", quality=80)
        return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()

    def _error(self, error: OSError) -> MediaError:
        return MediaError(f"cannot be written: {error.strerror}", where=str(self._path))

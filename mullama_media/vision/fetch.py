"""Pictures named by URLs: `data:` has them inside, http(s) is fetched where that is allowed."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from mullama_media.errors import MediaError
from mullama_media.frames import Image
from mullama_media.vision import decode, http
from mullama_media.vision.params import FetchParams, PictureParams

__all__ = ["Url", "fetch", "fetch_bytes", "is_url", "short_name"]


@dataclass(frozen=True, slots=True)
class Url:
    """A picture in a prompt by its URL, where a str would be text."""

    url: str
    """`data:`, `http:` or `https:`"""

    def __repr__(self) -> str:
        return f"Url({short_name(self.url)!r})"


def fetch(url: str | Url, params: PictureParams | None = None) -> Image:
    """The picture a URL names. Blocks up to `FetchParams.timeout_s`; thread-safe.

    `data:` URLs (RFC 2397) hold base64, or text with %-escapes. http(s) is fetched if
    `FetchParams.allow` says so, and only from addresses of the open internet unless
    `allow_private` does (see `vision.http`).

    Raises:
        MediaError: not allowed, malformed, not reached in time, too large, or no picture.
        MissingExtraError: Pillow is not installed.
    """
    params = params or PictureParams()
    text = url.url if isinstance(url, Url) else url
    return decode.read(fetch_bytes(text, params.fetch), params, name=short_name(text))


def fetch_bytes(url: str, params: FetchParams | None = None) -> bytes:
    """The bytes behind a URL; raises what `fetch` does."""
    params = params or FetchParams()
    scheme = url.partition(":")[0].lower()
    if scheme == "data":
        return _inlined(url, params)
    if scheme not in ("http", "https"):
        raise MediaError("it is no data:, http: or https: URL", where=short_name(url))
    if not params.allow:
        raise MediaError(
            "fetching URLs is not allowed",
            where=short_name(url),
            hint="Allow it with --allow-url, or FetchParams(allow=True)",
        )
    return http.get(url, params)


def is_url(text: str) -> bool:
    """Whether it names a picture by URL, and not a file."""
    return re.match(r"(?:https?://|data:)", text, re.IGNORECASE) is not None


def short_name(url: str) -> str:
    """For messages: no login, no query, and of inlined data the type alone."""
    if url[:5].lower() == "data:":
        return f"{url[:60].partition(',')[0]},..."
    return http.public_url(url)


def _inlined(url: str, params: FetchParams) -> bytes:
    name = short_name(url)
    header, comma, body = url[5:].partition(",")
    if not comma:
        raise MediaError("a data: URL needs a comma before its data", where=name)
    kind, *extra = (part.strip().lower() for part in header.split(";"))
    if kind and not kind.startswith("image/") and kind != "application/octet-stream":
        raise MediaError(f"it is {kind}, not a picture", where=name)
    if len(body) > 3 * params.max_bytes + 4:  # %-escapes take three characters a byte
        raise _too_large(name, params)
    data = unquote_to_bytes(body)
    if "base64" in extra:
        try:
            packed = re.sub(rb"\s+", b"", data).translate(_URL_SAFE)
            data = base64.b64decode(packed + b"=" * (-len(packed) % 4), validate=True)
        except (binascii.Error, ValueError) as error:
            raise MediaError(f"its base64 is malformed: {error}", where=name) from error
    if len(data) > params.max_bytes:
        raise _too_large(name, params)
    return data


_URL_SAFE = bytes.maketrans(b"-_", b"+/")  # RFC 4648 section 5


def _too_large(name: str, params: FetchParams) -> MediaError:
    return MediaError(
        "it is too large", where=name, hint=f"At most {params.max_bytes:,} bytes are read"
    )

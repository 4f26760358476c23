"""One HTTP GET with the answer's facts read out, and every failure as one of two errors.

The only module here that opens a connection (Hugging Face goes through its own library).
Standard library only: proxies come from the environment, certificates from the system.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from types import TracebackType
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

from mullama_media.errors import DownloadError

__all__ = ["Answer", "TransientError", "open_url", "public_url"]

_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_MAX_RETRY_AFTER_S = 60.0


class TransientError(Exception):
    """A failure that may pass. Never leaves the hub: the caller retries, then raises `error`.

    Args:
        error: what to raise when trying again is given up.
        delay_s: seconds the server asked to wait, or None.
    """

    def __init__(self, error: DownloadError, delay_s: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.delay_s = delay_s


class _Stream(Protocol):
    def read1(self, n: int = -1, /) -> bytes: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """An open answer; a context manager that closes the connection.

    Attributes:
        status: 200 (all of it), 206 (from `first` on) or 416 (nothing from there on).
        first: offset of the first body byte in the file.
        total_bytes: size of the whole file, or None if the server does not say.
        validator: ETag, else Last-Modified, else None.
    """

    url: str
    status: int
    first: int
    total_bytes: int | None
    validator: str | None
    stream: _Stream

    def __enter__(self) -> Answer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.stream.close()

    def read(self, limit: int) -> bytes:
        """At most `limit` bytes, as soon as there are some; empty at the end. Blocks.

        Raises:
            TransientError: the connection broke or fell silent.
        """
        try:
            return self.stream.read1(limit)
        except (OSError, http.client.HTTPException) as exc:
            raise TransientError(_error(self.url, f"the connection broke: {_why(exc)}")) from exc


def public_url(url: str) -> str:
    """`url` without a login and without its query: fit for a message."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def open_url(
    url: str, headers: Mapping[str, str], *, timeout_s: float, ca_file: Path | None = None
) -> Answer:
    """GET `url`. Blocks up to `timeout_s` seconds for each step; thread-safe.

    Args:
        url: http or https.
        headers: request headers.
        timeout_s: the longest silence tolerated, in seconds, here and in `Answer.read`.
        ca_file: certificates to trust instead of the system's (PEM, or a folder of them).

    Raises:
        TransientError: worth another try (dropped, timed out, 429, 5xx).
        DownloadError: not worth one (404, 403, unknown host, bad certificate, not http).
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise _error(url, "not an http or https address")
    request = urllib.request.Request(  # noqa: S310 (the scheme was checked above)
        url, headers={"User-Agent": "mullama-media", **headers}
    )
    try:
        opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=_tls_context(ca_file))
        )
        response = opener.open(request, timeout=timeout_s)
    except urllib.error.HTTPError as exc:
        if exc.code == 416:
            return _answer(url, 416, exc.headers, exc)
        with exc:
            raise _http_error(url, exc) from exc
    except urllib.error.URLError as exc:
        raise _unreachable(url, exc.reason) from exc
    except (OSError, http.client.HTTPException) as exc:
        raise _unreachable(url, exc) from exc
    return _answer(url, response.status, response.headers, response)


def _answer(url: str, status: int, headers: Message, stream: _Stream) -> Answer:
    length = headers.get("Content-Length")
    total = int(length) if length and length.isdigit() and status == 200 else None
    first = 0
    content_range = re.fullmatch(
        r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", headers.get("Content-Range") or ""
    )
    if status != 200 and content_range:
        first = int(content_range[1] or 0)
        total = int(content_range[2]) if content_range[2] != "*" else None
    validator = headers.get("ETag") or headers.get("Last-Modified")
    return Answer(url, status, first, total, validator, stream)


def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    if ca_file is not None and ca_file.is_dir():
        return ssl.create_default_context(capath=str(ca_file))
    if ca_file is not None:
        return ssl.create_default_context(cafile=str(ca_file))
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"]:  # a Python that came without certificates
        try:
            import certifi
        except ImportError:
            return context
        context.load_verify_locations(certifi.where())
    return context


def _http_error(url: str, exc: urllib.error.HTTPError) -> Exception:
    hint = {
        401: "The server wants a login",
        403: "The server refuses this file to you",
        404: "Check the name and the version",
        429: "Too many requests: wait a little",
    }.get(exc.code)
    error = _error(url, f"the server answered {exc.code} {exc.reason}", hint)
    if exc.code not in _TRY_AGAIN:
        return error
    after = exc.headers.get("Retry-After") or ""
    return TransientError(error, min(float(after), _MAX_RETRY_AFTER_S) if after.isdigit() else None)


def _unreachable(url: str, reason: object) -> Exception:
    if isinstance(reason, ssl.SSLCertVerificationError):
        hint = "Behind a proxy with its own certificate, set PIP_CERT or SSL_CERT_FILE"
        return _error(url, f"the certificate is not trusted: {reason.verify_message}", hint)
    if isinstance(reason, FileNotFoundError):
        return _error(url, "the file of trusted certificates (PIP_CERT) does not exist")
    hint = "Is this machine online? What was loaded so far is kept and resumed"
    error = _error(url, f"the server cannot be reached: {_why(reason)}", hint)
    return error if isinstance(reason, socket.gaierror) else TransientError(error)


def _why(reason: object) -> str:
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    return str(reason) or type(reason).__name__


def _error(url: str, what: str, hint: str | None = None) -> DownloadError:
    return DownloadError(what, where=public_url(url), hint=hint)

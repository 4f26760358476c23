"""One bounded HTTP GET that goes nowhere it should not: no private address, however it is named.

A name is resolved once, its addresses are checked, and the connection goes to the very address that
was checked, so that a name that resolves differently the next moment (DNS rebinding) gains nothing.
Redirects begin anew. Proxies of the environment are not used: they would resolve the name.
Standard library only; certificates are the system's.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from mullama_media.errors import MediaError
from mullama_media.vision.params import FetchParams

__all__ = ["get", "is_public", "public_url"]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_UNTYPED = ("application/octet-stream", "binary/octet-stream")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_SAFE = "%/:=&?~#+!$,;'@()*[]"  # of RFC 3986, what a URL may hold as it is


def get(url: str, params: FetchParams) -> bytes:
    """The body of a picture at an http or https URL. Thread-safe.

    Blocks up to `timeout_s`, not counting the resolver, which has limits of its own.

    Raises:
        MediaError: refused, not reached, too slow, too large, or not a picture by its type.
    """
    seen = [url]
    with _Deadline(params.timeout_s, public_url(url)) as deadline:
        while True:
            body_or_next = _step(seen[-1], params, deadline)
            if isinstance(body_or_next, bytes):
                return body_or_next
            if body_or_next in seen or len(seen) > params.max_redirects:
                why = "it redirects in a circle" if body_or_next in seen else "too many redirects"
                raise MediaError(why, where=public_url(url))
            seen.append(body_or_next)


def public_url(url: str) -> str:
    """`url` without login, query and fragment: fit for a message."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "URL"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open internet.

    By the registries of RFC 6890; an IPv4 address within an IPv6 one (mapped, 6to4, Teredo, NAT64)
    decides for it.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        within = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
        if ip in _NAT64:
            within.append(ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF))
        if any(inner is not None and not is_public(str(inner)) for inner in within):
            return False
        if ip.ipv4_mapped is not None:
            return True
    return ip.is_global and not ip.is_multicast


class _Deadline:
    """Cuts a connection when the time is up, even one that gives a byte now and then."""

    def __init__(self, seconds: float, name: str) -> None:
        self._ends = time.monotonic() + seconds
        self._seconds = seconds
        self._name = name
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._over = False

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._timer.cancel()

    def left_s(self) -> float:
        """Seconds left; raises MediaError when there are none."""
        left = self._ends - time.monotonic()
        if left <= 0 or self._over:
            raise self.error()
        return left

    def error(self) -> MediaError:
        return MediaError(
            f"it took more than {self._seconds:g} s",
            where=self._name,
            hint="Allow more with timeout_s",
        )

    @contextlib.contextmanager
    def over(self, connected: socket.socket) -> Iterator[None]:
        """Watch a connection."""
        with self._lock:
            self._socket = connected
        try:
            yield
        finally:
            with self._lock:
                self._socket = None

    def _cut(self) -> None:
        with self._lock:
            self._over = True
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    # Of the plain socket: TLS has nothing to say goodbye to.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def _step(url: str, params: FetchParams, deadline: _Deadline) -> bytes | str:
    """The body, or the URL it redirects to."""
    name = public_url(url)
    place = _place(url, name)
    try:
        with (
            contextlib.closing(_connected(place, params, deadline)) as link,
            deadline.over(link),
        ):
            got = _exchange(link, url, place, params)
    except (MediaError, OSError, http.client.HTTPException, ValueError) as error:
        deadline.left_s()  # whatever it looked like, it was late
        if isinstance(error, MediaError):
            raise
        raise MediaError(f"it cannot be fetched: {_why(error)}", where=name) from error
    deadline.left_s()  # a connection that was cut looks like the end of a body
    return got


@dataclass(frozen=True, slots=True)
class _Place:
    host: str
    port: int
    secure: bool
    header: str
    target: str


def _place(url: str, name: str) -> _Place:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode()
        port = parts.port
    except ValueError as error:
        raise MediaError(f"it is not a URL: {error}", where=name) from error
    if parts.scheme not in ("http", "https") or not host:
        raise MediaError("it is not an http or https URL", where=name)
    if parts.username is not None:
        raise MediaError("a URL with a login in it is not fetched", where=name)
    secure = parts.scheme == "https"
    header = f"[{host}]" if ":" in host else host
    if port is not None:
        header += f":{port}"
    target = quote(urlunsplit(("", "", parts.path or "/", parts.query, "")), safe=_SAFE)
    return _Place(host, port or (443 if secure else 80), secure, header, target)


def _connected(place: _Place, params: FetchParams, deadline: _Deadline) -> socket.socket:
    failure: OSError | None = None
    for family, address in _addresses(place.host, place.port, params):
        link = socket.socket(family, socket.SOCK_STREAM)
        try:
            link.settimeout(deadline.left_s())
            link.connect(address)
            if not place.secure:
                return link
            return ssl.create_default_context().wrap_socket(link, server_hostname=place.host)
        except OSError as error:
            link.close()
            failure = error
        except BaseException:
            link.close()
            raise
    raise failure or OSError("its host has no address")


def _addresses(host: str, port: int, params: FetchParams) -> list[tuple[int, tuple[str, int]]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    allowed = [
        (family, address)
        for family, _, _, _, address in found
        if params.allow_private or is_public(str(address[0]))
    ]
    if not allowed:
        raise MediaError(
            "its address is private",
            where=host,
            hint="Addresses of this machine and of private networks need allow_private",
        )
    return allowed  # type: ignore[return-value]


def _exchange(link: socket.socket, url: str, place: _Place, params: FetchParams) -> bytes | str:
    name = public_url(url)
    connection = http.client.HTTPConnection("unused")  # it is connected already
    connection.sock = link
    headers = {
        "Host": place.header,
        "Accept": "image/*",
        "Accept-Encoding": "identity",
        "User-Agent": "mullama-media",
        "Connection": "close",
    }
    connection.request("GET", place.target, headers=headers)
    with connection.getresponse() as answer:
        if answer.status in _REDIRECTS:
            return _next(url, answer.headers.get("Location"), name)
        if answer.status != 200:
            known = http.client.responses.get(answer.status, "")
            raise MediaError(f"the server answered {answer.status} {known}".strip(), where=name)
        return _body(answer, params, name)


def _next(url: str, location: str | None, name: str) -> str:
    if not location:
        raise MediaError("it redirects to nowhere", where=name)
    try:
        following = urljoin(url, location)
        scheme = urlsplit(following).scheme
    except ValueError as error:
        raise MediaError(f"it redirects to what is no URL: {error}", where=name) from error
    if scheme not in ("http", "https"):
        raise MediaError(f"it redirects to a {scheme}: URL", where=name)
    return following


def _body(answer: http.client.HTTPResponse, params: FetchParams, name: str) -> bytes:
    kind = answer.headers.get_content_type() if "Content-Type" in answer.headers else ""
    if kind and not kind.startswith("image/") and kind not in _UNTYPED:
        raise MediaError(f"it is {kind}, not a picture", where=name)
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise MediaError("it comes compressed, which was not asked for", where=name)
    too_large = MediaError(
        "it is too large", where=name, hint=f"At most {params.max_bytes:,} bytes are fetched"
    )
    if answer.length is not None and answer.length > params.max_bytes:
        raise too_large
    data = answer.read(params.max_bytes + 1)
    if len(data) > params.max_bytes:
        raise too_large
    if answer.length:  # of what was promised
        raise MediaError(
            "the connection broke", where=name, hint=f"{answer.length} bytes are missing"
        )
    return data


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {error.verify_message}"
    if isinstance(error, socket.gaierror):
        return "its host is not known"
    return str(error) or type(error).__name__

"""Pictures by URL, from a real server that misbehaves."""

import base64
import contextlib
import gzip
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import numpy as np
import pytest

from mullama_media.errors import MediaError
from mullama_media.vision import http
from mullama_media.vision.fetch import Url, fetch, is_url, short_name
from mullama_media.vision.load import load
from mullama_media.vision.params import FetchParams, FitParams, PictureParams
from tests.vision.pictures import CORNERS, encoded

PNG = encoded(CORNERS, "PNG")
OPEN = FetchParams(allow=True, allow_private=True, timeout_s=5)


class Server:
    def __init__(self):
        self.requests = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append((self.path, dict(self.headers)))
                name = self.path.strip("/").partition("?")[0].partition("-")[0]
                with contextlib.suppress(OSError):  # the other side has had enough
                    getattr(outer, name)(self)

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.port = self.http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    @staticmethod
    def send(to, body=PNG, kind="image/png", status=200, **headers):
        to.send_response(status)
        if kind:
            to.send_header("Content-Type", kind)
        for name, value in headers.items():
            to.send_header(name.replace("_", "-"), value)
        to.end_headers()
        to.wfile.write(body)

    def good(self, to):
        self.send(to, Content_Length=len(PNG))

    def untyped(self, to):
        self.send(to, kind=None)

    def binary(self, to):
        self.send(to, kind="application/octet-stream")

    def page(self, to):
        self.send(to, b"<html>", "text/html; charset=utf-8")

    def liar(self, to):
        self.send(to, b"<html>no picture</html>")

    def missing(self, to):
        self.send(to, b"", status=404)

    def teapot(self, to):
        to.wfile.write(b"I am no server\r\n\r\n")

    def zipped(self, to):
        self.send(to, gzip.compress(PNG), Content_Encoding="gzip")

    def large(self, to):
        self.send(to, PNG + bytes(100_000), Content_Length=len(PNG) + 100_000)

    def endless(self, to):
        self.send(to, PNG)
        while True:
            to.wfile.write(bytes(10_000))

    def short(self, to):
        self.send(to, PNG[:100], Content_Length=len(PNG))

    def silent(self, to):
        time.sleep(5)

    def dripping(self, to):
        to.wfile.write(b"HTTP/1.0 200 OK\r\n")
        for _ in range(100):
            to.wfile.write(b"X: y\r\n")
            time.sleep(0.05)

    def slow(self, to):
        self.send(to, b"", "image/png")
        for byte in PNG:
            to.wfile.write(bytes([byte]))
            time.sleep(0.05)

    def hop(self, to):
        left = int(to.path.partition("-")[2])
        self.send(to, b"", status=302, Location=f"/hop-{left - 1}" if left else "/good")

    def circle(self, to):
        self.send(to, b"", status=301, Location="/circle-back")

    def local(self, to):
        self.send(to, b"", status=302, Location=f"http://localhost:{self.port}/good")

    def file(self, to):
        self.send(to, b"", status=302, Location="file:///etc/passwd")

    def nowhere(self, to):
        self.send(to, b"", status=302)


@pytest.fixture(scope="module")
def server():
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


def get(server, path, **changes):
    params = FetchParams(**{**vars(OPEN), **changes})
    return fetch(f"{server.url}/{path}", PictureParams(fetch=params))


@pytest.mark.parametrize("path", ["good", "untyped", "binary", "hop-4", "good?a=b&c=%20"])
def test_a_picture_comes(server, path):
    image = get(server, path)
    np.testing.assert_array_equal(image.pixels, CORNERS)
    assert image.name == f"{server.url}/{path.partition('?')[0]}"
    if "?" in path:
        seen, headers = server.requests[-1]
        assert seen == f"/{path}"
        assert headers["Host"] == f"127.0.0.1:{server.port}"


def test_a_url_is_content(server):
    params = PictureParams(fetch=OPEN, fit=FitParams(size=20))
    assert load(Url(f"{server.url}/good"), params).pixels.shape == (15, 20, 3)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("page", "it is text/html, not a picture"),
        ("liar", "not a picture that Pillow knows"),
        ("missing", "the server answered 404 Not Found"),
        ("teapot", "it cannot be fetched"),
        ("zipped", "compressed"),
        ("short", "the connection broke"),
        ("hop-5", "too many redirects"),
        ("circle", "in a circle"),
        ("file", "it redirects to a file: URL"),
        ("nowhere", "it redirects to nowhere"),
    ],
)
def test_what_goes_wrong_is_told(server, path, why):
    with pytest.raises(MediaError, match=why) as caught:
        get(server, path)
    assert "127.0.0.1" in str(caught.value.where)


@pytest.mark.parametrize("path", ["large", "endless"])
def test_size_is_bounded(server, path):
    assert get(server, "good", max_bytes=len(PNG)).pixels.shape == CORNERS.shape
    with pytest.raises(MediaError, match="it is too large"):
        get(server, path, max_bytes=len(PNG) + 99_999)


@pytest.mark.parametrize("path", ["silent", "dripping", "slow"])
def test_time_is_bounded(server, path):
    began = time.perf_counter()
    with pytest.raises(MediaError, match=r"it took more than 0\.3 s"):
        get(server, path, timeout_s=0.3)
    assert time.perf_counter() - began < 3


def test_nothing_is_fetched_unasked(server):
    before = len(server.requests)
    with pytest.raises(MediaError, match="not allowed") as caught:
        fetch(f"{server.url}/good")
    assert "allow-url" in caught.value.hint
    for host in ("127.0.0.1", "localhost", "127.1", "2130706433", "0.0.0.0", "[::1]"):
        with pytest.raises(MediaError, match="private"):
            fetch(f"http://{host}:{server.port}/good", PictureParams(fetch=FetchParams(allow=True)))
    assert len(server.requests) == before


def test_a_redirect_to_a_private_address_is_refused(server, monkeypatch):
    """The first host counts as public; that it leads to localhost is found out."""
    monkeypatch.setattr(http, "is_public", lambda address: address == "127.0.0.1")
    real = socket.getaddrinfo

    def resolve(host, *args, **options):
        at = "127.0.0.2" if host == "localhost" else host
        return real(at, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    before = len(server.requests)
    with pytest.raises(MediaError, match="private") as caught:
        get(server, "local", allow_private=False)
    assert caught.value.where == "localhost"
    assert len(server.requests) == before + 1


def test_the_address_that_was_checked_is_the_one_that_is_used(server, monkeypatch):
    """A name that resolves to something else the next time (DNS rebinding) gains nothing."""
    answers = iter(["127.0.0.1", "10.0.0.1"])
    real = socket.getaddrinfo
    monkeypatch.setattr(http, "is_public", lambda address: address == "127.0.0.1")
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *args, **options: real(next(answers), *args, **options)
    )
    url = f"http://pictures.example:{server.port}/good"
    fetch(url, PictureParams(fetch=FetchParams(allow=True)))
    assert server.requests[-1][1]["Host"] == f"pictures.example:{server.port}"
    assert next(answers) == "10.0.0.1"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True), ("2606:4700::1111", True), ("::ffff:8.8.8.8", True),
        ("10.1.2.3", False), ("172.16.0.1", False), ("192.168.1.1", False), ("127.0.0.1", False),
        ("169.254.169.254", False), ("100.64.0.1", False), ("0.0.0.0", False),
        ("224.0.0.1", False), ("255.255.255.255", False), ("192.0.2.1", False),
        ("::1", False), ("::", False), ("fe80::1%eth0", False), ("fd00::1", False),
        ("::ffff:10.0.0.1", False), ("2002:0a00:0001::", False), ("64:ff9b::7f00:1", False),
        ("2001:0:808:808::f5ff:fffe", False), ("ff02::1", False), ("2001:db8::1", False),
    ],
)  # fmt: skip
def test_addresses(address, public):
    assert http.is_public(address) is public


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://a.example/x.png", "no data:, http: or https: URL"),
        ("http://user:secret@a.example/x.png", "with a login"),
        ("http://[::1/x.png", "not a URL"),
        ("http:///x.png", "not an http or https URL"),
        ("http://a.example:99999/x.png", "not a URL"),
        ("http://nowhere.invalid/x.png", "its host is not known"),
    ],
)
def test_what_is_no_url(url, why):
    with pytest.raises(MediaError, match=why) as caught:
        fetch(url, PictureParams(fetch=FetchParams(allow=True)))
    assert "secret" not in str(caught.value)


def inlined(data=PNG, head="image/png;base64"):
    return f"data:{head},{base64.b64encode(data).decode()}"


@pytest.mark.parametrize(
    "url",
    [
        inlined(),
        inlined(head=";base64"),
        inlined(head="image/PNG;name=x;BASE64"),
        "DATA:image/png;base64," + base64.urlsafe_b64encode(PNG).decode().rstrip("="),
        "data:image/png," + quote(PNG),
        inlined().replace("+", "%2B").replace("A", "A\n"),
    ],
)
def test_data_urls_hold_pictures(url):
    image = fetch(url)
    np.testing.assert_array_equal(image.pixels, CORNERS)
    assert len(image.name) < 80


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("data:image/png;base64", "needs a comma"),
        ("data:text/html,hello", "it is text/html"),
        (inlined()[:-7] + "!" * 7, "base64 is malformed"),
        (inlined(b""), "it is empty"),
        (inlined(PNG[:50]), "cannot be decoded"),
        (inlined(bytes(2000)), "too large"),
        ("data:image/png," + "%00" * 2000, "too large"),
        ("data:image/png," + "x" * 9000, "too large"),
    ],
)
def test_bad_data_urls(url, why):
    with pytest.raises(MediaError, match=why) as caught:
        fetch(url, PictureParams(fetch=FetchParams(max_bytes=1500)))
    assert len(str(caught.value)) < 200


def test_names():
    assert is_url("HTTPS://a.example/x.png")
    assert is_url("data:,x")
    assert not is_url("data.png")
    assert not is_url("http.png")
    assert short_name("https://me:pw@a.example/x.png?key=secret#y") == "https://a.example/x.png"
    assert "pw" not in repr(Url("https://me:pw@a.example/x.png"))

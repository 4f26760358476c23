"""A real HTTP server on this machine, with Range support and faults on demand."""

from __future__ import annotations

import re
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Fault:
    """What goes wrong with one request; faults of a file are used up one by one."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    drop_after: int | None = None  # close the connection after this many body bytes
    pause_after: int | None = None  # wait for `Served.gate` after this many body bytes
    ignore_range: bool = False


@dataclass
class Served:
    body: bytes
    etag: str | None = '"v1"'
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200
    faults: deque[Fault] = field(default_factory=deque)
    gate: threading.Event = field(default_factory=threading.Event)


@dataclass
class Request:
    method: str
    path: str
    range: str | None
    status: int = 0
    sent: int = 0


class FileServer:
    def __init__(self) -> None:
        self.files: dict[str, Served] = {}
        self.requests: list[Request] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.answer(self)

            def do_HEAD(self) -> None:
                outer.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def put(self, path: str, body: bytes, **kwargs: object) -> Served:
        self.files[path] = Served(body, **kwargs)  # type: ignore[arg-type]
        return self.files[path]

    def gets(self, path: str | None = None) -> list[Request]:
        return [r for r in self.requests if r.method == "GET" and path in (None, r.path)]

    def close(self) -> None:
        for file in self.files.values():
            file.gate.set()
        self.http.shutdown()
        self.http.server_close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path.partition("?")[0]
        entry = Request(handler.command, path, handler.headers.get("Range"))
        self.requests.append(entry)
        file = self.files.get(path)
        fault = file.faults.popleft() if file and file.faults else Fault()
        if file is None:
            file = Served(b"nothing here", etag=None, status=404)
        status, first = fault.status or file.status, 0
        wanted = re.fullmatch(r"bytes=(\d+)-", entry.range or "")
        headers = dict(file.headers)
        if file.etag:
            headers["ETag"] = file.etag
        changed = handler.headers.get("If-Range") not in (None, file.etag)
        if status == 200 and wanted and not fault.ignore_range and not changed:
            first, total = int(wanted[1]), len(file.body)
            status = 206 if first < total else 416
            span = f"{first}-{total - 1}" if first < total else "*"
            headers["Content-Range"] = f"bytes {span}/{total}"
        headers.update(fault.headers)
        body = file.body[first:] if status < 400 else b"no"
        entry.status = status
        handler.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(key, value)
        handler.end_headers()
        if handler.command == "HEAD":
            return
        cut = fault.drop_after if fault.drop_after is not None else fault.pause_after
        try:
            entry.sent = handler.wfile.write(body[:cut])
            handler.wfile.flush()
            if fault.drop_after is not None:
                handler.close_connection = True
            elif fault.pause_after is not None:
                file.gate.wait(20)
                entry.sent += handler.wfile.write(body[cut:])
        except OSError:
            handler.close_connection = True


class Recorder:
    """A Progress that writes down what it is told."""

    def __init__(self) -> None:
        self.starts: list[tuple[str, int | None, int]] = []
        self.advanced = 0
        self.finished = 0

    def start(self, name: str, total_bytes: int | None, done_bytes: int) -> None:
        self.starts.append((name, total_bytes, done_bytes))

    def advance(self, n: int) -> None:
        self.advanced += n

    def finish(self) -> None:
        self.finished += 1

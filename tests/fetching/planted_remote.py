"""A web server on the loopback interface that plays a remote, with the faults of real ones."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[["Asked"], tuple[int, dict[str, str], bytes]]


@dataclass(frozen=True)
class Asked:
    """A request that came."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def start(self) -> int:
        match = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(match[1]) if match else 0


@dataclass
class Served:
    """A file of the remote and its faults.

    Args:
        body: Its bytes.
        etag: Its entity tag; None sends none.
        ranges: Whether the server knows ranges.
        cuts: Bytes after which the connection is cut, for the first answers.
        first: Answers before it is served: status and headers.
        kind: Content type.
        signature: What the query must be, if anything.
        stated: Content length stated instead of the true one.
    """

    body: bytes
    etag: str | None = '"one"'
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    first: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    kind: str = "application/octet-stream"
    signature: str | None = None
    stated: int | None = None


@dataclass
class Remote:
    """The server: its files and answers by path, and what was asked of it."""

    address: str
    files: dict[str, Served] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def serve(self, name: str, body: bytes, **faults: Any) -> str:
        """Put a file there; its address."""
        self.files[f"/{name}"] = Served(body, **faults)
        return f"{self.address}/{name}"

    def reply(self, path: str, document: Any, status: int = 200) -> None:
        """Answer a path with JSON."""
        self.answers[path] = lambda _: (
            status,
            {"Content-Type": "application/json"},
            json.dumps(document).encode(),
        )

    def requests_of(self, name: str) -> list[Asked]:
        return [a for a in self.asked if a.path == f"/{name}"]


@contextmanager
def remote() -> Iterator[Remote]:
    """A running server."""
    held: list[Remote] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: object) -> None:
            pass

        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

        def _answer(self, body: bytes) -> None:
            path, _, query = self.path.partition("?")
            asked = Asked(self.command, path, query, dict(self.headers.items()), body)
            held[0].asked.append(asked)
            if path in held[0].files:
                self._serve(held[0].files[path], asked)
            elif path in held[0].answers:
                self._send(*held[0].answers[path](asked))
            else:
                self._send(404, {}, b"nothing here")

        def _serve(self, file: Served, asked: Asked) -> None:
            if file.first:
                self._send(*file.first.pop(0), b"")
                return
            if file.signature is not None and asked.query != file.signature:
                self._send(403, {}, b"expired")
                return
            start = asked.start if file.ranges else 0
            if asked.headers.get("If-Range", file.etag) != file.etag:
                start = 0
            if start >= len(file.body) and start:
                self._send(416, {}, b"")
                return
            headers = {"Content-Type": file.kind} | ({"ETag": file.etag} if file.etag else {})
            if start:
                last = len(file.body) - 1
                headers["Content-Range"] = f"bytes {start}-{last}/{len(file.body)}"
            self._send(206 if start else 200, headers, file.body[start:], file)

        def _send(
            self, status: int, headers: dict[str, str], body: bytes, file: Served | None = None
        ) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            stated = len(body) if file is None or file.stated is None else file.stated
            self.send_header("Content-Length", str(stated))
            self.end_headers()
            if file is not None and file.cuts:
                self.wfile.write(body[: file.cuts.pop(0)])
                self.wfile.flush()
                self.close_connection = True
                self.connection.close()
            else:
                self.wfile.write(body)
                self.close_connection = self.close_connection or stated != len(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a cut client is part of the play
    held.append(Remote(f"http://127.0.0.1:{server.server_address[1]}"))
    thread = threading.Thread(target=lambda: server.serve_forever(0.01), daemon=True)
    thread.start()
    try:
        yield held[0]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""A local web server over the output folder, so that pages, catalog and stores can be read by address.

Serves GET and HEAD on 127.0.0.1 only, with byte ranges (which Zarr readers ask for) and a CORS header (which STAC
Browser and web maps ask for). It says nothing itself: the address goes to a callback, requests to `logging`.
"""

import logging
import os
import re
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from ch4grid.errors import InputError, RunError

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
# What to open first, the best first.
PAGES = ("index.html", "catalog/index.html", "catalog/catalog.json")
RANGE = re.compile(r"^bytes=(\d*)-(\d*)$")


class Handler(SimpleHTTPRequestHandler):
    """Static files with byte ranges and CORS."""

    protocol_version = "HTTP/1.1"
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".geojson": "application/geo+json",
        ".parquet": "application/vnd.apache.parquet",
        ".yaml": "application/yaml",
    }

    def end_headers(self) -> None:
        """Add the headers that every answer carries."""
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header(
            "Access-Control-Expose-Headers", "Content-Length, Content-Range, Accept-Ranges"
        )
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def do_OPTIONS(self) -> None:
        """Answer a browser's question whether it may read from another page."""
        self.send_response(HTTPStatus.NO_CONTENT)
        self.send_header("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
        self.send_header("Access-Control-Allow-Headers", "Range")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def send_head(self) -> BytesIO | BinaryIO | None:
        """Headers of the answer and the bytes to send: a whole file, a listing, or the range asked for."""
        match = RANGE.match(self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if match is None or not path.is_file():
            return super().send_head()
        size = path.stat().st_size
        span = byte_range(match.group(1), match.group(2), size)
        if span is None:
            self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        return self._part(path, span, size)

    def _part(self, path: Path, span: tuple[int, int], size: int) -> BytesIO:
        first, last = span
        with path.open("rb") as stream:
            stream.seek(first)
            content = stream.read(last - first + 1)
        self.send_response(HTTPStatus.PARTIAL_CONTENT)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        return BytesIO(content)

    def log_message(self, format: str, *args: object) -> None:
        """Requests go to the log, not to the terminal."""
        log.debug(format, *args)


def byte_range(first: str, last: str, size: int) -> tuple[int, int] | None:
    """First and last byte of the range `first-last` of a file of `size` bytes; None when it cannot be satisfied.

    Source: RFC 9110, 14.1.2: `-n` means the last n bytes, `n-` everything from byte n.
    """
    if not first:
        count = min(int(last or 0), size)
        return (size - count, size - 1) if count else None
    start, stop = int(first), min(int(last) if last else size - 1, size - 1)
    return (start, stop) if start <= stop else None


def open_server(folder: Path, port: int) -> ThreadingHTTPServer:
    """A server over `folder` on 127.0.0.1, listening but not yet answering; port 0 takes a free one.

    Raises:
        InputError: The folder is missing.
        RunError: The port is taken or not allowed.
    """
    if not folder.is_dir():
        raise InputError(
            "nothing to browse",
            where=folder,
            expected="the folder of a catalog or of products",
            found="no such folder",
            fix="Run a recipe first, or give --catalog the folder <output>/catalog",
        )
    try:
        return ThreadingHTTPServer((HOST, port), partial(Handler, directory=os.fspath(folder)))
    except (OSError, OverflowError) as error:
        raise RunError(
            "cannot listen on the port",
            where=f"{HOST}:{port}",
            expected="a free port from 1024 to 65535",
            found=getattr(error, "strerror", None) or error,
            fix="Give another with --port, or 0 for any free one",
        ) from error


def output_folder(catalog: Path) -> Path:
    """The folder to serve for a catalog given as its folder, its root document or the output folder around it."""
    folder = catalog.parent if catalog.is_file() else catalog
    return folder.parent if (folder / "catalog.json").is_file() else folder


def serve(catalog: Path, port: int, *, started: Callable[[str], None]) -> None:
    """Serve the output folder around a catalog until interrupted.

    Args:
        catalog: The catalog's folder, its root document or the output folder around it.
        port: Port on 127.0.0.1; 0 for any free one.
        started: Called once with the address of the index page (or of the catalog, when there is no index).

    Raises:
        InputError: The folder is missing.
        RunError: The port is taken or not allowed.
    """
    folder = output_folder(catalog.absolute())
    with open_server(folder, port) as server:
        page = next((p for p in PAGES if (folder / p).is_file()), "")
        started(f"http://{HOST}:{server.server_address[1]}/{page}")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            log.info("stopped serving %s", folder)

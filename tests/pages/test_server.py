"""The local server: ranges, CORS, its address, and clear words when it cannot start."""

import http.client
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from ch4grid import pages
from ch4grid.errors import InputError, RunError
from ch4grid.pages.server import byte_range, open_server, output_folder


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    (tmp_path / "digits.txt").write_bytes(b"0123456789")
    server = open_server(tmp_path, 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def ask(
    server: ThreadingHTTPServer, path: str, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=5)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    result = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return result


def test_a_file_comes_whole_and_may_be_read_by_other_pages(server: ThreadingHTTPServer) -> None:
    status, headers, body = ask(server, "/digits.txt")
    assert (status, body) == (200, b"0123456789")
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    ("asked", "body"),
    [("bytes=2-4", b"234"), ("bytes=7-", b"789"), ("bytes=-3", b"789"), ("bytes=8-99", b"89")],
)
def test_a_range_comes_as_asked(server: ThreadingHTTPServer, asked: str, body: bytes) -> None:
    status, headers, found = ask(server, "/digits.txt", Range=asked)
    assert (status, found) == (206, body)
    assert headers["Content-Length"] == str(len(body))
    assert headers["Content-Range"].endswith("/10")


def test_a_range_beyond_the_file_is_refused(server: ThreadingHTTPServer) -> None:
    status, headers, _ = ask(server, "/digits.txt", Range="bytes=10-")
    assert status == 416
    assert headers["Content-Range"] == "bytes */10"


def test_nothing_above_the_folder_is_served(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    (tmp_path.parent / "secret.txt").write_text("no")
    assert ask(server, "/../secret.txt")[0] == 404
    assert ask(server, "/%2e%2e/secret.txt", Range="bytes=0-")[0] == 404


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [("0", "0", (0, 0)), ("", "0", None), ("5", "2", None), ("", "99", (0, 9)), ("9", "", (9, 9))],
)
def test_byte_ranges_follow_the_standard(first: str, last: str, expected: object) -> None:
    assert byte_range(first, last, 10) == expected


def test_a_taken_port_is_named(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    port = server.server_address[1]
    with pytest.raises(RunError, match=rf"127.0.0.1:{port}: cannot listen on the port.*--port"):
        pages.serve(tmp_path, port, started=str)


def test_a_port_that_cannot_be_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="a free port from 1024 to 65535"):
        pages.serve(tmp_path, 70000, started=str)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to browse"):
        pages.serve(tmp_path / "none", 0, started=str)


def test_the_folder_around_the_catalog_is_served(tmp_path: Path) -> None:
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog" / "catalog.json").write_text("{}")
    for place in (tmp_path, tmp_path / "catalog", tmp_path / "catalog" / "catalog.json"):
        assert output_folder(place) == tmp_path


def test_the_address_is_that_of_the_index(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html>")
    said: list[str] = []

    def stop(address: str) -> None:
        said.append(address)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pages.serve(tmp_path, 0, started=stop)
    assert said[0].endswith("/index.html")

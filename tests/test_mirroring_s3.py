"""The whole cycle against a server that speaks S3, and reading over plain HTTP."""

import logging
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import planted_product as planted
import pytest
import s3fs
import xarray as xr
from botocore.exceptions import EndpointConnectionError
from catalogued_product import publish
from moto.server import ThreadedMotoServer
from typer.testing import CliRunner

import ch4grid
from ch4grid import catalog as stac
from ch4grid.cli import app
from ch4grid.errors import InputError, RunError
from ch4grid.grid import Grid
from ch4grid.mirroring import mirror
from ch4grid.remote import attempts, connect
from ch4grid.running import verify

GRID = Grid(20.0)
SECRET = "planted-secret-access-key"
KEY = "PLANTEDACCESSKEY"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Output folders of the product with one year and with two."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    planted.write_years(one, 2001, grid=GRID)
    shutil.copytree(one, two, dirs_exist_ok=True)
    planted.write_years(two, 2001, 2002, grid=GRID)
    return one, two


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def bucket(
    server: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[s3fs.S3FileSystem, str]]:
    """A client and the name of an empty bucket; credentials and address come from the environment alone."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(attempts, "FIRST_PAUSE", 0.0)
    fs = s3fs.S3FileSystem(use_listings_cache=False)
    name = f"bucket-{abs(hash(request.node.name)) % 10**9}"
    fs.mkdir(name)
    yield fs, name
    fs.rm(name, recursive=True)


def url_in(name: str) -> str:
    return f"s3://{name}/planted/v1/historical.zarr"


def store_in(output: Path) -> Path:
    return planted.store_path(output)


def held(fs: s3fs.S3FileSystem, name: str) -> dict[str, bytes]:
    return {k.removeprefix(f"{name}/planted/"): v for k, v in fs.cat(fs.find(name)).items()}


def losing_network(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    count, guard, whole = iter(range(10**6)), threading.Lock(), s3fs.S3FileSystem.call_s3

    def call(self: s3fs.S3FileSystem, method: str, *rest: Any, **told: Any) -> Any:
        if method == "put_object":
            with guard:
                turn = next(count)
            if turn >= after:
                raise ConnectionResetError("the network is gone")
        return whole(self, method, *rest, **told)

    monkeypatch.setattr(s3fs.S3FileSystem, "call_s3", call)


def test_a_product_and_its_next_year_on_s3(
    outputs: tuple[Path, Path], bucket: tuple[s3fs.S3FileSystem, str]
) -> None:
    (one, two), (fs, name) = outputs, bucket
    url = url_in(name)
    first = mirror(store_in(one), url)
    assert held(fs, name) == planted.mirrored(one / "planted")
    again = mirror(store_in(one), url)
    assert (again.sent, again.skipped) == (0, first.sent)
    second = mirror(store_in(two), url)
    assert held(fs, name) == planted.mirrored(two / "planted")
    assert second.sent + second.skipped == len(planted.mirrored(two / "planted"))
    assert verify(url) == []
    with xr.open_zarr(store_in(two)) as expected:
        xr.testing.assert_identical(ch4grid.open(url).load(), expected.load())


def test_plain_xarray_opens_a_mirror_with_storage_options(
    outputs: tuple[Path, Path],
    bucket: tuple[s3fs.S3FileSystem, str],
    server: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (one, _), (_, name) = outputs, bucket
    mirror(store_in(one), url_in(name))
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    options = {"endpoint_url": server, "key": KEY, "secret": SECRET}
    opened = xr.open_zarr(url_in(name), storage_options=options)
    with xr.open_zarr(store_in(one)) as expected:
        xr.testing.assert_identical(opened.load(), expected.load())


def test_an_object_carries_its_digest(
    outputs: tuple[Path, Path], bucket: tuple[s3fs.S3FileSystem, str]
) -> None:
    (one, _), (fs, name) = outputs, bucket
    mirror(store_in(one), url_in(name))
    head = fs.call_s3("head_object", Bucket=name, Key="planted/v1/historical.zarr/zarr.json")
    place = connect(url_in(name))
    assert head["Metadata"] == {"sha256": place.digest("zarr.json")}
    assert head["ContentType"] == "application/json"


def test_a_mirror_interrupted_at_any_of_some_puts_is_finished_by_a_rerun(
    outputs: tuple[Path, Path],
    bucket: tuple[s3fs.S3FileSystem, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (one, two), (fs, name) = outputs, bucket
    mirror(store_in(one), url_in(name))
    for k in (0, 7, 1, 12):  # each rerun of these puts what is left, so every one stops further on
        with monkeypatch.context() as patch:
            losing_network(patch, k)
            with pytest.raises(RunError, match="does not answer as it should"):
                mirror(store_in(two), url_in(name))
        assert ch4grid.open(url_in(name)).sizes["time"] == 12
    mirror(store_in(two), url_in(name))
    assert held(fs, name) == planted.mirrored(two / "planted")


def test_a_flipped_object_on_s3_is_named_by_verify_and_mended_by_a_mirror(
    outputs: tuple[Path, Path], bucket: tuple[s3fs.S3FileSystem, str]
) -> None:
    (one, _), (fs, name) = outputs, bucket
    mirror(store_in(one), url_in(name))
    path = f"{name}/planted/v1/historical.zarr/ch4_flux_member/c/0/0/0/0"
    content = fs.cat_file(path)
    fs.pipe_file(path, content[:-1] + bytes([content[-1] ^ 1]))
    run = CliRunner().invoke(app, ["verify", url_in(name)])
    assert run.exit_code == 1
    assert run.stdout.startswith("ch4_flux_member/c/0/0/0/0: the chunk")
    assert mirror(store_in(one), url_in(name)).sent == 1
    assert verify(url_in(name)) == []


def test_of_two_writers_on_s3_the_second_is_told(bucket: tuple[s3fs.S3FileSystem, str]) -> None:
    fs, name = bucket
    place = connect(f"s3://{name}/a")
    place.swap("k", b"one", None)
    with pytest.raises(RunError, match="somebody else"):
        place.swap("k", b"other", None)
    place.swap("k", b"two", b"one")
    assert place.read("k") == b"two"
    with pytest.raises(OSError, match=r"pre-?condition"):
        fs.call_s3("put_object", Bucket=name, Key="a/k", Body=b"late", IfNoneMatch="*")


def test_a_write_between_look_and_write_is_noticed_by_the_server(
    bucket: tuple[s3fs.S3FileSystem, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fs, name = bucket
    place = connect(f"s3://{name}/a")
    place.swap("k", b"one", None)
    whole = s3fs.S3FileSystem.call_s3

    def raced(self: s3fs.S3FileSystem, method: str, *rest: Any, **told: Any) -> Any:
        if method == "put_object":
            whole(self, method, Bucket=name, Key="a/k", Body=b"in between")
        return whole(self, method, *rest, **told)

    monkeypatch.setattr(s3fs.S3FileSystem, "call_s3", raced)
    with pytest.raises(RunError, match="somebody else"):
        place.swap("k", b"two", b"one")
    assert fs.cat_file(f"{name}/a/k") == b"in between"


def test_secrets_are_nowhere(
    outputs: tuple[Path, Path],
    bucket: tuple[s3fs.S3FileSystem, str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (one, _), (fs, name) = outputs, bucket
    caplog.set_level(logging.DEBUG)
    done = mirror(store_in(one), url_in(name))
    address = f"http://{KEY}:{SECRET}@127.0.0.1:1/"

    async def unreachable(*_: Any, **__: Any) -> None:
        raise EndpointConnectionError(endpoint_url=address)

    with monkeypatch.context() as patch:
        patch.setattr(s3fs.S3FileSystem, "_call_s3", unreachable)
        with pytest.raises(RunError, match="does not answer as it should") as caught:
            mirror(store_in(one), url_in(name))
    told = [str(caught.value), caplog.text, str(done.as_dict()), done.in_words()]
    objects = b"".join(held(fs, name).values())
    for secret in (SECRET, KEY):
        assert not [words for words in told if secret in words]
        assert secret.encode() not in objects


def test_a_bucket_that_does_not_exist_is_told(
    outputs: tuple[Path, Path], bucket: tuple[s3fs.S3FileSystem, str]
) -> None:
    with pytest.raises(RunError, match="no such bucket or object"):
        mirror(store_in(outputs[0]), url_in("no-such-bucket-at-all"))
    with pytest.raises(InputError, match="no product here"):
        ch4grid.open(url_in("no-such-bucket-at-all"))


def test_a_catalog_on_s3_is_listed_shown_and_proved(
    outputs: tuple[Path, Path], bucket: tuple[s3fs.S3FileSystem, str], tmp_path: Path
) -> None:
    (one, _), (fs, name) = outputs, bucket
    shutil.copytree(one, tmp_path / "out")
    catalog = publish(tmp_path / "out", 2001)
    (catalog / "index.html").write_text("<p>pages come along</p>")
    mirror(store_in(tmp_path / "out"), url_in(name), catalog=catalog)
    url = f"s3://{name}/catalog"
    assert stac.validate(url) == []
    assert stac.list_catalog(url) == stac.list_catalog(catalog)
    assert stac.show(url, "planted")["assets"]["data"] == url_in(name)
    assert fs.cat_file(f"{name}/catalog/index.html") == b"<p>pages come along</p>"
    fs.rm_file(f"{name}/planted/v1/historical.zarr/ch4_flux/c/0/0/0")
    assert [p.split(": ", 1)[1] for p in stac.validate(url)] == [
        f"ch4_flux/c/0/0/0: expected {size_of(one)} bytes by the ledger, found none"
    ]


def size_of(output: Path) -> int:
    return (store_in(output) / "ch4_flux" / "c" / "0" / "0" / "0").stat().st_size


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_product_is_read_and_verified_over_plain_http(outputs: tuple[Path, Path]) -> None:
    one, _ = outputs
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(one)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/planted/v1/historical.zarr"
    try:
        with xr.open_zarr(store_in(one)) as expected:
            xr.testing.assert_identical(ch4grid.open(url).load(), expected.load())
        assert verify(url) == []
        with pytest.raises(InputError, match="no product here"):
            ch4grid.open(url.replace("v1", "v2"))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""Places behind URLs: whole writes, digests, retries, conditions and words without secrets."""

import errno
import hashlib
from collections.abc import Callable

import fsspec
import pytest

from ch4grid.errors import RecipeError, RunError
from ch4grid.redaction import redacted, secrets_of_environment
from ch4grid.remote import Remote, connect, connect_to_write, is_url
from ch4grid.remote.attempts import ATTEMPTS, passing
from ch4grid.remote.dialects import S3, Plain

SECRET = "wJalrXUtnFEMI-secret-value"


@pytest.fixture
def place() -> Remote:
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    return connect_to_write("memory://bucket/folder")


def flaky(failures: list[Exception], call: Callable) -> Callable:
    """The call after as many failures as listed."""

    def once(*args: object, **kwargs: object) -> object:
        if failures:
            raise failures.pop(0)
        return call(*args, **kwargs)

    return once


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("s3://b/x.zarr", True),
        ("https://a.example/x.zarr", True),
        ("memory://x", True),
        ("products/x.zarr", False),
        ("/a/b.zarr", False),
        ("C:/a/b.zarr", False),
    ],
)
def test_a_url_has_a_scheme(text: str, url: bool) -> None:
    assert is_url(text) is url


@pytest.mark.parametrize(
    "url",
    [
        f"s3://AKIAKEY:{SECRET}@bucket/x.zarr",
        f"https://user:{SECRET}@host.example/x.zarr",
        f"https://{SECRET}@host.example/x.zarr",
        f"https://host.example/x.zarr?X-Amz-Signature={SECRET}",
        f"abfs://container:{SECRET}@account.example/x.zarr",
    ],
)
def test_a_url_with_credentials_is_refused_and_does_not_come_back_in_the_words(url: str) -> None:
    with pytest.raises(RecipeError, match="the URL carries credentials or a query") as caught:
        connect(url)
    assert SECRET not in str(caught.value)
    assert "AKIAKEY" not in str(caught.value)


def test_a_folder_is_no_url() -> None:
    with pytest.raises(RecipeError, match=r"this is no URL\. Expected e\.g\. s3://"):
        connect("products/x.zarr")


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(RecipeError, match="nothing here understands nosuch://"):
        connect("nosuch://bucket/x.zarr")


def test_files_of_a_disk_cannot_be_mirrored_to() -> None:
    with pytest.raises(RecipeError, match="a reader could see half an object"):
        connect_to_write("file:///tmp/x.zarr")


def test_what_is_put_is_read_listed_and_known_by_its_digest(place: Remote) -> None:
    place.put("a/b", b"content")
    assert place.read("a/b") == b"content"
    assert place.sizes("a") == {"a/b": 7}
    assert place.sizes("") == {"a/b": 7}
    assert place.digest("a/b") == hashlib.sha256(b"content").hexdigest()
    assert place.above(1).read("folder/a/b") == b"content"


def test_what_is_not_there_is_none_without_waiting(place: Remote) -> None:
    assert place.read("no") is None
    assert place.digest("no") is None
    assert place.sizes("no") == {}


def test_there_is_nothing_above_the_bucket(place: Remote) -> None:
    with pytest.raises(RecipeError, match="the URL is too short"):
        place.above(2)


@pytest.mark.parametrize(
    "error",
    [ConnectionResetError("reset"), TimeoutError("late"), OSError(errno.EBUSY, "slow down")],
)
def test_passing_errors_are_tried_again_with_growing_pauses(
    place: Remote, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    patient = Remote(place.address, place.fs, place.root, Plain(), waited.append)
    put = flaky([error] * (ATTEMPTS - 1), place.fs.pipe_file)
    monkeypatch.setattr(place.fs, "pipe_file", put)
    patient.put("a", b"x")
    assert place.read("a") == b"x"
    assert waited == [0.5, 1.0, 2.0, 4.0]


def test_lasting_trouble_ends_in_words_without_secrets(
    place: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    impatient = Remote(place.address, place.fs, place.root, Plain(), lambda _: None)
    error = ConnectionError(f"cannot reach https://user:{SECRET}@host/ with {SECRET}")
    monkeypatch.setattr(place.fs, "cat_file", flaky([error] * ATTEMPTS, place.fs.cat_file))
    with pytest.raises(RunError, match="the object store does not answer as it should") as caught:
        impatient.read("a")
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__


def test_refused_access_is_not_tried_again(place: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place.fs, "cat_file", flaky([PermissionError("403")], place.fs.cat_file))
    with pytest.raises(RunError, match=r"refuses access.*Check the credentials"):
        place.read("a")


def test_bytes_that_change_on_the_way_are_sent_again_and_then_refused(
    place: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = Remote(place.address, place.fs, place.root, Plain(), lambda _: None)
    whole = place.fs.pipe_file
    turns = iter(range(100))
    monkeypatch.setattr(
        place.fs, "pipe_file", lambda p, c: whole(p, c if next(turns) else c[:-1] + b"!")
    )
    impatient.put("a", b"xyz")
    assert place.read("a") == b"xyz"
    monkeypatch.setattr(place.fs, "pipe_file", lambda p, c: whole(p, c[:-1]))
    with pytest.raises(RunError, match="what was read back is not what was sent"):
        impatient.put("a", b"abc")


def test_of_two_writers_the_second_is_told(place: Remote) -> None:
    place.swap("a", b"one", None)
    place.swap("a", b"two", b"one")
    place.swap("a", b"two", b"one")  # an answer was lost and the write is tried again
    with pytest.raises(RunError, match="somebody else has changed the target meanwhile"):
        place.swap("a", b"three", b"one")
    with pytest.raises(RunError, match="somebody else"):
        place.swap("a", b"three", None)
    assert place.read("a") == b"two"


class OldServer:
    """A server that knows neither conditions nor checksums."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}

    def split_path(self, path: str) -> tuple[str, str, None]:
        bucket, _, key = path.partition("/")
        return bucket, key, None

    def cat_file(self, path: str) -> bytes:
        if path not in self.held:
            raise FileNotFoundError(path)
        return self.held[path]

    def call_s3(self, method: str, **told: object) -> dict[str, object]:
        path = f"{told['Bucket']}/{told['Key']}"
        if method == "head_object":
            return {"ETag": "t", "Metadata": {}} if self.cat_file(path) else {}
        if {"IfMatch", "IfNoneMatch"} & set(told):
            raise OSError(errno.ENOSYS, "not implemented")
        self.held[path] = told["Body"]
        return {}


def test_an_s3_server_without_conditions_and_checksums_is_read_back_instead() -> None:
    server, dialect = OldServer(), S3()
    dialect.swap(server, "b/k", b"one", None)
    dialect.swap(server, "b/k", b"two", b"one")
    assert server.held == {"b/k": b"two"}
    assert dialect.digest(server, "b/k") == hashlib.sha256(b"two").hexdigest()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (FileNotFoundError("x"), False),
        (OSError(errno.EINVAL, "x"), False),
        (OSError(errno.EIO, "x"), True),
        (KeyError("x"), False),
    ],
)
def test_which_errors_pass(error: Exception, expected: bool) -> None:
    assert passing(error) is expected


def test_secrets_of_the_environment_are_cut_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", SECRET)
    monkeypatch.setenv("FSSPEC_S3_SECRET", SECRET + "2")
    told = redacted(f"with {SECRET}2 and {SECRET}", secrets_of_environment())
    assert told == "with *** and ***"

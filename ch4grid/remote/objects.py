"""A place behind a URL: its objects by key, read whole and written whole."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ch4grid.errors import Ch4gridError, RecipeError, RunError
from ch4grid.redaction import redacted, secrets_of_environment
from ch4grid.remote.address import checked
from ch4grid.remote.attempts import Pause, attempt, refuse
from ch4grid.remote.dialects import S3, ChangedError, Dialect, Plain

T = TypeVar("T")

# Protocols whose objects appear whole or not at all. Files of a disk or a server of files do not.
WHOLE: dict[str, Dialect] = {
    "s3": S3(),
    "s3a": S3(),
    "gs": Plain(),
    "gcs": Plain(),
    "az": Plain(),
    "abfs": Plain(),
    "abfss": Plain(),
    "memory": Plain(),
}
# Requests in flight of whoever moves many objects: enough to hide a round trip of 50 ms, few enough for any server.
STREAMS = 16
# Protocols that cannot say what lies below an address.
UNLISTED = ("http", "https")


@dataclass(frozen=True)
class Remote:
    """Objects below one URL; safe to use from several threads.

    Args:
        address: The URL, without credentials.
        fs: The fsspec file system.
        root: What the file system calls the address.
        dialect: How its protocol writes and recognises objects.
        pause: Waits between attempts [s].
    """

    address: str
    fs: Any
    root: str
    dialect: Dialect
    pause: Pause = time.sleep

    @property
    def listed(self) -> bool:
        """Whether the place can say what it holds."""
        return not self.address.startswith(UNLISTED)

    def above(self, levels: int) -> "Remote":
        """The place that many folders up.

        Raises:
            RecipeError: There are not as many.
        """
        kept = self.root.rstrip("/").split("/")[:-levels] if levels else [self.root]
        if not any(kept):
            raise RecipeError(
                "the URL is too short",
                where=self.address,
                expected="a bucket and a folder around the store",
                found=self.address,
            )
        address = "/".join(self.address.split("/")[:-levels]) if levels else self.address
        return replace(self, root="/".join(kept), address=address)

    def read(self, key: str) -> bytes | None:
        """The bytes of an object, None where there is none.

        Raises:
            RunError: The store does not answer.
        """
        try:
            return self._done(key, lambda: bytes(self.fs.cat_file(self._path(key))))
        except FileNotFoundError:
            return None

    def sizes(self, folder: str) -> dict[str, int]:
        """Size [byte] of every object below a folder by key.

        Raises:
            RunError: The store does not answer.
        """
        path = self._path(folder)

        def listing() -> dict[str, int]:
            self.fs.invalidate_cache()
            try:
                found = self.fs.find(path, detail=True)
            except FileNotFoundError:
                return {}
            start = len(self.root.rstrip("/")) + 1
            return {name[start:]: int(info["size"]) for name, info in found.items()}

        return self._done(folder, listing)

    def digest(self, key: str) -> str | None:
        """SHA-256 of an object, hexadecimal; None where there is none.

        Raises:
            RunError: The store does not answer.
        """
        try:
            return self._done(key, lambda: self.dialect.digest(self.fs, self._path(key)))
        except FileNotFoundError:
            return None

    def put(self, key: str, content: bytes) -> None:
        """Write an object; when it returns the store is known to hold these bytes.

        Raises:
            RunError: The store refuses, does not answer or holds other bytes.
        """
        try:
            self._done(key, lambda: self.dialect.put(self.fs, self._path(key), content))
        except FileNotFoundError as error:
            refuse(f"{self.address}/{key}", error)

    def swap(self, key: str, content: bytes, seen: bytes | None) -> None:
        """Write an object that is still `seen` (None: absent), so that of two writers one is told.

        Raises:
            RunError: Somebody has written it meanwhile, or as of `put`.
        """
        try:
            self._done(key, lambda: self.dialect.swap(self.fs, self._path(key), content, seen))
        except FileNotFoundError as error:
            refuse(f"{self.address}/{key}", error)
        except ChangedError:
            raise RunError(
                "somebody else has changed the target meanwhile",
                where=f"{self.address}/{key}",
                expected="the object as it was when this mirror began",
                found="another one",
                fix="Nothing was taken back; run it again",
            ) from None

    def _path(self, key: str) -> str:
        return f"{self.root.rstrip('/')}/{key}" if key else self.root

    def _done(self, key: str, call: Callable[[], T]) -> T:
        try:
            return attempt(call, self.pause)
        except (FileNotFoundError, ChangedError, Ch4gridError):
            raise
        except Exception as error:
            refuse(f"{self.address}/{key}", error)


def connect(url: str) -> Remote:
    """The place at a URL, to read from.

    Raises:
        RecipeError: It is no URL, carries credentials, or nothing here understands its protocol.
    """
    from fsspec.core import url_to_fs

    address = checked(url)
    protocol = address.partition("://")[0]
    try:
        # listings are of the moment: another mirror may be at work
        fs, root = url_to_fs(address, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise RecipeError(
            f"nothing here understands {protocol}://",
            where=address,
            expected="a protocol of fsspec whose library is installed",
            found=redacted(error, secrets_of_environment()),
            fix="pip install 'ch4grid[cloud]'",
        ) from None
    return Remote(address, fs, str(root), WHOLE.get(protocol, Plain()))


def connect_to_write(url: str) -> Remote:
    """The place at a URL of an object store.

    Raises:
        RecipeError: As of `connect`, or the protocol does not write objects as wholes.
    """
    place = connect(url)
    protocol = place.address.partition("://")[0]
    if protocol not in WHOLE:
        raise RecipeError(
            f"{protocol}:// cannot be mirrored to: a reader could see half an object",
            where=place.address,
            expected=f"one of {', '.join(f'{p}://' for p in WHOLE)}",
            found=f"{protocol}://",
            fix="Mirror to an object store, or copy the folder, the group's zarr.json last",
        )
    return place

"""What a protocol knows beyond reading and writing: digests kept with objects, and writes under a condition."""

import base64
import errno
import hashlib
import mimetypes
from typing import Any, Protocol

from ch4grid.remote.attempts import CorruptedError

# Answers of S3 to a write whose condition does not hold.
CONDITION_FAILED = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}


class ChangedError(Exception):
    """An object is not what it was when it was looked at."""


class Dialect(Protocol):
    """How objects of one protocol are written and recognised; `fs` is the fsspec file system, `path` its name in it."""

    def put(self, fs: Any, path: str, content: bytes) -> None:
        """Write an object and make sure that the store holds these bytes.

        Raises:
            CorruptedError: It holds others.
        """

    def swap(self, fs: Any, path: str, content: bytes, seen: bytes | None) -> None:
        """Write an object that is still `seen`, or still absent when that is None.

        Raises:
            ChangedError: Somebody else has written it meanwhile.
        """

    def digest(self, fs: Any, path: str) -> str:
        """SHA-256 of an object, hexadecimal, without reading it where the store knows it.

        Raises:
            FileNotFoundError: There is none.
        """


class Plain:
    """Any file system: an object is read back after it was written, and to learn its digest."""

    def put(self, fs: Any, path: str, content: bytes) -> None:
        """Write, read back, compare."""
        fs.pipe_file(path, content)
        _compare(fs.cat_file(path), content)

    def swap(self, fs: Any, path: str, content: bytes, seen: bytes | None) -> None:
        """Look, then write: two writers within the same moment are not told apart."""
        if not _written(fs, path, content, seen):
            self.put(fs, path, content)

    def digest(self, fs: Any, path: str) -> str:
        """Digest of the bytes as read."""
        return hashlib.sha256(fs.cat_file(path)).hexdigest()


class S3:
    """S3 and what speaks like it: the server checks and keeps the SHA-256, and writes under a condition."""

    def put(self, fs: Any, path: str, content: bytes) -> None:
        """Write with the digest; read back only where the server does not answer with it."""
        self._write(fs, path, content, {})

    def swap(self, fs: Any, path: str, content: bytes, seen: bytes | None) -> None:
        """Write only over the very object that was seen, by its entity tag."""
        tag = self._tag(fs, path)
        if _written(fs, path, content, seen):
            return
        condition = {"IfMatch": tag} if tag else {"IfNoneMatch": "*"}
        try:
            self._write(fs, path, content, condition)
        except OSError as error:
            if error.errno == errno.ENOSYS:  # servers that know no conditions
                self._write(fs, path, content, {})
            elif not _condition_failed(error):
                raise
            else:
                raise ChangedError from None

    def digest(self, fs: Any, path: str) -> str:
        """The server's checksum, else the digest written beside the object, else that of its bytes."""
        head = self._head(fs, path)
        kept = head.get("ChecksumSHA256")
        if kept and head.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT":
            return base64.b64decode(kept).hex()
        told = head.get("Metadata", {}).get("sha256")
        return str(told) if told else Plain().digest(fs, path)

    def _write(self, fs: Any, path: str, content: bytes, condition: dict[str, str]) -> None:
        digest = hashlib.sha256(content)
        checksum = base64.b64encode(digest.digest()).decode()
        kind = mimetypes.guess_type(path)[0]
        answer = fs.call_s3(
            "put_object",
            **self._place(fs, path),
            Body=content,
            ChecksumAlgorithm="SHA256",
            ChecksumSHA256=checksum,
            ContentType=kind or "application/octet-stream",
            Metadata={"sha256": digest.hexdigest()},
            **condition,
        )
        if answer.get("ChecksumSHA256") != checksum:
            _compare(fs.cat_file(path), content)

    def _head(self, fs: Any, path: str) -> dict[str, Any]:
        head: dict[str, Any] = fs.call_s3(
            "head_object", **self._place(fs, path), ChecksumMode="ENABLED"
        )
        return head

    def _tag(self, fs: Any, path: str) -> str | None:
        try:
            return str(self._head(fs, path)["ETag"])
        except FileNotFoundError:
            return None

    def _place(self, fs: Any, path: str) -> dict[str, str]:
        bucket, key, _ = fs.split_path(path)
        return {"Bucket": bucket, "Key": key}


def _compare(found: bytes, content: bytes) -> None:
    if found != content:
        raise CorruptedError(f"{len(found)} bytes read, {len(content)} sent")


def _content(fs: Any, path: str) -> bytes | None:
    try:
        return bytes(fs.cat_file(path))
    except FileNotFoundError:
        return None


def _written(fs: Any, path: str, content: bytes, seen: bytes | None) -> bool:
    """Whether the object is there already, as after an answer that was lost; ChangedError when it is neither."""
    found = _content(fs, path)
    if found not in (content, seen):
        raise ChangedError
    return found == content


def _condition_failed(error: OSError) -> bool:
    answer = getattr(error.__cause__, "response", {})
    return isinstance(error, FileExistsError) or answer.get("Error", {}).get("Code") in (
        CONDITION_FAILED
    )

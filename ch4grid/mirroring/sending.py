"""Objects on their way: those that are there with the right bytes stay, the others are read, checked and sent."""

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from ch4grid.errors import InputError
from ch4grid.progress import Report
from ch4grid.remote import STREAMS, Remote


@dataclass(frozen=True)
class Parcel:
    """One object to be at the target.

    Args:
        key: Its key below the target.
        sha256: Digest of its bytes, hexadecimal.
        size: Its size [byte].
        content: Gives its bytes.
    """

    key: str
    sha256: str
    size: int
    content: Callable[[], bytes]


@dataclass
class Tally:
    """What was sent and what was there: objects and bytes."""

    sent: int = 0
    skipped: int = 0
    sent_bytes: int = 0
    skipped_bytes: int = 0
    keys: set[str] = field(default_factory=set)

    def add(self, parcel: Parcel, *, sent: bool) -> None:
        """Count an object."""
        self.keys.add(parcel.key)
        if sent:
            self.sent += 1
            self.sent_bytes += parcel.size
        else:
            self.skipped += 1
            self.skipped_bytes += parcel.size


def of_bytes(key: str, content: bytes) -> Parcel:
    """A parcel of bytes in memory."""
    return Parcel(key, hashlib.sha256(content).hexdigest(), len(content), lambda: content)


def of_file(key: str, path: Path) -> Parcel:
    """A parcel of a file as it is now."""
    return of_bytes(key, path.read_bytes())


def of_chunk(key: str, path: Path, sha256: str, size: int) -> Parcel:
    """A parcel of a file whose bytes the ledger knows.

    `content` raises InputError when the file holds others.
    """

    def content() -> bytes:
        found = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(found).hexdigest() != sha256:
            raise InputError(
                "the object is not what the ledger says",
                where=path,
                expected=f"{size} bytes with SHA-256 {sha256[:12]}...",
                found=f"{len(found)} bytes" if path.is_file() else "no file",
                fix="`ch4grid verify` names what is damaged; nothing was published at the target",
            )
        return found

    return Parcel(key, sha256, size, content)


def send(
    stage: str,
    parcels: Iterable[Parcel],
    target: Remote,
    there: dict[str, int],
    tally: Tally,
    report: Report,
) -> None:
    """Bring objects to the target, several at once, in no order.

    Args:
        stage: What is reported while it runs.
        parcels: The objects.
        target: Where they go.
        there: Size [byte] by key of what the target held before.
        tally: Is added to.
        report: Told about every object.

    Raises:
        RunError: The target does not take one; what was sent stays.
        InputError: An object of the store is damaged.
    """
    waiting = list(parcels)

    def bring(parcel: Parcel) -> bool:
        same = there.get(parcel.key) == parcel.size
        if same and target.digest(parcel.key) == parcel.sha256:
            return False
        target.put(parcel.key, parcel.content())
        return True

    with ThreadPoolExecutor(STREAMS, thread_name_prefix="mirror") as pool:
        futures = {pool.submit(bring, parcel): parcel for parcel in waiting}
        pending, done = set(futures), 0
        while pending:
            ended, pending = wait(pending, timeout=1, return_when=FIRST_EXCEPTION)
            for future in ended:
                if future.exception() is not None:
                    pool.shutdown(wait=False, cancel_futures=True)
                tally.add(futures[future], sent=future.result())
                done += 1
            if ended:
                report(stage, done, len(waiting))

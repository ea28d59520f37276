"""What passes between a remote and the download: an order, the files offered for it, and how long to be patient."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import pandas as pd

from ch4grid.stores import sha256_json

RemoteName = Literal["cds", "earthdata", "planetary-computer"]
Format = Literal["NetCDF-4", "NetCDF classic", "ZIP", "GRIB", "HDF4", "GeoTIFF"]

# Algorithms by the prefix of a multihash, and by the length of a bare hexadecimal digest.
MULTIHASH = {"d50110": "md5", "1114": "sha1", "1220": "sha256", "1340": "sha512"}
BY_LENGTH = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}


@dataclass(frozen=True)
class Order:
    """Files of one remote collection for one stretch of time.

    Args:
        remote: Who holds them.
        collection: Dataset, product or collection there.
        folder: Where the files go.
        first: First day.
        last: Last day.
        target: Name of the file; empty where the remote names its files.
        asked: What is asked for: variables of the remote, or names of assets.
        names: What every file must hold: variables or data sets; empty where the format does not tell.
        formats: Formats that are accepted.
        variant: Kind of product where a collection has several; empty for the usual one.
        prefix: Beginning of the names of the files wanted where the remote offers others too.
        stale: Names of damaged or preliminary files, which are fetched anew even where they look complete.
        reason: Why it is fetched, in words.
    """

    remote: RemoteName
    collection: str
    folder: Path
    first: pd.Timestamp
    last: pd.Timestamp
    target: str = ""
    asked: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    formats: tuple[Format, ...] = ()
    variant: str = ""
    prefix: str = ""
    stale: frozenset[str] = frozenset()
    reason: str = ""

    @property
    def period(self) -> str:
        """The stretch of time as `2024-05`, or the year of an annual product."""
        one_month = (self.first.year, self.first.month) == (self.last.year, self.last.month)
        return f"{self.first:%Y-%m}" if one_month else f"{self.first:%Y}"

    @property
    def digest(self) -> str:
        """What tells this request from another for the same file."""
        told = [self.remote, self.collection, self.variant, self.period, sorted(self.asked)]
        return sha256_json(told)[:16]

    def in_words(self) -> str:
        """The order as a line for people."""
        what = f" ({', '.join(self.asked)})" if self.asked else ""
        return f"{self.remote} {self.collection}{what} {self.period} to {self.folder.name}/{self.target}"


@dataclass(frozen=True)
class Offer:
    """A file that a remote offers.

    Args:
        name: Its name here.
        address: Where it is, unsigned.
        bytes: Its size as announced.
        checksum: Algorithm (a name of `hashlib`) and hexadecimal digest as announced.
    """

    name: str
    address: str
    bytes: int | None = None
    checksum: tuple[str, str] | None = None


class Ticket(Protocol):
    """What is kept of a transfer between runs."""

    @property
    def request(self) -> str:
        """Identifier of a request that the remote still works on, empty if none."""

    @property
    def etag(self) -> str:
        """Entity tag of the file that was begun, empty if unknown."""

    def note(self, **facts: object) -> None:
        """Keep these facts."""


class Archive(Protocol):
    """A remote: it searches and authenticates; the bytes are moved by `ch4grid.fetching.download`."""

    def offers(self, order: Order, ticket: Ticket) -> list[Offer]:
        """The files for an order; empty when the remote does not hold them yet."""

    def session(self) -> Any:
        """An HTTP session (`requests.Session`) that may read them."""

    def sign(self, address: str) -> str:
        """The address to read from, signed anew at each read where the remote wants that."""

    def secrets(self) -> tuple[str, ...]:
        """What must never be told."""


@dataclass(frozen=True)
class Patience:
    """How long a fetch tries.

    Args:
        tries: Attempts for one file.
        wait: Pause before the second attempt, doubled at each further one [s].
        longest: Longest pause, whatever the remote asks for [s].
        timeout: Silence after which a connection counts as lost [s].
        poll: Pause between looks at a request in a queue [s].
        sleep: How to pause.
    """

    tries: int = 6
    wait: float = 2.0
    longest: float = 300.0
    timeout: float = 60.0
    poll: float = 5.0
    sleep: Callable[[float], None] = field(default=time.sleep)

    def pause(self, attempt: int, asked: float | None = None) -> None:
        """Wait before the attempt of this number (from 1), or as long as the remote asks."""
        pause = self.wait * 2.0 ** (attempt - 1) if asked is None else asked
        self.sleep(min(pause, self.longest))


class RefusedError(Exception):
    """A file that cannot be had, for a reason that trying again does not change."""


class CutError(Exception):
    """A transfer that is worth another attempt.

    Args:
        reason: What went wrong.
        wait: Pause that the remote asks for [s].
        fresh: Whether what has come so far is useless.
        unsigned: Whether the credentials or the signature were not accepted.
    """

    def __init__(
        self,
        reason: str,
        *,
        wait: float | None = None,
        fresh: bool = False,
        unsigned: bool = False,
    ) -> None:
        super().__init__(reason)
        self.wait = wait
        self.fresh = fresh
        self.unsigned = unsigned


def checksum_of(announced: object) -> tuple[str, str] | None:
    """Algorithm and digest of an announced checksum: a multihash (STAC `file:checksum`) or a bare digest."""
    text = str(announced or "").strip().strip('"').lower()
    if not re.fullmatch(r"[0-9a-f]+", text):
        return None
    for prefix, algorithm in MULTIHASH.items():
        digest = text.removeprefix(prefix)
        if digest != text and BY_LENGTH.get(len(digest)) == algorithm:
            return algorithm, digest
    return (BY_LENGTH[len(text)], text) if len(text) in BY_LENGTH else None

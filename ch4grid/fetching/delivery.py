"""Fetch what the inventory of a recipe lacks: orders to the remotes, downloads into place, and a word on each file."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from filelock import FileLock, Timeout

from ch4grid.drivers.source import Holding, Source
from ch4grid.errors import Ch4gridError, RunError
from ch4grid.fetching.completeness import check
from ch4grid.fetching.download import download
from ch4grid.fetching.manifest import Entry, Manifest
from ch4grid.fetching.offer import (
    Archive,
    CutError,
    Offer,
    Order,
    Patience,
    RefusedError,
    RemoteName,
)
from ch4grid.fetching.orders import orders_of
from ch4grid.inventory import kind_of, path_of, survey, wanted_of
from ch4grid.progress import Report, silent
from ch4grid.recipe import Recipe
from ch4grid.redaction import redacted, silent_clients
from ch4grid.stores import Fingerprints, Workspace

# Requests in the queue of a remote, and downloads, at a time: what the archives ask users to stay below.
AT_ONCE = 4

Makers = Mapping[RemoteName, Callable[[], Archive]]


@dataclass(frozen=True)
class Delivered:
    """What became of one file, or of an order that yielded none.

    Args:
        file: Folder and name.
        status: `fetched`, `held` before, `not offered` by the remote yet, or `failed`.
        bytes: Its size, 0 without a file.
        reason: Why it failed, or was wanted.
    """

    file: str
    status: Literal["fetched", "held", "not offered", "failed"]
    bytes: int
    reason: str


@dataclass(frozen=True)
class Fetched:
    """What a fetch ordered and what came.

    Args:
        orders: All orders.
        files: What became of each file; empty for a dry run.
        by_hand: Sources that lack something and have no remote, in words.
    """

    orders: tuple[Order, ...]
    files: tuple[Delivered, ...]
    by_hand: tuple[str, ...]

    @property
    def failed(self) -> tuple[Delivered, ...]:
        """Files that did not come."""
        return tuple(f for f in self.files if f.status in ("failed", "not offered"))

    def as_dict(self) -> dict[str, Any]:
        """The fetch as JSON values."""
        return {
            "orders": [
                {
                    "remote": o.remote,
                    "collection": o.collection,
                    "period": o.period,
                    "asked": list(o.asked),
                    "file": f"{o.folder.name}/{o.target}",
                    "reason": o.reason,
                }
                for o in self.orders
            ],
            "files": [
                {"file": f.file, "status": f.status, "bytes": f.bytes, "reason": f.reason}
                for f in self.files
            ],
            "by_hand": list(self.by_hand),
        }

    def in_words(self) -> str:
        """The fetch as lines for people."""
        if not self.orders and not self.by_hand:
            return "Nothing to fetch: every month is held and final."
        lines = [f"by hand: {told}" for told in self.by_hand]
        if not self.files:
            lines += [f"would fetch {o.in_words()}: {o.reason}" for o in self.orders]
        lines += [f"{f.status}: {f.file} ({_told(f)})" for f in self.files]
        return "\n".join(lines)


def fetch(
    recipe: Recipe,
    workspace: Workspace,
    years: Sequence[int],
    *,
    dry_run: bool = False,
    patience: Patience | None = None,
    archives: Makers | None = None,
    report: Report = silent,
) -> Fetched:
    """Bring what the years of a recipe lack, spin-up included: missing, damaged and preliminary months.

    Args:
        recipe: The recipe.
        workspace: Its folders.
        years: Years of the product.
        dry_run: Whether to say only what would be fetched.
        patience: How long to try.
        archives: How to reach the remotes; the public ones when None.
        report: Told after every order.

    Raises:
        RunError: Another fetch is at work, a client is not installed, there are no credentials, or the disk is full.
    """
    orders, by_hand = _orders(recipe, workspace, years)
    if dry_run or not orders:
        return Fetched(tuple(orders), (), tuple(by_hand))
    desk = _Desk(workspace, patience or Patience())
    with _alone(workspace), silent_clients():
        made = _reached(orders, archives or public_archives(desk.patience))
        files = _delivered(orders, made, desk, report)
    return Fetched(tuple(orders), tuple(files), tuple(by_hand))


def public_archives(patience: Patience) -> Makers:
    """How to reach the Climate Data Store, NASA Earthdata and the Planetary Computer."""

    def cds() -> Archive:
        from ch4grid.fetching.datastore import DataStore

        return DataStore(patience)

    def earthdata() -> Archive:
        from ch4grid.fetching.earthdata import Earthdata

        return Earthdata()

    def planetary() -> Archive:
        from ch4grid.fetching.planetary import PlanetaryComputer

        return PlanetaryComputer()

    return {"cds": cds, "earthdata": earthdata, "planetary-computer": planetary}


def _orders(
    recipe: Recipe, workspace: Workspace, years: Sequence[int]
) -> tuple[list[Order], list[str]]:
    """Orders for all sources, and in words what has no remote; sources of one path share their files."""
    together: dict[tuple[str, str], list[tuple[Source, list[Holding], pd.Timestamp]]] = {}
    for source, wanted in wanted_of(recipe, years):
        found, _ = survey(source, workspace, wanted)
        same = together.setdefault((kind_of(source), path_of(source)), [])
        same.append((source, found, wanted[-1]))
    orders: list[Order] = []
    by_hand: list[str] = []
    for same in together.values():
        found = [h for _, held, _ in same for h in held]
        try:
            orders += orders_of(same[0][0], found, workspace, max(last for *_, last in same))
        except Ch4gridError as error:
            by_hand.append(redacted(error))
    return _merged(orders), by_hand


def _merged(orders: Iterable[Order]) -> list[Order]:
    """One order where several ask for the same files."""
    merged: dict[tuple[object, ...], Order] = {}
    for order in orders:
        key = (order.collection, order.folder, order.target, order.period, order.prefix)
        one = merged.get(key, order)
        merged[key] = replace(
            one,
            asked=tuple(dict.fromkeys(one.asked + order.asked)),
            names=tuple(dict.fromkeys(one.names + order.names)),
            stale=one.stale | order.stale,
            reason=", ".join(dict.fromkeys((one.reason, order.reason))),
        )
    return list(merged.values())


def _reached(orders: Iterable[Order], makers: Makers) -> dict[RemoteName, Archive]:
    """The archives that the orders need, signed in.

    Raises:
        RunError: A client is not installed, or there are no credentials.
    """
    made: dict[RemoteName, Archive] = {}
    for name in sorted({o.remote for o in orders}):
        try:
            made[name] = makers[name]()
        except ImportError as error:
            raise RunError(
                "a client for fetching is not installed",
                where=name,
                found=f"no module {error.name}",
                fix="Install the clients with `pip install 'ch4grid[fetch]'`",
            ) from None
        except Ch4gridError:
            raise
        except Exception as error:  # whatever a client raises while it signs in
            raise RunError(
                "cannot sign in",
                where=name,
                found=redacted(error),
                fix="Check credentials and network",
            ) from None
    return made


@contextmanager
def _alone(workspace: Workspace) -> Iterator[None]:
    """Hold the lock of the fetch.

    Raises:
        RunError: Another one holds it.
    """
    lock = workspace.cache / "fetch" / "lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=0):
            yield
    except Timeout:
        raise RunError(
            "another fetch is at work", where=lock, fix="Wait until it ends, then start again"
        ) from None


class _Desk:
    """What the threads of a fetch share: patience that ends when the fetch does, and fingerprints of files.

    Args:
        workspace: The folders.
        patience: How long to try.
    """

    def __init__(self, workspace: Workspace, patience: Patience) -> None:
        self.workspace = workspace
        self.stop = threading.Event()
        self.patience = replace(patience, sleep=self._sleep)
        self._wait = patience.sleep
        self._prints = Fingerprints(workspace.cache / "fingerprints.json")
        self._guard = threading.Lock()

    def digest(self, path: Path) -> str:
        """SHA-256 of a file."""
        with self._guard:  # one table for all threads
            return self._prints.of([path])[str(path)]

    def go_on(self) -> None:
        """Go on unless the fetch has been stopped.

        Raises:
            RefusedError: It has been, by the user or a full disk.
        """
        if self.stop.is_set():
            raise RefusedError("the fetch was stopped")

    def _sleep(self, seconds: float) -> None:
        """Pause in steps of at most a second, so that a stop is seen."""
        while seconds > 0:
            self.go_on()
            self._wait(min(seconds, 1.0))
            seconds -= 1.0


def _delivered(
    orders: Sequence[Order], archives: Mapping[RemoteName, Archive], desk: _Desk, report: Report
) -> list[Delivered]:
    """The files of all orders, a few at a time; an order that fails does not stop the others, a full disk does."""
    results: dict[int, list[Delivered]] = {}
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="fetch")
    try:
        waiting = {
            pool.submit(_deliver, order, archives[order.remote], desk): i
            for i, order in enumerate(orders)
        }
        for done, future in enumerate(as_completed(waiting), 1):
            results[waiting[future]] = future.result()
            report("fetch", done, len(orders))
    finally:
        desk.stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
    return [d for i in range(len(orders)) for d in results[i]]


def _deliver(order: Order, archive: Archive, desk: _Desk) -> list[Delivered]:
    """The files of one order."""
    manifest = Manifest(order, desk.workspace)
    named = manifest.entry(order.target) if order.target else None
    if named is not None and _was_done(order, order.target, named, desk):
        return [Delivered(_place(order, order.target), "held", named.size or 0, order.reason)]
    queue = named or manifest.entry("search")
    try:
        offers = archive.offers(order, queue)
    except RefusedError as refused:
        queue.fail(str(refused))
        return [Delivered(_place(order, order.target), "failed", 0, str(refused))]
    if not offers:
        told = f"{order.collection} has no file of {order.period} yet"
        queue.fail(told)
        return [Delivered(_place(order, order.target), "not offered", 0, told)]
    return [_file(order, o, archive, manifest.entry(o.name), desk) for o in offers]


def _file(order: Order, offer: Offer, archive: Archive, entry: Entry, desk: _Desk) -> Delivered:
    """One file, fetched unless it is held already."""
    place = _place(order, offer.name)
    if _was_done(order, offer.name, entry, desk) or _is_whole(order, offer):
        return Delivered(place, "held", (order.folder / offer.name).stat().st_size, order.reason)
    try:
        desk.go_on()
        entry.note(stage="download", status="running", bytes=offer.bytes)
        size, digest = download(archive, order, offer, entry, desk.patience)
    except (RefusedError, RunError) as refused:
        told = redacted(refused, archive.secrets())
        with suppress(RunError):  # on a full disk not even this can be kept
            entry.fail(told)
        if isinstance(refused, RunError):
            raise
        return Delivered(place, "failed", 0, told)
    entry.done(size, digest)
    return Delivered(place, "fetched", size, order.reason)


def _was_done(order: Order, name: str, entry: Entry, desk: _Desk) -> bool:
    """Whether the manifest knows the file as fetched for this order, and it is still that file."""
    path = order.folder / name
    if name in order.stale or not path.is_file() or path.stat().st_size != entry.size:
        return False
    return entry.is_done(path.stat().st_size, desk.digest(path))


def _is_whole(order: Order, offer: Offer) -> bool:
    """Whether a file that the manifest does not know is the one offered: only size or checksum can tell."""
    path = order.folder / offer.name
    if offer.name in order.stale or order.target or not path.is_file():
        return False
    if offer.bytes is None and offer.checksum is None:
        return False
    try:
        check(path, offer, order)
    except (CutError, RefusedError):
        return False
    return True


def _place(order: Order, name: str) -> str:
    return f"{order.folder.name}/{name or f'{order.collection} {order.period}'}"


def _told(file: Delivered) -> str:
    size = f"{file.bytes / 1e6:.1f} MB; " if file.bytes else ""
    return f"{size}{file.reason}"

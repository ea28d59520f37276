"""One product to one URL in the order of publication, as often as needed: what is there is not sent again.

Chunk objects, array metadata, the ledger, then the group's `zarr.json`, whose replacement is the one act that readers
see; Items of the catalog after it. A mirror that stops anywhere leaves the old state; the same call finishes it.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ch4grid import ledger
from ch4grid.cube.objects import METADATA
from ch4grid.errors import InputError, RunError
from ch4grid.ledger import Row
from ch4grid.mirroring.sending import Parcel, Tally, of_bytes, of_chunk, of_file, send
from ch4grid.mirroring.shelf import Shelf
from ch4grid.mirroring.snapshot import Shown, Snapshot, take
from ch4grid.progress import Report, silent
from ch4grid.redaction import silent_clients
from ch4grid.remote import Remote, connect_to_write

MEGA = 1e6


@dataclass(frozen=True)
class Mirrored:
    """What a mirror did.

    Args:
        url: Where the product lies now.
        years: Its published years.
        sent: Objects sent.
        sent_bytes: Their size [byte].
        skipped: Objects that were there with the right bytes.
        skipped_bytes: Their size [byte].
        unknown: Objects below the store at the target that the ledger does not know; they are left alone.
        catalog: Whether the catalog went along.
    """

    url: str
    years: tuple[int, ...]
    sent: int
    sent_bytes: int
    skipped: int
    skipped_bytes: int
    unknown: tuple[str, ...]
    catalog: bool

    def as_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return asdict(self)

    def in_words(self) -> str:
        """It for people."""
        lines = [
            f"mirrored {self.url}",
            f"years    {', '.join(map(str, self.years))}",
            f"sent     {self.sent} objects, {self.sent_bytes / MEGA:.1f} MB",
            f"there    {self.skipped} objects, {self.skipped_bytes / MEGA:.1f} MB",
        ]
        if self.unknown:
            lines.append(
                f"unknown  {len(self.unknown)} objects that no ledger row names, left alone, "
                f"first {self.unknown[0]}"
            )
        return "\n".join(lines)


def mirror(
    store: Path, url: str, *, catalog: Path | None = None, report: Report = silent
) -> Mirrored:
    """Copy a published product to an object store, or add to the copy there what has been published since.

    Args:
        store: The product's folder, ending in .zarr.
        url: Where its copy is to be, e.g. s3://bucket/folder/product/v1/historical.zarr.
        catalog: The catalog's folder when it is to go along, to its place relative to the store.
        report: Told about every object.

    Raises:
        InputError: There is no published product or catalog, or an object is not what the ledger says.
        RecipeError: The URL carries credentials, is of no object store, or does not suit the catalog.
        RunError: The target holds another product or more years, does not answer, or was changed meanwhile.
    """
    snapshot = take(store)
    place = connect_to_write(url)
    shelf = Shelf(catalog.absolute()) if catalog is not None else None
    levels = shelf.levels(store, place.address) if shelf else 1
    target = place.above(levels)
    name = place.address[len(target.address) + 1 :]
    tally = Tally()
    with silent_clients():
        unknown = _publish(snapshot, target, name, tally, report)
        if shelf:
            _shelve(shelf, target, tally, report)
    return Mirrored(
        url=place.address,
        years=snapshot.shown.years,
        sent=tally.sent,
        sent_bytes=tally.sent_bytes,
        skipped=tally.skipped,
        skipped_bytes=tally.skipped_bytes,
        unknown=unknown,
        catalog=shelf is not None,
    )


def _publish(
    snapshot: Snapshot, target: Remote, name: str, tally: Tally, report: Report
) -> tuple[str, ...]:
    """Bring a store to the target, the group metadata last; keys there that no row knows."""
    ledger_key = ledger.path_of(Path(name)).as_posix()
    root_key = f"{name}/{METADATA}"
    seen = {key: target.read(key) for key in (ledger_key, root_key)}
    _refuse_other(snapshot, target, seen[root_key], seen[ledger_key])
    there = target.sizes(name)
    chunks = [
        of_chunk(f"{name}/{r.key}", snapshot.store / r.key, r.sha256, r.bytes)
        for r in snapshot.rows
    ]
    arrays = [of_bytes(f"{name}/{key}", content) for key, content in snapshot.arrays.items()]
    send("send chunks", chunks, target, there, tally, report)
    send("send array metadata", arrays, target, there, tally, report)
    for parcel in (of_bytes(ledger_key, snapshot.ledger), of_bytes(root_key, snapshot.root)):
        _replace(parcel, target, seen[parcel.key], tally)
    return tuple(sorted(set(there) - tally.keys))


def _replace(parcel: Parcel, target: Remote, seen: bytes | None, tally: Tally) -> None:
    """Put a parcel in the place of what was seen there, unless it is that."""
    content = parcel.content()
    if content != seen:
        target.swap(parcel.key, content, seen)
    tally.add(parcel, sent=content != seen)


def _shelve(shelf: Shelf, target: Remote, tally: Tally, report: Report) -> None:
    """Bring the catalog to the target, from what Items refer to up to the root."""
    shelf.refuse_absent(target)
    there = target.sizes(shelf.folder.name)
    for files in shelf.steps():
        parcels = [of_file(p.relative_to(shelf.output).as_posix(), p) for p in files]
        outside = {p.key for p in parcels} - set(there)
        there |= {
            k: s
            for folder in {k.rsplit("/", 1)[0] for k in outside}
            for k, s in target.sizes(folder).items()
        }
        send("send catalog", parcels, target, there, tally, report)


def _refuse_other(
    snapshot: Snapshot, target: Remote, root: bytes | None, table: bytes | None
) -> None:
    """Refuse a target whose readers would lose something or see published cells change.

    Raises:
        RunError: It shows other years, parts or inputs, or its ledger has other bytes of an object.
    """
    if root is None:
        return
    theirs, ours = Shown.of(root, target.address), snapshot.shown
    gone = sorted(set(theirs.years) - set(ours.years))
    if gone:
        raise RunError(
            "the target shows years that the store does not",
            where=target.address,
            expected=f"years among {list(ours.years)}",
            found=gone,
            fix="A mirror takes no year away; mirror from the store that has them, or to another URL",
        )
    other = [
        f"part {n!r}"
        for n in {*theirs.parts, *ours.parts}
        if theirs.parts.get(n) != ours.parts.get(n)
    ]
    other += [f"inputs of {y}" for y in theirs.inputs if ours.inputs.get(y) != theirs.inputs[y]]
    other += _other_objects(snapshot.rows, table, target)
    if other:
        raise RunError(
            "published cells never change, and the target holds others",
            where=target.address,
            expected="an older state of the same product version",
            found=", ".join(sorted(other)[:5]),
            fix="Mirror a new version to a URL of its own",
        )


def _other_objects(rows: Iterable[Row], table: bytes | None, target: Remote) -> list[str]:
    """Keys that the target's ledger has with another digest; a ledger that cannot be read says nothing."""
    try:
        theirs = {r.key: r.sha256 for r in ledger.rows_in(table, target.address)} if table else {}
    except InputError:
        return []
    return [r.key for r in rows if theirs.get(r.key, r.sha256) != r.sha256]

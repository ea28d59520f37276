"""Verification of a product behind a URL: a year at a time is fetched, looked at as on disk, and dropped again.

Every object is read once, so damage at rest is found whatever an object store says of its objects; no more than the
statics and one year lie on the disk.
"""

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ch4grid import ledger
from ch4grid.cube.objects import METADATA
from ch4grid.cube.verify import Problem, damaged_rows, metadata_problems, year_problems
from ch4grid.errors import InputError
from ch4grid.ledger import Row
from ch4grid.redaction import silent_clients
from ch4grid.remote import STREAMS, Remote, connect
from ch4grid.stores import write_atomic


def verify_remote(url: str) -> list[Problem]:
    """Everything that is wrong with a published product behind a URL, as `verify` of its folder would say.

    Places that cannot be listed (http) are not searched for objects that the ledger does not know.

    Raises:
        InputError: There is no published product or no ledger.
        RecipeError: The URL carries credentials or nothing understands its protocol.
        RunError: The place does not answer.
    """
    place = connect(url)
    with silent_clients(), TemporaryDirectory(prefix="ch4grid-verify-") as folder:
        store = Path(folder) / place.address.rsplit("/", 1)[-1]
        return _verify(place, store)


def _verify(place: Remote, store: Path) -> list[Problem]:
    rows = _begin(place, store)
    names = json.loads((store / METADATA).read_bytes())["consolidated_metadata"]["metadata"]
    _fetch(place, store, [f"{name}/{METADATA}" for name in names])
    problems = [_unfinished(p) for p in metadata_problems(store)]
    sound = not problems
    problems += _unexpected(place, rows)
    static = [r for r in rows if r.year is None]
    _fetch(place, store, [r.key for r in static])
    found = damaged_rows(store, static, among=rows)
    problems += found
    published = ledger.published_years(store) if sound and not found else ()
    for year in sorted({r.year for r in rows if r.year is not None}):
        problems += _year(place, store, rows, year, identities=year in published)
    return problems


def _unfinished(problem: Problem) -> Problem:
    """A group that is not what the ledger says may be a mirror between its last two writes."""
    if problem.key != METADATA:
        return problem
    return replace(
        problem, what=f"{problem.what}, or a mirror stopped just before it; run that again"
    )


def _begin(place: Remote, store: Path) -> list[Row]:
    """Fetch group metadata and ledger; the rows."""
    table = ledger.path_of(store)
    root, rows = place.read(METADATA), place.above(1).read(table.name)
    if root is None or rows is None:
        raise InputError(
            "no published product to verify",
            where=place.address,
            expected=f"{METADATA} in it and {table.name} beside it",
            found=f"{'no ' if root is None else ''}group metadata, {'no ' if rows is None else 'a '}ledger",
        )
    write_atomic(store / METADATA, root)
    write_atomic(table, rows)
    return ledger.rows_in(rows, f"{place.above(1).address}/{table.name}")


def _year(
    place: Remote, store: Path, rows: list[Row], year: int, *, identities: bool
) -> list[Problem]:
    mine = [r for r in rows if r.year == year]
    _fetch(place, store, [r.key for r in mine])
    problems = damaged_rows(store, mine, among=rows)
    if identities and not problems:
        first = json.loads((store / METADATA).read_bytes())["attributes"]["ch4grid_first_year"]
        problems = year_problems(store, year, int(first))
    for r in mine:
        (store / r.key).unlink(missing_ok=True)
    return problems


def _fetch(place: Remote, store: Path, keys: Iterable[str]) -> None:
    """Bring objects into the folder; those that are not there are left out."""

    def bring(key: str) -> None:
        content = place.read(key)
        if content is not None:
            write_atomic(store / key, content)

    with ThreadPoolExecutor(STREAMS, thread_name_prefix="verify") as pool:
        list(pool.map(bring, keys))


def _unexpected(place: Remote, rows: Iterable[Row]) -> list[Problem]:
    if not place.listed:
        return []
    known = {r.key for r in rows}
    return [
        Problem("unexpected", key, "an object that the ledger does not know")
        for key in sorted(place.sizes(""))
        if key not in known and not key.endswith(METADATA)
    ]

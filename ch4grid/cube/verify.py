"""Verification: does the store still hold what the ledger says, and do the identities of the product hold.

A chunk that is gone, cut, flipped or swapped is named by its object key. Reading the digests needs no decoding; the
identities are then recomputed from the stored values alone.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid import ledger
from ch4grid.cube.block import budget_differs, check_block, member_budget
from ch4grid.cube.objects import METADATA, dims_of, open_planned, read_document
from ch4grid.cube.template import year_slice
from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.ledger import Row
from ch4grid.stores import sha256_file
from ch4grid.vocabulary import GASES, Gas, months

Slices = tuple[slice, slice]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Args:
        kind: missing, truncated, changed, swapped, unexpected, metadata or identity.
        key: The object's path inside the store.
        what: It in words.
    """

    kind: str
    key: str
    what: str

    def __str__(self) -> str:
        return f"{self.key}: {self.what} ({self.kind})"


def verify(store: Path, *, identities: bool = True) -> list[Problem]:
    """Everything that is wrong with a published store; empty when it is as it was published.

    Args:
        store: The store.
        identities: Also recompute the identities of the undamaged years from the stored values.

    Raises:
        InputError: There is no published store or no ledger.
    """
    rows = ledger.rows_of(store)
    if not ledger.published_years(store):
        raise InputError(
            "no published product to verify",
            where=store,
            expected=f"{METADATA} and {ledger.path_of(store).name}",
            found="no ledger" if not rows else "no year that is published",
        )
    problems = metadata_problems(store) + damaged_rows(store, rows) + _unexpected(store, rows)
    if not identities or any(p.kind == "metadata" for p in problems):
        return problems
    hurt = {r.year for r in rows if r.key in {p.key for p in problems}}
    first = int(json.loads((store / METADATA).read_bytes())["attributes"]["ch4grid_first_year"])
    for year in ledger.published_years(store):
        if not hurt & {year, None}:
            problems += year_problems(store, year, first)
    return problems


def metadata_problems(store: Path) -> list[Problem]:
    """Group metadata against the ledger, array metadata against the group's."""
    path = store / METADATA
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != ledger.root_digest(store):
        return [Problem("metadata", METADATA, "the group metadata is not what was published")]
    consolidated = json.loads(content)["consolidated_metadata"]["metadata"]
    problems = []
    for name, expected in consolidated.items():
        try:
            same = read_document(store, name) == expected
        except InputError:
            same = False
        if not same:
            what = f"the metadata of {name} is not what was published"
            problems.append(Problem("metadata", f"{name}/{METADATA}", what))
    return problems


def damaged_rows(
    store: Path, rows: Iterable[Row], among: Iterable[Row] | None = None
) -> list[Problem]:
    """Objects that are not on disk with the size and digest of their row.

    Args:
        store: The store.
        rows: Rows of the objects to look at.
        among: Rows of all objects, whose bytes a swapped one may hold; `rows` by default.
    """
    rows = list(rows)
    home = {r.sha256: r.key for r in (rows if among is None else among)}
    problems = []
    for r in rows:
        path = store / r.key
        if not path.is_file():
            problems.append(Problem("missing", r.key, f"{_words(r)} is gone"))
            continue
        size = path.stat().st_size
        digest = sha256_file(path)
        if digest == r.sha256:
            continue
        if digest in home:
            what = f"{_words(r)} holds the bytes of {home[digest]}"
            problems.append(Problem("swapped", r.key, what))
        elif size != r.bytes:
            what = f"{_words(r)} has {size} bytes, expected {r.bytes}"
            problems.append(Problem("truncated", r.key, what))
        else:
            problems.append(
                Problem("changed", r.key, f"{_words(r)} has other bytes than published")
            )
    return problems


def _words(r: Row) -> str:
    return f"the chunk {r.key.split('/', 1)[1]} of {r.variable}" + (
        f", year {r.year}," if r.year else ""
    )


def _unexpected(store: Path, rows: Sequence[Row]) -> list[Problem]:
    """Objects that no row knows: data that nobody published. Objects of a year in work are expected."""
    from ch4grid.cube import staging

    if staging.folder(store).exists():
        return []
    known = {r.key for r in rows}
    found = (p.relative_to(store).as_posix() for p in sorted(store.rglob("*")) if p.is_file())
    return [
        Problem("unexpected", key, "an object that the ledger does not know")
        for key in found
        if key not in known and not key.endswith(METADATA)
    ]


def year_problems(store: Path, year: int, first_year: int) -> list[Problem]:
    """Identities and value checks of a year, recomputed from what is on disk, published or not."""
    time = months(year, year)
    where = year_slice(year, first_year)
    gas = gas_of(store)
    rows = int(read_document(store, "latitude")["shape"][0])
    recomputed: list[NDArray[np.float64]] = []
    sizes: list[NDArray[np.float64]] = []
    for tile in Grid(180.0 / rows).tiles():
        block = _block(store, gas, where, tile)
        words = check_block(block, gas)
        if words:
            key = f"{gas.flux}/c/{where.start // 12}/{tile[0].start}-{tile[1].start}"
            return [Problem("identity", key, f"year {year}: {'; '.join(words)}")]
        area = _load(store, "cell_area", tile, where.stop)
        weights = _load(store, "region_fraction", (slice(None), *tile), where.stop)
        members = block[f"{gas.flux}_member"].values
        mass, size = member_budget(members, area, weights, time)
        recomputed.append(mass)
        sizes.append(size)
    table = _load(store, f"{gas.name}_budget", (slice(None), where), where.stop)
    if budget_differs(table, np.sum(recomputed, axis=0), np.sum(sizes, axis=0)):
        key = f"{gas.name}_budget/c/0/{where.start // 12}/0/0"
        return [
            Problem("identity", key, f"the budget of {year} is not the sum over the stored members")
        ]
    return _time_problems(store, time, where)


def _time_problems(store: Path, time: pd.DatetimeIndex, where: slice) -> list[Problem]:
    days = _load(store, "time", (where,), where.stop)
    expected = time.values.astype("datetime64[D]").astype(np.int64)
    if np.array_equal(days, expected):
        return []
    return [
        Problem(
            "identity", f"time/c/{where.start // 12}", f"the months of {time[0].year} are wrong"
        )
    ]


def gas_of(store: Path) -> Gas:
    """The gas of a product, by the arrays it has."""
    return next(g for g in GASES.values() if (store / g.flux).is_dir())


def _block(store: Path, gas: Gas, where: slice, tile: Slices) -> xr.Dataset:
    """Stored variables of one region and year as `cell_block` made them."""
    plane = (where, *tile)
    every = slice(None)
    names = {
        gas.flux: plane,
        f"{gas.flux}_standard_error": plane,
        f"{gas.flux}_quantile": (every, *plane),
        f"{gas.flux}_density": (every, *plane),
        f"{gas.flux}_member": (every, *plane),
        "quality_flag": plane,
    }
    data: dict[str, Any] = {
        n: (dims_of(read_document(store, n)), _load(store, n, s, where.stop))
        for n, s in names.items()
    }
    dims = dims_of(read_document(store, "ecosystem_fraction"))
    static = "time" not in dims
    selection = (every, *tile) if static else (every, *plane)
    fraction = _load(store, "ecosystem_fraction", selection, where.stop)
    if static:
        fraction = np.repeat(fraction[:, None], where.stop - where.start, axis=1)
    block = ("ecosystem", "time", "latitude", "longitude")
    return xr.Dataset(data | {"ecosystem_fraction": (block, fraction)})


def _load(store: Path, name: str, selection: tuple[slice, ...], length: int) -> NDArray[Any]:
    return np.asarray(open_planned(store, name, length)[selection])

"""A published store after damage: what is hurt, and how each kind of object is written anew, bit for bit or not at all.

Coordinates, calendar and array metadata follow from the store's own attributes; areas, fluxes and budgets are computed
again by the caller. Nothing is written that does not have the published digest.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from ch4grid import ledger
from ch4grid.cube.objects import METADATA, Document, dims_of, encode, read_document
from ch4grid.cube.publish import tiles
from ch4grid.cube.staging import Slices
from ch4grid.cube.template import ProductSpec, static_objects, time_objects
from ch4grid.cube.verify import Problem, damaged_rows, metadata_problems
from ch4grid.cube.writing import encoded_region
from ch4grid.errors import RunError
from ch4grid.grid import Grid
from ch4grid.ledger import Row
from ch4grid.stores import sha256_file, write_atomic

CALENDAR = ("time", "time_bnds")


@dataclass(frozen=True)
class Damage:
    """What of a published store is not as published.

    Args:
        problems: One per object, metadata first.
        statics: Arrays without time of which an object is hurt.
        calendar: Years of the time axis that are hurt.
        budgets: Years whose budget table is hurt.
        regions: Years and write regions that are hurt.
    """

    problems: tuple[Problem, ...]
    statics: tuple[str, ...]
    calendar: tuple[int, ...]
    budgets: tuple[int, ...]
    regions: tuple[tuple[int, Slices], ...]


def damage(store: Path) -> Damage:
    """What is hurt of a published store, by the digests alone; the group metadata must be sound.

    Raises:
        InputError: The ledger or the metadata of an array cannot be read.
    """
    rows = [r for r in ledger.rows_of(store) if r.state == "published"]
    found = damaged_rows(store, rows)
    keys = {p.key for p in found}
    hurt = [r for r in rows if r.key in keys]
    docs = json.loads((store / METADATA).read_bytes())["consolidated_metadata"]["metadata"]
    dated = [r for r in hurt if r.year is not None]
    mapped = [r for r in dated if "latitude" in dims_of(docs[r.variable])]
    plain = [r for r in dated if r not in mapped]
    return Damage(
        problems=(*metadata_problems(store), *found),
        statics=_unique(r.variable for r in hurt if r.year is None),
        calendar=_years(r for r in plain if r.variable in CALENDAR),
        budgets=_years(r for r in plain if r.variable not in CALENDAR),
        regions=tuple(_regions(store, mapped, docs)),
    )


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


def _years(rows: Iterable[Row]) -> tuple[int, ...]:
    return tuple(sorted({r.year for r in rows if r.year is not None}))


def damaged_regions(store: Path) -> list[tuple[int, Slices]]:
    """Years and write regions with objects that are not what the ledger says."""
    return list(damage(store).regions)


def _regions(
    store: Path, rows: Iterable[Row], docs: Mapping[str, Document]
) -> list[tuple[int, Slices]]:
    """Years and write regions that objects of mapped variables belong to."""
    regions = tiles(store)
    found = set()
    for r in rows:
        doc = docs[r.variable]
        chunks = doc["chunk_grid"]["configuration"]["chunk_shape"]
        index = [int(i) for i in r.key.split("/")[2:]]
        start = {d: i * c for d, i, c in zip(dims_of(doc), index, chunks, strict=True)}
        found |= {
            (int(r.year or 0), t)
            for t, (rows_, columns) in enumerate(regions)
            if rows_.start <= start["latitude"] < rows_.stop
            and columns.start <= start["longitude"] < columns.stop
        }
    return [(year, regions[t]) for year, t in sorted(found)]


def repair_block(store: Path, block: xr.Dataset, *, year: int, tile: Slices) -> list[str]:
    """Write the damaged objects of a published region anew, bit for bit; the keys that were written.

    Args:
        store: A published store.
        block: Product variables of the region, computed again.
        year: The year.
        tile: Rows and columns of the region.

    Raises:
        RunError: An object of the block is not the one that was published; nothing was written.
    """
    first = first_year(store)
    objects = {
        o.key: o.content
        for name in sorted(map(str, block.data_vars))
        if "time" in dims_of(doc := read_document(store, name))
        for o in encoded_region(name, doc, block[name], year - first, tile)
    }
    return _write_published(store, objects)


def repair_calendar(store: Path, year: int) -> list[str]:
    """Write damaged objects of the time axis of a year anew; the keys that were written."""
    docs = {name: read_document(store, name) for name in CALENDAR}
    objects = {o.key: o.content for o in time_objects(docs, year, first_year(store))}
    return _write_published(store, objects)


def repair_budget(store: Path, total: xr.DataArray, year: int) -> list[str]:
    """Write the damaged budget table of a published year anew; the keys that were written.

    Args:
        store: A published store.
        total: Budget of all regions' cells (member, time, ecosystem, region) [Tg per month], summed in the order of
            the write regions.
        year: The year.

    Raises:
        RunError: The table is not the one that was published; nothing was written.
    """
    name = str(total.name)
    first = (0, year - first_year(store), 0, 0)
    objects = encode(name, read_document(store, name), total.values, first)
    return _write_published(store, {o.key: o.content for o in objects})


def repair_statics(store: Path, spec: ProductSpec, grid: Grid, planes: xr.Dataset) -> list[str]:
    """Write damaged coordinates and statics anew; the keys that were written.

    Args:
        store: A published store with sound metadata.
        spec: The product.
        grid: Its grid.
        planes: `region_fraction` with coordinate `region`, and of `land_fraction` and `ecosystem_fraction` what is to
            be looked at.

    Raises:
        RunError: An object is not the one that was published; nothing was written.
    """
    root = json.loads((store / METADATA).read_bytes())
    docs = root["consolidated_metadata"]["metadata"]
    objects = static_objects(spec, grid, docs, planes)
    return _write_published(store, {o.key: o.content for o in objects})


def _write_published(store: Path, objects: Mapping[str, bytes]) -> list[str]:
    """Write those objects that are damaged, once all of them are known to be the published ones."""
    published = {r.key: r.sha256 for r in ledger.rows_of(store)}
    hurt = [
        key
        for key in objects
        if not (store / key).is_file() or sha256_file(store / key) != published[key]
    ]
    for key in hurt:
        digest = hashlib.sha256(objects[key]).hexdigest()
        if digest != published[key]:
            raise RunError(
                "the recomputed object is not the published one",
                where=store / key,
                expected=f"sha256 {published[key]}",
                found=digest,
                fix="Repair with the inputs, the package versions, the device and a processor like those that made it; "
                "`ch4grid explain` lists what is known of them. Nothing of this region was written",
            )
    for key in hurt:
        write_atomic(store / key, objects[key])
    return hurt


def first_year(store: Path) -> int:
    """The year at which the time axis of a published store starts."""
    return int(json.loads((store / METADATA).read_bytes())["attributes"]["ch4grid_first_year"])


def members_of(store: Path) -> int:
    """Number of ensemble members of a published store."""
    return int(read_document(store, "member")["shape"][0])

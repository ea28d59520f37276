"""A published store after damage or second thoughts: write lost objects anew, take the last year back."""

import hashlib
import json
from pathlib import Path

import xarray as xr

from ch4grid import ledger
from ch4grid.cube.blanking import ATTRIBUTE
from ch4grid.cube.objects import METADATA, dims_of, encode, read_document, serialised
from ch4grid.cube.publish import encoded_region, tiles
from ch4grid.cube.recovery import settle
from ch4grid.cube.staging import Slices
from ch4grid.cube.template import (
    ProductSpec,
    coverage,
    static_objects,
    time_objects,
    year_slice,
)
from ch4grid.cube.verify import damaged_rows
from ch4grid.errors import RunError
from ch4grid.grid import Grid
from ch4grid.stores import sha256_file, write_atomic


def damaged_regions(store: Path) -> list[tuple[int, Slices]]:
    """Years and write regions with objects that are not what the ledger says."""
    hurt = {p.key for p in damaged_rows(store, ledger.rows_of(store))}
    found = set()
    for r in ledger.rows_of(store):
        dims = dims_of(read_document(store, r.variable))
        if r.key not in hurt or r.year is None or "latitude" not in dims:
            continue
        chunks = read_document(store, r.variable)["chunk_grid"]["configuration"]["chunk_shape"]
        index = [int(i) for i in r.key.split("/")[2:]]
        start = {d: i * c for d, i, c in zip(dims, index, chunks, strict=True)}
        found |= {
            (r.year, t)
            for t, (rows, columns) in enumerate(tiles(store))
            if rows.start <= start["latitude"] < rows.stop
            and columns.start <= start["longitude"] < columns.stop
        }
    return [(year, tiles(store)[t]) for year, t in sorted(found)]


def repair_block(store: Path, block: xr.Dataset, *, year: int, tile: Slices) -> list[str]:
    """Write the damaged objects of a published region anew, bit for bit; the keys that were written.

    Args:
        store: A published store.
        block: Product variables of the region, computed again.
        year: The year.
        tile: Rows and columns of the region.

    Raises:
        RunError: An object of the block is not the one that was published.
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
    docs = {name: read_document(store, name) for name in ("time", "time_bnds")}
    objects = {o.key: o.content for o in time_objects(docs, year, first_year(store))}
    return _write_published(store, objects)


def _write_published(store: Path, objects: dict[str, bytes]) -> list[str]:
    published = {r.key: r.sha256 for r in ledger.rows_of(store)}
    written = []
    for key, content in objects.items():
        path, digest = store / key, hashlib.sha256(content).hexdigest()
        if path.is_file() and sha256_file(path) == published[key]:
            continue
        if digest != published[key]:
            raise RunError(
                "the recomputed object is not the published one",
                where=path,
                expected=f"sha256 {published[key]}",
                found=digest,
                fix="Repair with the inputs and the package version in the product's attributes",
            )
        write_atomic(path, content)
        written.append(key)
    return written


def rollback(store: Path) -> int:
    """Take the last published year back; readers lose it at one stroke. Returns the year.

    Raises:
        RunError: It is the only year.
    """
    years = ledger.published_years(store)
    if len(years) < 2:
        raise RunError(
            "there is no earlier state to go back to",
            where=store,
            expected="two published years or more",
            found=list(years),
            fix="Delete the version's folder instead",
        )
    last, length = years[-1], year_slice(years[-2], first_year(store)).stop
    root = json.loads((store / METADATA).read_bytes())
    known = json.loads(root["attributes"]["ch4grid_inputs"])
    root["attributes"] |= coverage({int(y): d for y, d in known.items() if int(y) != last})
    told = json.loads(root["attributes"].get(ATTRIBUTE, "{}"))
    if told:
        left = {y: v for y, v in told.items() if int(y) != last}
        root["attributes"][ATTRIBUTE] = json.dumps(left, sort_keys=True)
    docs = root["consolidated_metadata"]["metadata"]
    for doc in docs.values():
        if "time" in dims_of(doc):
            doc["shape"][dims_of(doc).index("time")] = length
    write_atomic(store / METADATA, serialised(root))
    settle(store)
    return last


def first_year(store: Path) -> int:
    """The year at which the time axis of a published store starts."""
    return int(json.loads((store / METADATA).read_bytes())["attributes"]["ch4grid_first_year"])


def repair_budget(store: Path, total: xr.DataArray, year: int) -> list[str]:
    """Write the damaged budget table of a published year anew; the keys that were written.

    Args:
        store: A published store.
        total: Budget of all regions' cells, summed in the order of the write regions.
        year: The year.
    """
    name = str(total.name)
    first = (0, year - first_year(store), 0, 0)
    objects = encode(name, read_document(store, name), total.values, first)
    return _write_published(store, {o.key: o.content for o in objects})


def repair_statics(store: Path, spec: ProductSpec, grid: Grid, planes: xr.Dataset) -> list[str]:
    """Write damaged coordinates, statics and array metadata anew; the keys that were written."""
    root = json.loads((store / METADATA).read_bytes())
    docs = root["consolidated_metadata"]["metadata"]
    written = []
    for name, doc in docs.items():
        path, content = store / name / METADATA, serialised(doc)
        if not path.is_file() or path.read_bytes() != content:
            write_atomic(path, content)
            written.append(f"{name}/{METADATA}")
    objects = static_objects(spec, grid, docs, planes)
    return written + _write_published(store, {o.key: o.content for o in objects})

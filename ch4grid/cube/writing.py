"""Objects of the write regions of a year in work, written by any worker in any order.

Objects of a year that lies before a published one would be seen as they are written; they wait beside the store and are
moved in, which takes no computing, when all of them are there.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from ch4grid import ledger
from ch4grid.cube import staging
from ch4grid.cube.block import check_block
from ch4grid.cube.creation import object_row
from ch4grid.cube.layout import MONTHS
from ch4grid.cube.objects import ChunkObject, Document, dims_of, encode, read_document
from ch4grid.cube.staging import Record, Slices
from ch4grid.cube.verify import Problem, damaged_rows
from ch4grid.errors import RunError
from ch4grid.ledger import Row
from ch4grid.stores import unwritable, write_atomic


def staged(store: Path, year: int, tile: Slices) -> Record | None:
    """The record of a region whose objects are on disk with the recorded digests; None when it must be computed.

    A region of a published year need not be computed; its record is empty, the ledger has its rows.
    """
    if year in ledger.published_years(store):
        return Record(year, tile, "", (), np.empty(0))
    record = staging.read_record(store, year, tile)
    if record is None or record.inputs != staging.read_plan(store).fingerprint(year):
        return None
    return None if damaged(store, year, record.rows) else record


def damaged(store: Path, year: int, rows: Sequence[Row]) -> list[Problem]:
    """Objects of a year in work that are not as recorded, each sought where it waits or else in the store."""
    hidden = staging.hidden(store, year)
    waiting = [r for r in rows if (hidden / r.key).is_file()]
    inside = [r for r in rows if not (hidden / r.key).is_file()]
    return damaged_rows(hidden, waiting, among=rows) + damaged_rows(store, inside, among=rows)


def seen(store: Path, year: int) -> bool:
    """Whether readers see the months of a year that is not published, because a later one is."""
    return year < max(ledger.published_years(store), default=year)


def place_of(store: Path, year: int) -> Path:
    """Where the objects of a year in work are written: in the store, or beside it where readers would see them."""
    return staging.hidden(store, year) if seen(store, year) else store


def write_block(
    store: Path,
    block: xr.Dataset,
    budget: xr.DataArray,
    *,
    year: int,
    tile: Slices,
    source: str = "",
) -> Record:
    """Write the objects of one region and year; safe in any worker, because no two regions share an object.

    Args:
        store: A store in which the year was begun.
        block: Product variables of the region (`cell_block`).
        budget: The region's BUDGET.
        year: The year.
        tile: Rows and columns of the region.
        source: Digest of the values that the region was computed from, by which a later version may know that it need
            not compute it again; empty where nobody knows.

    Raises:
        RunError: The block breaks an identity, does not fill whole chunk objects, or the disk refuses.
    """
    plan = staging.read_plan(store)
    problems = check_block(block, plan.spec.gas)
    if problems:
        raise RunError(
            f"the block is refused: {'; '.join(problems)}",
            where=f"{store.name}, year {year}, rows {tile[0].start}:{tile[0].stop}, "
            f"columns {tile[1].start}:{tile[1].stop}",
            expected="a block that keeps the identities of the product",
            fix="This is a defect of the model or the areas; nothing of the block was written",
        )
    inputs = plan.fingerprint(year)
    place = place_of(store, year)
    rows: list[Row] = []
    for name in sorted(map(str, block.data_vars)):
        doc = read_document(store, name)
        if "time" not in dims_of(doc):
            continue
        for o in encoded_region(name, doc, block[name], year - plan.spec.first_year, tile):
            write_atomic(place / o.key, o.content)
            rows.append(object_row(o, year=year, inputs=inputs))
    share = np.asarray(budget.values, dtype=np.float64)
    record = Record(year, tile, inputs, tuple(rows), share, source)
    staging.write_record(store, record)
    return record


def encoded_region(
    name: str, doc: Document, values: xr.DataArray, block: int, tile: Slices
) -> list[ChunkObject]:
    """Objects of one variable of a region: `block` counts years from the first of the time axis.

    Raises:
        RunError: The region does not fill whole chunk objects.
    """
    dims: list[str] = dims_of(doc)
    chunks: list[int] = doc["chunk_grid"]["configuration"]["chunk_shape"]
    start = {"time": block * MONTHS, "latitude": tile[0].start, "longitude": tile[1].start}
    array = values.transpose(*dims)
    first = []
    for dim, chunk, total in zip(dims, chunks, doc["shape"], strict=True):
        begin_at, size = start.get(dim, 0), array.sizes[dim]
        end = begin_at + size
        limit = end if dim == "time" else total
        if begin_at % chunk or (end % chunk and end != limit) or (dim == "time" and size != MONTHS):
            raise RunError(
                f"the block of {name!r} does not fill whole chunk objects along {dim}",
                where=f"{begin_at} to {end}",
                expected=f"multiples of {chunk}, or the end at {limit}",
                found=size,
            )
        first.append(begin_at // chunk)
    return encode(name, doc, array.values.astype(doc["data_type"]), tuple(first))


def move_in(store: Path, year: int, rows: Sequence[Row]) -> None:
    """Move objects that wait beside the store to their places; those that a killed run moved are there already."""
    hidden = staging.hidden(store, year)
    try:
        for r in rows:
            if (hidden / r.key).is_file():
                (store / r.key).parent.mkdir(parents=True, exist_ok=True)
                (hidden / r.key).replace(store / r.key)
    except OSError as error:
        raise unwritable(store, error) from error


def take_out(store: Path, year: int, records: Sequence[Record]) -> None:
    """Remove the objects of a refused year from the sight of readers."""
    for record in records:
        staging.forget_record(store, year, record.tile)
        for r in record.rows:
            (store / r.key).unlink(missing_ok=True)

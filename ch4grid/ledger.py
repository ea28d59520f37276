"""The ledger: what is done is what it says, one row per variable and chunk object, in a Parquet table beside the store.

A row carries the SHA-256 of the object's bytes, so a deleted, flipped or swapped chunk is found by reading alone. The
table's bytes depend on its rows only: same rows, same file.
"""

import hashlib
import io
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ch4grid.errors import InputError
from ch4grid.stores import beside, write_atomic

SUFFIX = ".ledger.parquet"
State = Literal["written", "verified", "published"]


@dataclass(frozen=True)
class Row:
    """One chunk object of the store.

    Args:
        variable: Name of the array.
        key: Path of the object inside the store.
        year: Year of its months; None for what does not depend on time.
        state: `written`, then `verified` by reading back, then `published` to readers.
        sha256: Digest of the object's bytes.
        bytes: Size of the object [byte].
        n_valid: Values that are not missing.
        min: Smallest valid value in the array's units; None where there is none.
        mean: Mean of the valid values.
        max: Largest valid value.
        inputs: Fingerprint of everything the object was computed from.
    """

    variable: str
    key: str
    year: int | None
    state: State
    sha256: str
    bytes: int
    n_valid: int
    min: float | None
    mean: float | None
    max: float | None
    inputs: str


def row(
    variable: str, key: str, content: bytes, values: NDArray[Any], *, year: int | None, inputs: str
) -> Row:
    """The row of an object about to be written; `values` are the array values it holds, padding excluded."""
    numeric = values.dtype.kind in "fiu"
    kept = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    stats = (
        (float(kept.min()), float(kept.mean(dtype=np.float64)), float(kept.max()))
        if numeric and kept.size
        else (None, None, None)
    )
    return Row(
        variable=variable,
        key=key,
        year=year,
        state="written",
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        n_valid=int(kept.size),
        min=stats[0],
        mean=stats[1],
        max=stats[2],
        inputs=inputs,
    )


def path_of(store: Path) -> Path:
    """Where the ledger of a store lies."""
    return beside(store, SUFFIX)


def read(store: Path) -> pd.DataFrame:
    """The ledger as a table, columns as in `Row`; empty when nothing was verified yet.

    Raises:
        InputError: The file is not a readable Parquet table.
    """
    rows = rows_of(store)
    table = pd.DataFrame([asdict(r) for r in rows], columns=list(Row.__dataclass_fields__))
    return table.astype({"year": "Int32"})


def rows_of(store: Path) -> list[Row]:
    """The rows of a store's ledger in file order.

    Raises:
        InputError: The file is not a readable Parquet table.
    """
    path = path_of(store)
    return rows_in(path.read_bytes(), path) if path.exists() else []


def rows_in(content: bytes, where: object) -> list[Row]:
    """The rows of a ledger given as the bytes of its file, which lies at `where`.

    Raises:
        InputError: The bytes are not a readable Parquet table.
    """
    return [Row(**r) for r in _parsed(content, where).to_pylist()]


def root_digest(store: Path) -> str | None:
    """SHA-256 of the group metadata that was published last; None before the first publication."""
    path = path_of(store)
    if not path.exists():
        return None
    found = (_load(path).schema.metadata or {}).get(b"root_sha256")
    return found.decode() if found else None


def published_years(store: Path) -> tuple[int, ...]:
    """Years whose every object is published, ascending."""
    path = path_of(store)
    if not path.exists():
        return ()
    table = _load(path).select(["year", "variable", "state"]).to_pydict()
    found = set(zip(table["year"], table["variable"], table["state"], strict=True))
    # the time axis may run through years that hold no data yet: they own a time object only
    data = {(y, s) for y, v, s in found if y is not None and v not in ("time", "time_bnds")}
    pending = {y for y, s in data if s != "published"}
    return tuple(sorted({y for y, _ in data} - pending))


def extent(store: Path) -> dict[int | None, tuple[int, int]]:
    """Number of objects and bytes by year, None for what does not depend on time; published or not."""
    path = path_of(store)
    if not path.exists():
        return {}
    table = _load(path).select(["year", "bytes"]).to_pydict()
    found: dict[int | None, tuple[int, int]] = {}
    for year, size in zip(table["year"], table["bytes"], strict=True):
        objects, total = found.get(year, (0, 0))
        found[year] = (objects + 1, total + size)
    return found


def merge(rows: Iterable[Row], new: Iterable[Row]) -> list[Row]:
    """Rows with those of the same key replaced, in the canonical order: static first, then year, variable, key."""
    table = {r.key: r for r in rows} | {r.key: r for r in new}
    return sorted(
        table.values(), key=lambda r: (-1 if r.year is None else r.year, r.variable, r.key)
    )


def in_state(rows: Iterable[Row], state: State) -> list[Row]:
    """The same rows in another state."""
    return [replace(r, state=state) for r in rows]


def write(store: Path, rows: Iterable[Row], *, root_sha256: str | None) -> None:
    """Replace the ledger atomically.

    Raises:
        RunError: The folder cannot be written or the disk is full.
    """
    write_atomic(path_of(store), content_of(rows, root_sha256=root_sha256))


def content_of(rows: Iterable[Row], *, root_sha256: str | None) -> bytes:
    """The bytes of a ledger's file, the same for the same rows in any order."""
    return _encoded(merge([], rows), {"root_sha256": root_sha256 or ""})


def _encoded(rows: list[Row], metadata: Mapping[str, str]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            ("variable", pa.string()),
            ("key", pa.string()),
            ("year", pa.int32()),
            ("state", pa.string()),
            ("sha256", pa.string()),
            ("bytes", pa.int64()),
            ("n_valid", pa.int64()),
            ("min", pa.float64()),
            ("mean", pa.float64()),
            ("max", pa.float64()),
            ("inputs", pa.string()),
        ],
        metadata=dict(metadata),
    )
    table = pa.Table.from_pylist([asdict(r) for r in rows], schema=schema)
    stream = io.BytesIO()
    pq.write_table(table, stream, compression="zstd")
    return stream.getvalue()


def _load(path: Path) -> Any:
    return _parsed(path.read_bytes(), path)


def _parsed(content: bytes, where: object) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(pa.BufferReader(content))
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            "the ledger cannot be read",
            where=where,
            expected="a Parquet table",
            found=str(error).splitlines()[0],
            fix="Restore it from a copy of the product; without it nothing of the store can be verified",
        ) from error

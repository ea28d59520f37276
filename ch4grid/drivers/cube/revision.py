"""What changed when inputs changed: the cells of every revised month, and the product months that depend on them."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ch4grid.drivers.cube.planes import read_plane
from ch4grid.grid import Grid
from ch4grid.stores import beside, write_atomic

SUFFIX = ".revisions.parquet"
COLUMNS = ("revision", "month", "latitude", "longitude", "drivers")


@dataclass(frozen=True)
class Revision:
    """Cells of one month whose drivers changed.

    Args:
        month: First day of the month.
        cells: Number of cells.
        drivers: Number of changed cells by driver; drivers without a change are left out.
    """

    month: pd.Timestamp
    cells: int
    drivers: dict[str, int]

    def in_words(self) -> str:
        """The revision as a line for people."""
        told = ", ".join(f"{n} {k}" for n, k in self.drivers.items())
        return f"drivers of {self.month:%Y-%m} revised in {self.cells} cells ({told})"


def remember(store: Path, index: int, dynamic: Sequence[str]) -> None:
    """Keep the present values of a month until `compare`; what an interrupted update kept stays."""
    path = _kept(store, index)
    if path.exists():
        return
    stream = io.BytesIO()
    planes = {name: read_plane(store, name, index) for name in dynamic}
    np.savez(stream, **planes)  # type: ignore[arg-type]  # numpy's stub takes the names for options
    write_atomic(path, stream.getvalue())


def compare(
    store: Path, grid: Grid, time: pd.DatetimeIndex, dynamic: Sequence[str]
) -> list[Revision]:
    """The revisions since `remember`; their cells are added to the table beside the store.

    Args:
        store: The driver cube.
        grid: Its grid.
        time: Its months.
        dynamic: Its variables that change.

    Raises:
        RunError: The table cannot be written.
    """
    found: list[Revision] = []
    rows: list[pd.DataFrame] = []
    kept = sorted(store.parent.glob(f".{store.stem}.*.npz"), key=_index)
    for path in kept:
        month = time[_index(path)]
        changed = _changed(store, path, dynamic)
        anywhere = np.any(list(changed.values()), axis=0)
        if anywhere.any():
            counts = {n: int(mask.sum()) for n, mask in changed.items() if mask.any()}
            found.append(Revision(month, int(anywhere.sum()), counts))
            rows.append(_cells(grid, month, anywhere, changed))
    if rows:
        _append(store, rows)
    for path in kept:
        path.unlink(missing_ok=True)
    return found


def table(store: Path) -> pd.DataFrame:
    """All revised cells: revision (1, 2, ...), month, latitude, longitude, drivers (names, separated by blanks)."""
    path = beside(store, SUFFIX)
    if not path.exists():
        return pd.DataFrame({name: [] for name in COLUMNS})
    return pd.read_parquet(path)


def affected(revised: pd.DataFrame, memory: int) -> pd.DataFrame:
    """Product cells that depend on revised drivers: latitude, longitude, first and last month.

    Args:
        revised: Rows of `table`.
        memory: Months of drivers that a month of the flux is computed from, its own included.
    """
    cells = revised.groupby(["latitude", "longitude"])["month"].agg(["min", "max"]).reset_index()
    last = cells["max"] + pd.DateOffset(months=memory - 1) if len(cells) else cells["max"]
    return pd.DataFrame(
        {
            "latitude": cells["latitude"],
            "longitude": cells["longitude"],
            "first_month": cells["min"],
            "last_month": last,
        }
    )


def _kept(store: Path, index: int) -> Path:
    return store.with_name(f".{store.stem}.{index}.npz")


def _index(path: Path) -> int:
    return int(path.stem.rpartition(".")[2])


def _changed(store: Path, path: Path, dynamic: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    """Cells (latitude, longitude) by variable that differ from the values kept; missing equals missing."""
    out = {}
    with np.load(path) as before:
        for name in dynamic:
            now = read_plane(store, name, _index(path))
            both = np.isnan(now) & np.isnan(before[name])
            out[name] = (now != before[name]) & ~both
    return out


def _cells(
    grid: Grid,
    month: pd.Timestamp,
    anywhere: NDArray[np.bool_],
    changed: dict[str, NDArray[np.bool_]],
) -> pd.DataFrame:
    row, column = np.nonzero(anywhere)
    names = [
        " ".join(n for n, mask in changed.items() if mask[r, c])
        for r, c in zip(row, column, strict=True)
    ]
    return pd.DataFrame(
        {
            "month": month,
            "latitude": grid.latitude[row],
            "longitude": grid.longitude[column],
            "drivers": names,
        }
    )


def _append(store: Path, rows: list[pd.DataFrame]) -> None:
    before = table(store)
    number = int(before["revision"].max()) + 1 if len(before) else 1
    new = pd.concat(rows, ignore_index=True)
    new.insert(0, "revision", number)
    whole = pd.concat([before, new], ignore_index=True) if len(before) else new
    stream = io.BytesIO()
    whole.to_parquet(stream, compression="zstd", index=False)
    write_atomic(beside(store, SUFFIX), stream.getvalue())

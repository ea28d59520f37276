"""The mean year that fills gaps: per calendar month over the reference years, from what was measured there."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ch4grid import ledger
from ch4grid.drivers.cube.month import Bits, Field, bits, status
from ch4grid.drivers.cube.planes import read_plane, write_plane


@dataclass(frozen=True)
class Fill:
    """One month to fill.

    Args:
        store: The driver cube.
        dynamic: Variables that change, in the order of the bits.
        index: Position of the month on the time axis.
        year: Its year.
        reference: Positions of the same calendar month in the reference years.
        preliminary: Whether a variable of the month is preliminary.
        fingerprint: Of everything that determines the month.
    """

    store: Path
    dynamic: tuple[str, ...]
    index: int
    year: int
    reference: tuple[int, ...]
    preliminary: bool
    fingerprint: str


def fill_month(task: Fill) -> list[ledger.Row]:
    """Fill the missing cells of a month where the reference years have a value, mark them, and return its rows.

    Cells that were filled themselves do not count in the mean; a cell without any value stays missing.
    """
    values: dict[str, Field] = {}
    filled: dict[str, NDArray[np.bool_]] = {}
    for bit, name in enumerate(task.dynamic):
        plane = read_plane(task.store, name, task.index)
        gap = np.isnan(plane)
        if gap.any():
            mean = _mean(task.store, name, bit, task.reference)
            filled[name] = gap & np.isfinite(mean)
            plane = np.where(filled[name], mean, plane)
        values[name] = plane
    shape = next(iter(values.values())).shape
    climatology = bits(filled, task.dynamic, shape)
    partial = read_plane(task.store, "driver_partial", task.index)
    marks: dict[str, NDArray[Any]] = {
        "driver_climatology": climatology,
        "driver_status": status(
            values, climatology | partial, preliminary=task.preliminary, shape=shape
        ),
    }
    planes: dict[str, NDArray[Any]] = {**values, **marks}
    return [
        write_plane(task.store, n, task.index, v, task.year, task.fingerprint)
        for n, v in planes.items()
    ]


def _mean(store: Path, name: str, bit: int, reference: Sequence[int]) -> Field:
    """Mean of measured months (latitude, longitude), NaN where there is none; one month in memory at a time."""
    total: NDArray[np.float64] | None = None
    count: NDArray[np.int32] | None = None
    for index in reference:
        plane = read_plane(store, name, index).astype(np.float64)
        marked: Bits = read_plane(store, "driver_climatology", index)
        valid = np.isfinite(plane) & (marked & np.uint32(1 << bit) == 0)
        if total is None or count is None:
            total, count = np.zeros(plane.shape), np.zeros(plane.shape, np.int32)
        total += np.where(valid, plane, 0.0)
        count += valid
    if total is None or count is None:
        return np.full((1, 1), np.nan, np.float32)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (total / count).astype(np.float32)

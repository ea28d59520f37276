"""The proof of an export: what a file holds, read back, against the budget that the product has for the same months."""

from collections.abc import Iterable
from pathlib import Path

import netCDF4
import numpy as np
from numpy.typing import NDArray

from ch4grid.errors import RunError
from ch4grid.exports.contract import TOTALS

Float = NDArray[np.float64]


def departure(
    path: Path,
    names: Iterable[str],
    area: Float,
    seconds: Float,
    expected: Float,
    *,
    kg: float = 1.0,
) -> float:
    """Largest departure of a month from the budget, as a share of the gross flux of the month [1].

    Args:
        path: A NetCDF file.
        names: Variables (time, lat, lon) whose sum is the flux; missing values count nothing.
        area: Areas of the cells (lat, lon) [m2].
        seconds: Length of every month (time) [s].
        expected: Mass of every month by the product (time) [kg].
        kg: Mass of the file's unit of amount [kg].

    Raises:
        RunError: It is larger than the contract allows.
    """
    total, gross = np.zeros(seconds.size), np.zeros(seconds.size)
    with netCDF4.Dataset(path) as file:
        for name in names:
            for month in range(seconds.size):
                field = np.ma.filled(file.variables[name][month].astype(np.float64), np.nan)
                mass = np.nan_to_num(field) * area * seconds[month] * kg
                total[month] += mass.sum()
                gross[month] += np.abs(mass).sum()
    return proved(path, total, gross, expected)


def proved(path: Path, total: Float, gross: Float, expected: Float) -> float:
    """The largest departure of totals from what is expected, as a share of gross totals, all in one unit.

    Raises:
        RunError: It is larger than the contract allows.
    """
    scale = np.maximum(gross, np.abs(expected))
    share = np.abs(total - expected) / np.where(scale > 0, scale, 1.0)
    worst = float(share.max())
    # written so that a total that is no number is refused as well
    if not worst <= TOTALS:
        month = int(np.nanargmax(np.where(np.isfinite(share), share, np.inf)))
        raise RunError(
            "the export does not hold the budget of the product",
            where=path.name,
            expected=f"{expected[month]:.9g} in month {month + 1}, within {TOTALS:g} of the gross flux",
            found=f"{total[month]:.9g}",
            fix="No file was published; `ch4grid verify` the store and report it",
        )
    return worst

"""Years: from months to annual values, the decades they fall into, and how a trend over them may be called."""

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid.errors import InputError

Floats = NDArray[np.float64]

# Annual series shorter than this have no trend worth a test [years].
SHORTEST = 8
DECADE = 10
DRIVEN = "driver-propagated"
OBSERVED = "within the tower record"
# Meanings of the variable `status`.
STATUS = {"tested": 0, "too short for a trend": 1, "missing": 2, "constant": 3}
STATUS_ATTRS = {
    "flag_values": np.array(list(STATUS.values()), dtype=np.int8),
    "flag_meanings": " ".join(name.replace(" ", "_") for name in STATUS),
    "long_name": "why there is or is not a tested trend",
}


def complete_years(time: xr.DataArray) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Calendar years (year) with all twelve months and the positions of their months (year, month).

    Raises:
        InputError: There is no complete year, or a month appears twice.
    """
    calendar = pd.DatetimeIndex(time.values)
    frame = pd.Series(np.arange(len(calendar)), index=[calendar.year, calendar.month])
    if frame.index.has_duplicates:
        raise InputError(
            "a month appears twice",
            where="trends",
            expected="one time step per month",
            found=f"{len(calendar)} steps in {len(frame.index.unique())} months",
        )
    table = frame.unstack().reindex(columns=range(1, 13)).dropna()
    if not len(table):
        raise InputError(
            "trends need complete years",
            where="trends",
            expected="twelve months of a year",
            found=f"{len(calendar)} months",
            fix="Run the product over whole years",
        )
    years = np.asarray(table.index, dtype=np.int64)
    if len(years) > 1 and np.any(np.diff(years) != 1):
        raise InputError(
            "years are missing in between",
            where="trends",
            expected=f"all years from {years[0]} to {years[-1]}",
            found=f"{len(years)} complete years",
        )
    return years, table.to_numpy(dtype=np.intp)


def decades(years: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """Positions of the years of consecutive periods of a decade or more; empty with fewer than two decades."""
    count = len(years) // DECADE
    return [] if count < 2 else np.array_split(np.arange(len(years)), count)


def label(years: NDArray[np.int64], record: tuple[int, int] | None) -> str:
    """How a trend must be called: towers that saw only part of the period cannot have observed it (methods 3.15).

    Args:
        years: Years of the trend.
        record: First and last year of the tower record behind the model; None when unknown.
    """
    seen = record is not None and record[0] <= years[0] and record[1] >= years[-1]
    return OBSERVED if seen else DRIVEN


def caution(years: NDArray[np.int64], record: tuple[int, int] | None) -> str:
    """What must be said beside a trend."""
    if label(years, record) == OBSERVED:
        return "the tower record spans the period; area and drivers still act together"
    known = "an unknown record" if record is None else f"towers of {record[0]} to {record[1]}"
    return (
        f"{known} cannot have observed a trend over {years[0]} to {years[-1]}; it is what the model makes of "
        "changing drivers and areas, and runs with fixed areas and with fixed drivers tell the two apart"
    )


def status_of(annual: Floats) -> NDArray[np.int8]:
    """Status of every series (series) from its annual values (series, year)."""
    known = np.isfinite(annual)
    count = known.sum(axis=1)
    least = np.where(known, annual, np.inf).min(axis=1)
    most = np.where(known, annual, -np.inf).max(axis=1)
    status = np.where(most <= least, STATUS["constant"], STATUS["tested"])
    status = np.where(count < SHORTEST, STATUS["too short for a trend"], status)
    return np.where(count == 0, STATUS["missing"], status).astype(np.int8)

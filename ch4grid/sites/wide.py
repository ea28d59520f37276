"""Series of one variable at many towers, one column per tower, as satellite extractions are handed out: by month."""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from ch4grid.errors import InputError
from ch4grid.sites.stations import read_csv, require
from ch4grid.stores import Workspace
from ch4grid.vocabulary import VARIABLES

# Share of impossible values from which a unit must be wrong.
MOST_IMPOSSIBLE = 0.05

Unit = Literal["1", "K", "degC", "percent"]
FACTORS: dict[str, tuple[float, float]] = {
    "1": (1.0, 0.0),
    "K": (1.0, 0.0),
    "degC": (1.0, 273.15),
    "percent": (0.01, 0.0),
}


class WideSeries(BaseModel):
    """A CSV with a date column and one column per tower; names of towers are compared without case.

    Args:
        path: The file, relative to the data folder.
        units: Units in the file; converted to those of the vocabulary.
        date_column: Column with the first day of each composite.
        date_format: Its format.
        days: Days that a value stands for: 8 for MODIS composites, 1 for daily files. A composite that reaches into the
            next month counts there with its days.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    path: str
    units: Unit = "1"
    date_column: str = "Date"
    date_format: str = "%m/%d/%Y"
    days: int = Field(default=8, ge=1, le=31)

    def monthly(self, variable: str, workspace: Workspace) -> pd.DataFrame:
        """Monthly means (month, tower in upper case) in the units of the vocabulary, NaN where nothing was seen.

        Raises:
            InputError: The file is missing, a date cannot be read, a date or a tower stands twice, or many values are
                none that the variable can have.
        """
        path = workspace.matches(self.path)[0]
        table = read_csv(path)
        require(table, (self.date_column,), path)
        try:
            table.index = pd.to_datetime(table.pop(self.date_column), format=self.date_format)
        except ValueError as error:
            raise InputError(
                "a date cannot be read",
                where=path,
                expected=self.date_format,
                found=str(error)[:120],
            ) from error
        table.columns = table.columns.str.strip().str.upper()
        _once(table, path)
        factor, offset = FACTORS[self.units]
        values = table.apply(pd.to_numeric, errors="coerce") * factor + offset
        return _by_month(_plausible(values.sort_index(), variable, path), self.days)


def _once(table: pd.DataFrame, path: Path) -> None:
    """Refuse a row without a date, and a date or a tower that stands twice.

    Raises:
        InputError: There is one.
    """
    if table.index.hasnans:
        raise InputError("a date is missing", where=path, expected="a date in every row")
    twice = [
        *(f"{date:%Y-%m-%d}" for date in table.index[table.index.duplicated()]),
        *table.columns[table.columns.duplicated()],
    ]
    if twice:
        raise InputError("a date or a tower stands twice", where=path, found=twice[0])


def _plausible(values: pd.DataFrame, variable: str, path: Path) -> pd.DataFrame:
    """The values, impossible ones missing: clouds and snow leave a few; many are the mark of a wrong unit.

    Raises:
        InputError: More than a twentieth of the values cannot be.
    """
    low, high = VARIABLES[variable].valid_range
    outside = (values < low) | (values > high)
    if outside.to_numpy().sum() > MOST_IMPOSSIBLE * values.notna().to_numpy().sum():
        wrong = values.where(outside).stack().dropna()
        raise InputError(
            f"{variable} holds values that it cannot have",
            where=path,
            expected=f"{low:g} to {high:g} {VARIABLES[variable].units}",
            found=f"{len(wrong)} others, such as {wrong.iloc[0]:.6g} at {wrong.index[0][1]}",
            fix="Check the units in the recipe",
        )
    return values.mask(outside)


def _by_month(values: pd.DataFrame, days: int) -> pd.DataFrame:
    """Mean over the days of each month, every value standing for its days or until the next one begins."""
    begins = pd.DatetimeIndex(values.index)
    ends = begins + pd.Timedelta(days=days)
    ends = pd.DatetimeIndex([*np.minimum(ends[:-1], begins[1:]).tolist(), ends[-1]])
    months, lengths, rows = [], [], []
    for first, last, row in zip(begins, ends, values.to_numpy(np.float64), strict=True):
        for period in pd.period_range(first, last - pd.Timedelta(days=1), freq="M"):
            begin, end = max(first, period.start_time), min(last, (period + 1).start_time)
            months.append(period.start_time)
            lengths.append(float((end - begin).days))
            rows.append(row)
    month = pd.DatetimeIndex(months).as_unit("s")
    seen, weight = np.stack(rows), np.array(lengths)[:, None]
    there = np.isfinite(seen)
    frame = pd.DataFrame(np.where(there, seen, 0.0) * weight, columns=values.columns)
    sums = frame.groupby(month).sum()
    counts = pd.DataFrame(there * weight, columns=values.columns).groupby(month).sum()
    means: pd.DataFrame = sums / counts.where(counts > 0)
    return means.rename_axis("month")

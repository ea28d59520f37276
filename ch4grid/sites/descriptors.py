"""What a site table says of the places of towers, as static predictors."""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr
from pydantic import BaseModel, ConfigDict

from ch4grid.errors import InputError
from ch4grid.sites.stations import read_csv, require
from ch4grid.vocabulary import SECONDS_PER_DAY, VARIABLES

# Column of the tower's name, in upper or lower case.
SITE = "SITE_ID"
DAYS_PER_YEAR = 365.25
FACTORS: dict[str, tuple[float, float]] = {
    "1": (1.0, 0.0),
    "K": (1.0, 0.0),
    "m": (1.0, 0.0),
    "degC": (1.0, 273.15),
    "mm year-1": (1.0 / (DAYS_PER_YEAR * SECONDS_PER_DAY), 0.0),
}


class Descriptor(BaseModel):
    """A numeric column of the site table.

    Args:
        column: Its name.
        units: Its units; converted to those of the vocabulary.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    column: str
    units: Literal["1", "K", "m", "degC", "mm year-1"] = "1"


def describe(sites: xr.Dataset, descriptors: dict[str, Descriptor], path: Path) -> xr.Dataset:
    """SITES with descriptors (site), NaN where the table has none.

    Args:
        sites: Towers.
        descriptors: Vocabulary name to a column.
        path: The site table; towers are matched without case.

    Raises:
        InputError: A column is missing, is not numeric, or holds values that the variable cannot have.
    """
    if not descriptors:
        return sites
    table = read_csv(path).rename(columns=lambda c: SITE if str(c).upper() == SITE else c)
    require(table, (SITE, *(d.column for d in descriptors.values())), path)
    rows = table.set_index(table[SITE].astype(str).str.strip().str.upper())
    # of a tower that stands twice the last row counts, as for its place
    rows = rows[~rows.index.duplicated(keep="last")]
    names = [str(n).upper() for n in sites["site"].values]
    found = {n: _column(rows, d, n, path).reindex(names) for n, d in descriptors.items()}
    return sites.assign(
        {n: ("site", values.to_numpy(), VARIABLES[n].attrs) for n, values in found.items()}
    )


def _column(rows: pd.DataFrame, descriptor: Descriptor, name: str, path: Path) -> pd.Series:
    """A column in the units of the vocabulary."""
    factor, offset = FACTORS[descriptor.units]
    try:
        values = pd.to_numeric(rows[descriptor.column]) * factor + offset
    except (ValueError, TypeError) as error:
        raise InputError(
            f"column {descriptor.column} is not numeric", where=path, found=str(error)[:120]
        ) from error
    low, high = VARIABLES[name].valid_range
    wrong = values[(values < low) | (values > high)]
    if len(wrong):
        raise InputError(
            f"column {descriptor.column} holds values that {name} cannot have",
            where=path,
            expected=f"{low:g} to {high:g} {VARIABLES[name].units}",
            found=f"{wrong.iloc[0]:.6g} at {wrong.index[0]}",
            fix="Check the units in the recipe",
        )
    return values.astype(np.float64)

"""Trends of the annual mean flux of every cell, with field significance over the map.

A map of thousands of tests shows some trends by chance; only those that keep a false discovery rate count (Wilks 2016).
"""

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid.errors import InputError
from ch4grid.trends.series import false_discovery_rates, mann_kendall, rank_interval
from ch4grid.trends.years import (
    STATUS,
    STATUS_ATTRS,
    caution,
    complete_years,
    label,
    status_of,
)
from ch4grid.vocabulary import FLUX_UNITS, seconds_in_month

Floats = NDArray[np.float64]

LEVEL = 0.9
# Neighbouring cells are alike, so that a rate of 0.10 keeps the chance of any false field near 0.05 (Wilks 2016).
FIELD_ALPHA = 0.10


def cell_trends(
    product: xr.Dataset, *, gas: str = "ch4", record: tuple[int, int] | None = None
) -> xr.Dataset:
    """Theil-Sen trends of the annual mean flux of every cell.

    Args:
        product: Product with `<gas>_flux` (time, ...) [kg m-2 s-1], any cell dimensions.
        gas: Name of the gas.
        record: First and last year of the tower record; None when unknown.

    Returns:
        `trend`, `trend_lower`, `trend_upper` [kg m-2 s-1 year-1] from the ranks of pair slopes, `p`, `q`,
        `significant` (q <= 0.10) and `status` on the cells; a year in which a month is missing does not count. Where
        the status is not `tested` no trend is significant, and where it is `missing` the trend is NaN.

    Raises:
        InputError: The product has no flux or no complete year.
    """
    name = f"{gas}_flux"
    if name not in product:
        raise InputError(
            "the product has no flux",
            where="trends",
            expected=name,
            found=sorted(map(str, product.data_vars)),
        )
    flux = product[name].transpose("time", ...)
    years, rows = complete_years(flux["time"])
    cells = flux.shape[1:]
    annual = _annual_means(flux, rows)
    time = years.astype(np.float64)
    tested = mann_kendall(annual, time)
    status = status_of(annual)
    known = status == STATUS["tested"]
    p = np.where(known, tested.p, np.nan)
    q = false_discovery_rates(p)
    bounds = rank_interval(annual, time, tested.spread, LEVEL)
    bounds = np.where(known[:, None], bounds, np.nan)
    rate = {"units": f"{FLUX_UNITS} year-1"}
    dims = flux.dims[1:]
    columns = {
        "trend": (tested.slope, rate),
        "trend_lower": (bounds[:, 0], rate),
        "trend_upper": (bounds[:, 1], rate),
        "p": (p, {"units": "1"}),
        "q": (q, {"units": "1"}),
        "significant": (known & (q <= FIELD_ALPHA), {}),
        "status": (status, STATUS_ATTRS),
    }
    coords = {str(dim): flux[dim] for dim in dims if dim in flux.coords}
    return xr.Dataset(
        {n: (dims, v.reshape(cells), attrs) for n, (v, attrs) in columns.items()},
        coords=coords,
        attrs={
            "label": label(years, record),
            "caution": caution(years, record),
            "first_year": int(years[0]),
            "last_year": int(years[-1]),
            "level": LEVEL,
            "field_alpha": FIELD_ALPHA,
            "gas": gas,
        },
    )


def _annual_means(flux: xr.DataArray, rows: NDArray[np.intp]) -> Floats:
    """Means over the seconds of each year (cell, year)."""
    seconds = seconds_in_month(pd.DatetimeIndex(flux["time"].values))
    means = []
    for months in rows:
        block = flux.isel(time=months).values.astype(np.float64).reshape(len(months), -1)
        weight = seconds[months] / seconds[months].sum()
        means.append(weight @ block)
    return np.stack(means, axis=1)

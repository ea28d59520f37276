"""A check that latitude labels and data run the same way, by the seasons and the poles.

The southern summer is in January and the northern one in July, and the Antarctic is colder than the Arctic: signs of
temperature and radiation that no climate reverses. What can be decided depends on the months and the area at hand.
"""

import numpy as np
import pandas as pd
import xarray as xr

from ch4grid.errors import InputError

# Fields whose seasons and latitudes tell north from south.
SEASONAL = ("tas", "tsl", "rsds")

# Months of the northern summer and of the southern one, around the solstices for radiation.
SUMMER = (6, 7, 8)
SOLSTICES = (6, 12)


def refuse_swapped_latitude(ds: xr.Dataset, where: str) -> None:
    """Refuse fields whose latitude labels run against the data, where the months at hand can tell.

    A year tells by its seasons and its poles, a northern summer month by the temperature of the poles, a month around a
    solstice by their sunshine.

    Args:
        ds: Fields (time, latitude, longitude) in vocabulary names and units.
        where: Source for the message.

    Raises:
        InputError: A temperature or radiation field has its seasons or its poles the wrong way round.
    """
    for name in (n for n in SEASONAL if n in ds and "time" in ds[n].dims):
        found = _seasons(ds[name]) or _poles(ds[name])
        if found:
            raise InputError(
                f"latitude is swapped: {name!r} has northern seasons in the south",
                where=where,
                expected=f"{name} of July above that of January north of 30N, below it south of 30S, Antarctic coldest",
                found=found,
                fix="Reverse the latitude coordinate of the file (not the data)",
            )


def _seasons(field: xr.DataArray) -> str:
    """What is wrong with the seasons, in words; nothing without a January and a July."""
    number = pd.DatetimeIndex(field["time"].values).month
    if not ((number == 1).any() and (number == 7).any()):
        return ""
    july, january = (_zonal(field.isel(time=number == n)) for n in (7, 1))
    latitude = np.asarray(field["latitude"].values, np.float64)
    north = _mean_between(july - january, latitude, 30.0, 70.0)
    south = _mean_between(july - january, latitude, -70.0, -30.0)
    if north < 0 or south > 0:
        units = field.attrs["units"]
        return (
            f"July minus January {north:.3g} {units} at 30N-70N and {south:.3g} {units} at 30S-70S"
        )
    return ""


def _poles(field: xr.DataArray) -> str:
    """What is wrong with the poles, in words; nothing where the months or the latitudes at hand cannot tell."""
    number = pd.DatetimeIndex(field["time"].values).month
    latitude = np.asarray(field["latitude"].values, np.float64)
    telling = (
        [(SUMMER, 1.0)]
        if field.name != "rsds"
        else [((m,), s) for m, s in zip(SOLSTICES, (1.0, -1.0), strict=True)]
    )
    for months, sign in telling:
        if not np.isin(number, months).any():
            continue
        zonal = _zonal(field.isel(time=np.isin(number, months)))
        arctic = _mean_between(zonal, latitude, 75.0, 90.0)
        antarctic = _mean_between(zonal, latitude, -90.0, -75.0)
        if sign * (arctic - antarctic) < 0:
            seen = ", ".join(str(m) for m in months if m in number)
            units = field.attrs["units"]
            return (
                f"Arctic {arctic:.4g} {units} and Antarctic {antarctic:.4g} {units} in month {seen}"
            )
    return ""


def _zonal(field: xr.DataArray) -> np.ndarray:
    """Mean over time and longitude (latitude); NaN where there is no value."""
    values = np.asarray(field.transpose("latitude", ...).values, np.float64)
    flat = values.reshape(values.shape[0], -1)
    valid = np.isfinite(flat)
    number = valid.sum(axis=1)
    return np.where(number, np.where(valid, flat, 0.0).sum(axis=1) / np.maximum(number, 1), np.nan)


def _mean_between(zonal: np.ndarray, latitude: np.ndarray, low: float, high: float) -> float:
    """Mean over the rows from `low` to `high` [degrees_north]; NaN if there are none."""
    rows = zonal[(latitude >= low) & (latitude <= high)]
    rows = rows[np.isfinite(rows)]
    return float(rows.mean()) if rows.size else float("nan")

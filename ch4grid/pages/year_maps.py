"""Pictures of a year: its mean flux and standard error, and every month, for readers without scripts."""

import calendar
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid.pages.colour import Scale, flux_scale, spread_scale
from ch4grid.pages.figures import figure
from ch4grid.pages.maps import data_url, display, map_png
from ch4grid.vocabulary import Gas


class Picture(NamedTuple):
    """A map: image as a `data:` URL, caption and a description for those who cannot see it."""

    url: str
    caption: str
    description: str


def year_maps(last: xr.Dataset, gas: Gas) -> dict[str, Any]:
    """The two annual maps, the twelve monthly ones and their scales."""
    months = display(last[gas.flux])
    formula = gas.formula.replace("4", "₄").replace("2", "₂")
    scale = flux_scale(months, formula)
    spread = display(last[f"{gas.flux}_standard_error"]).mean(axis=0)
    spread_at = spread_scale(spread, formula)
    year = int(last["time"].dt.year[0])
    annual = _mean(months)
    return {
        "annual": _picture(annual, scale, f"Mean of {year}", last),
        "spread": _picture(
            spread, spread_at, f"Mean of the monthly standard errors of {year}", last
        ),
        "months": [
            _picture(months[i], scale, f"{calendar.month_name[i + 1]} {year}", last)
            for i in range(len(months))
        ],
        "month_names": list(calendar.month_abbr)[1:],
        "scale": scale,
        "spread_scale": spread_at,
    }


def _mean(months: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the months that have a value; NaN where none has."""
    count = np.isfinite(months).sum(axis=0)
    return np.where(count > 0, np.nansum(months, axis=0) / np.maximum(count, 1), np.nan)


def _picture(values: NDArray[np.float64], scale: Scale, caption: str, ds: xr.Dataset) -> Picture:
    return Picture(
        data_url(map_png(values, scale)), caption, f"{caption}. {_summary(values, scale, ds)}"
    )


def _summary(values: NDArray[np.float64], scale: Scale, ds: xr.Dataset) -> str:
    """Range and place of the largest value of a map, in a sentence."""
    if not np.isfinite(values).any():
        return "No values."
    row, column = np.unravel_index(int(np.nanargmax(values)), values.shape)
    latitude = float(ds["latitude"].values[-values.shape[0] :][row])
    longitude = float(ds["longitude"].values[column])
    return (
        f"From {figure(float(np.nanmin(values)))} to {figure(float(np.nanmax(values)))} {scale.units},"
        f" largest near {abs(latitude):.0f}° {'N' if latitude >= 0 else 'S'},"
        f" {abs(longitude):.0f}° {'E' if longitude >= 0 else 'W'}."
    )

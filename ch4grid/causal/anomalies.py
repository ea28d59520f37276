"""Anomalies: what is left of the flux and its drivers once place, season and trend are gone, in units people read.

Effects, structural equations and gradients are estimated on these; discovery standardises them once more.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid.errors import InputError
from ch4grid.vocabulary import GASES, SECONDS_PER_DAY, VARIABLES

Floats = NDArray[np.float64]

DAYS_PER_YEAR = 365.25


def anomalies(
    series: xr.Dataset,
    *,
    flux: str,
    drivers: Sequence[str],
    harmonics: int = 2,
    min_coverage: float = 0.2,
) -> xr.Dataset:
    """Departures of every site from its own mean year and linear trend (site, time), NaN where not measured.

    Args:
        series: `flux` [kg m-2 s-1] and drivers (site, time) by month or week.
        flux: Name of the flux variable.
        drivers: Names of the drivers; all must be there.
        harmonics: Annual harmonics removed per site and variable by least squares.
        min_coverage: Steps whose measured share is below this are not used [1].

    Returns:
        The flux in asinh space [1], precipitation as log(1 + mm per day) [1], other drivers in their own units, with
        the coordinates of `series`. A variable with fewer values than twice the regressors at a site is NaN there.

    Raises:
        InputError: The flux or a driver is absent.
    """
    absent = sorted(set(drivers) - set(map(str, series.data_vars)))
    if absent:
        raise InputError(
            "drivers are absent from the series", where="anomalies", expected=drivers, found=absent
        )
    columns = {name: transformed(series, name) for name in drivers}
    columns[flux] = target(series, flux, min_coverage)
    design = design_matrix(pd.DatetimeIndex(series["time"].values), harmonics)
    units = {n: "1" if n in ("pr", flux) else VARIABLES[n].units for n in columns}
    return xr.Dataset(
        {
            n: (("site", "time"), departures(v, design), {"units": units[n]})
            for n, v in columns.items()
        },
        coords=series.coords,
        attrs=series.attrs,
    )


def departures(values: Floats, design: Floats) -> Floats:
    """Residuals (site, time) of each site's regression on the design."""
    out = np.full(values.shape, np.nan)
    for site, row in enumerate(values):
        ok = np.isfinite(row)
        if ok.sum() >= 2 * design.shape[1]:
            fitted = design[ok] @ np.linalg.lstsq(design[ok], row[ok], rcond=None)[0]
            out[site, ok] = row[ok] - fitted
    return out


def target(series: xr.Dataset, flux: str, min_coverage: float) -> Floats:
    """Flux in asinh space (site, time), NaN where too little of the step was measured."""
    gas = next((g for g in GASES.values() if g.flux == flux), None)
    if gas is None or flux not in series:
        raise InputError(
            f"no flux {flux!r} to discover causes of",
            where="discovery",
            expected=f"one of {sorted(g.flux for g in GASES.values())} in the series",
            found=sorted(map(str, series.data_vars)),
        )
    values = floats(series, flux)
    star = np.arcsinh(values / (gas.asinh_scale * gas.kg_per_nmol))
    if f"{flux}_coverage" in series:
        coverage = floats(series, f"{flux}_coverage")
        star = np.where(coverage >= min_coverage, star, np.nan)
    return star


def transformed(series: xr.Dataset, name: str) -> Floats:
    """A driver (site, time) in its units; precipitation as log(1 + mm per day), whose spread grows with its mean."""
    values = floats(series, name)
    if name != "pr":
        return values
    return np.asarray(np.log1p(np.maximum(values, 0.0) * SECONDS_PER_DAY), dtype=np.float64)


def floats(series: xr.Dataset, name: str) -> Floats:
    """A variable (site, time)."""
    return np.asarray(series[name].transpose("site", "time").values, dtype=np.float64)


def design_matrix(calendar: pd.DatetimeIndex, harmonics: int) -> Floats:
    """Regressors (time, 2 + 2 harmonics): one, a linear trend in years, annual harmonics."""
    years = np.asarray((calendar - calendar[0]).days, dtype=np.float64) / DAYS_PER_YEAR
    phase = 2 * np.pi * np.asarray(calendar.day_of_year, dtype=np.float64) / DAYS_PER_YEAR
    waves = [f(k * phase) for k in range(1, harmonics + 1) for f in (np.cos, np.sin)]
    return np.stack([np.ones_like(years), years, *waves], axis=1)

"""Rows of the urban gradient: every step at which a tower measured the flux and all drivers, centred on its site.

In go towers with an urban fraction, out come anomalies without place, season and trend, or with the season left in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid.causal.anomalies import DAYS_PER_YEAR, anomalies, floats, target, transformed
from ch4grid.vocabulary import ECOSYSTEMS

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

# Wind below this would dominate its logarithm [m s-1].
CALM = 0.1
# Complete steps that a site needs per variable.
STEPS_PER_COLUMN = 3


@dataclass(frozen=True, eq=False)
class Rows:
    """Steps at which the flux and all drivers of a site were measured, each centred on its site.

    Args:
        drivers: Names of the drivers.
        target: Flux in asinh space (row).
        values: Drivers (row, driver).
        site: Number of the site, from 0 without gaps (row).
        step: Number of the time step (row).
        extra: Further fixed regressors, such as seasonal harmonics (row, column).
        urban: Position of each site on the gradient (site).
        ecosystem: Class of each site (site).
        names: Names of the sites (site).
        means: Means of the drivers and of the flux in asinh space before anything was taken out (site, driver + 1).
        lost: Degrees of freedom per site that centring and the season took.
    """

    drivers: tuple[str, ...]
    target: Floats
    values: Floats
    site: Indices
    step: Indices
    extra: Floats
    urban: Floats
    ecosystem: NDArray[np.str_]
    names: NDArray[np.str_]
    means: Floats
    lost: int

    def at(self, sites: NDArray[np.bool_]) -> "Rows":
        """The rows of some sites (site)."""
        kept = sites[self.site]
        number = np.cumsum(sites) - 1
        return replace(
            self,
            target=self.target[kept],
            values=self.values[kept],
            site=number[self.site[kept]],
            step=self.step[kept],
            extra=self.extra[kept],
            urban=self.urban[sites],
            ecosystem=self.ecosystem[sites],
            names=self.names[sites],
            means=self.means[sites],
        )

    def along(self, urban: Floats) -> "Rows":
        """The same rows with other positions on the gradient (site)."""
        return replace(self, urban=urban)


@dataclass(frozen=True)
class Setting:
    """How rows are made from towers.

    Args:
        flux: Name of the flux.
        drivers: Names of the drivers.
        harmonics: Annual harmonics taken out per site, or added as regressors where the season is kept.
        min_coverage: Steps whose measured share is below this are not used [1].
        memory: Earlier steps of every driver that enter as further regressors. A driver that acts late and is left out
            biases the others: vapour pressure deficit follows temperature and the soil moisture of the step before, and
            holding it ties the two together.
        lags: Steps by which a driver acts later; 0 where not named.
    """

    flux: str
    drivers: tuple[str, ...]
    harmonics: int = 2
    min_coverage: float = 0.2
    memory: int = 1
    lags: Mapping[str, int] = field(default_factory=dict)


def rows_of(series: xr.Dataset, how: Setting, *, seasonal: bool = False) -> Rows:
    """The rows of towers with an urban fraction, de-seasonalised or with the season and its harmonics as regressors.

    Wind speed enters as its logarithm, so that a calm and a windy site are alike.

    Args:
        series: SITES with drivers and `urban_fraction` (site).
        how: Names and choices.
        seasonal: Keep the season in flux and drivers.
    """
    if "sfcWind" in how.drivers:
        series = series.assign(sfcWind=np.log(np.maximum(series["sfcWind"], CALM)))
    names = [*how.drivers, how.flux]
    raw = [transformed(series, name) for name in how.drivers]
    raw.append(target(series, how.flux, how.min_coverage))
    columns = raw
    if not seasonal:
        left = anomalies(
            series,
            flux=how.flux,
            drivers=how.drivers,
            harmonics=how.harmonics,
            min_coverage=how.min_coverage,
        )
        columns = [floats(left, name) for name in names]
    lags = [how.lags.get(name, 0) for name in names]
    cube = np.stack([_later(c, lag) for c, lag in zip(columns, lags, strict=True)], axis=-1)
    urban = np.asarray(series["urban_fraction"].values, dtype=np.float64)
    complete = np.isfinite(cube).all(axis=-1) & np.isfinite(urban)[:, None]
    past = _past(columns[:-1], how.memory)
    complete &= np.isfinite(past).all(axis=-1)
    complete[complete.sum(axis=1) < STEPS_PER_COLUMN * len(names)] = False
    extra = np.concatenate([past, _waves(series, how.harmonics * seasonal)], axis=-1)
    rows = _centred(cube, complete, extra, series, how.drivers)
    means = np.stack([_means(c, complete) for c in raw], axis=1)
    return replace(rows, means=means, lost=1 if seasonal else 2 + 2 * how.harmonics)


def _means(values: Floats, complete: NDArray[np.bool_]) -> Floats:
    """Mean of a variable (site, time) over the complete steps of every site that has some."""
    kept = complete.any(axis=1)
    inside = np.where(complete & np.isfinite(values), values, 0.0)[kept].sum(axis=1)
    return np.asarray(inside / complete[kept].sum(axis=1), dtype=np.float64)


def _later(values: Floats, lag: int) -> Floats:
    """Values (site, time) as they were `lag` steps before."""
    if lag == 0:
        return values
    out = np.full_like(values, np.nan)
    out[:, lag:] = values[:, :-lag]
    return out


def _past(drivers: list[Floats], memory: int) -> Floats:
    """Values of the drivers 1 to `memory` steps before (site, time, driver times memory)."""
    past = [_later(values, lag) for lag in range(1, memory + 1) for values in drivers]
    return np.stack(past, axis=-1) if past else np.zeros((*drivers[0].shape, 0))


def _waves(series: xr.Dataset, harmonics: int) -> Floats:
    """Annual harmonics (site, time, 2 harmonics)."""
    day = pd.DatetimeIndex(series["time"].values).day_of_year.to_numpy(dtype=np.float64)
    phase = 2 * np.pi * day / DAYS_PER_YEAR
    waves = np.zeros((len(day), 2 * harmonics))
    for k in range(harmonics):
        waves[:, 2 * k], waves[:, 2 * k + 1] = np.cos((k + 1) * phase), np.sin((k + 1) * phase)
    return np.broadcast_to(waves, (series.sizes["site"], *waves.shape))


def _centred(
    cube: Floats,
    complete: NDArray[np.bool_],
    extra: Floats,
    series: xr.Dataset,
    drivers: tuple[str, ...],
) -> Rows:
    """Rows of the complete steps, every column centred on its site."""
    kept = np.flatnonzero(complete.any(axis=1))
    site, step = np.nonzero(complete[kept])
    flat = np.concatenate([cube[kept][site, step], extra[kept][site, step]], axis=1)
    count = np.bincount(site, minlength=len(kept))
    for column in range(flat.shape[1]):
        flat[:, column] -= (np.bincount(site, flat[:, column], minlength=len(kept)) / count)[site]
    size = len(drivers)
    return Rows(
        drivers=drivers,
        target=flat[:, size],
        values=flat[:, :size],
        site=site.astype(np.intp),
        step=step.astype(np.intp),
        extra=flat[:, size + 1 :],
        urban=np.asarray(series["urban_fraction"].values, dtype=np.float64)[kept],
        ecosystem=class_names(series)[kept],
        names=np.asarray(series["site"].values, dtype=str)[kept],
        means=np.zeros((len(kept), size + 1)),
        lost=0,
    )


def class_names(series: xr.Dataset) -> NDArray[np.str_]:
    """Class of each site as a name, also where the series holds the index into the vocabulary."""
    classes = series["ecosystem"].values
    if np.issubdtype(classes.dtype, np.integer):
        classes = np.asarray(ECOSYSTEMS)[classes]
    return np.asarray(classes, dtype=str)

"""Treatments: the months that an effect is read off, with outcome, treatment, what is held and what may modify it.

Place, season and trend are taken out once more on exactly the months that enter, per site and for all columns alike
(Frisch and Waugh 1933). A cycle fitted to other months would leave some of it in one column and shrink the effect.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid.causal.adjustment import Lagged
from ch4grid.causal.anomalies import design_matrix, transformed
from ch4grid.vocabulary import ECOSYSTEMS

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MODIFIER_STATICS = ("urban_fraction", "soil_organic_carbon")
MODIFIER_MEANS = ("tas", "pr")
# A held driver that is there in fewer of the treatment's months than this would cost more than it explains.
MIN_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Sample:
    """Months (n) of one treatment.

    Args:
        outcome: Flux anomaly in asinh space (n) [1].
        treatment: Anomaly of the treatment (n) in its units.
        held: Anomalies that are held (n, k).
        site: Index of the site (n).
        cluster: Cluster of the site (n).
        month: Months since the first (n).
        dropped: Members of the adjustment set that the series cannot give.
    """

    outcome: Floats
    treatment: Floats
    held: Floats
    site: Integers
    cluster: Integers
    month: Integers
    dropped: tuple[Lagged, ...] = ()

    def __len__(self) -> int:
        return len(self.outcome)

    def at(self, index: NDArray[np.bool_] | NDArray[np.intp]) -> "Sample":
        """The months of an index."""
        names = ("outcome", "treatment", "held", "site", "cluster", "month")
        return replace(self, **{name: getattr(self, name)[index] for name in names})


def sample(
    departures: xr.Dataset,
    flux: str,
    treatment: Lagged,
    held: Sequence[Lagged],
    *,
    harmonics: int = 2,
) -> Sample:
    """The months in which flux, treatment and everything held are there.

    Args:
        departures: `causal.anomalies` by month, of the sites wanted.
        flux: Name of the flux.
        treatment: The treatment; a negative lag is the future.
        held: The adjustment set.
        harmonics: Annual harmonics taken out per site.
    """
    outcome = _values(departures, Lagged(flux, 0))
    acting = _values(departures, treatment)
    both = np.isfinite(outcome) & np.isfinite(acting)
    columns = {node: _values(departures, node) for node in held if node.driver in departures}
    kept = [n for n, v in columns.items() if np.isfinite(v[both]).sum() > MIN_SHARE * both.sum()]
    stack = np.stack([outcome, acting, *(columns[node] for node in kept)], axis=-1)
    stack, used = _without_season(stack, departures, harmonics)
    site, month = np.nonzero(used)
    rows = stack[used]
    return Sample(
        outcome=rows[:, 0],
        treatment=rows[:, 1],
        held=rows[:, 2:],
        site=site.astype(np.int64),
        cluster=_clusters(departures)[site],
        month=month.astype(np.int64),
        dropped=tuple(node for node in held if node not in kept),
    )


def shuffled(departures: xr.Dataset, driver: str, seed: int) -> xr.Dataset:
    """Departures in which the sign of one driver is dealt anew for every year of every site.

    Season, spread and persistence within a year are kept, no month moves, and what is left has no correlation with the
    driver on average. Years dealt anew would be the same years again where records are short.
    """
    rng = np.random.default_rng([seed, 77])
    values = departures[driver].transpose("site", "time").values
    year = np.arange(values.shape[1]) // 12
    sign = rng.choice([-1.0, 1.0], size=(len(values), int(year[-1]) + 1))[:, year]
    return departures.assign({driver: (("site", "time"), values * sign, departures[driver].attrs)})


def modifiers(series: xr.Dataset) -> pd.DataFrame:
    """What may modify an effect, one row per site: class, urban fraction, soil carbon, mean temperature and rain.

    What the series does not have is left out; a missing value is the mean of the others.
    """
    codes = class_index(series)
    present = sorted(set(codes.tolist()))
    columns = {f"class {ECOSYSTEMS[c]}": (codes == c).astype(np.float64) for c in present}
    for name in MODIFIER_STATICS:
        if name in series and series[name].dims == ("site",):
            columns[name] = np.asarray(series[name].values, dtype=np.float64)
    for name in MODIFIER_MEANS:
        if name in series and np.isfinite(values := transformed(series, name)).any():
            count = np.isfinite(values).sum(axis=1)
            total = np.nansum(values, axis=1)
            columns[f"mean {name}"] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    frame = pd.DataFrame(columns)
    return frame.fillna(frame.mean()).fillna(0.0)


def class_index(series: xr.Dataset) -> Integers:
    """Index of each site's class in the vocabulary; classes may be given by name or by that index."""
    classes = series["ecosystem"].values
    if np.issubdtype(classes.dtype, np.integer):
        return np.asarray(classes, dtype=np.int64)
    return np.array([ECOSYSTEMS.index(str(name)) for name in classes], dtype=np.int64)


def monthly(series: xr.Dataset, flux: str) -> xr.Dataset:
    """A series by month: weeks averaged, the flux by its coverage; lags of a graph are months."""
    if series.attrs.get("step", "month") == "month":
        return series
    time = pd.DatetimeIndex(series["time"].values)
    start = np.asarray(time.to_period("M").to_timestamp(), dtype="datetime64[s]")
    calendar, slot = np.unique(start, return_inverse=True)
    full = pd.date_range(calendar[0], calendar[-1], freq="MS", unit="s")
    place = full.get_indexer(pd.DatetimeIndex(calendar))[slot]
    coverage = f"{flux}_coverage"
    weight = series[coverage].transpose("site", "time").values if coverage in series else None
    data = {}
    for name, variable in series.data_vars.items():
        if set(variable.dims) != {"site", "time"}:
            data[name] = (variable.dims, variable.values, variable.attrs)
            continue
        values = np.asarray(variable.transpose("site", "time").values, dtype=np.float64)
        by = weight if name == flux and weight is not None else np.ones_like(values)
        data[name] = (("site", "time"), _averaged(values, by, place, len(full)), variable.attrs)
    coords = {n: c for n, c in series.coords.items() if "time" not in c.dims} | {"time": full}
    return xr.Dataset(data, coords=coords, attrs=series.attrs | {"step": "month"})


def _averaged(values: Floats, weight: Floats, place: NDArray[np.intp], months: int) -> Floats:
    """Weighted means (site, month) of values (site, time); NaN where nothing is there."""
    ok = np.isfinite(values) & (weight > 0)
    sums = np.zeros((2, months, len(values)))
    np.add.at(sums[0], place, np.where(ok, values * weight, 0.0).T)
    np.add.at(sums[1], place, np.where(ok, weight, 0.0).T)
    there = sums[1] > 0
    return np.where(there, sums[0] / np.where(there, sums[1], 1.0), np.nan).T


def _values(departures: xr.Dataset, node: Lagged) -> Floats:
    """Values (site, time) of a node, moved to the month of the flux that they belong to; NaN beyond the record."""
    values = np.asarray(departures[node.driver].transpose("site", "time").values, dtype=np.float64)
    out = np.full_like(values, np.nan)
    steps = values.shape[1]
    if node.lag >= 0:
        out[:, node.lag :] = values[:, : steps - node.lag]
    else:
        out[:, : node.lag] = values[:, -node.lag :]
    return out


def _without_season(
    stack: Floats, departures: xr.Dataset, harmonics: int
) -> tuple[Floats, NDArray[np.bool_]]:
    """Columns (site, time, column) without each site's mean, trend and cycle on the months used, and these months."""
    design = design_matrix(pd.DatetimeIndex(departures["time"].values), harmonics)
    used: NDArray[np.bool_] = np.asarray(np.isfinite(stack).all(axis=-1))
    out = np.full_like(stack, np.nan)
    for site in range(len(used)):
        ok = used[site]
        if ok.sum() < 2 * design.shape[1]:
            used[site] = False
            continue
        fitted = np.linalg.lstsq(design[ok], stack[site, ok], rcond=None)[0]
        out[site, ok] = stack[site, ok] - design[ok] @ fitted
    return out, used


def _clusters(series: xr.Dataset) -> Integers:
    if "cluster" in series.variables:
        return np.asarray(series["cluster"].values, dtype=np.int64)
    return np.arange(series.sizes["site"], dtype=np.int64)

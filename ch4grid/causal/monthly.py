"""Tower series as structural equations see them: by month, in the space where causes add up, with their spreads."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid.causal.anomalies import departures, design_matrix, floats, target
from ch4grid.causal.preparation import _class_names, _clusters
from ch4grid.structure import LOG_FLOOR

Floats = NDArray[np.float64]

HARMONICS = 2
MIN_COVERAGE = 0.2


@dataclass(frozen=True, eq=False)
class Towers:
    """What equations are fitted on, by month.

    Args:
        values: Drivers in transformed units and the flux in asinh space, (site, time) by node; absent drivers NaN.
        spread: Standard deviations of their anomalies (site, node), NaN where not measured.
        ecosystems: Class name of each site (site).
        clusters: Cluster of each site (site).
        blocks: Number of the cluster and year of every row (site, time).
        design: Cycle and trend (time, q).
        statics: Static properties (site) by name.
    """

    values: dict[str, Floats]
    spread: Floats
    ecosystems: NDArray[np.str_]
    clusters: NDArray[np.int64]
    blocks: NDArray[np.int64]
    design: Floats
    statics: dict[str, Floats]

    def lagged(self, node: str, lag: int) -> Floats:
        """Values (site, time) `lag` months before, NaN before the series begins."""
        values = self.values[node]
        early = np.full((len(values), lag), np.nan)
        return np.concatenate([early, values[:, : values.shape[1] - lag]], axis=1)


def towers(series: xr.Dataset, nodes: Sequence[str], *, modifiers: Sequence[str] = ()) -> Towers:
    """Tower series in the space of the equations; weeks become the mean of their month.

    Args:
        series: Flux [kg m-2 s-1] and drivers (site, time), ecosystem and cluster (site), by month or week.
        nodes: Drivers and, last, the flux.
        modifiers: Static properties that may modify effects on the flux.

    Raises:
        InputError: The flux is absent or has no known gas.
    """
    monthly = by_month(series, nodes)
    values = {n: transformed(monthly, n) for n in nodes[:-1]}
    values[nodes[-1]] = target(monthly, nodes[-1], MIN_COVERAGE)
    calendar = pd.DatetimeIndex(monthly["time"].values)
    design = design_matrix(calendar, HARMONICS)
    clusters = _clusters(series)
    label = clusters[:, None] * 10_000 + calendar.year.to_numpy()
    _, blocks = np.unique(label, return_inverse=True)
    return Towers(
        values=values,
        spread=np.stack([_spread(values[n], design) for n in nodes], axis=-1),
        ecosystems=_class_names(series),
        clusters=clusters,
        blocks=blocks.reshape(label.shape),
        design=design,
        statics={
            n: np.asarray(series[n].values, dtype=np.float64) for n in modifiers if n in series
        },
    )


def by_month(series: xr.Dataset, nodes: Sequence[str]) -> xr.Dataset:
    """The nodes of a series by month: as they are, or the mean of the weeks that begin in the month."""
    flux = nodes[-1]
    kept = [n for n in (*nodes, f"{flux}_coverage") if n in series]
    chosen = series[kept]
    if series.attrs.get("step", "month") == "month":
        return chosen
    if f"{flux}_coverage" in chosen:
        measured = chosen[f"{flux}_coverage"].where(chosen[flux].notnull(), 0.0)
        chosen = chosen.assign({f"{flux}_coverage": measured})
    return chosen.resample(time="MS").mean(skipna=True)


def transformed(series: xr.Dataset, name: str) -> Floats:
    """A driver (site, time) in the space of its equation, NaN where the series does not have it."""
    if name not in series or set(series[name].dims) != {"site", "time"}:
        return np.full((series.sizes["site"], series.sizes["time"]), np.nan)
    values = floats(series, name)
    if name not in LOG_FLOOR:
        return values
    return np.asarray(np.log(np.maximum(values, LOG_FLOOR[name])))


def _spread(values: Floats, design: Floats) -> Floats:
    """Standard deviation of each site's anomalies (site), free of the parameters removed; NaN where not measured."""
    left = departures(values, design)
    count = np.isfinite(left).sum(axis=1)
    square = np.nansum(left**2, axis=1) / np.maximum(count - design.shape[1], 1)
    return np.where((count > 0) & (square > 1e-20), np.sqrt(square), np.nan)

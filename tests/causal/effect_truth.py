"""True effects of the twin at the towers of a laboratory, by moving a driver in the twin's own equations."""

import numpy as np
import pandas as pd
import xarray as xr

from ch4grid.twin import Twin
from ch4grid.twin.causes import DRIVERS, FLUX_CAUSES, effect, lag_matrices
from ch4grid.twin.flux import departure


def responses(
    twin: Twin,
    towers: xr.Dataset,
    ecosystem: str,
    driver: str,
    lag: int,
    kind: str,
    change: np.ndarray,
) -> np.ndarray:
    """True change (site, time) of the transformed flux by a change (site, time) of `driver`, `lag` months before.

    The driver comes to what it is from what it would have been without the change. Direct: only the link from the
    treatment to the flux. Total: the change of the treatment's anomaly runs through the equations of the drivers until
    the month of the flux. NaN where the change is.
    """
    now, before = lag_matrices()
    pulse = np.eye(len(DRIVERS))[DRIVERS.index(driver)]
    moved = np.linalg.solve(np.eye(len(DRIVERS)) - now, pulse)
    by_lag = {lag: moved if kind == "total" else pulse}
    for later in range(lag - 1, -1, -1):
        pushed = np.linalg.solve(np.eye(len(DRIVERS)) - now, before @ by_lag[later + 1])
        by_lag[later] = pushed if kind == "total" else np.zeros(len(DRIVERS))
    rows = [
        _at_tower(twin, towers.isel(site=[i]), ecosystem, driver, lag, by_lag, change[i])
        for i in range(towers.sizes["site"])
    ]
    return np.stack(rows)


def _at_tower(twin, tower, ecosystem, driver, lag, by_lag, change):
    climate = _climate(twin, tower)
    urban = climate.surface.layers["urban_fraction"] * twin.urban_reversal
    cycle = climate.cycles[driver]
    treated = shifted(tower[driver], lag)
    steps = cycle.from_units(treated) - cycle.from_units(treated - change[:, None, None])
    steps = steps / cycle.spread
    total = np.zeros_like(treated)
    for cause in FLUX_CAUSES[ecosystem]:
        answer = by_lag.get(cause.lag, np.zeros(len(DRIVERS)))[DRIVERS.index(cause.driver)]
        if answer == 0:
            continue
        inner = climate.cycles[cause.driver]
        value = shifted(tower[cause.driver], cause.lag)
        before = inner.to_units(inner.from_units(value) - answer * steps * inner.spread)
        size = effect(ecosystem, cause, urban)
        total = total + size * (
            departure(cause.driver, value, climate) - departure(cause.driver, before, climate)
        )
    return total[:, 0, 0]


def _climate(twin, tower):
    """Climate of the tower's cell."""
    at = (
        np.abs(axis - float(tower[name][0])).argmin(keepdims=True)
        for name, axis in (("latitude", twin.cells.latitude), ("longitude", twin.cells.longitude))
    )
    return twin.view(twin.cells.take(*at)).climate


def shifted(values: xr.DataArray, lag: int) -> np.ndarray:
    """Values (time, 1, 1) of the first tower `lag` months before."""
    column = pd.Series(values.transpose("time", "site").values[:, 0]).shift(lag)
    return column.to_numpy()[:, None, None]

"""Towers as samples: the months of a period, and the years before it that drivers are remembered from."""

import numpy as np
import xarray as xr

from ch4grid.errors import InputError
from ch4grid.vocabulary import ECOSYSTEMS, Gas, months


def in_period(towers: xr.Dataset, gas: Gas, period: tuple[int, int], spin_up: int) -> xr.Dataset:
    """SITES as samples (site, time), classes by index, towers without a measured month left out.

    Raises:
        InputError: No tower has a measured month in the period.
    """
    time = months(period[0] - spin_up, period[1])
    placed = towers.reindex(time=time)
    placed[f"{gas.flux}_coverage"] = placed[f"{gas.flux}_coverage"].fillna(0.0)
    measured = placed[gas.flux].where(placed["time.year"] >= period[0])
    measured.attrs = dict(towers[gas.flux].attrs)
    index = np.array([ECOSYSTEMS.index(str(e)) for e in towers["ecosystem"].values], dtype=np.int8)
    samples = placed.assign({gas.flux: measured}).assign_coords(ecosystem=("site", index))
    seen = np.flatnonzero(samples[gas.flux].notnull().any("time").values)
    if not len(seen):
        raise InputError(
            "no tower has a measured month",
            where="period",
            expected=f"measurements in {period[0]}-{period[1]}",
            found=f"{towers.sizes['site']} towers that measured at other times",
        )
    return samples.isel(site=seen).load()

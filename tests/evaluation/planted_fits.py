"""Towers whose flux is a known function of temperature, for tests of what learns and scores."""

import numpy as np
import pandas as pd
import xarray as xr

from ch4grid.models.learner import TrainingSet
from ch4grid.models.samples import flux_scale
from ch4grid.vocabulary import GASES

GAS = GASES["ch4"]
LEVEL, SLOPE, NOISE = 1.5, 0.1, 0.15


def towers(sites: int = 12, steps: int = 36, seed: int = 0) -> xr.Dataset:
    """Towers in pairs of a cluster, classes in turn: asinh flux is 1.5 + 0.1 (tas - 280) and noise."""
    rng = np.random.default_rng(seed)
    tas = 280 + 8 * np.sin(2 * np.pi * np.arange(steps) / 12) + rng.normal(size=(sites, steps))
    star = LEVEL + SLOPE * (tas - 280) + rng.normal(scale=NOISE, size=(sites, steps))
    flux = flux_scale(GAS) * np.sinh(star)
    flux[rng.random(flux.shape) < 0.2] = np.nan
    dims = ("site", "time")
    return xr.Dataset(
        {
            "tas": (dims, tas, {"units": "K"}),
            "ch4_flux": (dims, flux, {"units": "kg m-2 s-1"}),
            "ch4_flux_coverage": (dims, np.where(np.isfinite(flux), 0.7, 0.0), {"units": "1"}),
        },
        coords={
            "site": [f"XX-{i:02d}" for i in range(sites)],
            "time": pd.date_range("2001-01-01", periods=steps, freq="MS", unit="s"),
            "latitude": ("site", rng.uniform(-40, 70, sites)),
            "longitude": ("site", rng.uniform(-170, 170, sites)),
            "ecosystem": ("site", (np.arange(sites) // 2 % 3).astype(np.int8)),
            "cluster": ("site", np.arange(sites) // 2),
        },
        attrs={"step": "month"},
    )


def apart(data: xr.Dataset, trained: int) -> tuple[TrainingSet, xr.Dataset]:
    """The first towers to learn from, and the rest."""
    return TrainingSet(data.isel(site=slice(0, trained))), data.isel(site=slice(trained, None))

"""A small planet with known causes: gappy towers whose flux follows some drivers at known lags and no others."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import xarray as xr

DRIVERS = ("rsds", "tas", "pr", "mrsos", "evi", "ps", "sfcWind", "vpd", "lst_day")
TRUTH = frozenset({("tas", 0), ("mrsos", 1), ("evi", 1)})
# At weekly step the lags are weeks, all inside the month of lag 0.
WEEKLY_TRUTH = frozenset({("tas", 0), ("mrsos", 0), ("evi", 0)})
UNITS = {"rsds": 40.0, "tas": 3.0, "mrsos": 4.0, "evi": 0.05, "ps": 500.0, "sfcWind": 0.6}


@dataclass(frozen=True)
class Planet:
    """Names, truth and series of the planted system."""

    drivers: tuple[str, ...] = DRIVERS
    truth: frozenset[tuple[str, int]] = TRUTH
    weekly_truth: frozenset[tuple[str, int]] = WEEKLY_TRUTH

    def towers(self, sites: int = 40, steps: int = 48, seed: int = 0, **how: object) -> xr.Dataset:
        return towers(sites, steps, seed, **how)


@pytest.fixture(scope="session")
def planet() -> Planet:
    return Planet()


def towers(
    sites: int = 40,
    steps: int = 48,
    seed: int = 0,
    *,
    effect: float = 0.35,
    classes: tuple[str, ...] = ("boreal-peatland", "temperate-wetland", "rice-paddy"),
    frequency: str = "MS",
) -> xr.Dataset:
    """SITES-shaped series (site, time); `effect` 0 plants no cause at all."""
    rng = np.random.default_rng(seed)
    time = pd.date_range("2001-01-01", periods=steps, freq=frequency, unit="s")
    season = np.cos(2 * np.pi * (time.day_of_year.to_numpy() / 365.25 - 0.55))
    burn = 20
    n = (sites, steps + burn)
    z = {name: rng.normal(size=n) for name in DRIVERS}
    noise = rng.normal(size=n)
    x = {name: np.zeros(n) for name in DRIVERS}
    y = np.zeros(n)
    for t in range(1, n[1]):
        x["rsds"][:, t] = 0.2 * x["rsds"][:, t - 1] + z["rsds"][:, t]
        x["ps"][:, t] = 0.3 * x["ps"][:, t - 1] + z["ps"][:, t]
        x["sfcWind"][:, t] = 0.2 * x["sfcWind"][:, t - 1] + z["sfcWind"][:, t]
        x["pr"][:, t] = -0.4 * x["ps"][:, t] + z["pr"][:, t]
        x["tas"][:, t] = 0.4 * x["tas"][:, t - 1] + 0.4 * x["rsds"][:, t] + z["tas"][:, t]
        x["mrsos"][:, t] = 0.5 * x["mrsos"][:, t - 1] + 0.5 * x["pr"][:, t] + z["mrsos"][:, t]
        x["vpd"][:, t] = 0.6 * x["tas"][:, t] - 0.3 * x["mrsos"][:, t] + z["vpd"][:, t]
        x["lst_day"][:, t] = 0.8 * x["tas"][:, t] + z["lst_day"][:, t]
        x["evi"][:, t] = 0.4 * x["evi"][:, t - 1] + 0.4 * x["tas"][:, t - 1] + z["evi"][:, t]
        cause = x["tas"][:, t] + x["mrsos"][:, t - 1] + x["evi"][:, t - 1]
        y[:, t] = 0.3 * y[:, t - 1] + effect * cause + noise[:, t]
    level = rng.normal(1.5, 0.8, size=(sites, 1))
    flux = 16.0425e-11 * np.sinh(level + 0.6 * season + 0.3 * y[:, burn:])
    flux[rng.random((sites, steps)) < 0.2] = np.nan
    place = rng.normal(size=(sites, 1))
    data = {
        name: x[name][:, burn:] * UNITS.get(name, 1.0) + 5 * UNITS.get(name, 1.0) * (season + place)
        for name in DRIVERS
    }
    data["pr"] = np.expm1(np.abs(2 + 0.3 * x["pr"][:, burn:] + 0.3 * season)) / 86400
    coverage = np.where(np.isfinite(flux), 0.8, 0.0)
    ds = xr.Dataset(
        {name: (("site", "time"), v) for name, v in data.items()}
        | {
            "ch4_flux": (("site", "time"), flux),
            "ch4_flux_coverage": (("site", "time"), coverage),
        },
        coords={
            "site": [f"XX-{i:03d}" for i in range(sites)],
            "time": time,
            "latitude": ("site", rng.uniform(-20, 70, sites)),
            "longitude": ("site", rng.uniform(-180, 180, sites)),
            "ecosystem": ("site", [classes[i % len(classes)] for i in range(sites)]),
            "cluster": ("site", np.arange(sites) // 2),
        },
        attrs={"step": "month" if frequency == "MS" else "week"},
    )
    return ds

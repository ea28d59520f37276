"""A small valid dataset for every wire, for tests of sources, models and products: no files, no download."""

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid.grid import Grid
from ch4grid.vocabulary import (
    DYNAMIC,
    ECOSYSTEMS,
    FLUX_UNITS,
    GASES,
    STATIC,
    Gas,
    months,
)

Floats = NDArray[np.float64]

FIRST_YEAR = 2001
# Mean, seasonal amplitude and monthly spread of each driver in its units.
CLIMATE: dict[str, tuple[float, float, float]] = {
    "mrsos": (20.0, 4.0, 3.0),
    "pr": (3e-5, 1e-5, 5e-6),
    "ps": (98000.0, 300.0, 300.0),
    "tas": (285.0, 9.0, 2.0),
}
QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
CH4 = GASES["ch4"]


def samples(sites: int = 12, months: int = 48, seed: int = 0) -> xr.Dataset:
    """Towers with four drivers, statics and a planted flux: tas now and mrsos a month ago, in asinh space.

    Two towers each share a cluster; classes take turns. `ps` and `pr` have no effect. The first year has no flux.
    """
    random = np.random.default_rng(seed)
    time = pd.date_range(f"{FIRST_YEAR}-01-01", periods=months, freq="MS", unit="s")
    code = (np.arange(sites) // 2 % len(ECOSYSTEMS)).astype(np.int8)
    place = np.repeat(random.uniform(-1, 1, ((sites + 1) // 2, 2)), 2, axis=0)[:sites]
    drivers = {name: _series(name, place[:, 0], time, random) for name in CLIMATE}
    score = {n: (v - v.mean(axis=1, keepdims=True)) / CLIMATE[n][1] for n, v in drivers.items()}
    wet = np.roll(score["mrsos"], 1, axis=1)
    transformed = 1.0 + 0.5 * place[:, :1] + 0.6 * score["tas"] + 0.4 * wet
    transformed += random.laplace(scale=0.05, size=transformed.shape)
    coverage = random.uniform(0.3, 1.0, transformed.shape)
    coverage[random.random(transformed.shape) < 0.2] = 0.0
    coverage[:, :12] = 0.0
    flux = CH4.asinh_scale * CH4.kg_per_nmol * np.sinh(transformed)
    ds = xr.Dataset(
        {n: (("site", "time"), v.astype(np.float32), DYNAMIC[n].attrs) for n, v in drivers.items()}
        | {f"{n}_mean": ("site", v.mean(axis=1).astype(np.float32)) for n, v in drivers.items()}
        | {
            "elevation": (
                "site",
                (500 + 400 * place[:, 1]).astype(np.float32),
                STATIC["elevation"].attrs,
            )
        }
        | {
            CH4.flux: (
                ("site", "time"),
                np.where(coverage > 0, flux, np.nan),
                {"units": FLUX_UNITS},
            ),
            f"{CH4.flux}_coverage": (("site", "time"), coverage, {"units": "1"}),
        },
        coords={
            "site": [f"S{i:02d}" for i in range(sites)],
            "time": time,
            "latitude": ("site", 60 * place[:, 0]),
            "longitude": ("site", 150 * place[:, 1] + 0.1 * np.arange(sites)),
            "ecosystem": ("site", code),
            "cluster": ("site", np.arange(sites) // 2),
        },
        attrs={"step": "month"},
    )
    return ds


def sites(count: int = 12, seed: int = 0) -> xr.Dataset:
    """SITES: measured flux and coverage of towers, classes by name."""
    names = [CH4.flux, f"{CH4.flux}_coverage"]
    towers = samples(count, seed=seed)[names]
    classes = np.array(ECOSYSTEMS)[towers["ecosystem"].values]
    return towers.assign_coords(ecosystem=("site", classes))


def drivers(grid: Grid, first_year: int, last_year: int, seed: int = 0) -> xr.Dataset:
    """DRIVERS on a grid: the drivers of `samples` with status and valid fraction, land and sea alike."""
    random = np.random.default_rng(seed)
    time = months(first_year, last_year)
    rows, columns = grid.shape
    place = np.repeat(grid.latitude / 90.0, columns)
    dims = ("time", "latitude", "longitude")

    def field(name: str) -> NDArray[np.float32]:
        values = _series(name, place, time, random).T.reshape(-1, rows, columns)
        return np.clip(values, *DYNAMIC[name].valid_range).astype(np.float32)

    cube = {name: (dims, field(name), DYNAMIC[name].attrs) for name in CLIMATE}
    shape = (len(time), rows, columns)
    return xr.Dataset(
        cube
        | {
            "elevation": (dims[1:], np.full(shape[1:], 300, np.float32), STATIC["elevation"].attrs),
            "driver_status": (dims, np.zeros(shape, np.uint8)),
            "valid_fraction": (dims, np.ones(shape, np.float32), {"units": "1"}),
        },
        coords=grid.coords | {"time": time},
    )


def flux(grid: Grid, year: int, members: int = 3, seed: int = 0, gas: Gas = CH4) -> xr.Dataset:
    """FLUX of one year on a grid: lognormal densities, classes that share each cell, a third of the cells without."""
    random = np.random.default_rng(seed)
    time, (rows, columns) = months(year, year), grid.shape
    block = ("ecosystem", "time", "latitude", "longitude")
    shape = (len(ECOSYSTEMS), len(time), rows, columns)
    fraction = random.dirichlet(np.ones(len(ECOSYSTEMS)), (rows, columns)).transpose(2, 0, 1)
    fraction = np.where(random.random((rows, columns)) < 1 / 3, 0.0, 0.9 * fraction)[:, None]
    fraction = np.broadcast_to(fraction, shape)
    density = random.lognormal(2.0, 0.5, (members, *shape)) * gas.kg_per_nmol
    density = np.where(fraction > 0, density, np.nan)
    name, units = f"{gas.flux}_density", {"units": FLUX_UNITS}
    quantiles = np.nanquantile(np.nan_to_num(density), QUANTILES, axis=0)
    quantiles = np.where(fraction > 0, quantiles, np.nan)
    flag = np.where(fraction.sum(axis=0) > 0, 0, 2).astype(np.uint8)
    return xr.Dataset(
        {
            name: (("member", *block), density.astype(np.float32), units),
            f"{name}_variance": (block, density.var(axis=0), {"units": "kg2 m-4 s-2"}),
            f"{name}_quantile": (("quantile", *block), quantiles.astype(np.float32), units),
            "ecosystem_fraction": (block, fraction.astype(np.float32), {"units": "1"}),
            "dissimilarity_index": (block[1:], np.full(shape[1:], 0.2, np.float32), {"units": "1"}),
            "quality_flag": (block[1:], flag),
        },
        coords=grid.coords
        | {"time": time, "ecosystem": list(ECOSYSTEMS), "quantile": list(QUANTILES)},
    )


def _series(
    name: str, north: Floats, time: pd.DatetimeIndex, random: np.random.Generator
) -> Floats:
    """A driver (n, time) at places of the given northness: warmer in the middle, seasons turned in the south."""
    mean, amplitude, spread = CLIMATE[name]
    phase = 2 * np.pi * (np.asarray(time.month) - 7) / 12
    season = np.sign(north + 1e-9)[:, None] * np.cos(phase)
    noise = random.normal(size=(len(north), len(time)))
    return mean - amplitude * np.abs(north)[:, None] + amplitude * season + spread * noise

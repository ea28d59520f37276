"""The laboratory: towers of a twin in any number and at places of choice, so that a method can be held to the truth.

The network of `towers` is as sparse and as biased as the real one; a law about effects or a sample size needs towers
that only differ in what is asked about. They measure with the same noise and the same gaps.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid.twin.causes import DRIVERS
from ch4grid.twin.planet import Twin, View
from ch4grid.twin.towers import SMALLEST_FRACTION, measure
from ch4grid.vocabulary import ECOSYSTEMS, FLUX_UNITS, GASES, VARIABLES, Gas, months

Float = NDArray[np.float64]

STATICS = ("elevation", "soil_organic_carbon", "urban_fraction")


def laboratory(
    twin: Twin,
    *,
    ecosystems: Sequence[str] = ECOSYSTEMS,
    towers: int = 12,
    period: tuple[int, int] | None = None,
    gradient: bool = False,
    noise: bool = True,
    gas: str = "ch4",
) -> xr.Dataset:
    """SITES of `towers` towers per class with their drivers: what `discover` and every estimate of an effect take.

    Args:
        twin: The planet; its years bound the period.
        ecosystems: Classes to measure.
        towers: Towers per class, each in a cell of its own.
        period: First and last year; all years of the planet by default.
        gradient: Spread the towers of every class evenly from no to the most urban cell, whatever grows there.
        noise: Measure with noise, footprint and gaps; else the true density.
        gas: Name of the gas that is measured, a row of the gas table. The towers stand at the same places for all.

    Returns:
        The flux, `ch4_flux` for methane [kg m-2 s-1], its `_coverage` [1] and all drivers (site, time); statics (site);
        coordinates latitude, longitude, ecosystem (names) and cluster (site), a cluster being towers of one 10 degree
        box. A tower measures the same in a year of any period, and the same whatever other classes are measured.

    Raises:
        InputError: The period lies outside the twin's years.
        ValueError: A class has fewer cells than towers.
    """
    years = period or (twin.first_year, twin.last_year)
    parts = [
        _of_class(twin, name, _places(twin, name, towers, gradient), years, noise, GASES[gas])
        for name in ecosystems
    ]
    samples = xr.concat(parts, dim="site", join="exact")
    box = np.floor(samples["latitude"].values / 10) * 100 + np.floor(
        samples["longitude"].values / 10
    )
    _, cluster = np.unique(box, return_inverse=True)
    return samples.assign_coords(cluster=("site", cluster.astype(np.int64)))


def _places(twin: Twin, ecosystem: str, towers: int, gradient: bool) -> NDArray[np.int64]:
    """Cells (towers, 2) as row and column, drawn by the twin's seed."""
    surface = twin.surface
    urban = surface.layers["urban_fraction"]
    fraction = surface.fractions[ECOSYSTEMS.index(ecosystem)].mean(axis=0)
    there = (urban > 0) if gradient else (fraction >= SMALLEST_FRACTION)
    cells = np.argwhere(there)
    if len(cells) < towers:
        raise ValueError(f"laboratory: {ecosystem} has {len(cells)} cells for {towers} towers")
    if not gradient:
        rng = np.random.default_rng([twin.seed, 6, ECOSYSTEMS.index(ecosystem)])
        return rng.permutation(cells)[:towers]
    return _along(cells, urban[there], towers)


def _along(cells: NDArray[np.int64], urban: Float, towers: int) -> NDArray[np.int64]:
    """Cells whose urban fractions lie nearest to an even ladder from the least to the most urban one."""
    left = np.argsort(urban, kind="stable").tolist()
    chosen = []
    for rung in np.linspace(urban.max(), urban.min(), towers):
        at = int(np.argmin(np.abs(urban[left] - rung)))
        chosen.append(left.pop(at))
    return cells[chosen]


def _of_class(
    twin: Twin,
    ecosystem: str,
    cells: NDArray[np.int64],
    years: tuple[int, int],
    noise: bool,
    gas: Gas,
) -> xr.Dataset:
    time = months(*years)
    steps = twin.steps(time)
    views = [twin.view(twin.cells.take(cell[:1], cell[1:])) for cell in cells]
    truth = _series(views, lambda view: view.density(ecosystem, steps, gas.name))
    flux, coverage = truth / gas.kg_per_nmol, np.ones_like(truth)
    if noise:
        first = 1000 * (1 + ECOSYSTEMS.index(ecosystem))
        measured = [
            measure(twin, first + i, time.year.to_numpy(), ecosystem, row, gas.name)
            for i, row in enumerate(flux)
        ]
        flux, coverage = (np.stack(part) for part in zip(*measured, strict=True))
    dims = ("site", "time")
    data = {gas.flux: (dims, flux * gas.kg_per_nmol, {"units": FLUX_UNITS})}
    data[f"{gas.flux}_coverage"] = (dims, coverage, {"units": "1"})
    for name in DRIVERS:
        values = _series(views, partial(View.driver, name=name, steps=steps))
        data[name] = (dims, values, VARIABLES[name].attrs)
    statics = {n: ("site", _static(views, n), VARIABLES[n].attrs) for n in STATICS}
    return xr.Dataset(
        data | statics, coords=_coords(views, ecosystem, time), attrs={"step": "month"}
    )


def _series(views: Sequence[View], read: Callable[[View], Float]) -> Float:
    """Values (tower, time) of a quantity (time, 1, 1) of every view."""
    return np.stack([read(view)[:, 0, 0] for view in views])


def _static(views: Sequence[View], name: str) -> Float:
    """Values (tower) of a property of the surface."""
    fields = [
        getattr(v.surface, name) if name != "urban_fraction" else v.surface.layers[name]
        for v in views
    ]
    return np.array([float(field[0, 0]) for field in fields])


def _coords(views: Sequence[View], ecosystem: str, time: pd.DatetimeIndex) -> dict[str, Any]:
    names = [f"LB-{ecosystem}-{i + 1:03d}" for i in range(len(views))]
    return {
        "site": names,
        "time": time,
        "latitude": ("site", [float(v.lattice.latitude[0]) for v in views]),
        "longitude": ("site", [float(v.lattice.longitude[0]) for v in views]),
        "ecosystem": ("site", [ecosystem] * len(views)),
    }

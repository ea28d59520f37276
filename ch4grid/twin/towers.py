"""The twin's flux towers: where they stand, what they measure and when they do not.

Most stand in Europe and North America, several in one region, few in the tropics. A tower sees the true density of its
class in its cell, shifted by a footprint of its own, with Laplace noise and outages.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ch4grid.errors import InputError
from ch4grid.twin.flux import GAS_LEVELS
from ch4grid.twin.planet import Twin
from ch4grid.twin.surface import Surface
from ch4grid.vocabulary import ECOSYSTEMS, GASES, months

Float = NDArray[np.float64]
Place = tuple[str, float, float]

# Class and region [degrees_north, degrees_east] of each tower; the first fourteen already hold two regions per class.
PLACES: tuple[Place, ...] = (
    ("boreal-peatland", 64.2, 19.5),
    ("temperate-wetland", 45.8, -90.0),
    ("tropical-floodplain", -3.5, -63.0),
    ("rice-paddy", 36.0, 139.5),
    ("coastal", 39.0, -75.5),
    ("urban", 51.6, -0.6),
    ("upland", 51.0, 13.0),
    ("boreal-peatland", 64.8, -150.5),
    ("temperate-wetland", 52.5, 26.0),
    ("tropical-floodplain", -1.5, 112.0),
    ("rice-paddy", 34.5, -91.0),
    ("coastal", 22.5, 114.0),
    ("urban", 28.6, 77.2),
    ("upland", 42.5, -72.2),
    ("temperate-wetland", 45.8, -90.0),
    ("boreal-peatland", 64.2, 19.5),
    ("temperate-wetland", 47.5, -99.0),
    ("rice-paddy", 45.2, 9.5),
    ("urban", 19.5, -99.1),
    ("boreal-peatland", 61.0, 76.0),
    ("temperate-wetland", 53.0, -8.0),
    ("tropical-floodplain", 26.8, -81.2),
    ("coastal", 29.6, -90.3),
    ("boreal-peatland", 61.3, -119.0),
    ("temperate-wetland", 52.5, 26.0),
    ("rice-paddy", 29.5, 114.5),
    ("upland", -10.0, -55.0),
    ("upland", 32.8, 102.6),
    ("upland", 61.8, 24.3),
    ("urban", 51.8, 19.5),
    ("tropical-floodplain", 8.0, 30.0),
    ("temperate-wetland", 45.2, 28.0),
    ("coastal", -12.5, 131.5),
    ("boreal-peatland", 64.5, 28.0),
    ("rice-paddy", 13.5, 102.0),
    ("temperate-wetland", 48.5, 133.0),
    ("upland", 45.2, -69.0),
    ("tropical-floodplain", -17.0, -57.0),
    ("boreal-peatland", 66.5, 128.0),
    ("temperate-wetland", -32.0, -58.5),
)

# A tower needs this much of its class in its cell [1].
SMALLEST_FRACTION = 0.004
# Spread of the footprint's offset from the class mean in asinh space; noise [nmol m-2 s-1] and its share of the flux.
FOOTPRINT_SPREAD = 0.12
NOISE_FLOOR = {"ch4": 0.15, "co2": 50.0, "n2o": 0.01}
NOISE_SHARE = 0.05
# Coverage below which a month counts as not measured [1] (methods 3.1), and the share of months lost one by one.
SMALLEST_COVERAGE = 0.2
LOST = 0.08


def network(twin: Twin) -> pd.DataFrame:
    """Towers of a twin: `site, latitude, longitude, ecosystem, row, column`, the last two on the native cells."""
    rng = np.random.default_rng([twin.seed, 3])
    surface = twin.surface
    taken: set[tuple[int, int, str]] = set()
    rows = []
    for number in range(twin.towers):
        ecosystem, latitude, longitude = PLACES[number % len(PLACES)]
        row, column = _free_cell(surface, ecosystem, (latitude, longitude), taken)
        taken.add((row, column, ecosystem))
        shift = rng.uniform(-0.3, 0.3, 2) * twin.resolution
        rows.append(
            {
                "site": f"TW-{number + 1:03d}",
                "latitude": round(float(surface.lattice.latitude[row] + shift[0]), 4),
                "longitude": round(float(surface.lattice.longitude[column] + shift[1]), 4),
                "ecosystem": ecosystem,
                "row": row,
                "column": column,
            }
        )
    return pd.DataFrame(rows)


def _free_cell(
    surface: Surface, ecosystem: str, place: tuple[float, float], taken: set[tuple[int, int, str]]
) -> tuple[int, int]:
    """The cell nearest to a place that holds the class and no tower of it yet."""
    cells = surface.lattice
    fraction = surface.fractions[ECOSYSTEMS.index(ecosystem)].mean(axis=0)
    east = (cells.longitude - place[1] + 180) % 360 - 180
    distance = np.hypot(cells.latitude[:, None] - place[0], east * np.cos(np.deg2rad(place[0])))
    distance[fraction < SMALLEST_FRACTION] = np.inf
    for row, column, name in taken:
        distance[row, column] = np.inf if name == ecosystem else distance[row, column]
    row, column = divmod(int(np.argmin(distance)), distance.shape[1])
    if not np.isfinite(distance[row, column]):
        raise InputError(
            "the twin has too few cells for its towers",
            where="twin",
            expected=f"a free cell with {ecosystem}",
            found=f"none left of {cells.shape[0]} x {cells.shape[1]} cells",
            fix="Use fewer towers or a finer resolution",
        )
    return row, column


def observe(twin: Twin, first_year: int, last_year: int, gas: str = "ch4") -> pd.DataFrame:
    """Monthly measurements of all towers: `site, month`, the gas's column and `coverage` [1]; NaN is not measured.

    The column has the name and unit of tower archives: FCH4 and FN2O in nmol m-2 s-1, NEE in umol m-2 s-1.
    """
    time, row = months(first_year, last_year), GASES[gas]
    truth = true_flux(twin, network(twin), first_year, last_year, gas)
    tables = [
        measure(twin, number, time.year.to_numpy(), ecosystem, values, gas)
        for number, (ecosystem, values) in enumerate(truth.values())
    ]
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "site": site,
                    "month": time,
                    row.tower_column: flux / row.tower_unit,
                    "coverage": coverage,
                }
            )
            for site, (flux, coverage) in zip(truth, tables, strict=True)
        ],
        ignore_index=True,
    )


def true_flux(
    twin: Twin, towers: pd.DataFrame, first_year: int, last_year: int, gas: str = "ch4"
) -> dict[str, tuple[str, Float]]:
    """Class and true flux density (time) [nmol m-2 s-1] of that class in the cell of every tower."""
    steps = twin.steps(months(first_year, last_year))
    rows, row = np.unique(towers["row"], return_inverse=True)
    columns, column = np.unique(towers["column"], return_inverse=True)
    view = twin.view(twin.cells.take(rows, columns))
    fields = {name: view.density(name, steps, gas) for name in sorted(set(towers["ecosystem"]))}
    return {
        site: (name, fields[name][:, row[i], column[i]] / GASES[gas].kg_per_nmol)
        for i, (site, name) in enumerate(zip(towers["site"], towers["ecosystem"], strict=True))
    }


def measure(
    twin: Twin,
    number: int,
    year: NDArray[np.int64],
    ecosystem: str,
    truth: Float,
    gas: str = "ch4",
) -> tuple[Float, Float]:
    """Measured flux [nmol m-2 s-1] and coverage (time) of tower `number`; a year's noise is the same in any period."""
    scale, stream = GASES[gas].asinh_scale, _stream(gas)
    footprint = np.random.default_rng([twin.seed, 4, number, *stream]).normal(0, FOOTPRINT_SPREAD)
    local = scale * np.sinh(
        np.arcsinh(truth / scale) + footprint * GAS_LEVELS[gas][ecosystem].variation
    )
    parts = [_year([twin.seed, 5, number, int(y), *stream]) for y in np.unique(year)]
    coverage, noise = (np.concatenate(part) for part in zip(*parts, strict=True))
    error = (NOISE_FLOOR[gas] + NOISE_SHARE * np.abs(local)) / np.sqrt(np.maximum(coverage, 0.05))
    return np.where(coverage >= SMALLEST_COVERAGE, local + error * noise, np.nan), coverage


def _stream(gas: str) -> tuple[int, ...]:
    """What sets the random numbers of a gas apart; methane was there first and has none of it."""
    number = list(GASES).index(gas)
    return (number,) if number else ()


def _year(key: list[int]) -> tuple[Float, Float]:
    """Coverage and standard Laplace noise (12) of a tower in a year: single losses and, in most years, an outage."""
    rng = np.random.default_rng(key)
    coverage = rng.beta(5, 2, 12)
    coverage[rng.random(12) < LOST] = 0.0
    start, length = rng.integers(0, 12), rng.integers(0, 5)
    coverage[start : start + length] = 0.0
    return coverage.round(3), rng.laplace(size=12)

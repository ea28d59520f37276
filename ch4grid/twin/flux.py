"""The twin's fluxes: per gas and ecosystem class a level, the effects of its parents and what no driver explains.

All of it adds up in the asinh space of the gas, where the effects in `causes` are linear; `pulse` has nitrous oxide.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ch4grid.twin.causes import GAS_CAUSES, RESPONSE_UNIT, effect
from ch4grid.twin.climate import MELTING, Climate
from ch4grid.twin.surface import SITE
from ch4grid.vocabulary import ECOSYSTEMS, GASES

Float = NDArray[np.float64]


class Level(NamedTuple):
    """Mean of a class in asinh space, its typical annual temperature [degC] and the size of all that varies."""

    mean: float
    temperature: float
    variation: float


LEVELS: dict[str, Level] = {
    "tropical-floodplain": Level(2.15, 25.0, 1.0),
    "boreal-peatland": Level(1.50, -2.0, 1.0),
    "temperate-wetland": Level(1.95, 8.0, 1.0),
    "rice-paddy": Level(2.30, 20.0, 1.0),
    "coastal": Level(0.65, 18.0, 0.6),
    "urban": Level(2.20, 15.0, 1.0),
    "upland": Level(-0.03, 12.0, 0.08),
}

# Net ecosystem exchange: level before the sun of the year is added, which takes up more than its mean would.
NEE_LEVELS: dict[str, Level] = {
    "tropical-floodplain": Level(-0.20, 25.0, 0.6),
    "boreal-peatland": Level(0.10, -2.0, 0.4),
    "temperate-wetland": Level(-0.10, 8.0, 0.6),
    "rice-paddy": Level(-0.20, 20.0, 0.6),
    "coastal": Level(-0.50, 18.0, 0.6),
    "urban": Level(2.40, 15.0, 0.6),
    "upland": Level(0.10, 12.0, 0.5),
}

# What nitrous oxide seeps between pulses.
N2O_LEVELS: dict[str, Level] = {
    "tropical-floodplain": Level(0.50, 25.0, 0.4),
    "boreal-peatland": Level(0.15, -2.0, 0.2),
    "temperate-wetland": Level(0.30, 8.0, 0.3),
    "rice-paddy": Level(0.80, 20.0, 0.5),
    "coastal": Level(0.30, 18.0, 0.3),
    "urban": Level(0.80, 15.0, 0.5),
    "upland": Level(0.25, 12.0, 0.3),
}

GAS_LEVELS: dict[str, dict[str, Level]] = {
    "ch4": LEVELS,
    "co2": NEE_LEVELS,
    "n2o": N2O_LEVELS,
}


class Slopes(NamedTuple):
    """How the level of a place varies in asinh space: per 10 K of annual temperature, e-fold of soil carbon, km."""

    temperature: float
    carbon: float
    altitude: float


PLACE_SLOPES: dict[str, Slopes] = {
    "ch4": Slopes(0.25, 0.12, -0.15),
    "co2": Slopes(-0.20, 0.10, 0.15),
    "n2o": Slopes(0.25, 0.15, -0.15),
}

# In asinh space: spread of the unexplained field of sites and of the unexplained month.
SITE_SPREAD = 0.25
MONTH_SPREAD = 0.15
TYPICAL_CARBON = 0.06


def level(ecosystem: str, climate: Climate, gas: str = "ch4") -> Float:
    """Annual level (n, m) of a class in asinh space, from temperature, soil, altitude and an unexplained field."""
    surface = climate.surface
    base, slopes = GAS_LEVELS[gas][ecosystem], PLACE_SLOPES[gas]
    warmer = np.clip((climate.cycles["tas"].mean - MELTING - base.temperature) / 10, -1.5, 1.5)
    carbon = np.clip(np.log(np.maximum(surface.soil_organic_carbon, 1e-3) / TYPICAL_CARBON), -2, 2)
    varying: Float = (
        slopes.temperature * warmer
        + slopes.carbon * carbon
        + slopes.altitude * surface.elevation / 1000
        + SITE_SPREAD * surface.random[SITE]
    )
    return base.mean + base.variation * varying


def departure(driver: str, value: Float, climate: Climate) -> Float:
    """Departure (t, n, m) of driver values from their annual mean, in response units."""
    cycle = climate.cycles[driver]
    if driver == "rsds":
        return (value - np.exp(cycle.mean)) / RESPONSE_UNIT[driver]
    return (cycle.from_units(value) - cycle.mean) / RESPONSE_UNIT[driver]


def transformed_flux(
    ecosystem: str,
    climate: Climate,
    value: Callable[[str, int], Float],
    noise: Float,
    *,
    gas: str = "ch4",
    reversal: bool = True,
) -> Float:
    """Flux (t, n, m) of a class in asinh space, of a gas that is no pulse.

    Args:
        ecosystem: Class name.
        climate: Climate of the lattice.
        value: Driver values (t, n, m) in their units, by name and lag [months].
        noise: Unexplained monthly anomaly (t, n, m), unit variance.
        gas: Name of the gas.
        reversal: Whether effects on methane change along the urban gradient.
    """
    urban = climate.surface.layers["urban_fraction"] * (reversal and gas == "ch4")
    base = GAS_LEVELS[gas][ecosystem]
    total = level(ecosystem, climate, gas) + MONTH_SPREAD * base.variation * noise
    for cause in GAS_CAUSES[gas][ecosystem]:
        size = effect(ecosystem, cause, urban)
        total = total + size * departure(cause.driver, value(cause.driver, cause.lag), climate)
    return total


def density(transformed: Float, gas: str = "ch4") -> Float:
    """Flux density [kg m-2 s-1] from asinh space."""
    return GASES[gas].asinh_scale * np.sinh(transformed) * GASES[gas].kg_per_nmol


def cell_flux(densities: Mapping[str, Float], fractions: Mapping[str, Float], land: Float) -> Float:
    """Flux per area of the cell (t, n, m) [kg m-2 s-1], NaN where there is no land."""
    total = sum(densities[name] * fractions[name] for name in ECOSYSTEMS)
    return np.where(land > 0, total, np.nan)

"""The twin's methane flux: per ecosystem class a level, the effects of its parents and what no driver explains.

All of it adds up in asinh space, y* = asinh(flux / 10 nmol m-2 s-1), where the effects in `causes` are linear.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ch4grid.twin.causes import FLUX_CAUSES, RESPONSE_UNIT, effect
from ch4grid.twin.climate import MELTING, Climate
from ch4grid.twin.surface import SITE
from ch4grid.vocabulary import ASINH_SCALE_NMOL, ECOSYSTEMS, GASES

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

# In asinh space: per 10 K of annual temperature, per e-fold of soil carbon, per km of altitude, of the unexplained
# field of sites, of the unexplained month.
TEMPERATURE_SLOPE = 0.25
CARBON_SLOPE = 0.12
ALTITUDE_SLOPE = -0.15
SITE_SPREAD = 0.25
MONTH_SPREAD = 0.15
TYPICAL_CARBON = 0.06


def level(ecosystem: str, climate: Climate) -> Float:
    """Annual level (n, m) of a class in asinh space, from temperature, soil, altitude and an unexplained field."""
    surface = climate.surface
    base = LEVELS[ecosystem]
    warmer = np.clip((climate.cycles["tas"].mean - MELTING - base.temperature) / 10, -1.5, 1.5)
    carbon = np.clip(np.log(np.maximum(surface.soil_organic_carbon, 1e-3) / TYPICAL_CARBON), -2, 2)
    varying: Float = (
        TEMPERATURE_SLOPE * warmer
        + CARBON_SLOPE * carbon
        + ALTITUDE_SLOPE * surface.elevation / 1000
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
    reversal: bool = True,
) -> Float:
    """Flux (t, n, m) of a class in asinh space.

    Args:
        ecosystem: Class name.
        climate: Climate of the lattice.
        value: Driver values (t, n, m) in their units, by name and lag [months].
        noise: Unexplained monthly anomaly (t, n, m), unit variance.
        reversal: Whether effects change along the urban gradient.
    """
    urban = climate.surface.layers["urban_fraction"] * reversal
    total = level(ecosystem, climate) + MONTH_SPREAD * LEVELS[ecosystem].variation * noise
    for cause in FLUX_CAUSES[ecosystem]:
        size = effect(ecosystem, cause, urban)
        total = total + size * departure(cause.driver, value(cause.driver, cause.lag), climate)
    return total


def density(transformed: Float) -> Float:
    """Flux density [kg m-2 s-1] from asinh space."""
    return ASINH_SCALE_NMOL * np.sinh(transformed) * GASES["ch4"].kg_per_nmol


def cell_flux(densities: Mapping[str, Float], fractions: Mapping[str, Float], land: Float) -> Float:
    """Flux per area of the cell (t, n, m) [kg m-2 s-1], NaN where there is no land."""
    total = sum(densities[name] * fractions[name] for name in ECOSYSTEMS)
    return np.where(land > 0, total, np.nan)

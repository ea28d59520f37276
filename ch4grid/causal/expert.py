"""The expert prior: how likely a driver causes the flux of a gas, or another driver, before any tower is looked at.

Three grades only, so that nobody reads more into them than they hold: `RARE` (no known mechanism at this time
scale), `POSSIBLE` (a mechanism, contested or indirect) and `LIKELY` (a mechanism that most field studies confirm).
The tables follow wetland biogeochemistry: soil temperature sets the rate of methanogenesis, water table the oxic
depth, vegetation the substrate with about a month of delay (Knox et al. 2021, GCB 27, 3582; Yuan et al. 2022, AFM).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

RARE = 0.05
POSSIBLE = 0.5
LIKELY = 0.8

# Nothing on Earth causes the sun. Pressure systems are larger than a cell, so nothing in it moves its pressure.
# Vegetation does not cause the weather of its own month at tower scale, nor does what is only a reading of
# temperature: vapour pressure deficit, humidity, the diurnal range and what a satellite sees of the surface.
EXOGENOUS = frozenset({"rsds", "ps", "psa"})
READINGS = frozenset({"vpd", "hurs", "dtr", "lst_day", "lst_night"})
BIOLOGICAL = frozenset({"evi", "lai", "npp"})
WEATHER = frozenset({"tas", "pr", "ps", "sfcWind", "rsds"})

Grades = tuple[float, ...]
_NONE: Grades = (RARE, RARE, RARE, RARE)
_NOW: Grades = (POSSIBLE, RARE, RARE, RARE)
_FAST: Grades = (LIKELY, POSSIBLE, RARE, RARE)
_MILD: Grades = (POSSIBLE, POSSIBLE, RARE, RARE)
_WATER: Grades = (LIKELY, LIKELY, POSSIBLE, RARE)
_SUBSTRATE: Grades = (POSSIBLE, LIKELY, POSSIBLE, RARE)

# Into the flux, by lag 0, 1, 2, 3 months. What is not named is RARE: pressure acts within hours (ebullition),
# vapour pressure deficit and the diurnal range act through soil water and plants, which are drivers themselves.
_WETLAND: dict[str, Grades] = {
    "tas": _FAST,
    "tsl": _FAST,
    "lst_day": _NOW,
    "lst_night": _NOW,
    "mrsos": _MILD,
    "pr": _MILD,
    "rsds": _NOW,
    "evi": _SUBSTRATE,
    "lai": _SUBSTRATE,
    "npp": _SUBSTRATE,
}
_FLUX: dict[str, dict[str, Grades]] = {
    # temperature hardly varies, the flood pulse does, one to two months behind the rain
    "tropical-floodplain": _WETLAND
    | {"tas": _MILD, "tsl": _MILD, "mrsos": _WATER, "pr": _SUBSTRATE},
    # snow insulates in winter and floods in spring
    "boreal-peatland": _WETLAND | {"snw": (POSSIBLE, POSSIBLE, POSSIBLE, RARE)},
    "temperate-wetland": _WETLAND,
    # flooding is managed: rain matters less than temperature and plant growth
    "rice-paddy": _WETLAND | {"pr": _NONE, "rsds": _MILD},
    # tides and wind mix the water column and add sulphate
    "coastal": _WETLAND | {"sfcWind": _NOW, "mrsos": _NONE, "pr": _MILD},
    # leaks, heating and waste: weather of the same month, no substrate chain
    "urban": {"tas": _FAST, "sfcWind": (LIKELY, RARE, RARE, RARE), "lst_night": _NOW, "ps": _NOW},
    # uptake by diffusion into dry soil
    "upland": {"tas": _MILD, "tsl": _MILD, "mrsos": _FAST, "pr": _MILD, "snw": _NOW},
}

# Net ecosystem exchange: light drives uptake at once, leaves with their growth, dry air and soil close stomata, warmth
# respires (Baldocchi et al. 2001, BAMS 82, 2415).
_CARBON: dict[str, Grades] = {
    "rsds": (LIKELY, RARE, RARE, RARE),
    "evi": _FAST,
    "lai": _FAST,
    "npp": _FAST,
    "tas": _FAST,
    "tsl": _MILD,
    "mrsos": _MILD,
    "vpd": _NOW,
    "pr": _NOW,
}
# Nitrous oxide: water in warm soil with nitrogen, rain after drought, thaw (Butterbach-Bahl et al. 2013, Phil. Trans.
# R. Soc. B 368, 20130122).
_NITROUS: dict[str, Grades] = {
    "mrsos": _FAST,
    "pr": _FAST,
    "tsl": _FAST,
    "tas": _MILD,
    "snw": _NOW,
}
# Tables by flux and class; a class without one takes the first.
_FLUXES: dict[str, dict[str, dict[str, Grades]]] = {
    "ch4_flux": {"temperate-wetland": _WETLAND} | _FLUX,
    "co2_flux": {
        "upland": _CARBON,
        # heating and traffic beside lawns
        "urban": {"tas": _FAST, "evi": _NOW, "rsds": _NOW, "sfcWind": _NOW},
    },
    "n2o_flux": {"upland": _NITROUS},
}

# Into a driver from another one, {to: {from: grades}}: the physics of a monthly surface energy and water balance.
_DRIVERS: dict[str, dict[str, Grades]] = {
    "tas": {"rsds": (LIKELY, POSSIBLE, RARE, RARE), "snw": _NOW},
    "vpd": {"tas": (LIKELY, RARE, RARE, RARE), "mrsos": _MILD, "rsds": _NOW, "pr": _NOW},
    "pr": {"ps": _NOW},
    "tsl": {"tas": _FAST, "rsds": _NOW, "snw": _NOW, "mrsos": _NOW},
    "mrsos": {"pr": _FAST, "rsds": _NOW, "vpd": _NOW, "tas": _NOW, "snw": _MILD},
    "snw": {"tas": _FAST, "pr": _FAST},
    "dtr": {"rsds": (LIKELY, RARE, RARE, RARE), "pr": _NOW, "mrsos": _NOW},
    "evi": {"tas": _SUBSTRATE, "mrsos": _SUBSTRATE, "rsds": _MILD, "pr": _MILD},
    "lai": {"tas": _SUBSTRATE, "mrsos": _SUBSTRATE, "rsds": _MILD, "pr": _MILD},
    "npp": {"tas": _FAST, "mrsos": _FAST, "rsds": _FAST, "vpd": _MILD},
    "lst_day": {"tas": (LIKELY, RARE, RARE, RARE), "rsds": (LIKELY, RARE, RARE, RARE)},
    "lst_night": {"tas": (LIKELY, RARE, RARE, RARE), "tsl": _NOW},
}
# Every driver remembers itself for a month.
_MEMORY: Grades = (0.0, LIKELY, RARE, RARE)


def expert_flux(
    drivers: Sequence[str], ecosystems: Sequence[str], max_lag: int, flux: str = "ch4_flux"
) -> NDArray[np.float64]:
    """Prior probability of driver(t - lag) -> flux(t) per class, (ecosystem, driver, lag).

    A driver without a row, also one outside the vocabulary, is RARE; a class without a table takes the one that most
    classes of its gas have.
    """
    by_class = _FLUXES[flux]
    default = next(iter(by_class.values()))
    tables = [by_class.get(name, default) for name in ecosystems]
    return np.stack([_table(table, drivers, max_lag) for table in tables])


def expert_drivers(drivers: Sequence[str], max_lag: int) -> NDArray[np.float64]:
    """Prior probability of driver(t - lag) -> driver(t), (to, from, lag); 0 where `admissible` forbids the link."""
    rows = [_DRIVERS.get(name, {}) | {name: _MEMORY} for name in drivers]
    prior = np.stack([_table(row, drivers, max_lag) for row in rows])
    for i, to in enumerate(drivers):
        for j, source in enumerate(drivers):
            if not admissible(source, to):
                prior[i, j] = 0.0
    return prior


def admissible(source: str, to: str) -> bool:
    """Whether a link between two drivers may exist: a driver's memory of itself always may."""
    if source == to:
        return True
    return to not in EXOGENOUS and not (source in BIOLOGICAL | READINGS and to in WEATHER)


def _table(
    grades: Mapping[str, Grades], drivers: Sequence[str], max_lag: int
) -> NDArray[np.float64]:
    """Grades as an array (driver, lag); lags beyond the table are RARE."""
    table = np.full((len(drivers), max_lag + 1), RARE)
    for i, name in enumerate(drivers):
        row = grades.get(name, _NONE)[: max_lag + 1]
        table[i, : len(row)] = row
    return table

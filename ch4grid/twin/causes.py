"""The causal model of the twin: which driver moves which, at which lag and how strongly, and what moves the flux.

Everything that a discovery, an effect estimate or a counterfactual should find stands in this file as data. Driver
anomalies follow a linear vector autoregression with lags 0 and 1 month; the flux of a class is linear in its parents in
asinh space, and the effects of temperature and wind on methane change sign along the urban gradient. Nitrous oxide
comes in pulses: its causes act on how likely and how large they are (`pulse`).
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_discrete_lyapunov

from ch4grid.graph import CausalGraph
from ch4grid.vocabulary import ECOSYSTEMS, GASES

Float = NDArray[np.float64]

DRIVERS = (
    "tas",
    "vpd",
    "pr",
    "ps",
    "sfcWind",
    "rsds",
    "tsl",
    "mrsos",
    "evi",
    "lst_day",
    "lst_night",
)
MAX_LAG = 3


class Cause(NamedTuple):
    """A driver that acts after `lag` months with `size` per unit of the driver."""

    driver: str
    lag: int
    size: float


# Causes of each driver's anomaly, sizes per standard deviation; a driver's own past is its persistence.
DRIVER_CAUSES: dict[str, tuple[Cause, ...]] = {
    "tas": (Cause("tas", 1, 0.30), Cause("rsds", 0, 0.30)),
    "vpd": (Cause("vpd", 1, 0.20), Cause("tas", 0, 0.35), Cause("mrsos", 1, -0.25)),
    "pr": (Cause("pr", 1, 0.15), Cause("ps", 0, -0.35)),
    "ps": (Cause("ps", 1, 0.25),),
    "sfcWind": (Cause("sfcWind", 1, 0.30), Cause("ps", 0, -0.25)),
    "rsds": (Cause("rsds", 1, 0.20),),
    "tsl": (Cause("tsl", 1, 0.35), Cause("tas", 0, 0.45)),
    "mrsos": (Cause("mrsos", 1, 0.45), Cause("pr", 0, 0.45)),
    "evi": (Cause("evi", 1, 0.35), Cause("mrsos", 1, 0.30), Cause("tas", 1, 0.25)),
    "lst_day": (Cause("tas", 0, 0.40), Cause("rsds", 0, 0.30)),
    "lst_night": (Cause("tas", 0, 0.45),),
}

# Causes of the flux in asinh space, sizes per RESPONSE_UNIT of the driver's departure from its annual mean.
FLUX_CAUSES: dict[str, tuple[Cause, ...]] = {
    "tropical-floodplain": (
        Cause("mrsos", 1, 0.20),
        Cause("tas", 0, 0.16),
        Cause("rsds", 0, 0.14),
    ),
    "boreal-peatland": (Cause("tsl", 0, 0.14), Cause("mrsos", 2, 0.15), Cause("evi", 1, 0.12)),
    "temperate-wetland": (
        Cause("tsl", 0, 0.14),
        Cause("mrsos", 1, 0.15),
        Cause("evi", 1, 0.12),
        Cause("sfcWind", 0, 0.13),
    ),
    "rice-paddy": (Cause("mrsos", 1, 0.17), Cause("tas", 0, 0.13), Cause("rsds", 0, 0.11)),
    "coastal": (Cause("tas", 0, 0.10), Cause("sfcWind", 0, 0.14), Cause("evi", 1, 0.10)),
    "urban": (Cause("tas", 0, 0.12), Cause("sfcWind", 0, 0.13)),
    "upland": (Cause("mrsos", 1, 0.016), Cause("tas", 0, -0.010), Cause("rsds", 0, -0.010)),
}

# Net ecosystem exchange: light and leaves take up, warmth respires, dry soil closes stomata. Boreal mires are slow,
# paddies fast, and a city is a heating plant: it emits in the cold.
NEE_CAUSES: dict[str, tuple[Cause, ...]] = {
    "tropical-floodplain": (
        Cause("rsds", 0, -0.14),
        Cause("evi", 1, -0.12),
        Cause("mrsos", 1, -0.12),
    ),
    "boreal-peatland": (Cause("rsds", 0, -0.10), Cause("tas", 0, 0.09), Cause("evi", 0, -0.10)),
    "temperate-wetland": (
        Cause("rsds", 0, -0.13),
        Cause("tas", 0, 0.11),
        Cause("evi", 0, -0.13),
    ),
    "rice-paddy": (Cause("rsds", 0, -0.15), Cause("tas", 0, 0.11), Cause("evi", 0, -0.16)),
    "coastal": (Cause("rsds", 0, -0.13), Cause("tas", 0, 0.11)),
    "urban": (Cause("tas", 0, -0.14), Cause("evi", 0, -0.11)),
    "upland": (
        Cause("rsds", 0, -0.12),
        Cause("tas", 0, 0.10),
        Cause("evi", 1, -0.12),
        Cause("mrsos", 1, -0.12),
    ),
}

# Pulses of nitrous oxide: wet and warm soil and rain on it; in mires the warming soil; drained paddies when they dry.
# Sizes per RESPONSE_UNIT in the probit of the chance of a pulse.
N2O_CAUSES: dict[str, tuple[Cause, ...]] = {
    "tropical-floodplain": (
        Cause("mrsos", 0, 0.50),
        Cause("tas", 0, 0.35),
        Cause("pr", 0, 0.40),
    ),
    "boreal-peatland": (Cause("tsl", 0, 0.35), Cause("mrsos", 1, 0.50)),
    "temperate-wetland": (Cause("mrsos", 1, 0.50), Cause("tas", 0, 0.30), Cause("pr", 0, 0.40)),
    "rice-paddy": (Cause("mrsos", 0, -0.50), Cause("tas", 0, 0.35)),
    "coastal": (Cause("mrsos", 0, 0.50), Cause("tas", 0, 0.35)),
    "urban": (Cause("tas", 0, 0.35), Cause("pr", 0, 0.50)),
    "upland": (Cause("mrsos", 0, 0.50), Cause("tas", 0, 0.30), Cause("pr", 0, 0.40)),
}

GAS_CAUSES: dict[str, dict[str, tuple[Cause, ...]]] = {
    "ch4": FLUX_CAUSES,
    "co2": NEE_CAUSES,
    "n2o": N2O_CAUSES,
}

# One response unit: K, K, logit of soil saturation, 1, W m-2, log of speed, log of rain.
RESPONSE_UNIT: dict[str, float] = {
    "tas": 2.0,
    "tsl": 1.5,
    "mrsos": 0.45,
    "evi": 0.035,
    "rsds": 13.0,
    "sfcWind": 0.15,
    "pr": 0.35,
}

# Change of an effect on methane per unit of urban fraction: effects that are positive in nature are negative in a city.
URBAN_CHANGE: dict[str, float] = {"tas": -0.55, "sfcWind": -0.55}
GRADIENT_CLASSES = ("temperate-wetland", "rice-paddy", "coastal", "urban")

TRUE_PARENTS: dict[str, tuple[tuple[str, int], ...]] = {
    name: tuple((cause.driver, cause.lag) for cause in causes)
    for name, causes in FLUX_CAUSES.items()
}


def true_links(ecosystem: str | None = None, gas: str = "ch4") -> set[tuple[str, int]]:
    """Drivers and lags [months] that cause the flux of a class, or of any class when none is named."""
    names = ECOSYSTEMS if ecosystem is None else (ecosystem,)
    return {(cause.driver, cause.lag) for name in names for cause in GAS_CAUSES[gas][name]}


def true_graph(gas: str = "ch4") -> CausalGraph:
    """The causal model as a graph with probabilities 1 and 0, lags 0 to 3 months, driver links in every class."""
    size = len(DRIVERS)
    probability = np.zeros((len(ECOSYSTEMS), size + 1, size, MAX_LAG + 1))
    for to, causes in enumerate(DRIVER_CAUSES[name] for name in DRIVERS):
        for cause in causes:
            probability[:, to, DRIVERS.index(cause.driver), cause.lag] = 1.0
    for e, name in enumerate(ECOSYSTEMS):
        for driver, lag in true_links(name, gas):
            probability[e, size, DRIVERS.index(driver), lag] = 1.0
    target = GASES[gas].flux
    return CausalGraph(DRIVERS, target, ECOSYSTEMS, probability, {"origin": "twin, the truth"})


def effect(ecosystem: str, cause: Cause, urban_fraction: Float) -> Float:
    """Size of an effect on methane at places of the given urban fraction, in asinh space per response unit."""
    if ecosystem not in GRADIENT_CLASSES:
        return np.full_like(urban_fraction, cause.size)
    return cause.size + URBAN_CHANGE.get(cause.driver, 0.0) * urban_fraction


def reversal(ecosystem: str, driver: str) -> float:
    """Urban fraction at which the effect of `driver` on the flux of a class changes sign.

    Raises:
        ValueError: The effect does not change along the gradient.
    """
    sizes = [cause.size for cause in FLUX_CAUSES[ecosystem] if cause.driver == driver]
    if not sizes or driver not in URBAN_CHANGE or ecosystem not in GRADIENT_CLASSES:
        raise ValueError(
            f"the effect of {driver} on {ecosystem} does not change along the gradient"
        )
    return -sizes[0] / URBAN_CHANGE[driver]


def lag_matrices() -> tuple[Float, Float]:
    """Coefficients (to, from) of the driver anomalies at lags 0 and 1 month."""
    matrices = np.zeros((2, len(DRIVERS), len(DRIVERS)))
    for to, name in enumerate(DRIVERS):
        for cause in DRIVER_CAUSES[name]:
            matrices[cause.lag, to, DRIVERS.index(cause.driver)] = cause.size
    return matrices[0], matrices[1]


def reduced_form() -> tuple[Float, Float]:
    """Transition (to, from) and innovation loading (to, noise) of a_t = T a_(t-1) + L e_t with var(a) = 1 exactly.

    The stationary variances are linear in the innovation variances, so that the latter solve a linear system.
    """
    now, before = lag_matrices()
    mix = np.linalg.inv(np.eye(len(DRIVERS)) - now)
    transition = mix @ before
    columns = [
        np.diag(solve_discrete_lyapunov(transition, np.outer(mix[:, k], mix[:, k])))
        for k in range(len(DRIVERS))
    ]
    variance = np.linalg.solve(np.stack(columns, axis=1), np.ones(len(DRIVERS)))
    return transition, np.asarray(mix * np.sqrt(variance), dtype=np.float64)


def lasting_response(forced: Iterable[str]) -> Float:
    """Lasting change (to, from) of every anomaly per lasting unit change of each forced driver, others at zero.

    A forced driver keeps the value it is given: no cause of its own acts on the imposed part.
    """
    now, before = lag_matrices()
    held = np.array([name in set(forced) for name in DRIVERS])
    total = np.where(held[:, None], 0.0, now + before)
    response = np.linalg.solve(np.eye(len(DRIVERS)) - total, np.diag(held.astype(float)))
    return np.asarray(response, dtype=np.float64)

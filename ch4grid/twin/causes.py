"""The causal model of the twin: which driver moves which, at which lag and how strongly, and what moves the flux.

Everything that a discovery, an effect estimate or a counterfactual should find stands in this file as data. Driver
anomalies follow a linear vector autoregression with lags 0 and 1 month; the flux of a class is linear in its parents in
asinh space, and the effects of temperature and wind change sign along the urban gradient.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_discrete_lyapunov

from ch4grid.graph import CausalGraph
from ch4grid.vocabulary import ECOSYSTEMS

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
TARGET = "ch4_flux"
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

# One response unit: K, K, logit of soil saturation, 1, W m-2, log of speed.
RESPONSE_UNIT: dict[str, float] = {
    "tas": 2.0,
    "tsl": 1.5,
    "mrsos": 0.45,
    "evi": 0.035,
    "rsds": 13.0,
    "sfcWind": 0.15,
}

# Change of a flux effect per unit of urban fraction: effects that are positive in nature are negative in a city.
URBAN_CHANGE: dict[str, float] = {"tas": -0.55, "sfcWind": -0.55}
GRADIENT_CLASSES = ("temperate-wetland", "rice-paddy", "coastal", "urban")

TRUE_PARENTS: dict[str, tuple[tuple[str, int], ...]] = {
    name: tuple((cause.driver, cause.lag) for cause in causes)
    for name, causes in FLUX_CAUSES.items()
}


def true_links(ecosystem: str | None = None) -> set[tuple[str, int]]:
    """Drivers and lags [months] that cause the flux of a class, or of any class when none is named."""
    names = ECOSYSTEMS if ecosystem is None else (ecosystem,)
    return {link for name in names for link in TRUE_PARENTS[name]}


def true_graph() -> CausalGraph:
    """The causal model as a graph with probabilities 1 and 0, lags 0 to 3 months, driver links in every class."""
    size = len(DRIVERS)
    probability = np.zeros((len(ECOSYSTEMS), size + 1, size, MAX_LAG + 1))
    for to, causes in enumerate(DRIVER_CAUSES[name] for name in DRIVERS):
        for cause in causes:
            probability[:, to, DRIVERS.index(cause.driver), cause.lag] = 1.0
    for e, name in enumerate(ECOSYSTEMS):
        for driver, lag in TRUE_PARENTS[name]:
            probability[e, size, DRIVERS.index(driver), lag] = 1.0
    return CausalGraph(DRIVERS, TARGET, ECOSYSTEMS, probability, {"origin": "twin, the truth"})


def effect(ecosystem: str, cause: Cause, urban_fraction: Float) -> Float:
    """Size of a flux effect at places of the given urban fraction, in asinh space per response unit."""
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

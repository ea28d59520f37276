"""The twin's nitrous oxide: it seeps at a low level and, in some months, comes in a pulse.

    flux = seep + pulse size   if luck < probit(chance),   else seep

The causes act on the chance and, more weakly, on the log of the size, so that no transform makes them linear: a hurdle,
as chamber and tower records show it (methods 3.15).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ch4grid.twin.causes import GAS_CAUSES
from ch4grid.twin.climate import MELTING, Climate
from ch4grid.twin.flux import departure, level
from ch4grid.vocabulary import GASES

Float = NDArray[np.float64]


class Pulse(NamedTuple):
    """Probit of the chance of a pulse in a typical month, log of its typical size [log of nmol m-2 s-1]."""

    chance: float
    size: float


PULSES: dict[str, Pulse] = {
    "tropical-floodplain": Pulse(-0.6, -0.1),
    "boreal-peatland": Pulse(-0.8, -1.0),
    "temperate-wetland": Pulse(-0.7, -0.4),
    "rice-paddy": Pulse(-0.3, 0.7),
    "coastal": Pulse(-0.7, -0.3),
    "urban": Pulse(-0.5, 0.2),
    "upland": Pulse(-1.3, -1.0),
}

# Share of the push on the chance that the log of the size also takes; largest push of a season; spread of the size.
SIZE_SHARE = 0.4
LARGEST_PUSH = 2.0
SIZE_SPREAD = 0.35
# Thaw adds to the chance where the soil of the month is near melting, within so many K, in these classes.
THAW, THAW_WIDTH = 0.6, 1.5
THAWING = ("boreal-peatland",)
# Fertiliser: push per tenth of the cell that is paddy.
NITROGEN = 0.3


def pulsed_flux(
    ecosystem: str,
    climate: Climate,
    value: Callable[[str, int], Float],
    luck: tuple[Float, Float],
) -> Float:
    """Flux (t, n, m) of nitrous oxide of a class [nmol m-2 s-1].

    Args:
        ecosystem: Class name.
        climate: Climate of the lattice.
        value: Driver values (t, n, m) in their units, by name and lag [months].
        luck: What decides beside the causes on a pulse and on its size, two fields (t, n, m) of unit variance.
    """
    push = np.clip(_push(ecosystem, climate, value), -LARGEST_PUSH, LARGEST_PUSH)
    push = push + NITROGEN * climate.surface.layers["rice_fraction"] / 0.1
    chance, size = PULSES[ecosystem]
    seep = GASES["n2o"].asinh_scale * np.sinh(level(ecosystem, climate, "n2o"))
    grown = np.exp(size + SIZE_SHARE * push + SIZE_SPREAD * luck[1])
    return np.asarray(seep + np.where(luck[0] < chance + push, grown, 0.0), dtype=np.float64)


def _push(ecosystem: str, climate: Climate, value: Callable[[str, int], Float]) -> Float:
    """What the causes add to the probit of the chance (t, n, m)."""
    total: Float = np.zeros(())
    for cause in GAS_CAUSES["n2o"][ecosystem]:
        now = value(cause.driver, cause.lag)
        total = total + cause.size * departure(cause.driver, now, climate)
    if ecosystem in THAWING:
        near = (value("tsl", 0) - MELTING) / THAW_WIDTH
        total = total + THAW * np.exp(-(near**2))
    return total

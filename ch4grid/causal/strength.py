"""How strong a link is and which way it acts: partial correlation given what else was found (MCI), and its p value.

PCMCI+ removes a link as soon as one set of conditions explains it, so the p value it leaves for a removed link depends
on the order of its tests. Here every candidate, found or not, is held to one test: given the found parents of its
effect and the found lagged parents of its cause (momentary conditional independence, Runge 2020).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ch4grid.causal.independence import PartialCorrelation

Floats = NDArray[np.float64]
Node = tuple[int, int]
Parents = Mapping[int, Sequence[Node]]


class Strength(NamedTuple):
    """Partial correlations [1] and two-sided p values of links, both (driver, lag) or (to, from, lag)."""

    value: Floats
    p: Floats


def into_flux(
    test: PartialCorrelation, found: Sequence[Node], parents: Parents, drivers: int, reach: int
) -> Strength:
    """Strengths of all links into the flux (driver, lag), NaN value and p 1 where no test was possible.

    Args:
        test: The independence test, with the rows and weights of the sample.
        found: Parents of the flux as (driver, -lag); the flux's own past may be among them.
        parents: Lagged parents of every driver.
        drivers: Number of drivers; the flux is the variable after them.
        reach: Longest lag [steps].
    """
    value, p = np.zeros((drivers, reach + 1)), np.ones((drivers, reach + 1))
    for driver in range(drivers):
        for lag in range(reach + 1):
            value[driver, lag], p[driver, lag] = _momentary(
                test, (driver, -lag), (drivers, 0), found, parents.get(driver, ())
            )
    return Strength(value, p)


def among_drivers(
    test: PartialCorrelation, found: Floats, parents: Parents, tested: NDArray[np.bool_]
) -> Strength:
    """Strengths of the links among drivers (to, from, lag); 0 with p 1 where a link was not `tested`.

    Args:
        test: The independence test.
        found: Weight of each link in the full sample's graph (to, from, lag); an unoriented one counts half.
        parents: Lagged parents of every driver.
        tested: Links that may exist (to, from, lag).
    """
    value, p = np.zeros(tested.shape), np.ones(tested.shape)
    sources = {
        to: [(int(i), -int(lag)) for i, lag in np.argwhere(found[to] > 0.5)]
        for to in range(len(found))
    }
    for to, source, lag in np.argwhere(tested):
        value[to, source, lag], p[to, source, lag] = _momentary(
            test, (int(source), -int(lag)), (int(to), 0), sources[int(to)], parents[int(source)]
        )
    return Strength(value, p)


def effective_size(cause: Floats, effect: Floats) -> float:
    """Independent pairs that two autocorrelated anomalies (site, time) are worth: n (1 - r1 r2) / (1 + r1 r2).

    r1 and r2 are the correlations of each with its own last step, pooled over sites (Bartlett 1935); only steps where
    both are measured count.
    """
    both = np.isfinite(cause) & np.isfinite(effect)
    product = persistence(cause) * persistence(effect)
    return float(both.sum() * (1 - product) / (1 + product))


def persistence(values: Floats) -> float:
    """Correlation of anomalies (site, time) with their own last step, pooled over sites; 0 where it is unknown."""
    now, before = values[:, 1:], values[:, :-1]
    ok = np.isfinite(now) & np.isfinite(before)
    spread = float(np.sqrt((now[ok] ** 2).sum() * (before[ok] ** 2).sum()))
    return float((now[ok] * before[ok]).sum() / spread) if spread > 0 else 0.0


def _momentary(
    test: PartialCorrelation,
    cause: Node,
    effect: Node,
    found: Sequence[Node],
    lagged: Sequence[Node],
) -> tuple[float, float]:
    """Partial correlation and p value of a link given the parents of both ends."""
    shifted = [(i, lag + cause[1]) for i, lag in lagged]
    given = (set(found) | {z for z in shifted if -z[1] <= test.rows.reach}) - {cause, effect}
    value, p = test.run_test([cause], [effect], sorted(given))[:2]
    return float(value), float(p)

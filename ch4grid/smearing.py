"""The mean of a flux that comes in pulses: what held-out towers showed around a prediction, back-transformed as it is.

A law with one peak at the usual month loses the rare months that carry the year. So no law is assumed: the location is
calibrated by a line and the mean is taken over the residuals of held-out months (Duan 1983, J. Am. Stat. Assoc. 78,
605, doi:10.1080/01621459.1983.10478017), per class. Everything is in asinh space; every cluster of towers counts once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ch4grid.vocabulary import ECOSYSTEMS

Floats = NDArray[np.float64]
AnyFloats = NDArray[np.floating[Any]]
AnyIntegers = NDArray[np.integer[Any]]
Integers = NDArray[np.int64]

# Points that an empirical law is kept in: the middles of as many slices of equal probability.
POINTS = (np.arange(64) + 0.5) / 64
# The towers of all classes weigh as much in the law of a class as so many clusters of its own.
POOLED_CLUSTERS = 3.0
# Times that the clusters are drawn anew, to tell how sure the mean of a class is.
DRAWS = 20


@dataclass(frozen=True)
class Smearing:
    """The empirical law of the flux around a prediction: slope x location + departure, held within what was seen.

    Args:
        slope: How much of a difference between predictions is there at unseen towers, at least 0.
        departures: Departures (class, point) from slope x location, ascending, equally likely.
        limits: Lowest and highest month seen.
        draws: Mean flux (draw, class) that laws of clusters drawn with replacement give, over that of this law.
    """

    slope: float
    departures: tuple[tuple[float, ...], ...]
    limits: tuple[float, float]
    draws: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def fit(
        cls, location: AnyFloats, observed: Floats, cluster: Integers, ecosystem: Integers
    ) -> "Smearing":
        """The law of held-out months: a ridge regression on the location and the class, then its residuals.

        Args:
            location: Location of each member (member, n).
            observed: Measured flux (n).
            cluster: Cluster of each month (n).
            ecosystem: Class of each month (n).
        """
        found = _fitted(location, observed, cluster, ecosystem)
        labels, index = np.unique(cluster, return_inverse=True)
        random, ratios = np.random.default_rng(0), []
        for _ in range(DRAWS):
            drawn = np.bincount(random.integers(0, len(labels), len(labels)), minlength=len(labels))
            other = _fitted(location, observed, cluster, ecosystem, drawn[index])
            ratios.append(_ratios(other, found, location, ecosystem))
        return replace(found, draws=tuple(ratios))

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Smearing":
        """The law of a JSON object, `dataclasses.asdict` of another."""
        low, high = document["limits"]
        laws, draws = (tuple(map(tuple, document[name])) for name in ("departures", "draws"))
        return cls(document["slope"], laws, (low, high), draws)

    def mean(self, location: AnyFloats, ecosystem: AnyIntegers) -> Floats:
        """Mean of sinh(flux) for each member (member, ...), which differ by their location and by a draw of clusters.

        The draws are taken about their mean, so that few members do not move the mean over members.

        Args:
            location: Location of each member (member, ...).
            ecosystem: Class, to be broadcast to (...).
        """
        mean = self.moment(location, ecosystem)
        if not self.draws:
            return mean
        factors = np.asarray(self.draws)[np.arange(len(location)) % len(self.draws)]
        return np.asarray(mean * (factors / factors.mean(axis=0))[:, ecosystem])

    def moment(self, location: AnyFloats, ecosystem: AnyIntegers, power: int = 1) -> Floats:
        """Mean of sinh(flux) ** power (...) under the law.

        Args:
            location: Location (...).
            ecosystem: Class, to be broadcast to it.
            power: 1 for the mean flux, 2 for its mean square.
        """
        middle, laws = self.slope * location.astype(np.float64), np.asarray(self.departures)
        total = np.zeros_like(middle)
        # one point at a time: all at once would take as many times the memory of the map
        for point in laws.T:
            total += np.sinh(np.clip(middle + point[ecosystem], *self.limits)) ** power
        return np.asarray(total / len(POINTS))

    def quantile(
        self, location: AnyFloats, ecosystem: AnyIntegers, levels: Sequence[float]
    ) -> Floats:
        """Quantiles (quantile, ...) from one location (...) and the class, to be broadcast to it."""
        middle = self.slope * location.astype(np.float64)
        laws = np.stack([np.interp(levels, POINTS, law) for law in self.departures], axis=1)
        ends = [np.clip(middle + law[ecosystem], *self.limits) for law in laws]
        return np.stack(ends)


class Crossed(NamedTuple):
    """What the months of each cluster are told by the law of all other clusters.

    Args:
        mean: Mean of sinh(flux) for each member (member, n).
        quantile: Quantiles (quantile, n).
    """

    mean: Floats
    quantile: Floats


def crossed(
    location: AnyFloats,
    observed: Floats,
    cluster: Integers,
    ecosystem: Integers,
    levels: Sequence[float] = (0.05, 0.95),
) -> Crossed:
    """Mean and quantiles of held-out months by laws that did not see their cluster; NaN where there is but one.

    Args:
        location: Location of each member (member, n).
        observed: Measured flux (n).
        cluster: Cluster of each month (n).
        ecosystem: Class of each month (n).
        levels: Of the quantiles.
    """
    mean = np.full(location.shape, np.nan)
    quantile = np.full((len(levels), len(observed)), np.nan)
    labels = np.unique(cluster)
    for label in labels if len(labels) > 1 else []:
        out = cluster == label
        rest = _fitted(location[:, ~out], observed[~out], cluster[~out], ecosystem[~out])
        mean[:, out] = rest.moment(location[:, out], ecosystem[out])
        centre = location[:, out].mean(axis=0, dtype=np.float64)
        quantile[:, out] = rest.quantile(centre, ecosystem[out], levels)
    return Crossed(mean, quantile)


def _fitted(
    location: AnyFloats,
    observed: Floats,
    cluster: Integers,
    ecosystem: Integers,
    times: Integers | None = None,
) -> Smearing:
    """The law of months without draws; `times` is how often the cluster of each month counts (n), once if not given."""
    _, index, counts = np.unique(cluster, return_inverse=True, return_counts=True)
    weight = (1.0 if times is None else times) / counts[index]
    centre = location.mean(axis=0, dtype=np.float64)
    own = ecosystem[:, None] == np.arange(len(ECOSYSTEMS))
    design = np.column_stack([own, np.ones(len(centre)), centre])
    penalty = np.append(np.full(len(ECOSYSTEMS), POOLED_CLUSTERS), [1e-6, 1e-6])
    gram = design.T @ (weight[:, None] * design) + np.diag(penalty)
    coefficients = np.linalg.solve(gram, design.T @ (weight * observed))
    slope = max(float(coefficients[-1]), 0.0)
    level = coefficients[: len(ECOSYSTEMS)] + coefficients[-2]
    residual = observed - slope * centre - level[ecosystem]
    pooled = weight * POOLED_CLUSTERS / weight.sum()
    laws = [level[e] + _points(residual, pooled + weight * own[:, e]) for e in range(len(level))]
    return Smearing(
        slope=slope,
        departures=tuple(tuple(law.tolist()) for law in laws),
        limits=(float(observed.min()), float(observed.max())),
    )


def _ratios(
    other: Smearing, law: Smearing, location: AnyFloats, ecosystem: Integers
) -> tuple[float, ...]:
    """Mean flux of each class by another law over that by a law, 1 where that emits nothing.

    A class without months is taken at all of them.
    """
    found = []
    for code in range(len(ECOSYSTEMS)):
        own = ecosystem == code
        months = location[:, own if own.any() else np.ones_like(own)]
        means = [float(one.moment(months, np.asarray(code)).mean()) for one in (other, law)]
        found.append(means[0] / means[1] if means[1] > 0 else 1.0)
    return tuple(found)


def _points(values: Floats, weight: Floats) -> Floats:
    """Weighted quantiles of values at `POINTS`."""
    order = np.argsort(values, kind="stable")
    share = (np.cumsum(weight[order]) - 0.5 * weight[order]) / weight.sum()
    return np.asarray(np.interp(POINTS, share, values[order]))

"""From ensemble members to intervals that hold at unseen towers: conformal factors, applicability, budget inflation.

Months of a tower and towers of a cluster are not independent, so everything here counts clusters (methods 3.9). Fluxes
come in asinh space, y* = asinh(y / c) with the scale c of the gas, and leave in nmol m-2 s-1.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ch4grid.smearing import Smearing, crossed
from ch4grid.vocabulary import GASES

Floats = NDArray[np.float64]
AnyFloats = NDArray[np.floating[Any]]
AnyIntegers = NDArray[np.integer[Any]]
Integers = NDArray[np.int64]

LEVELS = (0.5, 0.8, 0.9)
QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
# Largest Laplace scale in the retransformation: at 0.5 the mean is 4/3 of the median. Methods 1.2 allows 0.9, where the
# factor is 5 and a few months of a poorly known class would carry the budget.
LARGEST_SCALE = 0.5
# Largest standard deviation in asinh space that is turned into a variance of the flux.
LARGEST_SPREAD = 1.2
# Rows of new points compared with the training at a time: 256 Mi comparisons of 4 bytes would not fit small workers.
ROWS_AT_ONCE = 4096


class Calibrated(NamedTuple):
    """The flux at points.

    Args:
        mean: Expected flux of each member (member, ...) [nmol m-2 s-1].
        quantile: Calibrated quantiles (quantile, ...) at `QUANTILES` [nmol m-2 s-1].
        variance: Calibrated total variance (...) [nmol2 m-4 s-2].
    """

    mean: Floats
    quantile: Floats
    variance: Floats


@dataclass(frozen=True)
class Calibration:
    """How far the truth lies from the ensemble at towers that it has not seen, in units of its own spread.

    Args:
        factors: Half width of the 50, 80 and 90 % interval over the total spread.
        inflation: Factor on the spread between members of a sum of fluxes, such as a budget.
        clusters: Number of held-out clusters behind the factors.
        asinh_scale: Scale c of the gas [nmol m-2 s-1].
        smearing: Empirical law that takes the place of the factors for a gas that comes in pulses.
    """

    factors: tuple[float, float, float]
    inflation: float
    clusters: int
    asinh_scale: float = GASES["ch4"].asinh_scale
    smearing: Smearing | None = None

    @classmethod
    def fit(
        cls,
        location: AnyFloats,
        scale: AnyFloats,
        observed: Floats,
        cluster: Integers,
        ecosystem: Integers,
        *,
        asinh_scale: float = GASES["ch4"].asinh_scale,
        pulses: bool = False,
    ) -> "Calibration":
        """The calibration of held-out months.

        Args:
            location: Laplace location of each member (member, n) in asinh space.
            scale: Laplace scale of each member (member, n).
            observed: Measured flux (n) in asinh space.
            cluster: Cluster of each month (n).
            ecosystem: Class of each month (n).
            asinh_scale: Scale c of the gas [nmol m-2 s-1].
            pulses: Whether the gas comes in pulses.
        """
        score = np.abs(observed - location.mean(axis=0)) / total_spread(location, scale)
        found = np.maximum.accumulate([_grouped(score, cluster, level) for level in LEVELS])
        factors = (float(found[0]), float(found[1]), float(found[2]))
        draft = cls(factors, 1.0, len(np.unique(cluster)), asinh_scale)
        truth = _flux(observed, asinh_scale)
        if pulses:
            draft = replace(draft, smearing=Smearing.fit(location, observed, cluster, ecosystem))
            mean = asinh_scale * crossed(location, observed, cluster, ecosystem).mean
        else:
            mean = mean_flux(location, scale * draft.stretch, asinh_scale)
        return replace(draft, inflation=budget_inflation(mean, truth, cluster, ecosystem))

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Calibration":
        """The calibration of a JSON object."""
        half, most, nine = document["factors"]
        # documents from before there was a second gas do not name the scale
        scale = document.get("asinh_scale", GASES["ch4"].asinh_scale)
        law = Smearing.from_json(document["smearing"]) if "smearing" in document else None
        return cls((half, most, nine), document["inflation"], document["clusters"], scale, law)

    def to_json(self) -> dict[str, Any]:
        """The calibration as a JSON object."""
        document = asdict(self) | {"factors": list(self.factors)}
        if self.smearing is None:
            del document["smearing"]
        return document

    @property
    def stretch(self) -> float:
        """How much wider the calibrated law is than the ensemble says, at least one."""
        return max(1.0, self.factors[-1] / float(ndtri(0.5 + LEVELS[-1] / 2)))

    def interval(
        self,
        location: AnyFloats,
        scale: AnyFloats,
        level: float,
        ecosystem: AnyIntegers | None = None,
    ) -> tuple[Floats, Floats]:
        """Ends of the calibrated interval (...) in asinh space from members (member, ...) at one of `LEVELS`.

        The class, to be broadcast to (...), is asked for by a gas that comes in pulses.
        """
        if self.smearing is not None:
            ends = (0.5 - level / 2, 0.5 + level / 2)
            low, high = self.smearing.quantile(_centre(location), _given(ecosystem), ends)
            return low, high
        half = self.factors[LEVELS.index(level)] * total_spread(location, scale)
        centre = _centre(location)
        return centre - half, centre + half

    def apply(
        self, location: AnyFloats, scale: AnyFloats, ecosystem: AnyIntegers | None = None
    ) -> Calibrated:
        """Mean per member, quantiles and variance from members (member, ...) in asinh space; NaN stays NaN.

        The mean is retransformed with the calibrated scale: a law that is too narrow would put it too near the median.
        A gas that comes in pulses has all three from its empirical law.

        Args:
            location: Laplace location.
            scale: Laplace scale.
            ecosystem: Class, to be broadcast to (...); only asked for by a gas that comes in pulses.
        """
        if self.smearing is not None:
            return self._smeared(self.smearing, location, _given(ecosystem))
        centre, spread = _centre(location), total_spread(location, scale)
        half, most, nine = (factor * spread for factor in self.factors)
        ends = [centre + d for d in (-nine, -most, -half, 0.0, half, most, nine)]
        # The standard deviation of a normal law with the calibrated 90 % interval.
        deviation = np.minimum(nine / ndtri(0.5 + LEVELS[-1] / 2), LARGEST_SPREAD)
        return Calibrated(
            mean=mean_flux(location, scale * self.stretch, self.asinh_scale),
            quantile=_flux(np.stack(ends), self.asinh_scale),
            variance=_flux_variance(centre, deviation, self.asinh_scale),
        )

    def _smeared(self, law: Smearing, location: AnyFloats, ecosystem: AnyIntegers) -> Calibrated:
        centre = _centre(location)
        square = law.moment(centre, ecosystem, power=2) - law.moment(centre, ecosystem) ** 2
        return Calibrated(
            mean=self.asinh_scale * law.mean(location, ecosystem),
            quantile=_flux(law.quantile(centre, ecosystem, QUANTILES), self.asinh_scale),
            variance=self.asinh_scale**2 * np.maximum(square, 0.0),
        )


# The ensemble taken at its word: intervals of a normal law with the total spread.
UNCALIBRATED = Calibration(
    factors=(float(ndtri(0.75)), float(ndtri(0.9)), float(ndtri(0.95))), inflation=1.0, clusters=0
)


def total_spread(location: AnyFloats, scale: AnyFloats) -> Floats:
    """Standard deviation (...) of the mixture of Laplace laws of the members: mean(2 b^2) + var(mu)."""
    within = 2.0 * (scale.astype(np.float64) ** 2).mean(axis=0)
    between = location.astype(np.float64).var(axis=0, ddof=1) if len(location) > 1 else 0.0
    return np.asarray(np.sqrt(within + between))


def mean_flux(location: AnyFloats, scale: AnyFloats, asinh_scale: float) -> Floats:
    """Expected flux c sinh(mu) / (1 - b^2) of a Laplace law in asinh space [nmol m-2 s-1], b held at 0.5.

    The median c sinh(mu) would underestimate every budget (methods 14, item 22).
    """
    limited = np.minimum(scale.astype(np.float64), LARGEST_SCALE)
    return np.asarray(_flux(location, asinh_scale) / (1.0 - limited**2))


def budget_inflation(
    members: Floats, observed: Floats, cluster: Integers, ecosystem: Integers
) -> float:
    """Factor by which the spread between members must be widened to cover the mean flux of a class at unseen clusters.

    A budget is a sum over many places, in which what is peculiar to one place averages out and what is common to a
    class stays. So the score of a class is the error of its mean flux over all held-out clusters, against the members'
    standard deviation, which a member carries in the same direction over a whole class. The factor is the root mean
    square of the scores, one for an ensemble that is as wrong as it is spread, and never below one.

    Args:
        members: Held-out mean flux of each member (member, n) [nmol m-2 s-1].
        observed: Measured flux (n).
        cluster: Cluster of each month (n).
        ecosystem: Class of each month (n).
    """
    if len(members) < 2:
        return 1.0
    scores = []
    for code in np.unique(ecosystem):
        places = [
            (cluster == c) & (ecosystem == code) for c in np.unique(cluster[ecosystem == code])
        ]
        means = np.stack([members[:, p].mean(axis=1) for p in places], axis=1)
        truth = np.array([observed[p].mean() for p in places])
        error = abs(float((means.mean(axis=0) - truth).sum()))
        scores.append(error / max(float(means.std(axis=0, ddof=1).sum()), 1e-9))
    return max(1.0, float(np.sqrt(np.mean(np.square(scores)))))


def dissimilarity(
    train: AnyFloats, weights: AnyFloats, new: AnyFloats, *, mean_distance: float
) -> NDArray[np.float32]:
    """Dissimilarity index (n) of new points: weighted distance to the nearest training row over their mean distance.

    Args:
        train: Scaled predictors of the training (rows, features), 0 where missing.
        weights: Importance of each feature (features).
        new: Scaled predictors of new points (n, features).
        mean_distance: Mean weighted distance between training rows, from `mean_distance_of`.

    Source: Meyer and Pebesma (2021), Methods Ecol. Evol., doi:10.1111/2041-210X.13650.
    """
    root = np.sqrt(weights).astype(np.float32)
    base = train.astype(np.float32) * root
    norms = (base**2).sum(axis=1)
    out = np.empty(len(new), dtype=np.float32)
    for start in range(0, len(new), ROWS_AT_ONCE):
        part = new[start : start + ROWS_AT_ONCE].astype(np.float32) * root
        squared = norms - 2 * (part @ base.T)
        nearest = squared.min(axis=1) + (part**2).sum(axis=1)
        out[start : start + ROWS_AT_ONCE] = np.sqrt(np.maximum(nearest, 0.0)) / mean_distance
    return out


def mean_distance_of(train: AnyFloats, weights: AnyFloats) -> float:
    """Mean weighted distance between all pairs of training rows."""
    scaled = train.astype(np.float64) * np.sqrt(weights)
    total = sum(np.sqrt(((scaled - row) ** 2).sum(axis=1)).sum() for row in scaled)
    return float(total / max(len(scaled) * (len(scaled) - 1), 1)) or 1.0


def threshold(
    train: AnyFloats, weights: AnyFloats, group: Integers, *, mean_distance: float
) -> float:
    """Largest dissimilarity index inside the area of applicability.

    It is the outlier-removed maximum (upper quartile plus 1.5 interquartile ranges at most) of the index of each
    training row against the rows of other groups.

    Args:
        train: Scaled predictors (rows, features).
        weights: Importance of each feature (features).
        group: Cluster or fold of each row (rows).
        mean_distance: Mean weighted distance between training rows.
    """
    labels = np.unique(group)
    if len(labels) < 2:
        return float("inf")
    found = np.concatenate(
        [
            dissimilarity(
                train[group != g], weights, train[group == g], mean_distance=mean_distance
            )
            for g in labels
        ]
    )
    low, high = np.quantile(found, [0.25, 0.75])
    return float(found[found <= high + 1.5 * (high - low)].max())


def _grouped(score: Floats, cluster: Integers, level: float) -> float:
    """Conformal quantile of the scores of a month of an unseen cluster: every cluster counts as one.

    The smallest score q such that the clusters' mean share of months within q is at least level (n + 1) / n; the
    largest score when n is too small for the level. The alternative of methods 3.9, each cluster's 90th percentile and
    then the 90 % rank over clusters, promises 90 % of the months in 90 % of the clusters; on the twin that covered 97 %
    of all months.

    Source: Lee, Barber and Willett (2023), Distribution-free inference with hierarchical data, arXiv:2306.06342.
    """
    _, index, counts = np.unique(cluster, return_inverse=True, return_counts=True)
    order = np.argsort(score, kind="stable")
    share = np.cumsum(1.0 / counts[index[order]]) / len(counts)
    wanted = level * (len(counts) + 1) / len(counts)
    at = min(int(np.searchsorted(share, wanted - 1e-12)), len(score) - 1)
    return float(score[order[at]])


def _centre(location: AnyFloats) -> Floats:
    return np.asarray(location.mean(axis=0, dtype=np.float64))


def _given(ecosystem: AnyIntegers | None) -> AnyIntegers:
    if ecosystem is None:
        raise ValueError("a calibration of pulses needs the class of every point")
    return ecosystem


def _flux(transformed: AnyFloats, asinh_scale: float) -> Floats:
    return np.asarray(asinh_scale * np.sinh(transformed.astype(np.float64)))


def _flux_variance(centre: Floats, deviation: Floats, asinh_scale: float) -> Floats:
    """Variance of c sinh(Y) for Y normal with this mean and standard deviation [nmol2 m-4 s-2].

    var(sinh Y) = (e^(s^2) - 1) (e^(s^2) cosh(2 mu) + 1) / 2.
    """
    growth = np.exp(deviation**2)
    factor = (growth - 1.0) * (growth * np.cosh(2.0 * centre) + 1.0) / 2.0
    return np.asarray(asinh_scale**2 * factor)

"""How much wider an interval must be where the drivers are unlike those of every tower.

In come held-out errors in units of their interval and the dissimilarity index of each month against the towers of the
fit (`uncertainty.dissimilarity`); out goes an `Inflation`, the factor on the interval at an index (methods 3.9, item
7). The factor never falls with the index, is one where held-out months show no growth, and is held beyond the largest
index seen: nothing is known there, which is what the flag of the area of applicability says.

Source: Meyer and Pebesma (2021), Methods Ecol. Evol. 12, 1620, doi:10.1111/2041-210X.13650.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ch4grid.uncertainty import dissimilarity

Floats = NDArray[np.float64]
AnyFloats = NDArray[np.floating[Any]]
AnyIntegers = NDArray[np.integer[Any]]

# Slices of the index, of equal weight in clusters.
SLICES = 12
# Parts that the clusters are dealt into to ask whether the index tells anything of clusters not seen.
PARTS = 5
# A month counts for no more than so many mean errors: the largest of one tower would make a step of its own.
LARGEST_ERROR = 5.0


@dataclass(frozen=True)
class Inflation:
    """The factor on an interval at a dissimilarity index.

    Args:
        index: Ascending indices.
        level: Factor at each of them, never falling, at least one; straight between them, held beyond them.
        limit: Index inside which the factor is the mean one: the threshold of the area of applicability.
    """

    index: tuple[float, ...] = (0.0,)
    level: tuple[float, ...] = (1.0,)
    limit: float = float("inf")

    @classmethod
    def fit(
        cls,
        di: AnyFloats,
        score: AnyFloats,
        cluster: AnyIntegers,
        *,
        threshold: float | None = None,
    ) -> "Inflation":
        """The inflation that held-out months show: none where the index does not foretell errors at other clusters.

        Args:
            di: Dissimilarity index (n) of each month against towers of other clusters.
            score: Its |error| over the half width of its interval (n).
            cluster: Its cluster (n); every cluster counts as one.
            threshold: Index of the area of applicability; the weighted median index when None.
        """
        known = np.isfinite(di) & np.isfinite(score)
        index, error = (np.asarray(v, dtype=np.float64)[known] for v in (di, score))
        label = cluster[known]
        if len(np.unique(label)) < 2 or float(np.max(error, initial=0.0)) <= 0:
            return cls()
        weight = _weights(label)
        error = np.minimum(error, LARGEST_ERROR * np.average(error, weights=weight))
        limit = _median(index, weight) if threshold is None else threshold
        if not _foretells(index, error, label):
            return cls(limit=float(limit))
        places, levels = _isotonic(index, error, weight)
        inside = index <= limit
        told = np.interp(index[inside], places, levels)
        base = np.average(told, weights=weight[inside]) if inside.any() else levels[0]
        factor = np.maximum(levels / max(float(base), 1e-9), 1.0)
        return cls(tuple(places.tolist()), tuple(factor.tolist()), float(limit))

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Inflation":
        """The inflation of a JSON object."""
        limit = float("inf") if document["limit"] is None else document["limit"]
        return cls(tuple(document["index"]), tuple(document["level"]), limit)

    def to_json(self) -> dict[str, Any]:
        """The inflation as a JSON object; an infinite limit is null, which JSON has no number for."""
        return asdict(self) | {"limit": self.limit if np.isfinite(self.limit) else None}

    def factor(self, di: AnyFloats) -> Floats:
        """Factor (...) on the half width of intervals at indices (...), at least one; NaN where the index is."""
        index = np.asarray(di, dtype=np.float64)
        # a table of one place would otherwise answer for an unknown index
        return np.where(np.isnan(index), np.nan, np.interp(index, self.index, self.level))


def apart(
    train: AnyFloats, weights: AnyFloats, group: AnyIntegers, *, mean_distance: float
) -> Floats:
    """Dissimilarity index (rows) of each training row against the rows of other groups; NaN where there are none.

    Args:
        train: Scaled predictors (rows, features), 0 where missing.
        weights: Importance of each feature (features).
        group: Cluster, class or climate of each row (rows).
        mean_distance: Mean weighted distance between training rows, from `uncertainty.mean_distance_of`.
    """
    found = np.full(len(train), np.nan)
    labels = np.unique(group)
    for label in labels if len(labels) > 1 else []:
        own = group == label
        found[own] = dissimilarity(train[~own], weights, train[own], mean_distance=mean_distance)
    return found


def leave_group_out(
    di: AnyFloats, score: AnyFloats, cluster: AnyIntegers, group: NDArray[Any]
) -> pd.DataFrame:
    """Whether the inflation learnt in other groups mends the intervals of a group: one row per group.

    Columns: `months`, `index` (mean), `factor` (mean), `before` and `after`, the share of the months inside their
    interval without and with the inflation; every cluster counts as one.

    Args:
        di: Index (n) of each month against towers of other groups, as from `apart` with these groups.
        score: Its |error| over the half width of its interval (n), of a model that has not seen its group.
        cluster: Its cluster (n).
        group: Its class, or its climate (n).
    """
    rows = []
    for label in np.unique(group):
        own = group == label
        factor = Inflation.fit(di[~own], score[~own], cluster[~own]).factor(di[own])
        weight = _weights(cluster[own])
        rows.append(
            {
                "group": label,
                "months": int(own.sum()),
                "index": float(np.average(di[own], weights=weight)),
                "factor": float(np.average(factor, weights=weight)),
                "before": float(np.average(score[own] <= 1, weights=weight)),
                "after": float(np.average(score[own] <= factor, weights=weight)),
            }
        )
    return pd.DataFrame(rows).set_index("group")


def _weights(cluster: AnyIntegers) -> Floats:
    """Weights (n) of months that add up to one in every cluster."""
    index = np.unique(cluster, return_inverse=True)[1]
    return np.asarray(1.0 / np.bincount(index)[index])


def _median(values: Floats, weight: Floats) -> float:
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weight[order]) / weight.sum()
    return float(values[order][int(np.searchsorted(share, 0.5))])


def _isotonic(index: Floats, error: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Mean index and never falling mean error of slices of the index.

    Slices, because the last step of an isotonic regression of months would be the error of the outermost month.
    """
    from sklearn.isotonic import IsotonicRegression  # heavy

    order = np.argsort(index, kind="stable")
    share = (np.cumsum(weight[order]) - 0.5 * weight[order]) / weight.sum()
    part = np.empty(len(index), dtype=np.intp)
    part[order] = np.minimum((share * SLICES).astype(np.intp), SLICES - 1)
    total = np.bincount(part, weights=weight, minlength=SLICES)
    used = total > 0
    place = np.bincount(part, weights=weight * index, minlength=SLICES)[used] / total[used]
    mean = np.bincount(part, weights=weight * error, minlength=SLICES)[used] / total[used]
    level = IsotonicRegression().fit_transform(place, mean, sample_weight=total[used])
    return place, np.asarray(level, dtype=np.float64)


def _foretells(index: Floats, error: Floats, cluster: AnyIntegers) -> bool:
    """Whether the errors of clusters left out lie nearer to the steps of the others than to the mean of the others.

    Clusters are dealt by their mean index, so that every part has near and far ones.
    """
    number, rank = _ranked(index, cluster)
    part = rank % min(PARTS, int(rank.max()) + 1)
    gain = 0.0
    for label in np.unique(part):
        out = part[number] == label
        weight = _weights(cluster[~out])
        places, levels = _isotonic(index[~out], error[~out], weight)
        told = np.interp(index[out], places, levels)
        mean = np.average(error[~out], weights=weight)
        better = (error[out] - mean) ** 2 - (error[out] - told) ** 2
        gain += float((_weights(cluster[out]) * better).sum())
    return gain > 0


def _ranked(index: Floats, cluster: AnyIntegers) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Number of the cluster of each month (n), and rank of each cluster by its mean index (cluster)."""
    number = np.unique(cluster, return_inverse=True)[1]
    means = np.bincount(number, weights=index) / np.bincount(number)
    return number, np.argsort(np.argsort(means, kind="stable"))

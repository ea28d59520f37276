"""Level and amplitude of the flux at a place: ridge regressions on static features, fitted in closed form.

With forty towers the penalty is everything, so that of the level is chosen by leaving out one cluster of towers at a
time, among the training towers of the fold only (methods 3.7, stage I). Classes are shrunk towards the mean of all.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ch4grid.models.samples import Targets
from ch4grid.vocabulary import ECOSYSTEMS

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

PENALTIES = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
AMPLITUDE_PENALTY = 1e4
# A class is believed against the mean of all towers like so many towers.
CLASS_PENALTY = 0.3
# A tower is half believed after this many months.
HALF_TRUST_MONTHS = 6.0
# Variation below this, in asinh space, is noise around zero.
SMALLEST_AMPLITUDE = 0.01
SHRINK_AMPLITUDE_MONTHS = 6.0


@dataclass(frozen=True, eq=False)
class Moments:
    """Level and log amplitude of the transformed flux of each tower.

    Args:
        level: Weighted mean (S).
        log_amplitude: log of the weighted standard deviation (S).
        trust: Weight of each tower (S), 0 without targets.
    """

    level: Floats
    log_amplitude: Floats
    trust: Floats

    @classmethod
    def of(cls, targets: Targets) -> "Moments":
        """The moments of measured months (S, T)."""
        total = targets.weight.sum(axis=1)
        safe = np.maximum(total, 1e-9)
        level = (targets.weight * targets.transformed).sum(axis=1) / safe
        away = targets.weight * (targets.transformed - level[:, None]) ** 2
        pooled = away.sum() / max(total.sum(), 1e-9)
        variance = (away.sum(axis=1) + pooled * 0.5) / (total + 0.5)
        log_amplitude = 0.5 * np.log(np.maximum(variance, SMALLEST_AMPLITUDE**2))
        months = (targets.weight > 0).sum(axis=1)
        return cls(level, log_amplitude, months / (months + HALF_TRUST_MONTHS))


def fit_magnitude(
    moments: Moments, features: NDArray[np.float32], cluster: Integers, weights: Floats
) -> NDArray[np.float32]:
    """Coefficients (2, F + 1) of level and log amplitude on static features, the intercept last.

    Args:
        moments: Level and log amplitude of the towers (S).
        features: Static features (S, F), the last ones one per class.
        cluster: Cluster of each tower (S).
        weights: How often each tower was drawn (S), 0 if not at all.
    """
    design = np.concatenate([features, np.ones((len(features), 1))], axis=1, dtype=np.float64)
    trust = moments.trust * weights
    # An amplitude multiplies a departure that is exponentiated afterwards: only the class may move it.
    amplitude = _solve(design, moments.log_amplitude, trust, AMPLITUDE_PENALTY)
    return np.stack([_ridge(design, moments.level, cluster, trust), amplitude]).astype(np.float32)


def plain_magnitude(moments: Moments, features: int, weights: Floats) -> NDArray[np.float32]:
    """Coefficients (2, F + 1) that say nothing of a place: the mean level of the drawn towers, an amplitude of one.

    Args:
        moments: Level of the towers (S).
        features: Number of static features F.
        weights: How often each tower was drawn (S), 0 if not at all.
    """
    out = np.zeros((2, features + 1), dtype=np.float32)
    trust = moments.trust * weights
    out[0, -1] = (trust * moments.level).sum() / max(trust.sum(), 1e-12)
    return out


def flux_limits(targets: Targets, ecosystem: Integers, weights: Floats) -> NDArray[np.float32]:
    """Lowest and highest location (2, E) in asinh space that a month of each class may have.

    A network is free beyond its towers and the flux is exponential in what it says: without limits a hot or wet corner
    of the globe that no tower knows would carry the budget. The limits are what the months of the class have shown, as
    for any tree model; a class without towers gets those of all towers.

    Args:
        targets: Measured months (S, T).
        ecosystem: Classes of the towers (S).
        weights: How often each tower was drawn (S), 0 if not at all.
    """
    seen = (targets.weight > 0) & (weights > 0)[:, None]
    rows = []
    for code in range(len(ECOSYSTEMS)):
        own = seen & (ecosystem == code)[:, None]
        months = targets.transformed[own if own.any() else seen]
        rows.append((months.min(), months.max()))
    return np.asarray(rows, dtype=np.float32).T.copy()


def _ridge(design: Floats, target: Floats, cluster: Integers, trust: Floats) -> Floats:
    """Coefficients at the penalty with the smallest error at left-out clusters."""
    present = np.unique(cluster[trust > 0])
    if len(present) < 3:
        return _solve(design, target, trust, PENALTIES[-1])
    errors = []
    for penalty in PENALTIES:
        error = 0.0
        for label in present:
            out = cluster == label
            coefficients = _solve(design, target, np.where(out, 0.0, trust), penalty)
            error += float((trust[out] * (design[out] @ coefficients - target[out]) ** 2).sum())
        errors.append(error)
    return _solve(design, target, trust, PENALTIES[int(np.argmin(errors))])


def _solve(design: Floats, target: Floats, trust: Floats, penalty: float) -> Floats:
    classes = len(ECOSYSTEMS)
    penalties = np.full(design.shape[1], penalty)
    penalties[-1 - classes : -1] = CLASS_PENALTY
    penalties[-1] = 1e-6
    gram = design.T @ (trust[:, None] * design) + np.diag(penalties)
    return np.asarray(np.linalg.solve(gram, design.T @ (trust * target)))

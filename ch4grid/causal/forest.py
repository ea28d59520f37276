"""Orthogonal effects by EconML: cross-fitted residuals, average effects over clusters, causal forests and their tests.

Y, T, X, W are EconML's letters: outcome, treatment, modifiers, what is held. All cross-fitting leaves whole clusters
out. An average effect is the slope of residual outcome on residual treatment (Robinson 1988; Chernozhukov et al. 2018),
which weights every month by the variation of the treatment that nothing held explains (Li et al. 2018).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ch4grid.causal.treatments import Sample
from ch4grid.errors import InputError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

LEVEL = 0.90
# A propensity outside this range means that the other treatment was hardly possible there (methods 3.11).
PROPENSITY = (0.1, 0.9)
# Bytes per month and tree of a forest with intervals, and per month and column of its regressions; EconML 0.17 took
# 12 to 17 and about 30 for 6,000 to 24,000 months, 40 to 400 trees and 28 to 168 columns.
BYTES_PER_TREE = 20.0
BYTES_PER_COLUMN = 40.0
GIB = 2.0**30
# A leaf must tell the effects of several treatments apart.
JOINT_TREES, JOINT_LEAF = 100, 40
# More months than any record has: keeps the labels of block and month apart.
MONTHS = 100_000


@dataclass(frozen=True, eq=False)
class Residuals:
    """What nothing held explains (n): outcome, treatment, and the propensity of a binary treatment."""

    outcome: Floats
    treatment: Floats
    propensity: Floats | None = None


@dataclass(frozen=True)
class Estimate:
    """A value with its 90 % interval over clusters."""

    value: float
    lower: float
    upper: float

    @property
    def holds_zero(self) -> bool:
        """Whether the interval contains zero."""
        return self.lower <= 0.0 <= self.upper


@dataclass(frozen=True, eq=False)
class Forest:
    """Conditional effects of one treatment.

    Args:
        effect: Effect at each site (site).
        lower: Lower end of its 90 % interval (site), from the forest's own little bags.
        upper: Upper end.
        unseen: Effect of each month's site by forests that did not see its cluster (n).
        residuals: Residuals of the months (n).
        gain: R-learner score: share of the loss of a constant effect that modifiers save on unseen clusters [1].
        calibration: Slope of the true on the predicted heterogeneity; 1 is perfect, 0 none (Chernozhukov et al. 2020).
        quarters: Average effect of each quarter of the months, by unseen effect.
    """

    effect: Floats
    lower: Floats
    upper: Floats
    unseen: Floats
    residuals: Residuals
    gain: float
    calibration: Estimate
    quarters: tuple[Estimate, ...]


def residuals(data: Sample, *, folds: int, seed: int, binary: bool = False) -> Residuals:
    """Outcome and treatment without what the held drivers explain, by EconML's LinearDML across clusters."""
    from econml.dml import LinearDML  # heavy
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.model_selection import GroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    groups = _groups(data, folds)
    chance = make_pipeline(StandardScaler(), LogisticRegression())
    fitted = LinearDML(
        model_y=LinearRegression(),
        model_t=chance if binary else LinearRegression(),
        discrete_treatment=binary,
        cv=GroupKFold(min(folds, len(np.unique(groups)))),
        random_state=seed,
    )
    acting = data.treatment.astype(np.int64) if binary else data.treatment
    held = data.held if data.held.shape[1] else np.zeros((len(data), 1))
    fitted.fit(data.outcome, acting, W=held, groups=groups, cache_values=True, inference=None)
    outcome, treatment = (
        np.asarray(part, dtype=np.float64).ravel() for part in fitted.residuals_[:2]
    )
    return Residuals(outcome, treatment, data.treatment - treatment if binary else None)


def average(found: Residuals, block: Integers, month: Integers) -> Estimate:
    """Average effect with its 90 % interval, see `projection`."""
    return projection(found, np.ones((len(month), 1)), np.ones((1, 1)), block, month)[0]


def projection(
    found: Residuals, modifiers: Floats, points: Floats, block: Integers, month: Integers
) -> list[Estimate]:
    """Best linear projection of the effect on modifiers (n, m), read at points (k, m).

    The variance is that of the jackknife over blocks, enlarged where blocks share what moves them in a month (two-way
    clustering); the interval takes Student's t with one degree less than blocks.

    Source: Semenova and Chernozhukov (2021), Econometrics Journal 24, 264-289, for the projection; Cameron, Gelbach and
        Miller (2011), Journal of Business and Economic Statistics 29, 238-249, eq. 2.11, for the two ways.
    """
    from scipy.stats import t as student  # heavy

    acting = found.treatment[:, None] * modifiers
    pairs = acting[:, :, None] * acting[:, None, :]
    bottom = _sums(pairs, block)
    top = _sums(acting * found.outcome[:, None], block)
    slope = _solved(bottom.sum(axis=0), top.sum(axis=0))
    kept = [
        _solved(bottom.sum(axis=0) - b, top.sum(axis=0) - a)
        for a, b in zip(top, bottom, strict=True)
    ]
    value, count = points @ slope, len(kept)
    variance = (count - 1) / count * ((np.stack(kept) @ points.T - value) ** 2).sum(axis=0)
    pull = acting * (found.outcome - acting @ slope)[:, None]
    pull = pull @ np.linalg.pinv(bottom.sum(axis=0)) @ points.T
    shared = (_sums(pull, month) ** 2).sum(axis=0)
    shared -= (_sums(pull, block * MONTHS + month) ** 2).sum(axis=0)
    quantile = float(student.ppf(0.5 + LEVEL / 2, max(count - 1, 1)))
    half = quantile * np.sqrt(variance + np.maximum(shared, 0.0))
    return [
        Estimate(float(v), float(v - h), float(v + h)) for v, h in zip(value, half, strict=True)
    ]


def forest(
    data: Sample,
    modifiers: Floats,
    *,
    classes: int,
    trees: int,
    min_leaf: int,
    folds: int,
    seed: int,
    memory_limit: float,
) -> Forest:
    """The causal forest of one treatment over all classes, with its tests.

    Args:
        data: The months.
        modifiers: X of every site (site, m); the first `classes` columns are one per class.
        classes: Number of class columns; what is held acts differently in every class.
        trees: Number of trees, a multiple of four.
        min_leaf: Fewest months in a leaf.
        folds: Groups of clusters left out in turn.
        seed: Seed of the forest.
        memory_limit: Memory that the forest may take [GiB].

    Raises:
        InputError: The forest would take more memory than it may.
    """
    columns = modifiers.shape[1] + classes * data.held.shape[1]
    check_memory(len(data), columns, trees, memory_limit)
    from econml.dml import CausalForestDML  # heavy
    from sklearn.model_selection import GroupKFold

    groups, x = _groups(data, folds), modifiers[data.site]
    fitted = CausalForestDML(
        model_y=_classwise(classes, modifiers.shape[1]),
        model_t=_classwise(classes, modifiers.shape[1]),
        cv=GroupKFold(min(folds, len(np.unique(groups)))),
        n_estimators=trees,
        min_samples_leaf=min_leaf,
        random_state=seed,
        n_jobs=1,
    )
    held = data.held if data.held.shape[1] else np.zeros((len(data), 1))
    fitted.fit(data.outcome, data.treatment, X=x, W=held, groups=groups, cache_values=True)
    left = Residuals(
        *(np.asarray(part, dtype=np.float64).ravel() for part in fitted.residuals_[:2])
    )
    lower, upper = fitted.const_marginal_effect_interval(modifiers, alpha=1 - LEVEL)
    unseen = _unseen(left, x, groups, trees=trees, min_leaf=min_leaf, folds=folds, seed=seed)
    return Forest(
        effect=np.asarray(fitted.const_marginal_effect(modifiers), dtype=np.float64).ravel(),
        lower=np.asarray(lower, dtype=np.float64).ravel(),
        upper=np.asarray(upper, dtype=np.float64).ravel(),
        unseen=unseen,
        residuals=left,
        gain=_gain(left, unseen),
        calibration=_calibration(left, unseen, data),
        quarters=_quarters(left, unseen, data),
    )


def joint_effects(
    outcome: Floats,
    treatments: Floats,
    modifiers: Floats,
    groups: Integers,
    *,
    folds: int,
    seed: int,
) -> Callable[[Floats], Floats]:
    """Effects of several treatments acting together, as a function of modifiers (m, x) to effects (m, k).

    With all causes of the outcome among the treatments nothing else needs to be held.

    Args:
        outcome: Anomalies (n).
        treatments: Anomalies (n, k).
        modifiers: X of every month (n, x).
        groups: What cross-fitting leaves out together (n).
        folds: Groups of them left out in turn.
        seed: Seed of the forest.
    """
    from econml.dml import CausalForestDML  # heavy
    from sklearn.dummy import DummyRegressor
    from sklearn.model_selection import GroupKFold
    from sklearn.multioutput import MultiOutputRegressor

    fitted = CausalForestDML(
        model_y=DummyRegressor(),
        model_t=MultiOutputRegressor(DummyRegressor()),
        cv=GroupKFold(min(folds, len(np.unique(groups)))),
        n_estimators=JOINT_TREES,
        min_samples_leaf=JOINT_LEAF,
        inference=False,
        random_state=seed,
        n_jobs=1,
    )
    fitted.fit(outcome, treatments, X=modifiers, groups=groups)
    count = treatments.shape[1]

    def effects(x: Floats) -> Floats:
        found = fitted.const_marginal_effect(x)
        return np.asarray(found, dtype=np.float64).reshape(len(x), count)

    return effects


def overlap(found: Residuals, data: Sample) -> float:
    """Share of the treatment's variance that is left, or of months with a propensity between 0.1 and 0.9 [1]."""
    if found.propensity is not None:
        low, high = PROPENSITY
        return float(((found.propensity >= low) & (found.propensity <= high)).mean())
    return float(found.treatment.var() / data.treatment.var())


def effective_size(found: Residuals, data: Sample) -> float:
    """Months that are as good as independent: n (1 - r) / (1 + r), r the product of both lag-one memories.

    Source: Bartlett (1935), Journal of the Royal Statistical Society 98, 536-543.
    """
    order = np.lexsort((data.month, data.site))
    follows = (np.diff(data.site[order]) == 0) & (np.diff(data.month[order]) == 1)
    memory = 1.0
    for values in (found.outcome[order], found.treatment[order]):
        pairs = (values[:-1][follows], values[1:][follows])
        memory *= float((pairs[0] * pairs[1]).mean() / values.var()) if follows.any() else 0.0
    memory = min(max(memory, 0.0), 0.99)
    return len(data) * (1 - memory) / (1 + memory)


def check_memory(months: int, columns: int, trees: int, limit: float) -> None:
    """Refuse a forest that would take more memory than it may.

    Raises:
        InputError: It would; the message has the figures.
    """
    need = months * (trees * BYTES_PER_TREE + columns * BYTES_PER_COLUMN) / GIB
    if need > limit:
        raise InputError(
            f"a causal forest of {trees} trees over {months} months and {columns} columns takes too much memory",
            where="effects",
            expected=f"at most {limit:g} GiB",
            found=f"about {need:.1f} GiB",
            fix="Use fewer trees or fewer towers, or raise effects.memory_limit",
        )


def _groups(data: Sample, folds: int) -> Integers:
    """What cross-fitting leaves out together: clusters, sites where clusters are too few, else years of a site."""
    for label in (data.cluster, data.site):
        if len(np.unique(label)) >= min(folds, 3):
            return label
    return data.site * 10_000 + data.month // 12


def _sums(values: Floats, label: Integers) -> Floats:
    """Sums of values (n, ...) per label, in the order of the labels."""
    _, at = np.unique(label, return_inverse=True)
    out = np.zeros((int(at.max()) + 1, *values.shape[1:]))
    np.add.at(out, at, values)
    return out


def _solved(matrix: Floats, vector: Floats) -> Floats:
    return np.asarray(np.linalg.lstsq(matrix, vector, rcond=None)[0], dtype=np.float64)


def _classwise(classes: int, modifiers: int) -> Any:
    """A regression on what is held with coefficients of its own in every class."""
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    crossed = partial(_crossed, classes=classes, modifiers=modifiers)
    return make_pipeline(FunctionTransformer(crossed), LinearRegression(fit_intercept=False))


def _crossed(table: Floats, *, classes: int, modifiers: int) -> Floats:
    """Columns of what is held times the column of each class."""
    ones, held = table[:, :classes], table[:, modifiers:]
    return np.asarray((ones[:, :, None] * held[:, None, :]).reshape(len(table), -1))


def _unseen(
    found: Residuals,
    x: Floats,
    groups: Integers,
    *,
    trees: int,
    min_leaf: int,
    folds: int,
    seed: int,
) -> Floats:
    """Effect of each month (n) by forests on the residuals of the other folds."""
    from econml.grf import CausalForest  # heavy
    from sklearn.model_selection import GroupKFold

    out = np.zeros(len(x))
    for train, test in GroupKFold(min(folds, len(np.unique(groups)))).split(x, groups=groups):
        grown = CausalForest(
            n_estimators=trees,
            min_samples_leaf=min_leaf,
            inference=False,
            random_state=seed,
            n_jobs=1,
        )
        grown.fit(x[train], found.treatment[train, None], found.outcome[train])
        out[test] = grown.predict(x[test]).ravel()
    return out


def _gain(found: Residuals, unseen: Floats) -> float:
    """R-learner score (Nie and Wager 2021; Schuler et al. 2018)."""
    constant = (found.treatment * found.outcome).sum() / (found.treatment**2).sum()
    losses = [((found.outcome - tau * found.treatment) ** 2).mean() for tau in (unseen, constant)]
    return float((losses[1] - losses[0]) / losses[1])


def _calibration(found: Residuals, unseen: Floats, data: Sample) -> Estimate:
    mean = float(np.average(unseen, weights=found.treatment**2))
    columns = np.stack([np.ones_like(unseen), unseen - mean], axis=1)
    return projection(found, columns, np.array([[0.0, 1.0]]), data.cluster, data.month)[0]


def _quarters(found: Residuals, unseen: Floats, data: Sample) -> tuple[Estimate, ...]:
    quarter = np.digitize(unseen, np.quantile(unseen, [0.25, 0.5, 0.75]))
    return tuple(projection(found, np.eye(4)[quarter], np.eye(4), data.cluster, data.month))

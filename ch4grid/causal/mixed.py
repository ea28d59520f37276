"""Mixed models with independent random slopes, fitted by restricted maximum likelihood from sums over the groups.

In go a design whose first columns also vary at random between groups, out come coefficients with their covariance and
what every group adds to the normal equations. Leaving a group out then costs one solve, where a fit by statsmodels'
MixedLM takes seconds; both give the same numbers (a test compares them).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Standard deviation of a random slope in residual standard deviations per unit of its column: bounds and first guess.
SPREADS = (1e-4, 30.0)
FIRST_SPREAD = 0.2


@dataclass(frozen=True, eq=False)
class Mixed:
    """A fitted model y = X beta + Z r + e, r independent between slopes and groups.

    Args:
        coefficient: Fixed effects (column).
        covariance: Their covariance (column, column).
        spread: Standard deviation of each random slope, in units of the residual one (slope).
        scale: Variance of the residuals.
        deviance: -2 log restricted likelihood up to a constant.
        gram: X' W^-1 X of every group (group, column, column), W its covariance in units of `scale`.
        moment: X' W^-1 y of every group (group, column).
    """

    coefficient: Floats
    covariance: Floats
    spread: Floats
    scale: float
    deviance: float
    gram: Floats
    moment: Floats

    def without(self, group: int) -> tuple[Floats, Floats]:
        """Coefficients and covariance with one group left out, the variances kept."""
        gram = self.gram.sum(axis=0) - self.gram[group]
        inverse = np.linalg.pinv(gram, hermitian=True)
        return inverse @ (self.moment.sum(axis=0) - self.moment[group]), self.scale * inverse


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over the rows of every group: X'X (group, column, column), X'y (group, column), y'y and rows (group)."""

    gram: Floats
    moment: Floats
    square: Floats
    rows: Floats


def mixed(
    design: Floats, target: Floats, group: NDArray[np.intp], *, slopes: int, lost: int = 0
) -> Mixed:
    """The model of `target` on `design`, whose first `slopes` columns also have a random slope in every group.

    With variance ratios D the covariance of a group is W = I + Z D Z', and by Woodbury's identity all of the restricted
    likelihood (Laird and Ware 1982) follows from the sums X'X, X'y and y'y of the group.

    Args:
        design: Regressors (row, column).
        target: Values (row).
        group: Number of the group of every row, from 0 without gaps (row).
        slopes: Number of leading columns with random slopes.
        lost: Degrees of freedom that were used before, as by centring.
    """
    from scipy.optimize import minimize

    sums = _sums(design, target, group)

    def deviance(log: Floats) -> float:
        return _solved(sums, np.exp(log), lost).deviance

    first = np.full(slopes, np.log(FIRST_SPREAD), dtype=np.float64)
    bounds = [(float(np.log(SPREADS[0])), float(np.log(SPREADS[1])))] * slopes
    result = minimize(deviance, first, method="L-BFGS-B", bounds=bounds)
    return _solved(sums, np.exp(np.asarray(result.x, dtype=np.float64)), lost)


def _sums(design: Floats, target: Floats, group: NDArray[np.intp]) -> Sums:
    groups = int(group.max()) + 1
    members = [np.flatnonzero(group == g) for g in range(groups)]
    return Sums(
        gram=np.stack([design[rows].T @ design[rows] for rows in members]),
        moment=np.stack([design[rows].T @ target[rows] for rows in members]),
        square=np.array([float(target[rows] @ target[rows]) for rows in members]),
        rows=np.array([float(len(rows)) for rows in members]),
    )


def _solved(sums: Sums, spread: Floats, lost: int) -> Mixed:
    """The model at given standard deviations of the random slopes, the residual variance profiled out."""
    slopes, columns = len(spread), sums.gram.shape[1]
    inner, within = _inner(sums, spread)
    cross = sums.gram[:, :, :slopes]
    part = cross @ within
    gram = sums.gram - part @ np.swapaxes(cross, 1, 2)
    moment = sums.moment - np.einsum("gij,gj->gi", part, sums.moment[:, :slopes])
    removed = np.einsum("gi,gij,gj->g", sums.moment[:, :slopes], within, sums.moment[:, :slopes])
    total = gram.sum(axis=0)
    inverse = np.linalg.pinv(total, hermitian=True)
    coefficient = inverse @ moment.sum(axis=0)
    left = float((sums.square - removed).sum() - coefficient @ moment.sum(axis=0))
    freedom = max(float(sums.rows.sum()) - columns - lost, 1.0)
    scale = max(left / freedom, np.finfo(np.float64).tiny)
    deviance = (
        freedom * np.log(scale)
        + float(np.linalg.slogdet(inner)[1].sum())
        + float(np.linalg.slogdet(total)[1])
    )
    return Mixed(coefficient, scale * inverse, spread, scale, deviance, gram, moment)


def _inner(sums: Sums, spread: Floats) -> tuple[Floats, Floats]:
    """I + D^1/2 Z'Z D^1/2 and D^1/2 (that)^-1 D^1/2 of every group (group, slope, slope)."""
    slopes = len(spread)
    inner = np.eye(slopes) + spread[:, None] * sums.gram[:, :slopes, :slopes] * spread
    return inner, spread[:, None] * np.linalg.inv(inner) * spread


def shared_error(
    model: Mixed, design: Floats, target: Floats, group: NDArray[np.intp], step: NDArray[np.intp]
) -> Floats:
    """What errors that groups have in common at a time step add to the covariance (column, column).

    Weather and whatever no driver explains reach across neighbouring sites, so that their errors are not independent.
    The covariance clustered by step (Cameron, Gelbach and Miller 2011) less that of independent rows is the excess; its
    negative directions are set to zero. Residuals are those about the predicted slopes of each group.
    """
    slopes, sums = len(model.spread), _sums(design, target, group)
    within = _inner(sums, model.spread)[1]
    short = sums.moment - sums.gram @ model.coefficient
    predicted = np.einsum("gij,gj->gi", within, short[:, :slopes])
    z = design[:, :slopes]
    left = target - design @ model.coefficient - np.einsum("ni,ni->n", z, predicted[group])
    pull = within @ sums.gram[:, :slopes, :]
    score = (design - np.einsum("ni,nij->nj", z, pull[group])) * left[:, None]
    steps = int(step.max()) + 1
    together = np.stack([np.bincount(step, column, minlength=steps) for column in score.T], axis=1)
    # weather is so alike at neighbouring sites that a step counts little more than one observation of all slopes
    used = len(np.unique(step))
    correction = used / max(used - 2 * slopes, 1)
    inverse = model.covariance / model.scale
    excess = inverse @ (together.T @ together * correction - score.T @ score) @ inverse
    # taken in units of the model's own standard errors, in which no direction is favoured by its units
    size = np.sqrt(np.diag(model.covariance))
    value, vector = np.linalg.eigh(excess / np.outer(size, size))
    return np.asarray((vector * np.maximum(value, 0.0)) @ vector.T * np.outer(size, size))

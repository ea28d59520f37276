"""Linear equations on tower rows, kept as sums per block of a cluster and a year, so that resampling costs nothing.

A block is what is drawn again: towers of one cluster share their weather, and months of one year their anomalies.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Regressors are ridged until their correlation matrix has no larger condition number than this.
LARGEST_CONDITION = 100.0


@dataclass(frozen=True, eq=False)
class Equation:
    """Sums of products of k regressors and one response over the rows of each of U blocks.

    Args:
        gram: Regressors by regressors (U, k, k).
        moment: Regressors by response (U, k).
        square: Response squared (U).
        count: Rows (U).
        sites: Sites with rows.
        freedom: Share of the degrees of freedom that cycles and trends removed before left over.
        memory: What removing cycles and trends took from `moment` where the response remembers itself (U, k).
    """

    gram: Floats
    moment: Floats
    square: Floats
    count: Floats
    sites: int
    freedom: float
    memory: Floats

    @property
    def rows(self) -> int:
        """Rows without a gap."""
        return int(self.count.sum())

    @property
    def blocks(self) -> int:
        """Blocks with rows."""
        return int((self.count > 0).sum())


@dataclass(frozen=True, eq=False)
class Solution:
    """Coefficients of one equation.

    Args:
        coefficient: Per regressor (k).
        covariance: Robust to what rows of one block share (k, k).
        explained: Share of the response's variance explained on the rows fitted [1].
        effective: Rows that independent ones would have to number for the same standard errors.
        ridge: Penalty added to the diagonal of the correlation matrix, 0 where the regressors are not collinear.
    """

    coefficient: Floats
    covariance: Floats
    explained: float
    effective: float
    ridge: float

    @property
    def error(self) -> Floats:
        """Standard errors (k)."""
        return np.sqrt(np.diag(self.covariance))


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of an equation in which nothing is missing, without each site's mean, trend and cycle.

    Args:
        x: Regressors (n, k).
        y: Response (n).
        site: Position of the site (n).
        time: Position of the month (n).
        removed: Parameters of the cycles and trends removed, over all sites.
    """

    x: Floats
    y: Floats
    site: NDArray[np.int64]
    time: NDArray[np.int64]
    removed: int


def rows(regressors: Sequence[Floats], response: Floats, design: Floats) -> Rows:
    """The rows of an equation.

    Cycle and trend are fitted on these very rows, so that the regression on them is the one that holds cycle and trend
    beside the regressors (Frisch and Waugh 1933). Sites with fewer rows than twice the cycle's parameters drop out.

    Args:
        regressors: Values (site, time) of each regressor.
        response: Values (site, time).
        design: Regressors of the cycle and trend (time, q).
    """
    stack = np.stack([*regressors, response], axis=-1)
    ok = np.asarray(np.isfinite(stack).all(axis=-1), dtype=np.bool_)
    ok[ok.sum(axis=1) < 2 * design.shape[1]] = False
    site, time = np.nonzero(ok)
    left = stack[ok]
    for s in np.unique(site):
        here = site == s
        cycle = design[time[here]]
        left[here] -= cycle @ np.linalg.lstsq(cycle, left[here], rcond=None)[0]
    removed = design.shape[1] * len(np.unique(site))
    return Rows(left[:, :-1], left[:, -1], site, time, removed)


def equation(rows: Rows, blocks: NDArray[np.int64], number: int) -> Equation:
    """The sums of an equation per block, `blocks` (site, time) being numbered from 0 to `number` - 1."""
    k, block = rows.x.shape[1], blocks[rows.site, rows.time]
    gram, moment = np.zeros((number, k, k)), np.zeros((number, k))
    np.add.at(gram, block, rows.x[:, :, None] * rows.x[:, None, :])
    np.add.at(moment, block, rows.x * rows.y[:, None])
    return Equation(
        gram=gram,
        moment=moment,
        square=np.bincount(block, rows.y**2, minlength=number).astype(np.float64),
        count=np.bincount(block, minlength=number).astype(np.float64),
        sites=len(np.unique(rows.site)),
        freedom=max(0.1, 1 - (rows.removed + k) / max(len(rows.y), 1)),
        memory=np.zeros_like(moment),
    )


def solve(equation: Equation) -> Solution:
    """Least squares with standard errors robust to blocks (Liang and Zeger 1986, Biometrika 73, 13)."""
    gram, moment = equation.gram.sum(axis=0), equation.moment.sum(axis=0)
    ridged, ridge = _ridged(gram)
    b = np.linalg.solve(ridged, moment + equation.memory.sum(axis=0))
    bread = np.linalg.inv(ridged)
    score = equation.moment + equation.memory - equation.gram @ b
    blocks = max(equation.blocks, 2)
    meat = score.T @ score * blocks / (blocks - 1) / equation.freedom
    covariance = bread @ meat @ bread
    left = equation.square.sum() - 2 * b @ moment + b @ gram @ b
    plain = np.diag(bread) * left / max(equation.rows, 1) / equation.freedom
    share = np.median(plain / np.maximum(np.diag(covariance), 1e-30)) if len(b) else 1.0
    return Solution(
        coefficient=b,
        covariance=covariance,
        explained=float(1 - left / equation.square.sum()),
        effective=float(equation.rows * equation.freedom * min(1.0, share)),
        ridge=float(ridge),
    )


def resolve(equation: Equation, counts: Floats) -> Floats:
    """Coefficients (draw, k) when block u counts `counts` (draw, U) times.

    Their scatter is widened by the degrees of freedom that cycles and trends took: what is left over by the rows is
    smaller than the noise by as much.
    """
    counts = _held(equation, counts)
    grams = np.tensordot(counts, equation.gram, axes=1)
    moments = counts @ (equation.moment + equation.memory)
    samples = np.linalg.solve(_ridged(grams)[0], moments[..., None])[..., 0]
    centre = solve(equation).coefficient
    return np.asarray(centre + (samples - centre) / np.sqrt(equation.freedom))


def _held(equation: Equation, counts: Floats) -> Floats:
    """The draws; one that holds no block of the equation, of which it says nothing, is drawn among its blocks alone."""
    there = np.flatnonzero(equation.count)
    empty = np.flatnonzero(counts[:, there].sum(axis=1) == 0)
    if not len(empty):
        return counts
    filled = counts.copy()
    filled[np.ix_(empty, there)] = draws(len(there), len(empty), seed=len(there))
    return filled


def draws(number: int, count: int, seed: int) -> Floats:
    """How often every block is drawn (draw, block), one bootstrap sample per row."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(number, np.full(number, 1 / number), size=count).astype(np.float64)


def _ridged(gram: Floats) -> tuple[Floats, Floats]:
    """Matrices (..., k, k) with the least diagonal added that bounds their condition numbers, and the shares added."""
    if not gram.shape[-1]:
        return gram, np.zeros(gram.shape[:-2])
    diagonal = np.maximum(np.diagonal(gram, axis1=-2, axis2=-1), 1e-12)
    scale = np.sqrt(diagonal)
    values = np.linalg.eigvalsh(gram / (scale[..., :, None] * scale[..., None, :]))
    least = (values[..., -1] - LARGEST_CONDITION * values[..., 0]) / (LARGEST_CONDITION - 1)
    ridge = np.maximum(0.0, least)
    return gram + (ridge[..., None] * diagonal)[..., None] * np.eye(gram.shape[-1]), ridge

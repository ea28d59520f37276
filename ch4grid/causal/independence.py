"""Partial correlation for tigramite, from one matrix of lagged moments: thousands of tests per second, any row weight.

tigramite's own ParCorr cuts its sample out of the data for every test. Here rows (site, time) are laid out once with
all lags as columns; a test then inverts a small block of a correlation matrix. Row weights make a bootstrap replicate
a new weighting of the same rows instead of a new data set. `test_independence.py` holds both to the same numbers.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

Floats = NDArray[np.float64]
Node = tuple[int, int]

GAPLESS = -1
# Correlating all columns of a sample costs about as much as so many single tests: measured on 40 towers of 48 months.
USES_BEFORE_ALL = 30


class LaggedRows:
    """Rows (site, time) with the columns (variable, lag 0 .. 2 max_lag), NaN replaced by zero and remembered.

    Args:
        values: Panel (site, time, variable), NaN where missing.
        max_lag: Longest lag tested; conditions reach back twice as far (tigramite's cut-off "2xtau_max").
        freedom: Share of the degrees of freedom left by preparation.
    """

    def __init__(self, values: Floats, *, max_lag: int, freedom: float = 1.0) -> None:
        sites, steps, variables = values.shape
        self.reach = 2 * max_lag
        self.freedom = freedom
        self.variables = int(variables)
        lags = range(self.reach + 1)
        kept = max(steps - self.reach, 0)
        stack = [values[:, self.reach - lag : self.reach - lag + kept] for lag in lags]
        table = np.stack(stack, axis=-1).reshape(sites * kept, variables * (self.reach + 1))
        # Every test has an effect at lag 0, so a row that lacks all of them can be in none.
        used = np.isfinite(table[:, :: self.reach + 1]).any(axis=1)
        self.table = np.nan_to_num(table[used])
        self.present = np.isfinite(table[used])
        self.site = np.repeat(np.arange(sites), kept)[used]
        self.time = np.tile(np.arange(kept), sites)[used]
        # Columns with the same gaps share one pattern.
        _, patterns = np.unique(self.present.T, axis=0, return_inverse=True)
        gapless = self.present.all(axis=0)
        self.pattern = np.where(gapless, GAPLESS, patterns.ravel())

    def column(self, node: Node) -> int:
        """Column of a node (variable, -lag)."""
        return node[0] * (self.reach + 1) - node[1]


class PartialCorrelation:
    """Conditional independence test in the form that `tigramite.pcmci.PCMCI` calls.

    Listwise deletion per test, two-sided t-test with the sum of weights as sample size. Over bootstrap replicates a
    statistic scatters about its full-sample value with the spread of one sample, so a link has a frequency of one half
    exactly where the full sample is significant at the level asked for.

    Args:
        rows: Lagged rows of the panel.
        weights: Weight of each row, e.g. bootstrap counts (row,).
    """

    measure = "weighted_par_corr"
    significance = "analytic"
    confidence: None = None
    two_sided = True

    def __init__(self, rows: LaggedRows, weights: Floats) -> None:
        self.rows = rows
        self.weights = weights
        self._samples: dict[frozenset[int], Sample] = {}
        self._results: dict[tuple[Node, Node, frozenset[Node]], tuple[float, float]] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> "PartialCorrelation":
        """Itself: PCMCI copies its test, and this one is never changed by a run."""
        return self

    def set_dataframe(self, dataframe: object) -> None:
        """Nothing: the rows are already laid out."""

    def get_confidence(self, *_: object, **__: object) -> None:
        """No confidence bounds."""

    def run_test(
        self,
        X: Sequence[Node],  # noqa: N803 - the names that tigramite passes
        Y: Sequence[Node],  # noqa: N803
        Z: Sequence[Node] | None = None,  # noqa: N803
        tau_max: int = 0,
        alpha_or_thres: float | None = None,
    ) -> tuple[float, ...]:
        """Partial correlation of two nodes given others, its p-value and, given a level, the decision."""
        given = frozenset(Z or ())
        key = (X[0], Y[0], given)
        if key not in self._results:
            self._results[key] = self._partial([X[0], Y[0], *sorted(given - {X[0], Y[0]})])
        value, p = self._results[key]
        return (value, p) if alpha_or_thres is None else (value, p, p <= alpha_or_thres)

    def _partial(self, nodes: list[Node]) -> tuple[float, float]:
        columns = np.array([self.rows.column(node) for node in nodes])
        gaps = frozenset(self.rows.pattern[columns].tolist())
        if gaps not in self._samples:
            self._samples[gaps] = Sample(self.rows, self.weights, gaps)
        sample = self._samples[gaps]
        block = sample.correlation(columns)
        freedom = sample.weight * self.rows.freedom - len(nodes)
        if freedom < 1 or not np.isfinite(block).all():
            return 0.0, 1.0
        return self.significance_of(_partial_correlation(block), freedom)

    def significance_of(self, value: float, freedom: float) -> tuple[float, float]:
        """A partial correlation and the p value of its two-sided t-test."""
        t = abs(value) * np.sqrt(freedom / max(1.0 - value * value, 1e-12))
        return value, float(2.0 * stdtr(freedom, -t))


class Sample:
    """The rows where all columns of some gap patterns are present, and the correlations of these columns.

    Args:
        rows: All rows.
        weights: Weight of each row.
        gaps: Patterns that must be present; columns without a gap always are.
    """

    def __init__(self, rows: LaggedRows, weights: Floats, gaps: frozenset[int]) -> None:
        self.table = rows.table
        self.columns = np.flatnonzero(np.isin(rows.pattern, [GAPLESS, *gaps]))
        needed = [int(np.flatnonzero(rows.pattern == gap)[0]) for gap in gaps]
        self.index = np.flatnonzero(rows.present[:, needed].all(axis=1) & (weights > 0))
        self.weights = weights[self.index]
        self.weight = float(self.weights.sum())
        self.uses = 0
        self.whole: Floats | None = None

    def correlation(self, columns: NDArray[np.intp]) -> Floats:
        """Correlation matrix of some columns (k, k), of all at once as soon as that has paid off."""
        self.uses += 1
        if self.uses < USES_BEFORE_ALL:
            return _correlation(self.table[np.ix_(self.index, columns)], self.weights)
        if self.whole is None:
            self.whole = _correlation(self.table[np.ix_(self.index, self.columns)], self.weights)
        at = np.searchsorted(self.columns, columns)
        return self.whole[np.ix_(at, at)]


def _partial_correlation(block: Floats) -> float:
    """Partial correlation of the first two variables of a correlation matrix given the others (k, k)."""
    schur = block[:2, :2]
    if len(block) > 2:
        # A tiny ridge keeps collinear conditions (a driver copied from another) solvable; they then explain once.
        inner = block[2:, 2:] + 1e-9 * np.eye(len(block) - 2)
        schur = schur - block[:2, 2:] @ np.linalg.solve(inner, block[2:, :2])
    spread = schur[0, 0] * schur[1, 1]
    # Nothing is left of a variable that its conditions explain to within rounding.
    if min(schur[0, 0], schur[1, 1]) < 1e-6:
        return 0.0
    return float(np.clip(schur[0, 1] / np.sqrt(spread), -1.0, 1.0))


def _correlation(table: Floats, weights: Floats) -> Floats:
    """Weighted correlation matrix of columns; NaN for a column without variance."""
    if not len(table):
        return np.full((table.shape[1], table.shape[1]), np.nan)
    share = weights / weights.sum()
    centred = (table - share @ table) * np.sqrt(share)[:, None]
    covariance = centred.T @ centred
    spread = np.sqrt(np.diag(covariance))
    safe = np.where(spread > 0, spread, np.nan)
    return np.asarray(covariance / np.outer(safe, safe))

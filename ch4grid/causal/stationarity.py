"""Are the anomalies stationary? A unit root, a shift of level or a change of spread plants links that are none.

Every site and variable is looked at after preparation, so that a season or a linear trend is no reason. A verdict needs
both significance in one false-discovery family and a size that matters; a series is named with its figures.
"""

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from ch4grid.causal.preparation import Panel
from ch4grid.causal.prior import benjamini_hochberg
from ch4grid.causal.strength import persistence
from ch4grid.findings import Check

Floats = NDArray[np.float64]

PARTS = 4
# Steps below which a quarter of a record says nothing about its level or spread.
MIN_PART = 8
RATE = 0.01
# A level that moves by more than this between quarters [standard deviations], a spread that changes by more than this
# factor, and a p value of the unit root that stays above this.
MAX_SHIFT = 1.0
MAX_RATIO = 2.5
MAX_ROOT = 0.10
# A persistence below this is no unit root, however short the record.
MIN_PERSISTENCE = 0.8
# Share of series that may be named before discovery refuses [1].
MAX_SHARE = 0.05
NAMED = 5


class Unsteady(NamedTuple):
    """A series that is not stationary: site, variable, what it does and by how much."""

    site: str
    variable: str
    what: str
    figure: float


class Stationarity(NamedTuple):
    """Series that were named, and how many were looked at."""

    unsteady: tuple[Unsteady, ...]
    looked_at: int

    @property
    def share(self) -> float:
        """Share of the series that are not stationary [1]."""
        names = {(u.site, u.variable) for u in self.unsteady}
        return len(names) / self.looked_at if self.looked_at else 0.0

    @property
    def told(self) -> str:
        """Which series, in words."""
        named = [f"{u.variable} at {u.site} {u.what} {u.figure:.2f}" for u in self.unsteady[:NAMED]]
        more = len(self.unsteady) - len(named)
        return "; ".join([*named, *([f"{more} more"] if more > 0 else [])]) or "none"


def stationarity(panel: Panel) -> Stationarity:
    """Series of a panel whose level or spread differs between the quarters of their record, or that never return.

    Level: sum over quarters of n_eff mean^2 against chi2 with two degrees of freedom less than quarters, one for the
    mean and one for the trend that preparation took out. Spread: the same of the logarithm of the variance, whose own
    variance is (kurtosis - 1) / n_eff. Return: the augmented Dickey-Fuller test with one lag, statsmodels, on very
    persistent records alone.
    """
    rows = []
    for i, site in enumerate(panel.sites):
        for j, variable in enumerate(panel.variables):
            column = panel.values[i, :, j]
            if np.isfinite(column).sum() >= PARTS * MIN_PART:
                rows.append((site, variable, column))
    if not rows:
        return Stationarity((), 0)
    shifts = np.array([_shift(column) for *_, column in rows])
    spreads = np.array([_spread(column) for *_, column in rows])
    q = benjamini_hochberg(np.stack([shifts[:, 1], spreads[:, 1]]))
    found = []
    for at, (site, variable, column) in enumerate(rows):
        if q[0, at] < RATE and shifts[at, 0] > MAX_SHIFT:
            found.append(Unsteady(site, variable, "shifts its level by sd", shifts[at, 0]))
        if q[1, at] < RATE and spreads[at, 0] > MAX_RATIO:
            found.append(Unsteady(site, variable, "changes its spread by factor", spreads[at, 0]))
        if _unit_root(column):
            root = persistence(column[None])
            found.append(Unsteady(site, variable, "never returns, persistence", root))
    return Stationarity(tuple(found), len(rows))


def check_stationarity(found: Stationarity) -> Check:
    """Whether few enough series are unsteady for their links to be read."""
    return Check(
        "stationarity",
        found.share <= MAX_SHARE,
        f"expected at most {MAX_SHARE:.0%} of {found.looked_at} series with a shift, a change of spread or a unit root;"
        f" found {found.share:.1%}: {found.told}",
    )


def _quarters(column: Floats) -> list[Floats]:
    """The measured values of a record in quarters of equal number."""
    return np.array_split(column[np.isfinite(column)], PARTS)


def _shift(column: Floats) -> tuple[float, float]:
    """Largest difference of quarter means [sd] and p value of all being equal."""
    quarters = _quarters(column)
    means = np.array([part.mean() for part in quarters])
    # Memory within quarters: a shift between them would pass for memory. A short mean hides some of it (Kendall 1954).
    apart = column.copy()
    apart[np.isfinite(column)] -= np.repeat(means, [len(part) for part in quarters])
    r = persistence(apart[None])
    r = float(np.clip(r + (1 + 3 * r) / len(quarters[0]), 0.0, 0.95))
    sizes = np.array([len(part) for part in quarters]) * (1 - r) / (1 + r)
    variance = float(np.nanvar(apart))
    statistic = float((sizes * (means - np.average(means, weights=sizes)) ** 2).sum()) / variance
    return float(np.ptp(means) / np.nanstd(column)), float(chdtrc(PARTS - 2, statistic))


def _spread(column: Floats) -> tuple[float, float]:
    """Largest ratio of quarter standard deviations and p value of all being equal."""
    square = max(persistence(column[None]), 0.0) ** 2
    quarters = _quarters(column)
    measured = column[np.isfinite(column)]
    centred = measured - measured.mean()
    kurtosis = max(float((centred**4).mean() / (centred**2).mean() ** 2), 1.5)
    logs = np.log(np.maximum([part.var(ddof=1) for part in quarters], 1e-12))
    sizes = np.array([len(part) for part in quarters]) * (1 - square) / (1 + square)
    weights = sizes / (kurtosis - 1)
    statistic = float((weights * (logs - np.average(logs, weights=weights)) ** 2).sum())
    return float(np.exp(np.ptp(logs) / 2)), float(chdtrc(PARTS - 1, statistic))


def _unit_root(column: Floats) -> bool:
    """Whether a record is so persistent that it cannot be told from a random walk."""
    from statsmodels.tsa.stattools import adfuller  # heavy

    if persistence(column[None]) < MIN_PERSISTENCE:
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        p = adfuller(column[np.isfinite(column)], maxlag=1, autolag=None)[1]
    return bool(p > MAX_ROOT)

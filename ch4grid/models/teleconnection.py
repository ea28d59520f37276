"""Teleconnections: training towers whose weather has lately moved with a point's, however far away they stand.

    d[t] = (x[t] - x[t - 12]) / s,   r[t] = sum d_v d_u / sqrt(sum d_v^2 sum d_u^2)

Sums run over all drivers and over the months from t - 59 to t that both have, so a month sees its own past only; fewer
than 24 such months make no edge, and neither does a calendar without overlap. Differences of a year remove the season
without a climatology, which would look ahead; their mean is near zero, hence no centring. Methods 3.5 names the
response to climate indices (ENSO, IOD, NAO) instead; those are not among the drivers. Fluxes are never looked at.
Products are made with twenty months before each year, too few for an edge: the option is for models that see whole
records.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid.models.windows import Windows

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]
Singles = NDArray[np.float32]

YEAR = 12
# Months that a correlation looks back, and how many of them both series must have.
WINDOW, FEWEST = 60, 24
# Correlations must lie above this to be an edge (methods 3.5).
LEAST = 0.3
# Rounding, so that the batch of a point cannot decide on a tie.
DIGITS = 6


@dataclass(frozen=True, eq=False)
class Distant:
    """Edges that change from month to month.

    Args:
        tower: Index in the bank (S, T, K), 0 where there is no edge.
        present: Whether there is one (S, T, K).
        edge: Edge features (S, T, K, F), the correlation last.
        along: Correlation along the edges that do not change (S, T, K'), 0 where it is unknown.
    """

    tower: Integers
    present: Mask
    edge: Singles
    along: Singles

    def at(self, index: NDArray[np.intp]) -> "Distant":
        """The edges of the points of an index."""
        return Distant(self.tower[index], self.present[index], self.edge[index], self.along[index])

    def cut(self, windows: Windows) -> "Distant":
        """The edges of the rows of windows."""
        return Distant(
            windows.cut(self.tower, 0),
            windows.cut(self.present, False),
            windows.cut(self.edge, 0.0),
            windows.cut(self.along, 0.0),
        )

    def last(self, months: int) -> "Distant":
        """The edges of the last months."""
        kept = slice(self.tower.shape[1] - months, None)
        return Distant(
            self.tower[:, kept], self.present[:, kept], self.edge[:, kept], self.along[:, kept]
        )


def absolute_months(points: xr.Dataset) -> Integers:
    """Months since the year zero (T)."""
    time = pd.DatetimeIndex(points["time"].values)
    return np.asarray(time.year * YEAR + time.month - 1, dtype=np.int64)


def seasonal_differences(dynamic: Singles, spread: Floats) -> Floats:
    """Change of each driver within a year (S, T, P) in units of its spread, NaN where either month is missing."""
    out = np.full(dynamic.shape, np.nan)
    out[:, YEAR:] = (dynamic[:, YEAR:].astype(np.float64) - dynamic[:, :-YEAR]) / spread
    return out


def placed(differences: Floats, calendar: Integers, wanted: Integers) -> Floats:
    """Differences (U, T, P) of a calendar (months) on another one, NaN where that lies outside the first."""
    at = np.searchsorted(calendar, wanted)
    safe = np.minimum(at, len(calendar) - 1)
    known = calendar[safe] == wanted
    return np.where(known[:, None], differences[:, safe], np.nan)


def correlations(points: Floats, bank: Floats) -> Floats:
    """Trailing correlation (S, U, T) of differences of points (S, T, P) and bank towers (U, T, P), 0 where unknown."""
    there, bank_there = np.isfinite(points), np.isfinite(bank)
    here, bank_here = np.where(there, points, 0.0), np.where(bank_there, bank, 0.0)
    common = _paired(there.astype(np.float64), bank_there.astype(np.float64))
    together = _trailing(_paired(here, bank_here))
    own = _trailing(_paired(here**2, bank_there.astype(np.float64)))
    other = _trailing(_paired(there.astype(np.float64), bank_here**2))
    enough = (_trailing((common > 0).astype(np.float64)) >= FEWEST) & (own > 0) & (other > 0)
    size = np.sqrt(np.where(enough, own * other, 1.0))
    return np.where(enough, together / size, 0.0).round(DIGITS)


def distant(
    correlation: Floats, edge: Singles, near: tuple[Integers, Mask], *, gone: Mask, count: int
) -> Distant:
    """The `count` towers of each month that correlate best, above 0.3, and the correlation along the edges there are.

    Args:
        correlation: Correlations (S, U, T).
        edge: Edge features of every pair (S, U, F - 1).
        near: Tower and presence (S, K') of the edges that do not change; none of these is chosen again.
        gone: Towers that may not be chosen (S, U).
        count: Edges of a point in a month.
    """
    tower, present = near
    taken = gone.copy()
    rows, slots = np.nonzero(present)
    taken[rows, tower[rows, slots]] = True
    by_month = correlation.transpose(0, 2, 1)
    key = np.where((by_month > LEAST) & ~taken[:, None], -by_month, np.inf)
    chosen = np.argsort(key, axis=2, kind="stable")[..., :count]
    found = np.isfinite(np.take_along_axis(key, chosen, axis=2))
    strength = np.take_along_axis(by_month, chosen, axis=2)
    place = edge[np.arange(len(edge))[:, None, None], chosen]
    along = np.take_along_axis(by_month, tower[:, None], axis=2) * present[:, None]
    return Distant(
        tower=np.where(found, chosen, 0),
        present=found,
        edge=np.concatenate([place, strength[..., None]], axis=-1).astype(np.float32),
        along=along.astype(np.float32),
    )


def _paired(points: Floats, bank: Floats) -> Floats:
    """Sums over drivers of products (S, U, T)."""
    return np.asarray(np.einsum("stp,utp->sut", points, bank))


def _trailing(values: Floats) -> Floats:
    """Sums over the last `WINDOW` months (S, U, T), the present one among them."""
    total = np.cumsum(values, axis=2)
    total[..., WINDOW:] -= total[..., :-WINDOW].copy()
    return total

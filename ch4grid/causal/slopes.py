"""Slopes of the flux on its drivers along the urban gradient, from a hierarchical model of centred rows.

Out come for every driver its slope in nature, the change of the slope per unit of urban fraction and their covariance,
each also with every site left out in turn.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ch4grid.causal.mixed import mixed, shared_error
from ch4grid.causal.rows import Rows

Floats = NDArray[np.float64]

# Autocorrelation of residuals that prewhitening takes out at most.
MAX_PERSISTENCE = 0.9


@dataclass(frozen=True, eq=False)
class Slopes:
    """Slopes of one group of sites, per unit of each driver.

    Args:
        drivers: Names of the drivers.
        nature: Slope at urban position 0 (driver).
        change: Change of the slope per unit of the position (driver).
        covariance: Of `nature` and `change` (driver, 2, 2).
        freedom: Degrees of freedom of the change, sites less two.
        persistence: Autocorrelation of the residuals at one step.
        steps: Number of rows.
        unexplained: Share of the variance of the rows that the fixed slopes leave over.
        omitted: `nature` and `change` and covariance with each site left out (site, driver, 2), (site, driver, 2, 2).
        roughness: Standard deviation of each driver's slope between sites (driver).
    """

    drivers: tuple[str, ...]
    nature: Floats
    change: Floats
    covariance: Floats
    freedom: int
    persistence: float
    steps: int
    unexplained: float
    omitted: tuple[Floats, Floats]
    roughness: Floats

    @property
    def effective(self) -> float:
        """Rows that independent months would need to say as much."""
        return self.steps * (1 - self.persistence) / (1 + self.persistence)


def slopes_of(rows: Rows) -> Slopes:
    """The hierarchical model of methods 3.14 fitted to rows.

    y = sum_k (b_k + d_k U + r_ks) x_k + e, r_ks independent normal slopes of the sites and e autoregressive of order
    one. The level of a site and the site means of the drivers (Mundlak) are orthogonal to columns that are centred per
    site: leaving them out changes neither b nor d. Errors are prewhitened: a first fit gives their autocorrelation,
    the second runs on differences that are independent (Cochrane and Orcutt 1949), exact across gaps, and divided by
    the residual spread of the site. With several classes every class has a slope of its own in nature, of which b is
    the mean, and the change d is shared.
    """
    spread = np.maximum(rows.values.std(axis=0), np.finfo(np.float64).tiny)
    design = _design(rows, spread)
    size, sites = len(rows.drivers), len(rows.urban)
    lost = rows.lost * sites
    first = mixed(design, rows.target, rows.site, slopes=size, lost=lost)
    left = rows.target - design @ first.coefficient
    persistence = _persistence(left, rows)
    scale = _site_scale(left, rows)
    together = np.column_stack([rows.target, design]) / scale[:, None]
    white = _prewhitened(together, rows, persistence)
    model = mixed(white[:, 1:], white[:, 0], rows.site, slopes=size, lost=lost)
    shared = shared_error(model, white[:, 1:], white[:, 0], rows.site, rows.step)
    kept = [model.without(site) for site in range(sites)]
    return Slopes(
        drivers=rows.drivers,
        nature=_natural(model.coefficient, spread)[..., 0],
        change=_natural(model.coefficient, spread)[..., 1],
        covariance=_pairs(model.covariance + shared, spread),
        freedom=sites - 2,
        persistence=persistence,
        steps=len(rows.target),
        unexplained=float(np.sum(left**2) / np.sum(rows.target**2)),
        omitted=(
            _natural(np.stack([c for c, _ in kept]), spread),
            np.stack([_pairs(v + shared, spread) for _, v in kept]),
        ),
        roughness=model.spread * np.sqrt(model.scale) / spread,
    )


def _design(rows: Rows, spread: Floats) -> Floats:
    """Columns: drivers, drivers times position, offsets of the classes' slopes (sum to zero), further regressors."""
    x = rows.values / spread
    columns = [x, x * rows.urban[rows.site, None]]
    classes = sorted(set(rows.ecosystem.tolist()))
    member = np.stack([rows.ecosystem == name for name in classes], axis=1).astype(np.float64)
    contrast = (member[:, :-1] - member[:, -1:])[rows.site]
    columns += [x * contrast[:, [k]] for k in range(contrast.shape[1])]
    if rows.extra.shape[1]:
        extra = rows.extra / np.maximum(rows.extra.std(axis=0), np.finfo(np.float64).tiny)
        columns += [extra * member[rows.site][:, [k]] for k in range(len(classes))]
    return np.concatenate(columns, axis=1)


def _persistence(left: Floats, rows: Rows) -> float:
    """Autocorrelation of residuals at one step, within sites."""
    next_one = (np.diff(rows.site) == 0) & (np.diff(rows.step) == 1)
    if not next_one.any():
        return 0.0
    product = float(np.mean(left[1:][next_one] * left[:-1][next_one]))
    return float(np.clip(product / np.mean(left**2), 0.0, MAX_PERSISTENCE))


def _site_scale(left: Floats, rows: Rows) -> Floats:
    """Residual standard deviation of the site of every row."""
    count = np.bincount(rows.site)
    return np.asarray(np.sqrt(np.bincount(rows.site, left**2) / count)[rows.site])


def _prewhitened(table: Floats, rows: Rows, persistence: float) -> Floats:
    """Rows less what the last measured row of the site foretells, divided by what is left of the spread.

    For an autoregressive error seen k steps apart the innovation has the variance 1 - rho^(2 k).
    """
    if persistence == 0.0:
        return table
    follows = np.flatnonzero(np.diff(rows.site) == 0) + 1
    memory = persistence ** (rows.step[follows] - rows.step[follows - 1])[:, None]
    out = table.copy()
    out[follows] = (table[follows] - memory * table[follows - 1]) / np.sqrt(1 - memory**2)
    return out


def _natural(coefficient: Floats, spread: Floats) -> Floats:
    """Slope in nature and its change (..., driver, 2) per unit of each driver."""
    size = len(spread)
    pair = np.stack([coefficient[..., :size], coefficient[..., size : 2 * size]], axis=-1)
    return np.asarray(pair / spread[:, None], dtype=np.float64)


def _pairs(covariance: Floats, spread: Floats) -> Floats:
    """Covariance (driver, 2, 2) of slope and change of each driver."""
    size = len(spread)
    index = np.stack([np.arange(size), np.arange(size) + size], axis=1)
    block = covariance[index[:, :, None], index[:, None, :]]
    return np.asarray(block / (spread**2)[:, None, None], dtype=np.float64)


def between(rows: Rows) -> Floats:
    """Slope of the site means of the flux on those of each driver (driver), all drivers, urban fraction and class held.

    The part of methods 3.14 that Mundlak (1978) adds: where it differs from the slope within sites, places differ by
    more than the driver. NaN with fewer than two sites per regressor.
    """
    size = len(rows.drivers)
    classes = sorted(set(rows.ecosystem.tolist()))
    member = np.stack([rows.ecosystem == name for name in classes], axis=1).astype(np.float64)
    design = np.column_stack([rows.means[:, :size], rows.urban, member])
    if len(rows.urban) < 2 * design.shape[1]:
        return np.full(size, np.nan)
    spread = np.maximum(design.std(axis=0), np.finfo(np.float64).tiny)
    spread[size + 1 :] = 1.0
    centred = design - np.where(np.arange(design.shape[1]) <= size, design.mean(axis=0), 0.0)
    solution = np.linalg.lstsq(centred / spread, rows.means[:, size], rcond=None)[0]
    return np.asarray(solution[:size] / spread[:size], dtype=np.float64)

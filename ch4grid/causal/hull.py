"""Where towers have been: whether a changed month is still one that the equations were fitted for."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ch4grid.causal.monthly import Towers
from ch4grid.structure import POOL, StructuralModel

Floats = NDArray[np.float64]

# Pairs of months whose mean distance is the unit of dissimilarity are drawn from this many.
PAIRED = 400
OUTLIER = 1.5


def outside(
    data: Towers, structure: StructuralModel, shifts: Floats, *, forced: Sequence[str]
) -> NDArray[np.bool_]:
    """Months (site, time) that a change takes out of what the towers of their class have seen.

    Either a changed driver, forced or a cause of the flux, leaves its observed range; or the causes of the flux
    together, each weighted by its effect, are farther from every month of another cluster than the outlier-free
    maximum of that distance among the towers (Meyer and Pebesma 2021, Methods Ecol. Evol. 12, 1620).

    Args:
        data: The towers.
        structure: The equations.
        shifts: Changes (site, time, driver) in transformed units.
        forced: Drivers that are changed on purpose.
    """
    out = np.zeros(shifts.shape[:2], dtype=bool)
    for name in np.unique(data.ecosystems):
        rows = np.flatnonzero(data.ecosystems == name)
        e = structure.index(str(name) if name in structure.ecosystems else POOL)
        weight = np.abs(structure.coefficient[e, -1].sum(axis=-1)) / structure.spread[e, :-1]
        watched = [n for i, n in enumerate(structure.drivers) if weight[i] > 0 or n in forced]
        for n in watched:
            out[rows] |= _beyond(data.values[n][rows], shifts[rows, :, structure.drivers.index(n)])
        causes = [
            i for i in np.flatnonzero(weight > 0).tolist() if _measured(data, structure, rows, i)
        ]
        if causes and len(np.unique(data.clusters[rows])) > 1:
            now = np.stack([data.values[structure.drivers[i]][rows] for i in causes], axis=-1)
            out[rows] |= _unlike(
                now * weight[causes],
                shifts[rows][..., causes] * weight[causes],
                data.clusters[rows],
            )
    return out


def _measured(data: Towers, structure: StructuralModel, rows: NDArray[np.intp], i: int) -> bool:
    return bool(np.isfinite(data.values[structure.drivers[i]][rows]).mean() >= 0.5)


def _beyond(values: Floats, shift: Floats) -> NDArray[np.bool_]:
    """Changed values outside the range of the values; an unchanged driver never is."""
    if not np.isfinite(values).any():
        return np.zeros(values.shape, dtype=bool)
    moved = values + shift
    low, high = np.nanmin(values), np.nanmax(values)
    return np.asarray((shift != 0) & ((moved < low) | (moved > high)))


def _unlike(now: Floats, shift: Floats, clusters: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Changed months (site, time) farther from other clusters than towers are among each other."""
    known = np.asarray(np.isfinite(now).all(axis=-1), dtype=np.bool_)
    if not known.any():
        return np.zeros(known.shape, dtype=bool)
    points, cluster = now[known], np.broadcast_to(clusters[:, None], known.shape)[known]
    sample = points[:: max(1, len(points) // PAIRED)]
    unit = np.linalg.norm(sample[:, None] - sample[None], axis=-1).mean()
    inside = _nearest(points, points, cluster) / max(unit, 1e-12)
    quarter, three = np.quantile(inside, [0.25, 0.75])
    limit = inside[inside <= three + OUTLIER * (three - quarter)].max()
    moved = _nearest(points + shift[known], points, cluster) / max(unit, 1e-12)
    out = np.zeros(known.shape, dtype=bool)
    out[known] = (moved > limit) & (moved > inside)
    return out


def _nearest(points: Floats, others: Floats, cluster: NDArray[np.int64]) -> Floats:
    """Distance of every point to the nearest of the others that lies in another cluster."""
    from scipy.spatial import cKDTree  # slow to import

    out = np.empty(len(points))
    for c in np.unique(cluster):
        out[cluster == c] = cKDTree(others[cluster != c]).query(points[cluster == c])[0]
    return out

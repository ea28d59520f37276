"""The share of every grid cell's WGS84 area that lies inside rings, exact for edges straight in longitude and latitude.

Green's theorem makes the area inside a ring a sum over its edges: the area between an edge and the south pole counts
once, with the sign of the edge's direction. Edges are cut at the lines of the grid, so that a piece lies in one cell:
it counts with the area below it in its own cell and with whole cells further south in its column. What polygons leave
of a cell, their neighbours get to the last bit but rounding, so shares of polygons that tile the globe add up to one.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ch4grid.grid import Grid, zone_area

Float = NDArray[np.float64]
Integer = NDArray[np.int64]

# Nodes per piece of an edge of the integral of the authalic function: exact to 1e-14 in rows of 45 degrees.
NODES, WEIGHTS = np.polynomial.legendre.leggauss(12)

# A share nearer than this to none or all of a cell is that: rounding must not make a cell part of a region.
ROUNDING = 1e-9


def cell_shares(rings: Sequence[Float], grid: Grid) -> Float:
    """Signed share of every cell's area inside rings (latitude, longitude) [1]; a hole takes away.

    Args:
        rings: Closed rings (n, 2) of longitude [degrees_east], any multiple of the circle, and latitude
            [degrees_north]; counterclockwise ones count positive, clockwise ones negative.
        grid: The grid.
    """
    rows, columns = grid.shape
    starts = np.concatenate([r[:-1] for r in rings])
    ends = np.concatenate([r[1:] for r in rings])
    origin = np.array([-180.0, -90.0])
    first, last = _pieces((starts - origin) / grid.resolution, (ends - origin) / grid.resolution)
    middle = np.floor((first + last) / 2).astype(np.int64)
    column, row = middle[:, 0] % columns, np.clip(middle[:, 1], 0, rows - 1)
    width = last[:, 0] - first[:, 0]
    cell = row * columns + column
    part = width * _below(row, first[:, 1], last[:, 1], grid)
    share, whole = (_summed(cell, values, grid) for values in (part, width))
    share[:-1] += np.cumsum(whole[::-1], axis=0)[::-1][1:]
    return _settled(-share)


def _summed(cell: Integer, values: Float, grid: Grid) -> Float:
    """Sums over the pieces in every cell (latitude, longitude)."""
    rows, columns = grid.shape
    total = np.bincount(cell, weights=values, minlength=rows * columns)
    return total.astype(np.float64).reshape(rows, columns)


def _settled(share: Float) -> Float:
    share = np.where(np.abs(share) < ROUNDING, 0.0, share)
    return np.where(np.abs(share - 1) < ROUNDING, 1.0, share)


def _pieces(start: Float, end: Float) -> tuple[Float, Float]:
    """Starts and ends of the pieces into which grid lines cut edges (n, 2), in cells from the south-west corner."""
    count = np.arange(len(start))
    owners, places, points = [count, count], [np.zeros(len(start)), np.ones(len(start))], []
    points += [start, end]
    for axis in (0, 1):
        owner, line = _lines(start[:, axis], end[:, axis])
        step = end[owner] - start[owner]
        place = (line - start[owner, axis]) / step[:, axis]
        point = start[owner] + place[:, None] * step
        point[:, axis] = line
        owners, places, points = [*owners, owner], [*places, place], [*points, point]
    owner, place, point = np.concatenate(owners), np.concatenate(places), np.concatenate(points)
    order = np.lexsort((place, owner))
    same = owner[order][1:] == owner[order][:-1]
    return point[order][:-1][same], point[order][1:][same]


def _lines(start: Float, end: Float) -> tuple[Integer, Integer]:
    """Whole numbers strictly between start and end of edges (n): the edge of each, and the number."""
    low, high = np.minimum(start, end), np.maximum(start, end)
    first = np.floor(low).astype(np.int64) + 1
    count = np.maximum(np.ceil(high).astype(np.int64) - first, 0)
    owner = np.repeat(np.arange(len(start)), count)
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return owner, first[owner] + within


def _below(row: Integer, start: Float, end: Float, grid: Grid) -> Float:
    """Mean share of a row's area south of pieces that run from one latitude to another, in cells from the pole."""
    places = start[:, None] + (end - start)[:, None] * (NODES + 1) / 2
    latitude = np.clip(places * grid.resolution - 90.0, -90.0, 90.0)
    south = np.repeat(grid.latitude_bounds[row, :1], len(NODES), axis=1)
    part = zone_area(np.stack([south.ravel(), latitude.ravel()], axis=1)).reshape(latitude.shape)
    mean: Float = part @ (WEIGHTS / 2) / zone_area(grid.latitude_bounds)[row]
    return mean

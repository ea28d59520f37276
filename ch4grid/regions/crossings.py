"""Where edges of polygons cross each other: what makes a polygon invalid."""

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

# Sine of the angle under which a corner counts as lying on an edge: borders that meet are no crossing.
ON_EDGE = 1e-12


def crossing(start: Float, end: Float) -> Float | None:
    """A point (longitude, latitude) in which two edges cross; None where edges meet at most at corners.

    Args:
        start: First corners of the edges (n, 2) [degrees].
        end: Second corners (n, 2) [degrees].
    """
    low, high = np.minimum(start, end), np.maximum(start, end)
    axis = int(np.argmax(np.ptp(low, axis=0)))
    order = np.argsort(low[:, axis], kind="stable")
    start, end, low, high = start[order], end[order], low[order], high[order]
    # edge i can only meet those of the next ones that begin before it ends
    open_edges, ahead = np.arange(len(start) - 1), 1
    while open_edges.size:
        other = open_edges + ahead
        near = low[other, axis] <= high[open_edges, axis]
        open_edges, other = open_edges[near], other[near]
        met = _cross(start[open_edges], end[open_edges], start[other], end[other])
        if met.any():
            k = int(np.argmax(met))
            i, j = open_edges[k], other[k]
            return _point(start[i], end[i], start[j], end[j])
        ahead += 1
        open_edges = open_edges[open_edges + ahead < len(start)]
    return None


def _cross(a: Float, b: Float, c: Float, d: Float) -> NDArray[np.bool_]:
    """Whether a-b and c-d (n, 2) cross strictly between their ends."""
    apart = _side(a, b, c) * _side(a, b, d) < 0
    return apart & (_side(c, d, a) * _side(c, d, b) < 0)


def _side(a: Float, b: Float, p: Float) -> Float:
    """Side of the line a-b on which p lies: 1, -1, or 0 on it."""
    along, to = b - a, p - a
    turn = along[:, 0] * to[:, 1] - along[:, 1] * to[:, 0]
    scale = np.hypot(*along.T) * np.hypot(*to.T)
    return np.where(np.abs(turn) <= ON_EDGE * scale, 0.0, np.sign(turn))


def _point(a: Float, b: Float, c: Float, d: Float) -> Float:
    """Where the lines a-b and c-d meet."""
    (ux, uy), (vx, vy), (wx, wy) = b - a, d - c, c - a
    place: Float = a + (wx * vy - wy * vx) / (ux * vy - uy * vx) * (b - a)
    return place

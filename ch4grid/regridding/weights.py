"""Weights of separable regridding: what every source row and column gives to every target row and column.

Cells of a latitude-longitude grid are boxes in (sin latitude, longitude), so the weights of two such grids are the
outer product of two one-dimensional tables, exact and made in milliseconds. Every table is checked when it is made: no
target is covered more than once, and what the targets receive is what the sources hold.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ch4grid.errors import InputError
from ch4grid.regridding.cells import Cells, authalic_sine, sine

Float = NDArray[np.float64]
Index = NDArray[np.int64]
Figure = Literal["sphere", "wgs84"]
FIGURES: dict[Figure, Callable[[Float], Float]] = {"sphere": sine, "wgs84": authalic_sine}

# Largest departure from the laws of conservation that rounding explains [1].
TOLERANCE = 1e-12

# Positions closer than this share of a source step are one position.
SAME = 1e-9


@dataclass(frozen=True)
class Axis:
    """One-dimensional weights: a run of consecutive source cells for every target cell.

    Args:
        start: First source cell of the run (target).
        count: Cells of the run (target).
        weights: (target, tap) [1]; zero beyond the run.
        size: Number of source cells; a run continues behind the last with the first.
        pole: Source row whose mean stands for a pole, or -1 (target).
        pole_weight: Weight of that mean (target) [1].
    """

    start: Index
    count: Index
    weights: Float
    size: int
    pole: Index
    pole_weight: Float

    @cached_property
    def cover(self) -> Float:
        """Covered fraction of every target (target) [1]."""
        return np.asarray(self.weights.sum(axis=1) + self.pole_weight)

    @cached_property
    def matrix(self) -> sparse.csr_array:
        """The weights without pole terms (target, source)."""
        row, tap = np.nonzero(self.weights)
        column = (self.start[row] + tap) % self.size
        entries = (self.weights[row, tap], (row, column))
        return sparse.csr_array(
            sparse.coo_array(entries, shape=(self.start.size, self.size), dtype=np.float64)
        )

    @cached_property
    def stride(self) -> int:
        """Constant number of source cells from one target to the next, 0 where it is not constant."""
        steps = np.unique(np.diff(self.start) % self.size)
        return int(steps[0]) if steps.size == 1 and 0 < steps[0] < self.size // 2 else 0


@dataclass(frozen=True)
class Separable:
    """Weights along both axes; a weight of the field is their product."""

    rows: Axis
    columns: Axis

    @property
    def source_shape(self) -> tuple[int, int]:
        """Rows and columns of the source."""
        return self.rows.size, self.columns.size

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the target."""
        return self.rows.start.size, self.columns.start.size


def conservative_weights(source: Cells, target: Cells, figure: Figure = "sphere") -> Separable:
    """Exact overlaps of cells, as fractions of the target cell.

    Args:
        source: Cells of the data.
        target: Cells wanted.
        figure: `sphere` for areas by latitude, `wgs84` for areas on the ellipsoid (authalic latitude).

    Raises:
        InputError: Source cells overlap each other.
    """
    height = FIGURES[figure]
    near = source.tolerance
    south, north = _ascending(source.latitude_edges), _ascending(target.latitude_edges)
    pieces = _pieces(height(_snapped(south, north, near)), height(north))
    rows = _axis(pieces, source.latitude.size, target.latitude.size)
    _check(rows, np.diff(height(_snapped(south, north, near))), np.diff(height(north)), 0.0)
    west, east = _ascending(source.longitude_edges), _ascending(target.longitude_edges)
    # whole turns bring every longitude convention onto the target's part of the circle
    turned = [
        _pieces(_snapped(west + 360.0 * turn, east, near), east, source.longitude.size * turn)
        for turn in range(-4, 5)
    ]
    pieces = _Pieces(*(np.concatenate(parts) for parts in zip(*turned, strict=True)))
    columns = _axis(pieces, source.longitude.size, target.longitude.size)
    _check(columns, np.diff(west), np.diff(east), 2 * near)
    return Separable(
        _directed(rows, source.latitude_edges, target.latitude_edges),
        _directed(columns, source.longitude_edges, target.longitude_edges),
    )


def bilinear_weights(source: Cells, target: Cells, *, periodic: bool | None = None) -> Separable:
    """Weights of linear interpolation between centres along both axes.

    Beyond the last row of a source that reaches a pole, the mean of that row stands for the pole, as in ESMF with
    `periodic=True`; elsewhere a target beyond the last centre has no weight.

    Args:
        source: Cells of the data.
        target: Cells wanted.
        periodic: Whether the source goes round the globe; found from its extent if None.
    """
    closed = source.periodic if periodic is None else periodic
    latitude, longitude = _ascending(source.latitude), _ascending(source.longitude)
    rows = _brackets(latitude, target.latitude, source.closes_poles if closed else (False, False))
    offset = longitude[0] + np.mod(target.longitude - longitude[0], 360.0)
    if not closed:
        # a target a rounding error west of the first centre belongs to it
        offset = np.where(offset > longitude[0] + 360.0 - 1e-9, longitude[0], offset)
        columns = _brackets(longitude, offset, (False, False))
    else:
        ring = np.append(longitude, longitude[0] + 360.0)
        columns = _brackets(ring, offset, (False, False), longitude.size)
    return Separable(_directed(rows, source.latitude), _directed(columns, source.longitude))


def nearest_weights(source: Cells, target: Cells) -> Separable:
    """Weight 1 for the source cell that holds the target's centre, which is the nearest along both axes."""
    south, west = _ascending(source.latitude_edges), _ascending(source.longitude_edges)
    offset = west[0] + np.mod(target.longitude - west[0], 360.0)
    rows = _holding(south, target.latitude, source.latitude.size)
    columns = _holding(west, offset, source.longitude.size)
    return Separable(_directed(rows, source.latitude), _directed(columns, source.longitude))


class _Pieces(NamedTuple):
    """Parts of an axis that lie in one source and one target cell each: both indices and the share of the target."""

    target: Index
    source: Index
    share: Float


def _pieces(source: Float, target: Float, first: int = 0) -> _Pieces:
    """Pieces between ascending edges; `first` is the index of the first source cell."""
    cuts = np.unique(np.concatenate([source, target]))
    cuts = cuts[(cuts >= max(source[0], target[0])) & (cuts <= min(source[-1], target[-1]))]
    # by the lower cut, not the middle: pieces can be one rounding error long
    row = np.searchsorted(target, cuts[:-1], side="right") - 1
    column = np.searchsorted(source, cuts[:-1], side="right") - 1
    return _Pieces(row, column + first, np.diff(cuts) / np.diff(target)[row])


def _axis(pieces: _Pieces, size: int, targets: int) -> Axis:
    """Pieces as runs of source cells; source indices may go on beyond the last cell, round the circle."""
    first = np.full(targets, np.iinfo(np.int64).max)
    last = np.full(targets, np.iinfo(np.int64).min)
    np.minimum.at(first, pieces.target, pieces.source)
    np.maximum.at(last, pieces.target, pieces.source)
    empty = last < first
    first[empty] = last[empty] = 0
    count = last - first + 1
    weights = np.zeros((targets, int(count.max())))
    np.add.at(weights, (pieces.target, pieces.source - first[pieces.target]), pieces.share)
    return _plain(first % size, count, weights, size)


def _plain(start: Index, count: Index, weights: Float, size: int) -> Axis:
    none = np.full(start.size, -1)
    return Axis(start, count, weights, size, none, np.zeros(start.size))


def _check(axis: Axis, held: Float, wanted: Float, moved: float) -> None:
    """Refuse weights that cover a target twice, or lose or invent a part of a source; edges may have `moved`."""
    given = axis.matrix.T @ wanted
    whole = axis.cover.min() > 1.0 - 1e-9 and abs(wanted.sum() - held.sum()) < 1e-9 * wanted.sum()
    excess = np.abs(given - held) if whole else given - held
    if axis.cover.max() > 1.0 + 1e-9 or excess.max() > TOLERANCE * held.max() + moved:
        raise InputError(
            "the cells of the source overlap",
            where="latitude or longitude",
            expected="every target covered at most once and every source given away once",
            found=f"cover up to {axis.cover.max():.9g}, departure {excess.max():.3g}",
            fix="Check the coordinates for repeated or misplaced values",
        )


def _snapped(edges: Float, targets: Float, near: float) -> Float:
    """Ascending edges, moved onto target edges from which only rounding parts them."""
    place = np.clip(np.searchsorted(targets, edges), 1, targets.size - 1)
    low, high = targets[place - 1], targets[place]
    closest = np.where(edges - low < high - edges, low, high)
    return np.where(np.abs(edges - closest) < near, closest, edges)


def _brackets(
    centres: Float, points: Float, poles: tuple[bool, bool], size: int | None = None
) -> Axis:
    """Linear weights of ascending centres at points; those outside have none, or share a pole with the last row."""
    low = np.clip(np.searchsorted(centres, points, side="right") - 1, 0, centres.size - 2)
    part = (points - centres[low]) / (centres[low + 1] - centres[low])
    part = np.where(np.abs(part) < SAME, 0.0, part)
    at_next = np.abs(part - 1.0) < SAME
    low, part = low + at_next, np.where(at_next, 0.0, part)
    inside = (part >= 0.0) & (part < 1.0) & (points <= centres[-1] + SAME * 360.0)
    weights = np.where(inside[:, None], np.stack([1.0 - part, part], axis=1), 0.0)
    count = np.where(inside & (part > 0.0), 2, 1)
    axis = _plain(np.where(inside, low, 0), count, weights, size or centres.size)
    for closed, row, pole in ((poles[0], 0, -90.0), (poles[1], centres.size - 1, 90.0)):
        beyond = closed & ~inside & ((points < centres[0]) if pole < 0 else (points > centres[-1]))
        share = np.abs(points - centres[row])[beyond] / abs(pole - centres[row])
        axis.start[beyond], axis.weights[beyond, 0] = row, 1.0 - share
        axis.pole[beyond], axis.pole_weight[beyond] = row, share
    return axis if size is None else replace(axis, start=axis.start % size)


def _holding(edges: Float, points: Float, size: int) -> Axis:
    """Weight 1 for the cell between ascending edges that holds each point."""
    inside = (points >= edges[0] - SAME) & (points <= edges[-1] + SAME)
    cell = np.clip(np.searchsorted(edges, points, side="right") - 1, 0, size - 1)
    weights = inside[:, None].astype(np.float64)
    return _plain(cell, np.ones_like(cell), weights, size)


def _ascending(values: Float) -> Float:
    return values[::-1] if values[0] > values[-1] else values


def _directed(axis: Axis, source: Float, target: Float | None = None) -> Axis:
    """Weights made for ascending axes, for axes that run as `source` and `target` do."""
    if source[0] > source[-1]:
        taps = np.arange(axis.weights.shape[1])
        order = np.where(taps < axis.count[:, None], axis.count[:, None] - 1 - taps, taps)
        axis = replace(
            axis,
            start=(axis.size - axis.start - axis.count) % axis.size,
            weights=np.take_along_axis(axis.weights, order, axis=1),
            pole=np.where(axis.pole < 0, -1, axis.size - 1 - axis.pole),
        )
    if target is None or target[0] < target[-1]:
        return axis
    return Axis(
        axis.start[::-1],
        axis.count[::-1],
        axis.weights[::-1],
        axis.size,
        axis.pole[::-1],
        axis.pole_weight[::-1],
    )

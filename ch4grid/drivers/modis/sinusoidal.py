"""The sinusoidal grid of the MODIS land tiles, and exact area sums of its pixels over the cells of a product grid.

Rows of the grid are parallels and all pixels have one area, so a cell takes whole pixels from a row except at its two
meridians, which cut one pixel each. The share of a cut pixel counts, in every row and at any resolution; nothing but
the number of cells makes a coarse target cheaper.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ch4grid.errors import InputError
from ch4grid.grid import Grid

# Radius of the sphere of the MODIS land grid [m], and how far another statement of it may lie from it.
RADIUS = 6371007.181
RADIUS_TOLERANCE = 1.0

Float = NDArray[np.float64]
Pixels = NDArray[np.float32]


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels on the sinusoidal grid, a tile or a part of one.

    Args:
        left: Western edge [m].
        top: Northern edge [m].
        width: Width of a pixel [m].
        height: Height of a pixel [m].
        shape: Rows and columns.
        radius: Radius of the sphere [m].

    Raises:
        InputError: Another sphere, or pixels without an area.
    """

    left: float
    top: float
    width: float
    height: float
    shape: tuple[int, int]
    radius: float = RADIUS

    def __post_init__(self) -> None:
        if abs(self.radius - RADIUS) > RADIUS_TOLERANCE or min(self.width, self.height) <= 0:
            raise InputError(
                "the georeference is not that of the MODIS land grid",
                where="sinusoidal grid",
                expected=f"a sphere of radius {RADIUS} m, rows from the north, columns from the west",
                found=f"radius {self.radius} m, pixels of {self.width:g} by {self.height:g} m",
            )

    def same_as(self, other: "Window") -> bool:
        """Whether both cover the same pixels, to a hundredth of a pixel."""
        return self.shape == other.shape and all(
            abs(a - b) < 0.01 * self.width
            for a, b in (
                (self.left, other.left),
                (self.top, other.top),
                (self.width * self.shape[1], other.width * other.shape[1]),
                (self.height * self.shape[0], other.height * other.shape[0]),
            )
        )

    def centres(self) -> tuple[Float, Float]:
        """Latitude and longitude (row, column) of the pixel centres [degrees]; beyond 180 off the globe."""
        rows, columns = self.shape
        latitude = (self.top - self.height * (np.arange(rows) + 0.5)) / self.radius
        x = self.left + self.width * (np.arange(columns) + 0.5)
        longitude = x[None, :] / (self.radius * np.cos(latitude)[:, None])
        return np.rad2deg(np.repeat(latitude[:, None], columns, axis=1)), np.rad2deg(longitude)


class Cells(NamedTuple):
    """Running sums over pixels per cell (latitude, longitude): value times area [m2], and area [m2]."""

    total: Float
    area: Float

    @classmethod
    def empty(cls, grid: Grid) -> "Cells":
        """Sums of nothing."""
        return cls(np.zeros(grid.shape), np.zeros(grid.shape))


class Days(NamedTuple):
    """Running sums over time per pixel of a window (row, column): value times days, and days."""

    total: Pixels
    span: Pixels

    @classmethod
    def empty(cls, shape: tuple[int, int]) -> "Days":
        """Sums of nothing."""
        return cls(np.zeros(shape, np.float32), np.zeros(shape, np.float32))


@dataclass(frozen=True)
class Packing:
    """How stored numbers become values: (stored - offset) times factor, where they lie in the range and are no fill."""

    factor: float
    offset: float
    low: float
    high: float
    fill: float


def add_pixels(
    days: Days,
    stored: NDArray[Any],
    good: NDArray[np.bool_] | None,
    packing: Packing,
    weight: float,
) -> None:
    """Add the valid pixels of a field (row, column) to sums over time, with a weight [days].

    Args:
        days: Sums, changed in place.
        stored: Numbers as stored.
        good: Pixels whose quality is accepted; None for all.
        packing: What the numbers mean.
        weight: Days that the field stands for.
    """
    from ch4grid.drivers.modis import pixels

    keep = np.ones((1, 1), np.bool_) if good is None else good
    pixels.add_pixels(
        days.total,
        days.span,
        stored,
        keep,
        (packing.factor, packing.offset, packing.low, packing.high, packing.fill),
        float(weight),
    )


def add_cells(cells: Cells, days: Days, window: Window, grid: Grid) -> None:
    """Add the means over time of the pixels of a window to area sums per cell.

    Args:
        cells: Sums, changed in place.
        days: Sums over time; pixels without a day take no part.
        window: Where the pixels lie.
        grid: Where the cells lie.
    """
    from ch4grid.drivers.modis import pixels

    place = window.left, window.top, window.width, window.height, window.radius
    pixels.add_cells(cells.total, cells.area, days.total, days.span, place, grid.resolution)


def means(cells: Cells, grid: Grid, least: float) -> tuple[Pixels, Pixels]:
    """Area means (latitude, longitude), NaN below a valid fraction, and the valid fractions [1].

    The fraction is the valid area over the area of the cell on the sphere of the pixels, sea and gaps included.
    """
    bounds = np.sin(np.deg2rad(grid.latitude_bounds))
    zone = RADIUS**2 * np.deg2rad(grid.resolution) * (bounds[:, 1] - bounds[:, 0])
    fraction = np.minimum(cells.area / zone[:, None], 1.0)
    enough = (fraction >= least - 1e-6) & (cells.area > 0.0)
    mean = np.divide(cells.total, cells.area, out=np.full(grid.shape, np.nan), where=enough)
    return mean.astype(np.float32), fraction.astype(np.float32)


def class_fractions(
    classes: NDArray[np.uint8], groups: Mapping[str, tuple[int, ...]], window: Window, grid: Grid
) -> tuple[dict[str, Pixels], Pixels]:
    """Fractions of the classified area of each cell that fall to groups of classes, and the classified fraction.

    The groups' fractions sum to 1 wherever a pixel is classified, and are NaN elsewhere.

    Args:
        classes: Class codes (row, column); codes of no group are not classified.
        groups: Names and their codes.
        window: Where the pixels lie.
        grid: Where the cells lie.
    """
    known = np.zeros(256, np.float32)
    known[[code for codes in groups.values() for code in codes]] = 1.0
    span = known[classes]
    out: dict[str, Pixels] = {}
    fraction = np.zeros(grid.shape, np.float32)
    for name, codes in groups.items():
        member = np.zeros(256, np.float32)
        member[list(codes)] = 1.0
        cells = Cells.empty(grid)
        add_cells(cells, Days(member[classes], span), window, grid)
        out[name], fraction = means(cells, grid, 0.0)
    return out, fraction

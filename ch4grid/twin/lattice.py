"""`Lattice`: where the twin is looked at.

The planet is a set of smooth functions of latitude and longitude, so that the same seed is the same planet at every
resolution: cells, ERA5 nodes and MODIS pixels are three lattices of one Earth.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import erf

from ch4grid.grid import Grid

Float = NDArray[np.float64]

# Spacing of the random coefficients and standard deviation of the kernel that joins them [degrees]: two places 10
# degrees apart correlate with exp(-10^2 / (4 x 4^2)) = 0.2.
SPACING = 4.0
# Distance at which the kernel, by then 4e-6, ends [degrees].
REACH = 5 * SPACING
LAND_STEP = 0.25
LAND_SAMPLES = 25


class Bump(NamedTuple):
    """A Gaussian hill: centre [degrees], standard deviations in latitude and longitude [degrees], height."""

    latitude: float
    longitude: float
    latitude_width: float
    longitude_width: float
    height: float


@dataclass(frozen=True, eq=False)
class Lattice:
    """Rows and columns with their bounds; longitudes of any convention, rows in either direction.

    Args:
        latitude: Row centres (n) [degrees_north].
        longitude: Column centres (m) [degrees_east].
        half: Half the size of a cell [degrees].
    """

    latitude: Float
    longitude: Float
    half: float

    @classmethod
    def cells(cls, resolution: float) -> "Lattice":
        """The cells of a product grid, south to north, from -180 eastward."""
        grid = Grid(resolution)
        return cls(grid.latitude, grid.longitude, resolution / 2)

    @classmethod
    def nodes(cls, resolution: float) -> "Lattice":
        """The nodes of a reanalysis: poles included, north to south, 0 to 360."""
        rows, columns = Grid(resolution).shape
        latitude = np.linspace(90.0, -90.0, rows + 1, dtype=np.float64)
        return cls(latitude, np.arange(columns, dtype=np.float64) * resolution, resolution / 2)

    @classmethod
    def pixels(cls, resolution: float) -> "Lattice":
        """The pixels of a satellite product: north to south, from -180 eastward."""
        grid = Grid(resolution)
        return cls(grid.latitude[::-1], grid.longitude, resolution / 2)

    def take(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> "Lattice":
        """The lattice of some rows and columns: every field has the same values there."""
        return Lattice(self.latitude[rows], self.longitude[columns], self.half)

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and columns."""
        return len(self.latitude), len(self.longitude)

    @property
    def parallel(self) -> Float:
        """Latitudes as a column (n, 1) for broadcasting [degrees_north]."""
        return self.latitude[:, None]

    @cached_property
    def _kernel(self) -> tuple[Float, Float]:
        rows = np.arange(-90 + SPACING / 2, 90, SPACING)
        columns = np.arange(-180 + SPACING / 2, 180, SPACING)
        east = (self.longitude[:, None] - columns + 180) % 360 - 180
        return _gaussian(self.latitude[:, None] - rows), _gaussian(east)

    def spread(self, coefficients: NDArray[np.floating]) -> Float:
        """Random field (..., n, m) of unit variance from independent standard normal coefficients (..., i, j)."""
        rows, columns = self._kernel
        norms = np.sqrt((rows**2).sum(1)), np.sqrt((columns**2).sum(1))
        return _separable(rows / norms[0][:, None], columns / norms[1][:, None], coefficients)

    def smooth(self, coefficients: NDArray[np.floating]) -> Float:
        """Weighted mean (n, m) of coefficients (i, j): constants stay what they are."""
        rows, columns = self._kernel
        means = rows / rows.sum(1)[:, None], columns / columns.sum(1)[:, None]
        return _separable(*means, coefficients)

    def hills(self, bumps: Sequence[Bump]) -> Float:
        """Cell means (n, m) of a sum of Gaussian hills, exact, so that their volume is the same on every lattice."""
        table = np.asarray(bumps)
        north = self._integral(self.latitude[:, None] - table[:, 0], table[:, 2])
        turns = [
            self._integral(self.longitude[:, None] - table[:, 1] + turn, table[:, 3])
            for turn in (-360.0, 0.0, 360.0)
        ]
        field: Float = np.einsum("nk,mk->nm", north * table[:, 4], np.sum(turns, axis=0))
        return field

    def _integral(self, offset: Float, width: Float) -> Float:
        scale = width * np.sqrt(2)
        edges = erf((offset + self.half) / scale) - erf((offset - self.half) / scale)
        mean: Float = edges * width * np.sqrt(np.pi / 2) / (2 * self.half)
        return mean

    @cached_property
    def land(self) -> Float:
        """Land area fraction of the cells (n, m) [1]."""
        rows, columns = Grid(LAND_STEP).shape
        source = np.linspace(-90, 90, rows + 1), np.linspace(-180, 180, columns + 1)
        edges = (
            np.clip(np.stack([self.latitude - self.half, self.latitude + self.half]), -90, 90),
            np.stack([self.longitude - self.half, self.longitude + self.half]),
        )
        south = _overlap(np.sin(np.deg2rad(source[0])), np.sin(np.deg2rad(edges[0])))
        west = np.sum([_overlap(source[1], edges[1] + turn) for turn in (-360, 0, 360)], axis=0)
        return np.clip(_separable(south, west, _land()), 0.0, 1.0)


def _gaussian(offset: Float) -> Float:
    weights: Float = np.where(np.abs(offset) < REACH, np.exp(-0.5 * (offset / SPACING) ** 2), 0.0)
    return weights


def _separable(rows: Float, columns: Float, values: NDArray[np.floating]) -> Float:
    """Weighted sums (..., n, m) over rows (n, i) and columns (m, j) of values (..., i, j).

    By sparse products, whose order of summation is fixed: a dense product differs in its last bits with the number of
    threads, and files of one planet would differ with it.
    """
    stack = np.asarray(values, dtype=np.float64).reshape(-1, *values.shape[-2:])
    south, west = csr_array(rows), csr_array(columns)
    fields = [np.asarray((west @ (south @ field).T).T) for field in stack]
    return np.stack(fields).reshape(*values.shape[:-2], rows.shape[0], columns.shape[0])


def _overlap(source: Float, edges: Float) -> Float:
    """Share (target, source) of each target interval (2, target) that lies in each source interval."""
    low = np.maximum(edges[0][:, None], source[:-1])
    high = np.minimum(edges[1][:, None], source[1:])
    share: Float = np.clip(high - low, 0, None) / (edges[1] - edges[0])[:, None]
    return share


def _land() -> Float:
    """Land area fraction on the 0.25 degree grid (720, 1440) [1].

    Source: the GLOBE 1 km land mask of the package global-land-mask 1.0, sampled at 5 x 5 points per cell and kept here
    as counts, because that mask takes seconds and a gigabyte to open.
    """
    with np.load(Path(__file__).with_name("land.npz")) as file:
        fraction: Float = file["land"].astype(np.float64) / LAND_SAMPLES
    return fraction

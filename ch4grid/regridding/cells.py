"""`Cells`: the boxes of a latitude-longitude grid, in the order and longitude convention in which its data comes."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid.errors import InputError
from ch4grid.grid import WGS84_F, Grid

Float = NDArray[np.float64]
Data = TypeVar("Data", xr.DataArray, xr.Dataset)

# Edges nearer to each other than this are one edge [degrees]; float32 centres are known to a few 1e-5 degrees only.
SAME_EDGE = {np.dtype(np.float32): 1e-4}
SAME_EDGE_EXACT = 1e-10

# Largest gap at the seam of a source that still goes round the globe [share of a cell].
SEAM = 0.1


@dataclass(frozen=True)
class Cells:
    """Centres and edges of a rectilinear grid.

    Args:
        latitude: Centres (row) [degrees_north], either direction.
        longitude: Centres (column) [degrees_east], any convention.
        latitude_edges: Edges (row + 1) [degrees_north], within the poles.
        longitude_edges: Edges (column + 1) [degrees_east], unwrapped along the circle.
        tolerance: Distance under which an edge counts as equal to one of another grid [degrees].
    """

    latitude: Float
    longitude: Float
    latitude_edges: Float
    longitude_edges: Float
    tolerance: float = SAME_EDGE_EXACT

    @classmethod
    def from_centres(
        cls, latitude: NDArray[np.floating], longitude: NDArray[np.floating]
    ) -> "Cells":
        """Cells whose edges lie half way between their centres, so that pole points own half cells.

        Raises:
            InputError: A coordinate is not monotonic or out of range.
        """
        south, west = np.asarray(latitude, np.float64), np.asarray(longitude, np.float64)
        near = max(
            SAME_EDGE.get(np.asarray(axis).dtype, SAME_EDGE_EXACT) for axis in (latitude, longitude)
        )
        edges = latitude_edges(south), longitude_edges(west)
        return cls(south, np.unwrap(west, period=360.0), *edges, near)

    @classmethod
    def of(cls, data: xr.DataArray | xr.Dataset) -> "Cells":
        """Cells of data with one-dimensional coordinates `latitude` and `longitude`.

        Raises:
            InputError: A coordinate is not monotonic or out of range.
        """
        return cls.from_centres(data["latitude"].values, data["longitude"].values)

    @classmethod
    def of_grid(cls, grid: Grid) -> "Cells":
        """Cells of a product grid."""
        return cls(
            grid.latitude,
            grid.longitude,
            np.append(grid.latitude_bounds[:, 0], 90.0),
            np.append(grid.longitude_bounds[:, 0], 180.0),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.latitude.size, self.longitude.size

    @property
    def periodic(self) -> bool:
        """Whether the columns go round the globe."""
        extent = abs(self.longitude_edges[-1] - self.longitude_edges[0])
        return bool(abs(extent - 360.0) < SEAM * extent / self.longitude.size)

    @property
    def closes_poles(self) -> tuple[bool, bool]:
        """Whether the outermost cells reach the south pole and the north pole."""
        low, high = self.latitude_edges.min(), self.latitude_edges.max()
        return bool(low <= -90.0 + self.tolerance), bool(high >= 90.0 - self.tolerance)


def latitude_edges(centres: Float) -> Float:
    """Edges (n + 1) half way between cell centres (n) [degrees_north], clipped to the poles.

    Raises:
        InputError: The centres are not monotonic or lie beyond a pole.
    """
    if centres.size == 0 or np.abs(centres).max() > 90.0 + 1e-6:
        raise InputError(
            "latitude lies beyond a pole",
            where="latitude",
            expected="-90 to 90 degrees_north",
            found=f"{centres.min():g} to {centres.max():g}" if centres.size else "no values",
            fix="Check that latitude and longitude are not exchanged",
        )
    return np.clip(_midpoints(centres, "latitude"), -90.0, 90.0)


def longitude_edges(centres: Float) -> Float:
    """Edges (n + 1) half way between cell centres (n) [degrees_east], unwrapped along the circle.

    Raises:
        InputError: The centres are not monotonic along the circle.
    """
    return _midpoints(np.unwrap(centres, period=360.0), "longitude")


def _midpoints(centres: Float, axis: str) -> Float:
    steps = np.diff(centres)
    if centres.size < 2 or not ((steps > 0).all() or (steps < 0).all()):
        raise InputError(
            f"{axis} is not strictly monotonic",
            where=axis,
            expected="at least two centres in one direction",
            found=centres[:4].tolist(),
        )
    inner = centres[:-1] + steps / 2
    outer = (centres[0] - steps[0] / 2, centres[-1] + steps[-1] / 2)
    return np.concatenate([outer[:1], inner, outer[1:]])


def without_cyclic_column(data: Data) -> Data:
    """The data without a last column that repeats the first, as plotting programs like to add."""
    longitude = np.unwrap(np.asarray(data["longitude"].values, np.float64), period=360.0)
    repeats = longitude.size > 2 and abs(abs(longitude[-1] - longitude[0]) - 360.0) < 1e-6
    return data.isel(longitude=slice(None, -1)) if repeats else data


def sine(latitude: Float) -> Float:
    """Height on the unit sphere (n) [1], in which areas between parallels are equal."""
    return np.asarray(np.sin(np.deg2rad(latitude)))


def authalic_sine(latitude: Float) -> Float:
    """Sine of the authalic latitude (n) [1], in which areas between parallels of WGS84 are equal.

    Source: Snyder, Map Projections: A Working Manual (1987), eq. 3-11 and 3-12.
    """
    e = np.sqrt(WGS84_F * (2.0 - WGS84_F))

    def q(s: Float) -> Float:
        return np.asarray(s / (1.0 - (e * s) ** 2) + np.arctanh(e * s) / e)

    return np.asarray(q(sine(latitude)) / q(np.ones(1)))

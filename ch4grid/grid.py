"""`Grid`: the regular latitude-longitude grid of a product, its bounds and its exact WGS84 cell areas.

Latitude runs south to north and longitude from -180 eastward, here and nowhere else: every source is brought to this
order at the door.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid.errors import RecipeError

# WGS84 (EPSG:7030): semi-major axis [m] and flattening.
WGS84_A = 6378137.0
WGS84_F = 1.0 / 298.257223563

# Mean radius of the Earth [km] (IUGG).
EARTH_RADIUS_KM = 6371.0088

# One write region of the product: a multiple of the member chunk, so that one writer owns whole chunk objects.
TILE = 180

Float = NDArray[np.float64]


def zone_area(latitude_bounds: Float) -> Float:
    """Exact area of ellipsoidal zones between parallels, over the full circle of longitude [m2].

    Args:
        latitude_bounds: Edges (n, 2) [degrees_north], either direction.

    Source: Snyder, Map Projections: A Working Manual (1987), eq. 3-12 (authalic q).
    """
    e = np.sqrt(WGS84_F * (2.0 - WGS84_F))
    s = np.sin(np.deg2rad(latitude_bounds))
    q = (1.0 - e**2) * (s / (1.0 - (e * s) ** 2) + np.arctanh(e * s) / e)
    area: Float = np.pi * WGS84_A**2 * np.abs(q[:, 1] - q[:, 0])
    return area


def great_circle_km(
    latitude: Float, longitude: Float, to_latitude: Float, to_longitude: Float
) -> Float:
    """Great-circle distances [km] between points and other points [degrees], broadcast against each other."""
    a, b = np.deg2rad(latitude), np.deg2rad(to_latitude)
    half = np.deg2rad(np.subtract(to_longitude, longitude)) / 2
    haversine = np.sin((b - a) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin(half) ** 2
    return np.asarray(2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(haversine, 0.0, 1.0))))


@dataclass(frozen=True)
class Grid:
    """A global regular grid of square cells.

    Args:
        resolution: Cell size [degrees]; must divide 180.

    Raises:
        RecipeError: The resolution does not divide 180 degrees or is not positive.
    """

    resolution: float

    def __post_init__(self) -> None:
        rows = 180.0 / self.resolution if self.resolution > 0 else 0.0
        if rows < 1 or abs(rows - round(rows)) > 1e-9:
            raise RecipeError(
                "the grid does not close at the poles",
                where="grid.resolution",
                expected="a positive number of degrees that divides 180, such as 0.25, 0.5, 1, 2.5 or 4",
                found=self.resolution,
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and columns."""
        rows = round(180.0 / self.resolution)
        return rows, 2 * rows

    @cached_property
    def latitude_bounds(self) -> Float:
        """Cell edges (latitude, 2) [degrees_north], south edge first."""
        edges = np.linspace(-90.0, 90.0, self.shape[0] + 1)
        return np.stack([edges[:-1], edges[1:]], axis=1)

    @cached_property
    def longitude_bounds(self) -> Float:
        """Cell edges (longitude, 2) [degrees_east], west edge first."""
        edges = np.linspace(-180.0, 180.0, self.shape[1] + 1)
        return np.stack([edges[:-1], edges[1:]], axis=1)

    @property
    def latitude(self) -> Float:
        """Cell centres (latitude) [degrees_north], ascending."""
        return np.asarray(self.latitude_bounds.mean(axis=1))

    @property
    def longitude(self) -> Float:
        """Cell centres (longitude) [degrees_east], ascending from -180."""
        return np.asarray(self.longitude_bounds.mean(axis=1))

    @cached_property
    def cell_area(self) -> Float:
        """Exact WGS84 areas (latitude, longitude) [m2]."""
        rows, columns = self.shape
        return np.repeat(
            zone_area(self.latitude_bounds)[:, None] / columns, columns, axis=1
        ).reshape(rows, columns)

    @property
    def coords(self) -> dict[str, xr.DataArray]:
        """CF coordinates latitude and longitude."""
        attrs = {
            "latitude": {
                "units": "degrees_north",
                "standard_name": "latitude",
                "long_name": "latitude",
                "axis": "Y",
            },
            "longitude": {
                "units": "degrees_east",
                "standard_name": "longitude",
                "long_name": "longitude",
                "axis": "X",
            },
        }
        values = {"latitude": self.latitude, "longitude": self.longitude}
        return {
            n: xr.DataArray(values[n], dims=n, attrs=attrs[n] | {"bounds": f"{n}_bnds"})
            for n in values
        }

    def cell_of(
        self, latitude: Float, longitude: Float
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Row and column (n) of the cells that contain the points; longitudes of any convention."""
        rows, columns = self.shape
        row = np.clip(
            np.floor((np.asarray(latitude) + 90.0) / self.resolution).astype(np.int64), 0, rows - 1
        )
        west = np.mod(np.asarray(longitude) + 180.0, 360.0)
        column = np.clip(np.floor(west / self.resolution).astype(np.int64), 0, columns - 1)
        return row, column

    def tiles(self, size: int = TILE) -> list[tuple[slice, slice]]:
        """Row and column slices of the write regions, south to north, then west to east."""
        rows, columns = self.shape
        return [
            (slice(r, min(r + size, rows)), slice(c, min(c + size, columns)))
            for r in range(0, rows, size)
            for c in range(0, columns, size)
        ]

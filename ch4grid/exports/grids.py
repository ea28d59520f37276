"""The grids of GEOS-Chem: half cells at the poles, columns centred on the date line, areas on its sphere.

Source: GEOS-Chem, `HEMCO/src/Core/hco_geotools_mod.F90` and `Headers/physconstants.F90` (Re = 6.3710072e6 m); centres
as in the meteorological archives (4x5: -89, -86, ..., 86, 89 and -180, -175, ..., 175).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ch4grid.grid import zone_area
from ch4grid.regridding import Cells

Float = NDArray[np.float64]

# Radius of the Earth in GEOS-Chem [m].
RADIUS = 6.3710072e6


@dataclass(frozen=True)
class ModelGrid:
    """A global grid of GEOS-Chem.

    Args:
        name: Its name, latitude first.
        step: Cell size, latitude and longitude [degrees].
    """

    name: str
    step: tuple[float, float]

    @cached_property
    def latitude_edges(self) -> Float:
        """Edges (lat + 1) [degrees_north], ascending; the outermost cells are half as high."""
        rows = round(180.0 / self.step[0])
        inner = -90.0 + (np.arange(rows) + 0.5) * self.step[0]
        return np.concatenate([[-90.0], inner, [90.0]])

    @cached_property
    def longitude_edges(self) -> Float:
        """Edges (lon + 1) [degrees_east], ascending, the first half a cell west of -180."""
        columns = round(360.0 / self.step[1])
        return np.asarray(-180.0 + (np.arange(columns + 1) - 0.5) * self.step[1])

    @property
    def latitude(self) -> Float:
        """Centres (lat) [degrees_north]."""
        return np.asarray((self.latitude_edges[:-1] + self.latitude_edges[1:]) / 2)

    @property
    def longitude(self) -> Float:
        """Centres (lon) [degrees_east]."""
        return np.asarray((self.longitude_edges[:-1] + self.longitude_edges[1:]) / 2)

    @property
    def cells(self) -> Cells:
        """The cells, for regridding."""
        return Cells(self.latitude, self.longitude, self.latitude_edges, self.longitude_edges)

    @cached_property
    def area(self) -> Float:
        """Areas on the sphere of GEOS-Chem (lat, lon) [m2]."""
        height = np.diff(np.sin(np.deg2rad(self.latitude_edges)))
        width = np.deg2rad(np.diff(self.longitude_edges))
        return np.asarray(RADIUS**2 * height[:, None] * width[None, :])

    @cached_property
    def flattening(self) -> Float:
        """Area of a cell on WGS84 over that on the sphere (lat, 1) [1]."""
        edges = np.stack([self.latitude_edges[:-1], self.latitude_edges[1:]], axis=1)
        whole = zone_area(edges) / self.longitude.size
        return np.asarray((whole / self.area[:, 0])[:, None])


GRIDS: dict[str, ModelGrid] = {
    g.name: g
    for g in (
        ModelGrid("0.25x0.3125", (0.25, 0.3125)),
        ModelGrid("0.5x0.625", (0.5, 0.625)),
        ModelGrid("2x2.5", (2.0, 2.5)),
        ModelGrid("4x5", (4.0, 5.0)),
    )
}

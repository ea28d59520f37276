"""A set of regions as a recipe names it: a GeoJSON file and the property that tells its features apart."""

from pathlib import Path

import numpy as np
import xarray as xr
from pydantic import BaseModel, ConfigDict

from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.regions.geojson import features
from ch4grid.regions.shares import joined, named
from ch4grid.stores import Workspace


class RegionSet(BaseModel):
    """Regions of a GeoJSON file: countries, basins, a RECCAP set.

    Args:
        path: The file, relative to the data folder.
        name: Property whose value names the region of a feature; features of one name make one region, and features
            without one belong to none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    path: str
    name: str

    def file(self, workspace: Workspace) -> Path:
        """The file.

        Raises:
            InputError: It is not there.
        """
        path = workspace.resolve(self.path)
        if not path.is_file():
            raise InputError(
                "the file of the regions is missing", where="regions", expected=path, found="none"
            )
        return path

    def names(self, workspace: Workspace) -> list[str]:
        """Names of the regions, in the order of the file.

        Raises:
            InputError: The file is missing or not GeoJSON, or no feature has the property.
        """
        path = self.file(workspace)
        return list(named(features(path), self.name, path))

    def shares(self, workspace: Workspace, grid: Grid) -> xr.DataArray:
        """Share of every cell's area in each region (region, latitude, longitude) [1].

        Raises:
            InputError: The file is missing or a geometry is invalid.
        """
        path = self.file(workspace)
        by_name = named(features(path), self.name, path)
        values = np.empty((len(by_name), *grid.shape))
        for k, (name, parts) in enumerate(by_name.items()):
            values[k] = joined(parts, grid, f"{path}, {name}")
        return xr.DataArray(
            values,
            dims=("region", "latitude", "longitude"),
            coords={"region": list(by_name), **grid.coords},
        )

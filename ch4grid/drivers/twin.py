"""Drivers of the twin: its files are written where absent, then read by the readers of the archives they imitate."""

from pathlib import Path
from typing import Literal

import xarray as xr
from pydantic import BaseModel, ConfigDict, Field, field_validator

from ch4grid import twin as planet
from ch4grid.drivers.era5 import ERA5
from ch4grid.drivers.gridded import Gridded, Native
from ch4grid.drivers.modis import MODIS
from ch4grid.grid import Grid
from ch4grid.regridding import conservative
from ch4grid.stores import Workspace
from ch4grid.twin import Twin
from ch4grid.vocabulary import AREA_LAYERS

ERA5_VARIABLES = ("tas", "vpd", "pr", "ps", "sfcWind", "rsds", "tsl", "mrsos")
MODIS_VARIABLES = ("evi", "lst_day", "lst_night")
STATICS = ("elevation", "soil_organic_carbon", "land_fraction", *AREA_LAYERS)


class TwinDrivers(BaseModel):
    """Drivers, altitude, soil and area layers of a synthetic Earth.

    Args:
        variables: Vocabulary names from ERA5, MODIS and the surface of the twin.
        seed: Seed of the planet.
        resolution: Size of its native cells [degrees].
        towers: Number of its towers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    source: Literal["twin"] = "twin"
    variables: tuple[str, ...] = Field(strict=False)
    seed: int = Field(default=1, ge=0)
    resolution: float = Field(default=2.0, gt=0)
    towers: int = Field(default=40, ge=14)

    @field_validator("variables")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        known = (*ERA5_VARIABLES, *MODIS_VARIABLES, *STATICS)
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            raise ValueError(
                f"the twin has no variable {', '.join(unknown)}; it has {', '.join(known)}"
            )
        return names

    @property
    def twin(self) -> Twin:
        """The planet."""
        return Twin(seed=self.seed, resolution=self.resolution, towers=self.towers)

    def inputs(self, workspace: Workspace, first_year: int, last_year: int) -> list[Path]:
        """The files that the years need, sorted; absent ones are written.

        Raises:
            InputError: A year lies outside the simulated ones.
            RunError: A file cannot be written.
        """
        files: list[Path] = []
        if self._of(ERA5_VARIABLES):
            files += planet.era5_files(self.twin, workspace, first_year, last_year)
        if self._of(MODIS_VARIABLES):
            files += planet.modis_files(self.twin, workspace, first_year, last_year)
        if self._of(STATICS):
            files.append(planet.area_file(self.twin, workspace))
        return sorted(files)

    def open(self, workspace: Workspace, first_year: int, last_year: int) -> xr.Dataset:
        """All months of the years (time, latitude, longitude), statics (latitude, longitude), in our names and units.

        Variables of one origin stay on its own grid; those of several are brought to the cells of the twin.

        Raises:
            InputError: A year lies outside the simulated ones.
            RunError: A file cannot be written.
        """
        self.inputs(workspace, first_year, last_year)
        parts = [s.open(workspace, first_year, last_year) for s in self._sources(workspace)]
        if len(parts) > 1:
            grid = Grid(self.resolution)
            parts = [conservative(part, grid)[0] for part in parts]
        return xr.merge(parts, join="exact", compat="identical")[list(self.variables)]

    def _sources(self, workspace: Workspace) -> list[ERA5 | MODIS | Gridded]:
        base = planet.folder(self.twin, workspace)
        sources: list[ERA5 | MODIS | Gridded] = []
        if names := self._of(ERA5_VARIABLES):
            sources.append(ERA5(path=str(base / "era5" / "*.nc"), variables=names))
        if names := self._of(MODIS_VARIABLES):
            sources.append(MODIS(path=str(base / "modis" / "*.hdf"), variables=names))
        if names := self._of(STATICS):
            path = str(base / "areas.nc")
            sources.append(
                Gridded(path=path, variables={name: Native(name=(name,)) for name in names})
            )
        return sources

    def _of(self, known: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in self.variables if name in known)

"""Drivers of the twin: its files are written where absent, then read by the readers of the archives they imitate."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import pandas as pd
import xarray as xr
from pydantic import Field, field_validator

from ch4grid import twin as planet
from ch4grid.drivers.era5 import ERA5
from ch4grid.drivers.gridded import Gridded, Native
from ch4grid.drivers.modis import MODIS
from ch4grid.drivers.source import Holding, Source
from ch4grid.grid import Grid
from ch4grid.regridding import conservative
from ch4grid.stores import Workspace
from ch4grid.twin import Twin
from ch4grid.vocabulary import AREA_LAYERS

ERA5_VARIABLES = ("tas", "vpd", "pr", "ps", "sfcWind", "rsds", "tsl", "mrsos")
MODIS_VARIABLES = ("evi", "lst_day", "lst_night")
STATICS = ("elevation", "soil_organic_carbon", "land_fraction", *AREA_LAYERS)
# The one layer of the surface that has a mean year.
MONTHLY_LAYER = "wetland_fraction"


class TwinDrivers(Source):
    """Drivers, altitude, soil and area layers of a synthetic Earth.

    Args:
        variables: Vocabulary names from ERA5, MODIS and the surface of the twin.
        seed: Seed of the planet.
        resolution: Size of its native cells [degrees].
        towers: Number of its towers.
    """

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

    def survey(self, workspace: Workspace, wanted: pd.DatetimeIndex) -> list[Holding]:
        """What is held of every variable in every month wanted; absent files of the simulated years are written.

        Raises:
            RunError: A file cannot be written.
        """
        simulated = self._simulated(wanted)
        self._write(workspace, simulated)
        held = [h for s in self._sources(workspace) for h in self._held(s, workspace, wanted)]
        rank = {name: i for i, name in enumerate(self.variables)}
        return sorted(held, key=lambda h: rank[h.variable])

    def open(
        self, workspace: Workspace, names: Sequence[str], wanted: pd.DatetimeIndex
    ) -> xr.Dataset:
        """Variables that change (time, latitude, longitude), in our names and units.

        Variables of one origin stay on its own grid; those of a source with several are brought to the cells of the
        twin.

        Raises:
            InputError: A month lies outside the simulated years.
            RunError: A file cannot be written.
        """
        self._write(workspace, wanted)
        asked = [
            (source, tuple(name for name in names if name in source.variables))
            for source in self._sources(workspace)
        ]
        parts = [self._placed(s.open(workspace, chosen, wanted)) for s, chosen in asked if chosen]
        return xr.merge(parts, join="exact", compat="identical")[list(names)]

    def statics(self, workspace: Workspace) -> xr.Dataset:
        """Altitude, soil and area layers that do not change (latitude, longitude).

        Raises:
            RunError: A file cannot be written.
        """
        if not self._of(STATICS):
            return xr.Dataset()
        self._write(workspace, pd.DatetimeIndex([]))
        return self._placed(self._sources(workspace)[-1].statics(workspace))

    def _held(
        self, source: ERA5 | MODIS | Gridded, workspace: Workspace, wanted: pd.DatetimeIndex
    ) -> list[Holding]:
        """What one of the readers finds, under the name of the twin."""
        simulated = wanted if isinstance(source, Gridded) else self._simulated(wanted)
        held = source.survey(workspace, simulated) if len(simulated) or not len(wanted) else []
        reason = f"the twin is simulated from {self.twin.first_year} to {self.twin.last_year}"
        absent = [
            Holding(self.source, name, month, "missing", reason=reason)
            for name in source.variables
            for month in wanted.difference(simulated)
        ]
        return [replace(h, source=self.source) for h in held] + absent

    def _simulated(self, wanted: pd.DatetimeIndex) -> pd.DatetimeIndex:
        """The months of the simulated years."""
        years = wanted.year
        return wanted[(years >= self.twin.first_year) & (years <= self.twin.last_year)]

    def _write(self, workspace: Workspace, wanted: pd.DatetimeIndex) -> None:
        """Write the files of the years of these months, and those of the surface, where absent."""
        for year in sorted(set(wanted.year)):
            if self._of(ERA5_VARIABLES):
                planet.era5_files(self.twin, workspace, year, year)
            if self._of(MODIS_VARIABLES):
                planet.modis_files(self.twin, workspace, year, year)
        if self._of(STATICS):
            planet.area_file(self.twin, workspace)

    def _placed(self, part: xr.Dataset) -> xr.Dataset:
        """Variables of one origin as they are, or on the cells of the twin if this source has several origins."""
        several = (
            sum(bool(self._of(known)) for known in (ERA5_VARIABLES, MODIS_VARIABLES, STATICS)) > 1
        )
        return conservative(part, Grid(self.resolution))[0] if several else part

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

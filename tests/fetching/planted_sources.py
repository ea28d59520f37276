"""Small sources whose holdings are what lies in their folder, or what a test says."""

from collections.abc import Sequence
from typing import Literal

import pandas as pd
import xarray as xr
from pydantic import Field

from ch4grid.drivers.source import Holding, Source
from ch4grid.stores import Workspace

STATES: dict[str, str] = {"EMPTY": "damaged", "EARLY": "preliminary"}


class Planted(Source):
    """A file per month whose content says its state: `EARLY`, `EMPTY`, anything else is final."""

    source: Literal["era5"] = "era5"
    path: str = "era5/*.nc"
    variables: tuple[str, ...] = Field(default=("tas",), strict=False)

    def survey(self, workspace: Workspace, wanted: pd.DatetimeIndex) -> list[Holding]:
        return [self._holding(workspace, n, m) for n in self.variables for m in wanted]

    def _holding(self, workspace: Workspace, name: str, month: pd.Timestamp) -> Holding:
        folder = workspace.resolve(self.path).parent
        file = next(folder.glob(f"*{month:%Y-%m}*.nc"), None) if folder.is_dir() else None
        if file is None:
            return Holding("era5", name, month, "missing", (), f"no file holds {month:%Y-%m}")
        told = file.read_bytes()[:5].decode("latin-1")
        state = STATES.get(told, "final")
        return Holding("era5", name, month, state, (file,), "" if state == "final" else told)  # type: ignore[arg-type]

    def open(
        self, workspace: Workspace, names: Sequence[str], wanted: pd.DatetimeIndex
    ) -> xr.Dataset:
        raise NotImplementedError

    def statics(self, workspace: Workspace) -> xr.Dataset:
        return xr.Dataset()


class Cmg(Planted):
    """As `Planted`, called modis."""

    source: Literal["modis"] = "modis"  # type: ignore[assignment]
    path: str = "modis/*.hdf"


class Tiles(Planted):
    """As `Planted`, called modis_tiles."""

    source: Literal["modis_tiles"] = "modis_tiles"  # type: ignore[assignment]
    path: str = "tiles/*.tif"

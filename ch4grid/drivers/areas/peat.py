"""Peatland as drivers: Peat-ML percents, the Global Peatland Map's two classes, or a binary map such as PEATMAP's.

Peatland is a predictor beside the ecosystem classes, not one of their layers: most of it is wetland already.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, field_validator

from ch4grid.drivers.areas import overlap
from ch4grid.drivers.areas.rasters import Decode, Raster, cell_fractions, held, layout, rasters
from ch4grid.drivers.files import netcdf
from ch4grid.drivers.source import Holding, OnGrid, Source, State
from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.stores import Workspace

# Share of the pixel that is peat in a class of the Global Peatland Map 2.0: 1 peat-dominated, 2 peat in soil mosaic.
# The second covers less than half of it by an amount that is not stated: it counts only if the recipe says how much.
SHARES = MappingProxyType({1: 1.0})


@dataclass(frozen=True)
class PeatMap:
    """The documented layout of a map; a file for tests or a twin follows it to the letter.

    Args:
        file: Its name.
        variable: NetCDF name with dimensions (lat, lon); empty for a GeoTIFF in EPSG:4326.
        dtype: Of the values.
        units: `%` of the cell, or classes.
        nodata: Declared missing value.
        step: Cell size [degrees].
    """

    file: str
    variable: str
    dtype: str
    units: Literal["%", "class"]
    nodata: float
    step: float


# Sources: Melton et al. 2022 (GMD 15, 4709), Zenodo 7352284; Greifswald Mire Centre 2022 (GPM 2.0).
MAPS = MappingProxyType(
    {
        "peat-ml": PeatMap(
            "Peat-ML_global_peatland_extent.nc", "PEATLAND_P", "float32", "%", -9999.0, 1 / 12
        ),
        "peat-ml-tif": PeatMap(
            "Peat-ML_global_peatland_extent.tif", "", "float32", "%", -9999.0, 1 / 12
        ),
        "gpm": PeatMap("peatGPA22WGS_2cl.tif", "", "uint8", "class", 255, 0.00898),
    }
)


class Peat(Source):
    """The area of peatland.

    Args:
        path: NetCDF or GeoTIFF.
        units: What the values are; `classes` for maps of classes.
        variable: Name in a NetCDF file.
        shares: Share of the pixel that is peat, by class of a map of classes; binary maps have class 1.
    """

    source: Literal["peat"] = "peat"
    path: str
    units: Literal["percent", "fraction", "classes"] = "percent"
    variable: str = "PEATLAND_P"
    shares: dict[int, float] = Field(default=dict(SHARES), strict=False)
    variables: tuple[Literal["peat_fraction"], ...] = Field(
        default=("peat_fraction",), strict=False
    )

    @field_validator("shares", mode="before")
    @classmethod
    def _numbers(cls, value: object) -> object:
        """Classes as numbers: JSON has text for keys."""
        if not isinstance(value, dict):
            return value
        digits = {k: int(k) if isinstance(k, str) and k.isdigit() else k for k in value}
        return {digits[k]: v for k, v in value.items()}

    @field_validator("shares")
    @classmethod
    def _fractions(cls, shares: dict[int, float]) -> dict[int, float]:
        if not shares or not all(0.0 <= s <= 1.0 for s in shares.values()):
            raise ValueError("shares are fractions of the pixel, 0 to 1")
        return shares

    def survey(self, workspace: Workspace, wanted: pd.DatetimeIndex) -> list[Holding]:
        """What is held of the layer."""
        if not self._is_netcdf():
            return held("peat", self.variables, lambda: rasters(workspace, self.path))
        state: State = "missing"
        files: tuple[Path, ...] = ()
        reason = ""
        try:
            files = tuple(workspace.matches(self.path))
            state = "damaged"
            self._native(workspace)
            state = "final"
        except InputError as error:
            reason = str(error)
        return [Holding("peat", "peat_fraction", None, state, files, reason)]

    def open(
        self, workspace: Workspace, names: Sequence[str], wanted: pd.DatetimeIndex
    ) -> xr.Dataset:
        """Nothing: the layer does not change."""
        return xr.Dataset()

    def statics(self, workspace: Workspace) -> xr.Dataset:
        """The layer as it is (latitude, longitude) from NetCDF; a GeoTIFF is read onto a grid.

        Raises:
            InputError: The file cannot be read, or is a GeoTIFF.
        """
        if not self._is_netcdf():
            raise InputError(
                "a GeoTIFF is read onto a grid, not as it is",
                where=self.path,
                expected="`statics_on_grid`",
                found="`statics`",
            )
        with netcdf.opened(self._native(workspace)) as ds:
            values = ds[self.variable].transpose("latitude", "longitude").load()
        kept = [c for c in values.coords if c not in values.dims]
        fraction = self._fraction(values.drop_vars(kept).astype(np.float64))
        return overlap.layer(fraction, "peat_fraction", self.path).to_dataset()

    def statics_on_grid(self, workspace: Workspace, grid: Grid) -> OnGrid:
        """The layer on a grid (latitude, longitude), with the same area; none where it is missing.

        Raises:
            InputError: The map cannot be read.
        """
        if self._is_netcdf():
            field = overlap.onto(self.statics(workspace)["peat_fraction"], grid)
        else:
            total = np.zeros(grid.shape)
            for raster in rasters(workspace, self.path):
                total += cell_fractions(raster, grid, self._decoder(raster))
            field = xr.DataArray(total, dims=("latitude", "longitude"), coords=grid.coords)
        return overlap.on_grid(overlap.layer(field, "peat_fraction", self.path).to_dataset())

    def _is_netcdf(self) -> bool:
        return self.path.endswith((".nc", ".nc4"))

    def _native(self, workspace: Workspace) -> Path:
        path = workspace.matches(self.path)[0]
        with netcdf.opened(path) as ds:
            names = sorted(map(str, ds.data_vars))
        if self.variable not in names:
            raise InputError(
                "the file holds no such peat map",
                where=path,
                expected=self.variable,
                found=", ".join(names),
                fix="Name the variable in the recipe: `variable: ...`",
            )
        return path

    def _fraction(self, values: xr.DataArray) -> xr.DataArray:
        """Fractions of the cell from the values of the file, negative ones missing."""
        known = values.where(values >= 0)
        if self.units == "classes":
            out = sum((known == c) * s for c, s in self.shares.items())
            return xr.DataArray(out).where(known.notnull())
        return known / 100.0 if self.units == "percent" else known

    def _decoder(self, raster: Raster) -> Decode:
        nodata = layout(raster).nodata

        def decode(values: NDArray[Any]) -> NDArray[Any]:
            if self.units == "classes":
                found = [np.where(values == c, s, 0.0) for c, s in self.shares.items()]
                return np.asarray(np.sum(found, axis=0))
            known = np.nan_to_num(np.asarray(values, np.float64), nan=0.0)
            known = np.where((known == nodata) | (known < 0), 0.0, known)
            scale = 0.01 if self.units == "percent" else 1.0
            return np.asarray(known * scale)

        return decode

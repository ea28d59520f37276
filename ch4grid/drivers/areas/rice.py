"""Rice paddies as drivers: MIRCA-OS v2 growing area by month, GAEZ+2015 harvested area.

Both give hectares per cell of 5 arc-minutes, not fractions, so they are divided by the area of the cell on the
ellipsoid. MIRCA-OS has maps of single years, whose months stand for every year as a climatology. The harvested area of
GAEZ counts a field once per harvest; where rice is cropped twice a year it is above the area of the paddies.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from ch4grid.drivers.areas import overlap
from ch4grid.drivers.areas.rasters import Raster, cell_fractions, held, layout, rasters
from ch4grid.drivers.files import netcdf
from ch4grid.drivers.source import Holding, OnGrid, Source, State
from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.stores import Workspace

Float = NDArray[np.float64]

# MIRCA-OS_Rice1_2015_ir.nc: rice crop of the year, year of the map, irrigated or rainfed.
MIRCA_NAME = re.compile(r"MIRCA-OS_Rice_?(\d)_(\d{4})_(ir|rf)(?:_v[\d.]+)?\.nc$", re.IGNORECASE)
MIRCA_VARIABLE = "harvested_area"
GAEZ_NAME = re.compile(r"GAEZAct2015_HarvArea_Rice_(Irrigated|Rainfed|Total)\.tif$", re.IGNORECASE)

SQUARE_METRES_PER_HECTARE = 1e4
HECTARES_PER_GAEZ_UNIT = 1000.0


@dataclass(frozen=True)
class CropMaps:
    """The documented layout of rice maps; a file for tests or a twin follows it to the letter.

    Args:
        files: Names; of MIRCA-OS one for each of the crops 1 to 3 and each of the systems ir and rf, in a folder of the
            year.
        variable: NetCDF name; empty for a GeoTIFF.
        dims: Its dimensions. MIRCA-OS counts `month` 1 to 12 as integers, latitude runs north to south; some releases
            label the cells by their south-east corner (latitude to exactly -90, longitude to exactly 180).
        dtype: Of the values.
        units: Of the values, per cell.
        shape: Rows and columns of 5 arc-minutes, -180 to 180 and 90 to -90 degrees.
        attrs: Attributes of the file.
    """

    files: tuple[str, ...]
    variable: str
    dims: tuple[str, ...]
    dtype: str
    units: str
    shape: tuple[int, int] = (2160, 4320)
    attrs: tuple[str, ...] = ()


# Sources: Kebede et al. 2025 (Sci. Data 12, 208), HydroShare e4582ca0042148338bb5e0148b749ed6; Grogan et al. 2022
# (Sci. Data 9, 15).
MIRCA_OS = CropMaps(
    files=("{year}/MIRCA-OS_Rice{crop}_{year}_{system}.nc",),
    variable=MIRCA_VARIABLE,
    dims=("month", "latitude", "longitude"),
    dtype="float32",
    units="ha",
    attrs=("crop_name", "year", "irrigation_type"),
)
GAEZ_2015 = CropMaps(
    files=("GAEZAct2015_HarvArea_Rice_Total.tif",),
    variable="",
    dims=(),
    dtype="float32",
    units="1000 ha",
)


class Rice(Source):
    """Rice paddies.

    Args:
        path: Folder or glob: the NetCDF files of MIRCA-OS, or the GeoTIFF of GAEZ+2015.
        product: Which of the two.
        year: Year of the map of MIRCA-OS: 2000, 2005, 2010, 2015 or 2020.
    """

    source: Literal["rice"] = "rice"
    path: str
    product: Literal["mirca-os", "gaez-2015"] = "mirca-os"
    year: int = 2015
    variables: tuple[Literal["rice_fraction"], ...] = Field(
        default=("rice_fraction",), strict=False
    )

    def survey(self, workspace: Workspace, wanted: pd.DatetimeIndex) -> list[Holding]:
        """What is held: every month of MIRCA-OS, the single map of GAEZ."""
        if self.product == "gaez-2015":
            return held("rice", self.variables, lambda: self._gaez(workspace))
        files: tuple[Path, ...] = ()
        state: State = "missing"
        try:
            files, state = tuple(self._mirca(workspace)), "damaged"
            for path in files:
                _check(path, path.stat().st_size, path.stat().st_mtime_ns)
        except InputError as error:
            return [Holding("rice", "rice_fraction", m, state, files, str(error)) for m in wanted]
        reason = f"the months of {self.year} stand for every year"
        return [
            Holding("rice", "rice_fraction", m, "final", files)
            if m.year == self.year
            else Holding("rice", "rice_fraction", m, "climatology", files, reason)
            for m in wanted
        ]

    def open(
        self, workspace: Workspace, names: Sequence[str], wanted: pd.DatetimeIndex
    ) -> xr.Dataset:
        """Fractions of the cells of MIRCA-OS (time, latitude, longitude).

        Raises:
            InputError: A file is missing or cannot be read, or a cell holds more rice than it has area.
        """
        if self.product == "gaez-2015" or "rice_fraction" not in names:
            return xr.Dataset()
        months, south_north, west_east = self._months(workspace, sorted(set(wanted.month)))
        values = np.stack([months[m] for m in wanted.month])
        centres = {
            "time": wanted.values,
            "latitude": (south_north[:-1] + south_north[1:]) / 2,
            "longitude": (west_east[:-1] + west_east[1:]) / 2,
        }
        field = xr.DataArray(values, dims=tuple(centres), coords=centres)
        return overlap.layer(field, "rice_fraction", self.path, **self._told()).to_dataset()

    def statics(self, workspace: Workspace) -> xr.Dataset:
        """Nothing: rice of MIRCA-OS changes by month, and that of GAEZ is read onto a grid."""
        return xr.Dataset()

    def on_grid(
        self, workspace: Workspace, names: Sequence[str], wanted: pd.DatetimeIndex, grid: Grid
    ) -> OnGrid:
        """As `open`, on a grid, with the same area.

        Raises:
            InputError: As `open`.
        """
        if self.product == "gaez-2015" or "rice_fraction" not in names:
            return overlap.on_grid(xr.Dataset())
        months, south_north, west_east = self._months(workspace, sorted(set(wanted.month)))
        weights = overlap.overlap(south_north, west_east, grid)
        coarse = {m: weights.fraction(field) for m, field in months.items()}
        values = xr.DataArray(
            np.stack([coarse[m] for m in wanted.month]),
            dims=("time", "latitude", "longitude"),
            coords={"time": wanted.values} | grid.coords,
        )
        return overlap.on_grid(
            overlap.layer(values, "rice_fraction", self.path, **self._told()).to_dataset()
        )

    def statics_on_grid(self, workspace: Workspace, grid: Grid) -> OnGrid:
        """The map of GAEZ on a grid (latitude, longitude), nothing for MIRCA-OS.

        Raises:
            InputError: The map cannot be read.
        """
        if self.product == "mirca-os":
            return overlap.on_grid(xr.Dataset())
        total = np.zeros(grid.shape)
        for raster in self._gaez(workspace):
            nodata = layout(raster).nodata
            total += cell_fractions(raster, grid, partial(_known, nodata=nodata), areas=True)
        total *= HECTARES_PER_GAEZ_UNIT * SQUARE_METRES_PER_HECTARE
        field = xr.DataArray(
            np.minimum(total, 1.0), dims=("latitude", "longitude"), coords=grid.coords
        )
        told = {"comment": "harvested area of 2015, once per harvest; at most the whole cell"}
        return overlap.on_grid(
            overlap.layer(field, "rice_fraction", self.path, **told).to_dataset()
        )

    def _told(self) -> dict[str, str]:
        return {"beyond": f"the months of {self.year} stand for every year"}

    def _gaez(self, workspace: Workspace) -> list[Raster]:
        """The map of all rice, or those of irrigated and rainfed rice."""
        found = {
            m[1].lower(): r
            for r in rasters(workspace, self.path)
            if (m := GAEZ_NAME.search(r.name))
        }
        if "total" in found:
            return [found["total"]]
        if {"irrigated", "rainfed"} <= set(found):
            return [found["irrigated"], found["rainfed"]]
        raise InputError(
            "the rice map of GAEZ+2015 is missing",
            where=self.path,
            expected="GAEZAct2015_HarvArea_Rice_Total.tif, or Irrigated and Rainfed",
            found=", ".join(sorted(found)) or "none",
        )

    def _mirca(self, workspace: Workspace) -> list[Path]:
        """The year's files: irrigated and rainfed for every crop that has either."""
        paths = [
            f
            for p in workspace.matches(self.path)
            for f in (sorted(p.rglob("MIRCA-OS_Rice*.nc")) if p.is_dir() else [p])
        ]
        found = {
            (m[1], m[3].lower()): p
            for p in paths
            if (m := MIRCA_NAME.search(p.name)) and int(m[2]) == self.year
        }
        needed = {(crop, system) for crop, _ in found for system in ("ir", "rf")} | {
            ("1", "ir"),
            ("1", "rf"),
        }
        missing = sorted(needed - set(found))
        if missing:
            names = [f"MIRCA-OS_Rice{crop}_{self.year}_{system}.nc" for crop, system in missing]
            raise InputError(
                f"rice maps of {self.year} are missing",
                where=self.path,
                expected=", ".join(names),
                found=", ".join(sorted(p.name for p in found.values())) or "none of that year",
                fix="Fetch all rice crops, irrigated and rainfed, or state another `year`",
            )
        return [found[key] for key in sorted(found)]

    def _months(
        self, workspace: Workspace, numbers: Sequence[int]
    ) -> tuple[dict[int, Float], Float, Float]:
        """Fractions (latitude, longitude) by month number, and the cell edges along both axes."""
        total: dict[int, Float] = {}
        edges: tuple[Float, Float] | None = None
        for path in self._mirca(workspace):
            _check(path, path.stat().st_size, path.stat().st_mtime_ns)
            with netcdf.opened(path) as ds:
                native = ds[MIRCA_VARIABLE].transpose("month", "latitude", "longitude")
                order = np.asarray(ds["month"].values).astype(int).tolist()
                own = (
                    overlap.global_edges(np.asarray(ds["latitude"].values, np.float64), 180.0),
                    overlap.global_edges(np.asarray(ds["longitude"].values, np.float64), 360.0),
                )
                if edges is not None and any(
                    a.shape != b.shape or not np.allclose(a, b)
                    for a, b in zip(edges, own, strict=True)
                ):
                    raise InputError("the rice maps lie on different grids", where=path)
                edges = own
                for number in numbers:
                    hectares = _known(native[order.index(number)].values, None)
                    total[number] = total.get(number, 0.0) + hectares
        assert edges is not None
        cell = overlap.row_area(edges[0]) * abs(edges[1][1] - edges[1][0]) / 360.0
        share = SQUARE_METRES_PER_HECTARE / cell[:, None]
        return {n: _within(hectares * share, self.path) for n, hectares in total.items()}, *edges


@lru_cache(maxsize=256)
def _check(path: Path, size: int, modified: int) -> None:
    """Refuse a file that is no growing-area map; remembered as long as size and modification time stay."""
    with netcdf.opened(path) as ds:
        dims = {str(n): tuple(map(str, v.dims)) for n, v in ds.data_vars.items()}
        numbers = sorted(ds["month"].values.tolist()) if "month" in ds.coords else []
    if set(dims.get(MIRCA_VARIABLE, ())) != {"month", "latitude", "longitude"} or numbers != [
        *range(1, 13)
    ]:
        raise InputError(
            "this is no growing-area map of MIRCA-OS",
            where=path,
            expected=f"{MIRCA_VARIABLE} (month 1 to 12, latitude, longitude) [ha]",
            found=", ".join(f"{n} {d}" for n, d in dims.items()) or "no variables",
        )


def _known(values: NDArray[Any], nodata: float | None) -> Float:
    """Hectares or thousands of them, none where missing or negative (fill values)."""
    known = np.nan_to_num(np.asarray(values, np.float64), nan=0.0)
    if nodata is not None and np.isfinite(nodata):
        known = np.where(known == nodata, 0.0, known)
    return np.where(known < 0.0, 0.0, known)


def _within(fraction: Float, where: str) -> Float:
    """Fractions of the cell; a growing area above the cell is refused, rounding of the maps is not."""
    if fraction.max(initial=0.0) > 1.0 + overlap.ROUNDING:
        raise InputError(
            "more rice grows in a cell than it has area",
            where=where,
            expected="hectares per cell of the map",
            found=f"{fraction.max():.3g} times the cell",
        )
    return np.minimum(fraction, 1.0)

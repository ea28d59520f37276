"""MODIS annual land cover (MCD12C1, 0.05 degree): area fractions of nine groups of the IGBP classes, which sum to 1.

A year's map holds for all of its months; the last year on hand is held constant in the months after it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, field_validator

from ch4grid.drivers.modis import hdf4
from ch4grid.drivers.modis.granules import Granule, found, newest
from ch4grid.drivers.modis.shelf import listed
from ch4grid.drivers.source import LEAST_VALID, Holding, OnGrid, Source
from ch4grid.drivers.units import named
from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.regridding import conservative
from ch4grid.stores import Workspace
from ch4grid.vocabulary import VARIABLES

# Ours from the IGBP classes of `Land_Cover_Type_1` (MCD12 user guide, collection 6.1, table 7). Water is that of lakes
# and of the sea; savannas count as grass and cropland mosaics as crops.
GROUPS: dict[str, tuple[int, ...]] = {
    "forest_fraction": (1, 2, 3, 4, 5),
    "shrub_fraction": (6, 7),
    "grass_fraction": (8, 9, 10),
    "permanent_wetland_fraction": (11,),
    "crop_fraction": (12, 14),
    "urban_fraction": (13,),
    "ice_fraction": (15,),
    "barren_fraction": (16,),
    "open_water_fraction": (0,),
}
CLASSES = 17
PERCENT, MAJORITY = "Land_Cover_Type_1_Percent", "Majority_Land_Cover_Type_1"

# Rows read at a time: 180 of 3600 with 17 classes are 22 MB.
BLOCK_ROWS = 180

Shares = NDArray[np.uint8]


class LandCover(Source):
    """MCD12C1 granules, one per year.

    Args:
        path: File or glob, relative to the data folder.
        variables: Of `forest_fraction`, `shrub_fraction`, `grass_fraction`, `permanent_wetland_fraction`,
            `crop_fraction`, `urban_fraction`, `ice_fraction`, `barren_fraction`, `open_water_fraction`; all nine sum
            to 1. Open water includes the sea.
        layer: `percent` for the shares within a cell of 0.05 degree, `majority` for its commonest class.
        year: Year whose map is used as one that does not change; by default every year has its own.
    """

    source: Literal["modis_land_cover"] = "modis_land_cover"
    path: str
    variables: tuple[str, ...] = Field(strict=False)
    layer: Literal["percent", "majority"] = "percent"
    year: int | None = None

    @field_validator("variables")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [n for n in names if n not in GROUPS]
        if unknown or not names:
            raise ValueError(
                f"modis_land_cover has no variable {', '.join(unknown)}; it has {', '.join(GROUPS)}"
            )
        return names

    def survey(self, workspace: Workspace, wanted: pd.DatetimeIndex) -> list[Holding]:
        """What is held of every variable in every month wanted, or once if a year is chosen."""
        years, note = self._years(workspace)
        if self.year is not None:
            return [self._of_year(n, self.year, years, note) for n in self.variables]
        return [self._of_month(n, m, years, note) for n in self.variables for m in wanted]

    def open(
        self, workspace: Workspace, names: Sequence[str], wanted: pd.DatetimeIndex
    ) -> xr.Dataset:
        """Fractions of the months wanted (time, latitude, longitude), north first; months of a year share memory.

        Raises:
            InputError: A year is missing or its file cannot be read.
        """
        import dask.array

        fields: dict[str, list[dask.array.Array]] = {name: [] for name in names}
        coords: dict[str, NDArray[np.float64]] = {}
        for path, steps in self._runs(workspace, names, wanted):
            maps = fractions(path, names, self.layer)
            coords = {n: np.asarray(c.values) for n, c in maps.coords.items() if isinstance(n, str)}
            for name in names:
                field = dask.array.from_array(maps[name].values, chunks=-1)
                fields[name].append(dask.array.stack([field] * steps))
        dims = ("time", "latitude", "longitude")
        out = {
            name: xr.DataArray(
                dask.array.concatenate(parts),
                dims=dims,
                coords=coords | {"time": wanted},
                attrs=VARIABLES[name].attrs,
            )
            for name, parts in fields.items()
        }
        return xr.Dataset(out)

    def statics(self, workspace: Workspace) -> xr.Dataset:
        """Fractions of the year chosen (latitude, longitude); an empty Dataset if every year has its own.

        Raises:
            InputError: The year is missing or its file cannot be read.
        """
        if self.year is None:
            return xr.Dataset()
        return fractions(self._chosen(workspace), self.variables, self.layer)

    def on_grid(
        self, workspace: Workspace, names: Sequence[str], wanted: pd.DatetimeIndex, grid: Grid
    ) -> OnGrid:
        """Fractions of the classified area of each cell, and how much of the cell is classified.

        Raises:
            InputError: A year is missing or its file cannot be read.
        """
        parts = [
            (_on_grid(path, names, self.layer, grid), steps)
            for path, steps in self._runs(workspace, names, wanted)
        ]
        index = np.repeat(np.arange(len(parts)), [steps for _, steps in parts])
        values = xr.concat([p.values for p, _ in parts], dim="time").isel(time=index)
        valid = xr.concat([p.valid for p, _ in parts], dim="time").isel(time=index)
        return OnGrid(values.assign_coords(time=wanted), valid.assign_coords(time=wanted))

    def statics_on_grid(self, workspace: Workspace, grid: Grid) -> OnGrid:
        """As `on_grid`, of the year chosen; empty Datasets if every year has its own.

        Raises:
            InputError: The year is missing or its file cannot be read.
        """
        if self.year is None:
            return OnGrid(xr.Dataset(), xr.Dataset())
        return _on_grid(self._chosen(workspace), self.variables, self.layer, grid)

    def _years(self, workspace: Workspace) -> tuple[dict[int, tuple[Granule, str]], str]:
        """The version to take of each year, and what else lies there, in words."""
        granules, strangers = found(workspace, self.path)
        maps = [g for g in granules if (g.platform, g.product) == ("MCD", "12C1")]
        others = [*strangers, *(g.name for g in granules if g not in maps)]
        table: dict[int, list[Granule]] = {}
        for granule in maps:
            table.setdefault(granule.start.year, []).append(granule)
        note = f"; not it: {listed(others)}" if others else ""
        return {year: newest(versions) for year, versions in sorted(table.items())}, note

    def _of_month(
        self, name: str, month: pd.Timestamp, years: dict[int, tuple[Granule, str]], note: str
    ) -> Holding:
        whole = [y for y, (g, _) in years.items() if not g.flaw]
        if whole and month.year > max(years):
            last = max(whole)
            reason = f"MCD12C1 ends with {last}, which is held constant"
            files = tuple(years[last][0].files)
            return Holding(self.source, name, month, "climatology", files, reason)
        return self._of_year(name, month.year, years, note, month)

    def _of_year(
        self,
        name: str,
        year: int,
        years: dict[int, tuple[Granule, str]],
        note: str,
        month: pd.Timestamp | None = None,
    ) -> Holding:
        granule, choice = years.get(year, (None, ""))
        if granule is None:
            return Holding(
                self.source,
                name,
                month,
                "missing",
                (),
                f"no MCD12C1 of {year} at {self.path}{note}",
            )
        files = tuple(granule.files)
        if granule.flaw:
            return Holding(self.source, name, month, "damaged", files, granule.flaw)
        state: Literal["preliminary", "final"] = "preliminary" if granule.preliminary else "final"
        return Holding(self.source, name, month, state, files, choice)

    def _runs(
        self, workspace: Workspace, names: Sequence[str], wanted: pd.DatetimeIndex
    ) -> list[tuple[Path, int]]:
        """The file of each run of months that share a map, and the number of its months."""
        years, note = self._years(workspace)
        runs: list[tuple[Path, int]] = []
        for month in wanted:
            path = self._file(self._of_month(names[0], month, years, note))
            if runs and runs[-1][0] == path:
                runs[-1] = path, runs[-1][1] + 1
            else:
                runs.append((path, 1))
        return runs

    def _chosen(self, workspace: Workspace) -> Path:
        years, note = self._years(workspace)
        return self._file(self._of_year(self.variables[0], self.year or 0, years, note))

    def _file(self, held: Holding) -> Path:
        if held.state in ("missing", "damaged"):
            raise InputError(
                f"the land cover is {held.state}",
                where=f"modis_land_cover, {self.path}",
                expected="a granule MCD12C1.A<year>001...hdf for each year",
                found=held.reason,
                fix="Fetch the year, or choose another",
            )
        return held.files[0]


def fractions(
    path: Path, names: Sequence[str], layer: Literal["percent", "majority"]
) -> xr.Dataset:
    """Area fractions of groups of classes (latitude north first, longitude), NaN where nothing is classified.

    Raises:
        InputError: The file cannot be read or has another layout.
    """
    shares, whole = _shares(path, names, layer)
    return xr.Dataset({name: _field(shares[name], whole, name) for name in names})


def _on_grid(
    path: Path, names: Sequence[str], layer: Literal["percent", "majority"], grid: Grid
) -> OnGrid:
    """Fractions on the grid; one group is held as real numbers at a time."""
    shares, whole = _shares(path, names, layer)
    values, valid = xr.Dataset(), xr.Dataset()
    for name in names:
        mean, share = conservative(_field(shares[name], whole, name), grid, LEAST_VALID)
        values[name], valid[name] = named(mean, VARIABLES[name]), share
    return OnGrid(values, valid)


def _field(share: Shares, whole: Shares, name: str) -> xr.DataArray:
    """A group's part of what is classified; percentages are rounded and add up to 99 to 101."""
    out = np.full(share.shape, np.nan, np.float32)
    np.divide(share, whole, out=out, where=whole > 0, dtype=np.float32)
    size = 180.0 / share.shape[0]
    return xr.DataArray(
        out,
        dims=("latitude", "longitude"),
        coords={
            "latitude": 90.0 - size * (np.arange(share.shape[0]) + 0.5),
            "longitude": -180.0 + size * (np.arange(share.shape[1]) + 0.5),
        },
        name=name,
        attrs=VARIABLES[name].attrs,
    )


def _shares(
    path: Path, names: Sequence[str], layer: Literal["percent", "majority"]
) -> tuple[dict[str, Shares], Shares]:
    """Shares of groups per cell and their sum over all classes, in percent or as 1 for the commonest; read once."""
    name = PERCENT if layer == "percent" else MAJORITY
    rows, columns = _shape(path, name)
    shares = {n: np.empty((rows, columns), np.uint8) for n in names}
    whole = np.empty((rows, columns), np.uint8)
    for block, stored in hdf4.blocks(path, name, BLOCK_ROWS):
        parts = stored
        if layer == "majority":
            parts = (stored[..., None] == np.arange(CLASSES)).astype(np.uint8)
        # 255 marks cells without a map
        parts = np.where(parts > 100, np.uint8(0), parts)
        whole[block] = parts.sum(axis=2, dtype=np.uint8)
        for n in names:
            shares[n][block] = parts[..., list(GROUPS[n])].sum(axis=2, dtype=np.uint8)
    return shares, whole


def _shape(path: Path, name: str) -> tuple[int, int]:
    found = hdf4.shapes(path)
    if name not in found:
        raise hdf4.lacking(path, name, sorted(found))
    shape = found[name]
    good = len(shape) == (3 if name == PERCENT else 2) and shape[1] == 2 * shape[0]
    if not good or shape[2:] not in ((), (CLASSES,)):
        raise InputError(
            f"field {name!r} has another shape",
            where=path,
            expected=f"a globe of square cells, {CLASSES} classes last",
            found=shape,
        )
    return shape[0], shape[1]

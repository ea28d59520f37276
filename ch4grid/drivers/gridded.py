"""Any CF-like NetCDF or Zarr grid as drivers: area layers, soil, a mean year, another reanalysis.

The recipe says which variable of the file is which of ours; units are converted by the table of
`ch4grid.drivers.units`, and a unit that is neither in the file nor in the recipe is an error.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import xarray as xr
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from ch4grid.drivers import netcdf
from ch4grid.drivers.netcdf import Header
from ch4grid.drivers.units import convert, vapour_pressure_deficit, wind_speed
from ch4grid.errors import InputError
from ch4grid.schema import check_range
from ch4grid.stores import Workspace
from ch4grid.vocabulary import AREA_LAYERS, STATIC, VARIABLES, months


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Native(_Frozen):
    """A variable of the file, or the sum of several, and how it becomes ours.

    Args:
        name: Name in the file; several are added, missing where all are missing.
        units: Units where the file states none.
        scale: Factor applied before the units.
        offset: Offset applied after the factor, before the units.
        missing_below: Values below it are missing: some files write -999 and -998 without declaring them.
    """

    name: tuple[str, ...] = Field(strict=False)
    units: str | None = None
    scale: float = 1.0
    offset: float = 0.0
    missing_below: float | None = None

    @field_validator("name", mode="before")
    @classmethod
    def _several(cls, name: object) -> object:
        return (name,) if isinstance(name, str) else name


class Humidity(_Frozen):
    """What the vapour pressure deficit is made from: air and dew-point temperature of the file."""

    temperature: str
    dewpoint: str


class Wind(_Frozen):
    """What the wind speed is made from: the components of the file."""

    eastward: str
    northward: str


def _named(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


Mapped = Annotated[Native | Humidity | Wind, BeforeValidator(_named)]


class Gridded(_Frozen):
    """NetCDF or Zarr files on a latitude-longitude grid: with months, with one mean year, or static.

    Args:
        path: File, Zarr folder or glob, relative to the data folder.
        variables: Vocabulary name to the name in the file, or to `Native`, `Humidity` (vpd) or `Wind` (sfcWind).
        beyond: What happens to months that the file does not reach: `error`, or `climatology` for the mean of the same
            calendar month over the years it has. A stated rule for layers that end before the product does.
    """

    source: Literal["gridded"] = "gridded"
    path: str
    variables: dict[str, Mapped]
    beyond: Literal["error", "climatology"] = "error"

    @field_validator("variables")
    @classmethod
    def _known(cls, mapping: dict[str, Mapped]) -> dict[str, Mapped]:
        unknown = [n for n in mapping if n not in VARIABLES]
        if unknown or not mapping:
            raise ValueError(
                f"no variable {', '.join(unknown)} in the vocabulary: {', '.join(VARIABLES)}"
            )
        for kind, name in ((Humidity, "vpd"), (Wind, "sfcWind")):
            wrong = [n for n, m in mapping.items() if isinstance(m, kind) and n != name]
            if wrong:
                raise ValueError(f"{kind.__name__.lower()} makes {name}, not {', '.join(wrong)}")
        return mapping

    def inputs(self, workspace: Workspace, first_year: int, last_year: int) -> list[Path]:
        """The files that hold the variables, sorted.

        Raises:
            InputError: A file cannot be read, or a variable or month is missing.
        """
        found = netcdf.headers(workspace.matches(self.path))
        wanted = months(first_year, last_year)
        holders = [h for n in self._natives() for h in self._holders(found, n, wanted)]
        return sorted({h.path for h in holders})

    def open(self, workspace: Workspace, first_year: int, last_year: int) -> xr.Dataset:
        """All months of the years on the native grid (time, latitude, longitude), statics (latitude, longitude).

        Raises:
            InputError: A file, variable or month is missing, or a unit or value is wrong.
        """
        found = netcdf.headers(workspace.matches(self.path))
        wanted = months(first_year, last_year)
        out = xr.Dataset(
            {name: self._variable(found, name, m, wanted) for name, m in self.variables.items()}
        )
        for name in out.data_vars:
            check_range(out[name], f"gridded, {self.path}")
        return out

    def _natives(self) -> list[str]:
        """All names in the files."""
        names: list[str] = []
        for mapped in self.variables.values():
            names += mapped.name if isinstance(mapped, Native) else mapped.model_dump().values()
        return names

    def _holders(
        self, found: Sequence[Header], native: str, wanted: pd.DatetimeIndex
    ) -> list[Header]:
        """The files that hold a name; those of the months wanted if they are many.

        Raises:
            InputError: None does, or a month is missing and the rule for that is `error`.
        """
        holders = netcdf.files_with(found, native)
        if not holders:
            raise InputError(
                f"no file holds {native!r}",
                where=f"gridded, {self.path}",
                expected=native,
                found=", ".join(sorted({n for h in found for n in h.names})),
            )
        if holders[0].climatology or not holders[0].months:
            return holders[:1]
        if self.beyond == "climatology":
            return holders
        missing = netcdf.missing_months(holders, wanted)
        netcdf.refuse_missing(missing, native, f"gridded, {self.path}")
        keys = set(wanted.values.astype("datetime64[s]").tolist())
        return [h for h in holders if any(m.tolist() in keys for m in h.months)]

    def _variable(
        self, found: Sequence[Header], name: str, mapped: Mapped, wanted: pd.DatetimeIndex
    ) -> xr.DataArray:
        """One of our variables."""
        if isinstance(mapped, Humidity):
            air, dew = (
                self._converted(found, "tas", Native(name=(n,)), wanted)
                for n in (mapped.temperature, mapped.dewpoint)
            )
            return vapour_pressure_deficit(air, dew)
        if isinstance(mapped, Wind):
            east, north = (
                self._read(found, n, name, wanted) for n in (mapped.eastward, mapped.northward)
            )
            speed = wind_speed(east, north)
            units = self._units(east, Native(name=(mapped.eastward,)))
            return convert(speed, VARIABLES[name], units, f"gridded, {self.path}")
        return self._converted(found, name, mapped, wanted)

    def _converted(
        self, found: Sequence[Header], name: str, native: Native, wanted: pd.DatetimeIndex
    ) -> xr.DataArray:
        """A variable of the file in the units of ours."""
        parts = [self._read(found, n, name, wanted) for n in native.name]
        units = self._units(parts[0], native)
        total = parts[0]
        if len(parts) > 1:
            total = xr.concat(parts, dim="part", join="exact", combine_attrs="override").sum(
                "part", min_count=1
            )
        if native.missing_below is not None:
            total = total.where(total >= native.missing_below)
        scaled = total.astype(np.float64) * native.scale + native.offset
        return convert(scaled, VARIABLES[name], units, f"gridded, {self.path}, {native.name[0]}")

    def _units(self, values: xr.DataArray, native: Native) -> str:
        stated = values.attrs.get("units", native.units)
        if stated is None:
            raise InputError(
                f"variable {values.name!r} has no units",
                where=f"gridded, {self.path}",
                expected="a units attribute, or units in the recipe",
                found="neither",
                fix=f"Write {{name: {values.name}, units: ...}} in the recipe",
            )
        return str(stated)

    def _read(
        self, found: Sequence[Header], native: str, name: str, wanted: pd.DatetimeIndex
    ) -> xr.DataArray:
        """A name of the files, with months unless it has none or ours is static."""
        holders = self._holders(found, native, wanted)
        first = holders[0]
        if first.climatology:
            with netcdf.opened(first.path) as ds:
                yearly = "month" in ds[native].dims
            if yearly:
                return netcdf.read_climatology(first, native, wanted)
            return netcdf.read_static(first, native)
        if not first.months:
            return netcdf.read_static(first, native)
        with netcdf.opened(first.path) as ds:
            lasting = name in STATIC and (name not in AREA_LAYERS or len(first.months) == 1)
            static = lasting or "time" not in ds[native].dims
        if static:
            return netcdf.read_static(first, native)
        return self._series(holders, native, wanted)

    def _series(
        self, holders: Sequence[Header], native: str, wanted: pd.DatetimeIndex
    ) -> xr.DataArray:
        """The months wanted, those beyond the file from its mean year if the rule says so."""
        where = f"gridded, {self.path}"
        missing = pd.DatetimeIndex(netcdf.missing_months(holders, wanted)).as_unit("s")
        if not len(missing):
            return netcdf.read_months(holders, native, wanted, where)
        have = pd.DatetimeIndex(sorted({m for h in holders for m in h.months}))
        past = netcdf.read_months(holders, native, have, where)
        mean = past.groupby("time.month").mean().assign_attrs(past.attrs)
        absent = sorted(set(missing.month) - set(mean["month"].values.tolist()))
        netcdf.refuse_missing([f"calendar month {m}" for m in absent], native, where)
        filled = mean.sel(month=xr.DataArray(missing.month, dims="time")).drop_vars("month")
        filled = filled.assign_coords(time=missing.values).transpose(*past.dims)
        kept = past.sel(time=past["time"].isin(wanted.values))
        return xr.concat([kept, filled], dim="time", join="exact").sortby("time")

"""ERA5 and ERA5-Land monthly means as the Climate Data Store hands them out, in our names and units.

Both file layouts are read: `valid_time` with `number` and `expver`, and the older `time`. Accumulations of monthly
means are per day (ECMWF, "accumulated variables"): `tp` is m day-1 and `ssrd` J m-2 day-1 although their units say m
and J m-2.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr
from pydantic import BaseModel, ConfigDict, Field, field_validator

from ch4grid.drivers import netcdf
from ch4grid.drivers.netcdf import Header
from ch4grid.drivers.units import convert, normalised, vapour_pressure_deficit, wind_speed
from ch4grid.errors import InputError
from ch4grid.schema import check_range
from ch4grid.stores import Workspace
from ch4grid.vocabulary import VARIABLES, months

# Short name in the file: units it must state, units it is in.
NATIVE: dict[str, tuple[str, str]] = {
    "t2m": ("K", "K"),
    "d2m": ("K", "K"),
    "stl1": ("K", "K"),
    "sp": ("Pa", "Pa"),
    "tp": ("m", "m day-1"),
    "avg_tprate": ("kg m-2 s-1", "kg m-2 s-1"),
    "ssrd": ("J m-2", "J m-2 day-1"),
    "avg_sdswrf": ("W m-2", "W m-2"),
    "swvl1": ("m3 m-3", "m3 m-3"),
    "sd": ("m", "m"),
    "si10": ("m s-1", "m s-1"),
    "u10": ("m s-1", "m s-1"),
    "v10": ("m s-1", "m s-1"),
    "lsm": ("1", "1"),
}

# Ours from theirs: the first set of short names that the files hold is used.
SOURCES: dict[str, tuple[tuple[str, ...], ...]] = {
    "tas": (("t2m",),),
    "vpd": (("t2m", "d2m"),),
    "pr": (("tp",), ("avg_tprate",)),
    "ps": (("sp",),),
    "sfcWind": (("si10",), ("u10", "v10")),
    "rsds": (("ssrd",), ("avg_sdswrf",)),
    "tsl": (("stl1",),),
    "mrsos": (("swvl1",),),
    "snw": (("sd",),),
    "land_fraction": (("lsm",),),
}
PAIRS: dict[str, Callable[[xr.DataArray, xr.DataArray], xr.DataArray]] = {
    "vpd": vapour_pressure_deficit,
    "sfcWind": wind_speed,
}

# Fields whose seasons and latitudes tell north from south.
SEASONAL = ("tas", "tsl", "rsds")


class ERA5(BaseModel):
    """Monthly ERA5 or ERA5-Land NetCDF files.

    Args:
        path: File or glob, relative to the data folder; any split by year, month or variable.
        variables: Vocabulary names; `sfcWind` from `si10` where present, else from the components, whose mean is
            slower than the mean wind.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    source: Literal["era5"] = "era5"
    path: str
    variables: tuple[str, ...] = Field(strict=False)

    @field_validator("variables")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [n for n in names if n not in SOURCES]
        if unknown or not names:
            raise ValueError(
                f"era5 has no variable {', '.join(unknown)}; it has {', '.join(SOURCES)}"
            )
        return names

    def inputs(self, workspace: Workspace, first_year: int, last_year: int) -> list[Path]:
        """The files that the years need, sorted.

        Raises:
            InputError: A file cannot be read, or a variable or month is missing.
        """
        wanted = months(first_year, last_year)
        found = netcdf.headers(workspace.matches(self.path))
        needed = [h for n in self.variables for h in self._holders(found, n, wanted)]
        return sorted({h.path for h in needed})

    def open(self, workspace: Workspace, first_year: int, last_year: int) -> xr.Dataset:
        """All months of the years on the native grid (time, latitude, longitude), statics (latitude, longitude).

        Raises:
            InputError: A file, variable or month is missing, a unit or value is wrong, or north is south.
        """
        wanted = months(first_year, last_year)
        found = netcdf.headers(workspace.matches(self.path))
        out = xr.Dataset({n: self._variable(found, n, wanted) for n in self.variables})
        for name in out.data_vars:
            check_range(out[name], f"era5, {self.path}")
        refuse_swapped_latitude(out, f"era5, {self.path}")
        return out

    def _holders(
        self, found: Sequence[Header], name: str, wanted: pd.DatetimeIndex
    ) -> list[Header]:
        """The files that hold a variable in the months wanted; all of them if it is static."""
        keys = set(wanted.values.astype("datetime64[s]").tolist())
        holders: list[Header] = []
        for native in self._natives(found, name):
            files = netcdf.files_with(found, native)
            if "time" in VARIABLES[name].cell_methods:
                netcdf.refuse_missing(netcdf.missing_months(files, wanted), native, self.path)
                files = [h for h in files if any(m.tolist() in keys for m in h.months)]
            holders += files
        return holders

    def _natives(self, found: Sequence[Header], name: str) -> tuple[str, ...]:
        for natives in SOURCES[name]:
            if all(netcdf.files_with(found, n) for n in natives):
                return natives
        raise InputError(
            f"no file holds what {name!r} is made from",
            where=f"era5, {self.path}",
            expected=" or ".join(" and ".join(n) for n in SOURCES[name]),
            found=", ".join(sorted({n for h in found for n in h.names})),
            fix="Request the variable from the Climate Data Store or take it out of the recipe",
        )

    def _variable(
        self, found: Sequence[Header], name: str, wanted: pd.DatetimeIndex
    ) -> xr.DataArray:
        natives = self._natives(found, name)
        fields = [self._native(found, n, name, wanted) for n in natives]
        if len(fields) == 2:
            return PAIRS[name](fields[0], fields[1])
        stated = NATIVE[natives[0]][1]
        return convert(fields[0], VARIABLES[name], stated, f"era5, {self.path}, {natives[0]}")

    def _native(
        self, found: Sequence[Header], native: str, name: str, wanted: pd.DatetimeIndex
    ) -> xr.DataArray:
        """One short name in the units it is in, stated units checked."""
        where = f"era5, {self.path}"
        if "time" in VARIABLES[name].cell_methods:
            field = netcdf.read_months(found, native, wanted, where)
            empty = ~np.isfinite(field.values).any(axis=(1, 2))
            blank = [str(m) for m in field["time"].values[empty].astype("datetime64[M]")]
            netcdf.refuse_missing(blank, native, where)
        else:
            field = netcdf.read_static(netcdf.files_with(found, native)[0], native)
        units = str(field.attrs.get("units", ""))
        if normalised(units) != NATIVE[native][0]:
            raise InputError(
                f"variable {native!r} has wrong units",
                where=where,
                expected=repr(NATIVE[native][0]),
                found=repr(units),
                fix="Give files as the Climate Data Store wrote them, or use the source 'gridded'",
            )
        return field


def refuse_swapped_latitude(ds: xr.Dataset, where: str) -> None:
    """Refuse fields whose latitude labels run against the data.

    The southern summer is in January and the northern one in July, and the Antarctic is colder than the Arctic over
    the year: two signs of temperature and radiation that no climate reverses.

    Raises:
        InputError: A temperature or radiation field has its seasons or its poles the wrong way round.
    """
    for name in SEASONAL:
        if name not in ds or "time" not in ds[name].dims or ds.sizes["time"] < 12:
            continue
        latitude = np.asarray(ds["latitude"].values, np.float64)
        zonal = ds[name].mean("longitude")
        number = pd.DatetimeIndex(ds["time"].values).month
        summer = zonal.isel(time=number == 7).mean("time") - zonal.isel(time=number == 1).mean(
            "time"
        )
        north = _mean_between(summer, latitude, 30.0, 70.0)
        south = _mean_between(summer, latitude, -70.0, -30.0)
        year = zonal.mean("time")
        arctic = _mean_between(year, latitude, 75.0, 90.0)
        antarctic = _mean_between(year, latitude, -90.0, -75.0)
        poles = name == "tas" and antarctic > arctic
        if north < 0 or south > 0 or poles:
            raise InputError(
                f"latitude is swapped: {name!r} has northern seasons in the south",
                where=where,
                expected=f"{name} of July above that of January north of 30N, below it south of 30S, Antarctic coldest",
                found=f"July minus January {north:.3g} at 30N-70N and {south:.3g} at 30S-70S, "
                f"Arctic {arctic:.4g}, Antarctic {antarctic:.4g} {ds[name].attrs['units']}",
                fix="Reverse the latitude coordinate of the file (not the data)",
            )


def _mean_between(values: xr.DataArray, latitude: np.ndarray, low: float, high: float) -> float:
    """Mean over the rows from `low` to `high` [degrees_north]; NaN if there are none."""
    rows = values.values[(latitude >= low) & (latitude <= high)]
    rows = rows[np.isfinite(rows)]
    return float(rows.mean()) if rows.size else float("nan")

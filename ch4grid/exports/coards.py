"""The COARDS profile that GEOS-Chem reads through HEMCO: coordinates that follow it, and a check of any file.

time(0) is 0 and its unit counts hours from the first month, which GCHP asks for and GEOS-Chem Classic reads as well.
Source: HEMCO reference guide, input file format; gcpy `community/format_hemco_data.py`; complaints geos-chem#409,
#1523, #2112, HEMCO#307.
"""

import re
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from ch4grid.errors import RunError
from ch4grid.exports.netcdf import Variable, whole
from ch4grid.exports.source import days

Float = NDArray[np.float64]

DIMS = ("time", "lat", "lon")
# The unit of mass fluxes in the words of HEMCO.
UNITS = "kg/m2/s"
HOURS = 24.0
REFERENCE = re.compile(r"(hours|days|minutes) since \d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}")
AXES = {"time": "T", "lat": "Y", "lon": "X"}


def axes(year: int, latitude: Float, longitude: Float) -> dict[str, Variable]:
    """Coordinates of a year: time (12) [hours since its first day], lat and lon ascending, all float64."""
    starts = days(year)[:, 0].astype(np.float64)
    time = {
        "standard_name": "time",
        "long_name": "Time",
        "units": f"hours since {year}-01-01 00:00:00",
        "calendar": "standard",
        "axis": "T",
    }
    north = {"standard_name": "latitude", "long_name": "latitude", "units": "degrees_north"}
    east = {"standard_name": "longitude", "long_name": "longitude", "units": "degrees_east"}
    return {
        "time": Variable(("time",), "f8", whole((starts - starts[0]) * HOURS), time),
        "lat": Variable(("lat",), "f8", whole(latitude), north | {"axis": "Y"}),
        "lon": Variable(("lon",), "f8", whole(longitude), east | {"axis": "X"}),
    }


def area(values: Float, long_name: str) -> Variable:
    """The areas of the cells (lat, lon) [m2]."""
    return Variable(DIMS[1:], "f8", whole(values), {"long_name": long_name, "units": "m2"})


def check(path: Path) -> None:
    """Refuse a file that GEOS-Chem would not read as it is meant.

    Raises:
        RunError: It departs from the profile.
    """
    found = departures(path)
    if found:
        raise RunError(
            "the file does not follow COARDS",
            where=path.name,
            found="; ".join(found),
            fix="No file was published; report it",
        )


def departures(path: Path) -> list[str]:
    """In what a file departs from the profile, in words; empty where it follows it."""
    with netCDF4.Dataset(path) as file:
        lacking = [n for n in DIMS if n not in file.variables or n not in file.dimensions]
        if lacking:
            return [f"no coordinate {n}" for n in lacking]
        return [*_format(file), *_time(file), *_plane(file), *_fields(file)]


def _format(file: Any) -> list[str]:
    endless = [d for d, v in file.dimensions.items() if v.isunlimited()]
    words = [f"dimension {d} is unlimited" for d in endless]
    if file.data_model not in ("NETCDF4_CLASSIC", "NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET"):
        words.append(f"data model {file.data_model}, not the classic one")
    return words


def _time(file: Any) -> list[str]:
    time, words = file.variables["time"], []
    units = getattr(time, "units", "")
    if not REFERENCE.fullmatch(units):
        words.append(f"time counts {units!r}, not hours or days since a date with its time")
    if getattr(time, "calendar", "") not in ("standard", "gregorian"):
        words.append("time has another calendar than the standard one")
    if time.dtype not in (np.float32, np.float64):
        words.append(f"time is {time.dtype}, not a floating-point number")
    values = np.ma.filled(time[:], np.nan)
    if values.size == 0 or values[0] != 0 or not (np.diff(values) > 0).all():
        words.append("time does not begin at 0 and rise")
    return words


def _plane(file: Any) -> list[str]:
    words = []
    for name, axis in AXES.items():
        if getattr(file.variables[name], "axis", "") != axis:
            words.append(f"{name} has no axis {axis}")
    bounds = {"lat": (-90.0, 90.0, "degrees_north"), "lon": (-180.0, 180.0, "degrees_east")}
    for name, (low, high, units) in bounds.items():
        variable = file.variables[name]
        values = np.ma.filled(variable[:], np.nan)
        if not (np.diff(values) > 0).all():
            words.append(f"{name} does not rise")
        if not ((values >= low) & (values <= high)).all():
            words.append(f"{name} leaves {low:g} to {high:g}")
        if getattr(variable, "units", "") != units:
            words.append(f"{name} is not in {units}")
    return words


def _fields(file: Any) -> list[str]:
    words = []
    for name, variable in file.variables.items():
        words += [f"{name} has no {a}" for a in ("units", "long_name") if not hasattr(variable, a)]
        if name in DIMS:
            continue
        if variable.dimensions not in (DIMS, DIMS[1:]):
            words.append(f"{name} has dimensions {variable.dimensions}")
        if variable.dtype not in (np.float32, np.float64):
            words.append(f"{name} is {variable.dtype}, not a floating-point number")
        months = range(variable.shape[0]) if variable.dimensions == DIMS else [Ellipsis]
        if not all(np.isfinite(np.ma.filled(variable[m], np.nan)).all() for m in months):
            words.append(f"{name} has missing values")
    return words

"""The twin's NetCDF files: ERA5 monthly means as the Climate Data Store writes them, and the layers of its surface."""

from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ch4grid.twin.climate import SOIL_DEPTH, WATER_DENSITY
from ch4grid.twin.lattice import Lattice
from ch4grid.twin.planet import Twin, View
from ch4grid.vocabulary import SECONDS_PER_DAY, STATIC

Float = NDArray[np.float64]

# Experiment versions of final months and of those of the last three.
FINAL, PRELIMINARY = "0001", "0005"

# ERA5 short names: long name and units as the Climate Data Store writes them.
ERA5_NAMES = {
    "t2m": ("2 metre temperature", "K"),
    "d2m": ("2 metre dewpoint temperature", "K"),
    "tp": ("Total precipitation", "m"),
    "sp": ("Surface pressure", "Pa"),
    "si10": ("10 metre wind speed", "m s**-1"),
    "ssrd": ("Surface short-wave (solar) radiation downwards", "J m**-2"),
    "stl1": ("Soil temperature level 1", "K"),
    "swvl1": ("Volumetric soil water layer 1", "m**3 m**-3"),
}


def era5_fields(view: View, steps: NDArray[np.int64]) -> dict[str, Float]:
    """Fields (t, n, m) by ERA5 short name, in ERA5 units; a pole is one place and has one value."""
    temperature = view.driver("tas", steps)
    fields = {
        "t2m": temperature,
        "d2m": temperature - view.depression(steps),
        "tp": view.driver("pr", steps) * SECONDS_PER_DAY / WATER_DENSITY,
        "sp": view.driver("ps", steps),
        "si10": view.driver("sfcWind", steps),
        "ssrd": view.driver("rsds", steps) * SECONDS_PER_DAY,
        "stl1": view.driver("tsl", steps),
        "swvl1": view.driver("mrsos", steps) / (SOIL_DEPTH * WATER_DENSITY),
    }
    for field in fields.values():
        field[:, [0, -1]] = field[:, [0, -1]].mean(axis=2, keepdims=True)
    return fields


def write_era5(
    path: Path,
    lattice: Lattice,
    fields: dict[str, Float],
    time: pd.DatetimeIndex,
    expver: str = FINAL,
) -> None:
    """Write fields (t, n, m) by ERA5 short name in the layout of 2024 and later: `valid_time`, `number`, `expver`."""
    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        file.setncatts({"Conventions": "CF-1.7", "institution": "ch4grid twin, simulated"})
        seconds = time.to_numpy().astype("datetime64[s]").astype(np.int64)
        coordinate(file, "valid_time", seconds, "seconds since 1970-01-01")
        file["valid_time"].setncatts({"calendar": "proleptic_gregorian", "standard_name": "time"})
        coordinate(file, "latitude", lattice.latitude, "degrees_north")
        coordinate(file, "longitude", lattice.longitude, "degrees_east")
        file.createVariable("number", "i8")[...] = 0
        file.createVariable("expver", str, ("valid_time",))[:] = np.array(
            [expver] * len(time), object
        )
        for name, (long_name, units) in ERA5_NAMES.items():
            variable = file.createVariable(
                name,
                "f4",
                ("valid_time", "latitude", "longitude"),
                compression="zlib",
                complevel=1,
                chunksizes=(1, *lattice.shape),
                fill_value=np.float32(np.nan),
            )
            variable.setncatts(
                {"long_name": long_name, "units": units, "coordinates": "number expver"}
            )
            variable[:] = fields[name].astype(np.float32)


def coordinate(file: netCDF4.Dataset, name: str, values: NDArray[Any], units: str) -> None:
    """Add a dimension and its variable."""
    file.createDimension(name, len(values))
    variable = file.createVariable(name, values.dtype, (name,))
    variable.units = units
    variable[:] = values


def write_areas(path: Path, twin: Twin) -> None:
    """Write area layers, altitude and soil on the native cells."""
    statics = twin.statics()
    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        file.setncatts({"Conventions": "CF-1.11", "institution": "ch4grid twin, simulated"})
        coordinate(file, "month", np.arange(1, 13), "1")
        coordinate(file, "latitude", twin.cells.latitude, "degrees_north")
        coordinate(file, "longitude", twin.cells.longitude, "degrees_east")
        for name, field in statics.data_vars.items():
            dims = tuple(map(str, field.dims))
            variable = file.createVariable(str(name), "f4", dims, compression="zlib", complevel=1)
            variable.setncatts(STATIC[str(name)].attrs)
            variable[:] = field.values

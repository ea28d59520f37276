"""The twin's files: ERA5 NetCDF, MODIS HDF4, area layers and tower tables in the layouts their archives deliver.

Names, units, row order, packing, fill values and quality flags are those of the originals, so that the same readers
read both. Every file is written beside its place and renamed; a year's manifest is written last and says that it is
whole.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from ch4grid.stores import Workspace, unwritable, write_atomic, write_json
from ch4grid.twin.climate import SOIL_DEPTH, WATER_DENSITY
from ch4grid.twin.lattice import Lattice
from ch4grid.twin.planet import Twin, View
from ch4grid.twin.towers import network, observe
from ch4grid.vocabulary import SECONDS_PER_DAY, STATIC, months

Float = NDArray[np.float64]

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

EVI_SCALE, EVI_FILL = 10000, -3000
LST_SCALE, LST_FILL = 0.02, 0
# Shares of land pixels without a retrieval and with one that its quality flag disowns.
PIXELS_MISSING, PIXELS_CLOUDY = 0.04, 0.04
# MOD13C2 reliability: good, cloudy, no data. MOD11C3 quality: good; error above 3 K; not produced.
GOOD, CLOUDY, NO_DATA = 0, 3, -1
QC_GOOD, QC_POOR, QC_ABSENT = 0b00000000, 0b11000001, 0b00000010


def folder(twin: Twin, workspace: Workspace) -> Path:
    """Where the files of a twin lie."""
    return workspace.cache / "twin" / twin.key


def era5_files(twin: Twin, workspace: Workspace, first_year: int, last_year: int) -> list[Path]:
    """ERA5-like files of the years, one per year, written first where absent."""
    return _years(twin, workspace, "era5", range(first_year, last_year + 1), _write_era5)


def modis_files(twin: Twin, workspace: Workspace, first_year: int, last_year: int) -> list[Path]:
    """MODIS-like files of the years, two per month, written first where absent."""
    return _years(twin, workspace, "modis", range(first_year, last_year + 1), _write_modis)


def area_file(twin: Twin, workspace: Workspace) -> Path:
    """NetCDF file of the area layers, altitude and soil, written first where absent."""
    path = folder(twin, workspace) / "areas.nc"
    if not path.exists():
        _replace(path, partial(_areas, twin))
    return path


def tower_files(twin: Twin, workspace: Workspace, first_year: int, last_year: int) -> list[Path]:
    """CSV tables of the towers and of their monthly measurements, written first where absent."""
    base = folder(twin, workspace)
    sites, series = base / "sites.csv", base / f"towers_{first_year}-{last_year}.csv"
    if not (sites.exists() and series.exists()):
        table = network(twin).drop(columns=["row", "column"])
        write_atomic(sites, table.to_csv(index=False, lineterminator="\n").encode())
        measured = observe(twin, first_year, last_year)
        text = measured.to_csv(
            index=False, lineterminator="\n", float_format="%.6g", date_format="%Y-%m-%d"
        )
        write_atomic(series, text.encode())
    return [sites, series]


def _years(
    twin: Twin,
    workspace: Workspace,
    kind: str,
    years: Sequence[int],
    write: Callable[[Twin, Path, int], None],
) -> list[Path]:
    twin.steps(months(min(years), max(years)))
    base = folder(twin, workspace) / kind
    found: list[Path] = []
    for year in years:
        manifest = base / f"manifest-{year}.json"
        expected = [base / name for name in _names(kind, year)]
        if not (manifest.exists() and all(path.exists() for path in expected)):
            write(twin, base, year)
            write_json(manifest, {"files": [path.name for path in expected], "twin": twin.key})
        found += expected
    return found


def _names(kind: str, year: int) -> list[str]:
    if kind == "era5":
        return [f"era5_{year}.nc"]
    days = [f"{year}{day:03d}" for day in months(year, year).dayofyear]
    return [f"{product}.A{day}.061.hdf" for day in days for product in ("MOD13C2", "MOD11C3")]


def _replace(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` make a file beside its place, then move it there: a reader sees a whole file or none."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(beside)
        beside.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        beside.unlink(missing_ok=True)


def _write_era5(twin: Twin, base: Path, year: int) -> None:
    view = twin.view(Lattice.nodes(twin.resolution))
    fields = _era5_fields(view, twin.steps(months(year, year)))
    _replace(
        base / _names("era5", year)[0],
        partial(_era5, lattice=view.lattice, fields=fields, year=year),
    )


def _era5_fields(view: View, steps: NDArray[np.int64]) -> dict[str, Float]:
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


def _era5(path: Path, lattice: Lattice, fields: dict[str, Float], year: int) -> None:
    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        file.setncatts({"Conventions": "CF-1.7", "institution": "ch4grid twin, simulated"})
        time = months(year, year).to_numpy().astype("datetime64[s]").astype(np.int64)
        _coordinate(file, "valid_time", time, "seconds since 1970-01-01")
        file["valid_time"].setncatts({"calendar": "proleptic_gregorian", "standard_name": "time"})
        _coordinate(file, "latitude", lattice.latitude, "degrees_north")
        _coordinate(file, "longitude", lattice.longitude, "degrees_east")
        file.createVariable("number", "i8")[...] = 0
        file.createVariable("expver", str, ("valid_time",))[:] = np.array(["0001"] * 12, object)
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


def _coordinate(file: netCDF4.Dataset, name: str, values: NDArray[Any], units: str) -> None:
    file.createDimension(name, len(values))
    variable = file.createVariable(name, values.dtype, (name,))
    variable.units = units
    variable[:] = values


def _areas(twin: Twin, path: Path) -> None:
    statics = twin.statics()
    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        file.setncatts({"Conventions": "CF-1.11", "institution": "ch4grid twin, simulated"})
        _coordinate(file, "month", np.arange(1, 13), "1")
        _coordinate(file, "latitude", twin.cells.latitude, "degrees_north")
        _coordinate(file, "longitude", twin.cells.longitude, "degrees_east")
        for name, field in statics.data_vars.items():
            dims = tuple(map(str, field.dims))
            variable = file.createVariable(str(name), "f4", dims, compression="zlib", complevel=1)
            variable.setncatts(STATIC[str(name)].attrs)
            variable[:] = field.values


def _write_modis(twin: Twin, base: Path, year: int) -> None:
    view = twin.view(Lattice.pixels(twin.resolution / 2))
    names = iter(_names("modis", year))
    for month, step in enumerate(twin.steps(months(year, year)), start=1):
        at = np.array([step])
        evi, day, night = (view.driver(n, at)[0] for n in ("evi", "lst_day", "lst_night"))
        lost, cloudy = _retrievals(view, [twin.seed, 6, year, month], 3)
        vegetation = _evi_layers(evi, lost[0], cloudy[0])
        heat = _lst_layers("Day", day, lost[1], cloudy[1]) | _lst_layers(
            "Night", night, lost[2], cloudy[2]
        )
        for layers in (vegetation, heat):
            _replace(base / next(names), partial(_hdf4, layers=layers))


def _retrievals(
    view: View, seed: list[int], count: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Pixels (count, n, m) without a value, at sea or lost, and pixels with a value spoilt by cloud."""
    draw = np.random.default_rng(seed).random((count, *view.lattice.shape))
    lost = (draw < PIXELS_MISSING) | (view.lattice.land <= 0)
    return lost, ~lost & (draw > 1 - PIXELS_CLOUDY)


Layer = tuple[NDArray[Any], dict[str, Any]]


def _evi_layers(evi: Float, lost: NDArray[np.bool_], cloudy: NDArray[np.bool_]) -> dict[str, Layer]:
    value = np.where(cloudy, 0.3 * evi, evi)
    packed = np.where(lost, EVI_FILL, np.rint(value * EVI_SCALE)).astype(np.int16)
    reliability = np.select([lost, cloudy], [NO_DATA, CLOUDY], GOOD).astype(np.int8)
    return {
        "CMG 0.05 Deg Monthly EVI": (
            packed,
            {
                "long_name": "CMG 0.05 Deg Monthly EVI",
                "units": "EVI",
                "valid_range": [-2000, 10000],
                "_FillValue": EVI_FILL,
                "scale_factor": float(EVI_SCALE),
                "add_offset": 0.0,
            },
        ),
        "CMG 0.05 Deg Monthly pixel reliability": (
            reliability,
            {
                "long_name": "CMG 0.05 Deg Monthly pixel reliability",
                "units": "rank",
                "valid_range": [0, 4],
                "_FillValue": NO_DATA,
            },
        ),
    }


def _lst_layers(
    part: str, lst: Float, lost: NDArray[np.bool_], cloudy: NDArray[np.bool_]
) -> dict[str, Layer]:
    value = np.where(cloudy, lst - 12.0, lst)
    packed = np.where(lost, LST_FILL, np.rint(value / LST_SCALE)).astype(np.uint16)
    quality = np.select([lost, cloudy], [QC_ABSENT, QC_POOR], QC_GOOD).astype(np.uint8)
    return {
        f"LST_{part}_CMG": (
            packed,
            {
                "long_name": f"Monthly {part.lower()}time 3min CMG Land-surface Temperature",
                "units": "K",
                "valid_range": [7500, 65535],
                "_FillValue": LST_FILL,
                "scale_factor": LST_SCALE,
                "add_offset": 0.0,
            },
        ),
        f"QC_{part}": (
            quality,
            {
                "long_name": f"Quality control for {part.lower()} LST and emissivity",
                "units": "none",
            },
        ),
    }


def _hdf4(path: Path, layers: dict[str, Layer]) -> None:
    from pyhdf.SD import SD, SDC

    kinds = {
        np.dtype(np.int16): SDC.INT16,
        np.dtype(np.uint16): SDC.UINT16,
        np.dtype(np.int8): SDC.INT8,
        np.dtype(np.uint8): SDC.UINT8,
    }
    path.unlink(missing_ok=True)
    file = SD(str(path), SDC.WRITE | SDC.CREATE)
    for name, (values, attributes) in layers.items():
        kind = kinds[values.dtype]
        layer = file.create(name, kind, values.shape)
        layer.setcompress(SDC.COMP_DEFLATE, 1)
        for key, value in attributes.items():
            layer.attr(key).set(_attribute_kind(key, value, kind), value)
        layer[:] = np.ascontiguousarray(values)
        layer.endaccess()
    file.end()


def _attribute_kind(key: str, value: Any, kind: int) -> int:
    from pyhdf.SD import SDC

    if isinstance(value, str):
        return int(SDC.CHAR8)
    return int(SDC.FLOAT64) if isinstance(value, float) else kind

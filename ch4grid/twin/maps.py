"""The twin's area layers as the maps that people use for them, and its altitude and soil.

    wad2m/WAD2M_wetlands_2000-2020_025deg_Ver2.0.nc   freshwater wetland by month, Fw(time, lat, lon)
    glwd/GLWD_v2_0_area_by_class_pct_tif.zip          percent of the pixel by class, one GeoTIFF per class
    ghsl/GHS_SMOD_E2020_GLOBE_R2023A_4326_30ss_V2_0.tif   degree of urbanisation, int16
    surface/surface_025deg.nc                         land fraction, altitude, soil organic carbon

The percents are on pixels of a fifth of a cell, 0.05 degrees, where the original has 15 arc-seconds: 3.7 billion pixels
would say no more, and a reader takes their size from the file.
"""

import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from ch4grid.grid import Grid
from ch4grid.twin.lattice import Lattice
from ch4grid.twin.netcdf import coordinate
from ch4grid.twin.pixels import SIDE, percentages, refined
from ch4grid.twin.planet import Twin
from ch4grid.twin.surface import Surface
from ch4grid.vocabulary import STATIC, months

Float = NDArray[np.float64]

WAD2M = "wad2m/WAD2M_wetlands_2000-2020_025deg_Ver2.0.nc"
WAD2M_YEARS = (2000, 2020)
GLWD = "glwd/GLWD_v2_0_area_by_class_pct_tif.zip"
GLWD_MEMBER = "GLWD_v2_0_area_by_class_pct/GLWD_v2_0_class_{:02d}_pct.tif"
GLWD_CLASSES = 33
GLWD_NODATA = 255
DATE = (1980, 1, 1, 0, 0, 0)
# The map ends where rivers do [degrees_north].
GLWD_ROWS = (-56.0, 84.0)
SMOD = "ghsl/GHS_SMOD_E2020_GLOBE_R2023A_4326_30ss_V2_0.tif"
SMOD_WATER, SMOD_RURAL, SMOD_CITY, SMOD_NODATA = 10, 11, 30, -200
# Pixels of 30 arc-seconds along the side of a cell of 0.25 degrees, and the step that scatters their order.
SMOD_SIDE, SMOD_STRIDE = 30, 541
# Pixels from 180 W and from the north pole to the corner of the map, and rows that it leaves out at either pole.
SMOD_BESIDE, SMOD_CUT = (0.95, 108.05), 108
# Rows of cells written at a time.
SMOD_CELLS = 64
SURFACE = "surface/surface_025deg.nc"
SURFACE_LAYERS = ("land_fraction", "elevation", "soil_organic_carbon")


def map_writers(twin: Twin) -> list[tuple[str, Callable[[Path], None]]]:
    """Names of the maps of a planet below its folder, and what writes each."""
    return [
        (WAD2M, partial(write_wad2m, twin=twin)),
        (GLWD, partial(write_glwd, twin=twin)),
        (SMOD, partial(write_smod, twin=twin)),
        (SURFACE, partial(write_surface, twin=twin)),
    ]


def write_wad2m(path: Path, twin: Twin) -> None:
    """Write the wetlands of every month of WAD2M: the same mean year again and again, none at sea."""
    lattice = Lattice.cells(twin.resolution)
    wet = Surface(twin.seed, lattice).layers["wetland_fraction"].astype(np.float32)
    wet[:, lattice.land <= 0] = np.nan
    time = months(*WAD2M_YEARS)
    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        file.setncatts({"Conventions": "CF-1.6", "institution": "ch4grid twin, simulated"})
        days = (time - time[0]).days.to_numpy().astype(np.float64)
        coordinate(file, "time", days, f"days since {time[0]:%Y-%m-%d}")
        coordinate(file, "lat", lattice.latitude, "degrees_north")
        coordinate(file, "lon", lattice.longitude, "degrees_east")
        fraction = file.createVariable(
            "Fw",
            "f4",
            ("time", "lat", "lon"),
            compression="zlib",
            complevel=1,
            chunksizes=(1, *lattice.shape),
            fill_value=np.float32(np.nan),
        )
        fraction.setncatts({"long_name": "fraction of wetland", "units": "1"})
        for step, month in enumerate(time.month):
            fraction[step] = wet[month - 1]


def glwd_classes(surface: Surface) -> dict[int, Float]:
    """Fractions (n, m) of cells by number of the GLWD class, disjoint, wetland at the largest extent of the year.

    Lakes are class 1, floodplains of the tropics 10, temperate wetland 17, peat of the north 23, mangrove 28 in the
    tropics and salt marsh 29 elsewhere, rice 33.
    """
    layers, degrees = surface.layers, surface.lattice.parallel
    wet = layers["wetland_fraction"].max(axis=0)
    tropics, north = np.abs(degrees) < 30, degrees >= 55
    coast = layers["coastal_fraction"]
    return {
        1: layers["open_water_fraction"],
        10: wet * tropics,
        17: wet * ~(tropics | north),
        23: wet * north,
        28: coast * tropics,
        29: coast * ~tropics,
        33: layers["rice_fraction"],
    }


def write_glwd(path: Path, twin: Twin) -> None:
    """Write the archive of percents by class, with the classes that the twin does not have as zeros."""
    lattice = Lattice.pixels(twin.resolution)
    south, north = GLWD_ROWS
    inside = (lattice.latitude > south) & (lattice.latitude < north)
    lattice = lattice.take(np.flatnonzero(inside), np.arange(lattice.shape[1]))
    top = float(lattice.latitude[0]) + twin.resolution / 2
    pixels = dict(percentages(glwd_classes(Surface(twin.seed, lattice))))
    sea = refined(lattice.land <= 0)
    place = (-180.0, top, twin.resolution / SIDE)
    with TemporaryDirectory() as folder, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        tif = Path(folder) / "class.tif"
        for number in range(1, GLWD_CLASSES + 1):
            values = pixels.get(number, np.zeros(sea.shape, np.uint8))
            with _geotiff(tif, sea.shape, "uint8", place, GLWD_NODATA) as file:
                file.write(np.where(sea, np.uint8(GLWD_NODATA), values), 1)
            # the default date of a member is that of the clock
            archive.writestr(zipfile.ZipInfo(GLWD_MEMBER.format(number), DATE), tif.read_bytes())


def write_smod(path: Path, twin: Twin) -> None:
    """Write the degree of urbanisation: of every cell as many pixels are city as it has of its area.

    As in the original, pixels lie a twentieth of a pixel beside the lines of the cells, and two columns stand twice.
    """
    lattice = Lattice.pixels(twin.resolution)
    urban = Surface(twin.seed, lattice).layers["urban_fraction"]
    city, land = (np.rint(f * SMOD_SIDE**2).astype(np.int16) for f in (urban, lattice.land))
    order = (np.arange(SMOD_SIDE**2) * SMOD_STRIDE % SMOD_SIDE**2).reshape(SMOD_SIDE, SMOD_SIDE)
    rows, columns = (n * SMOD_SIDE for n in lattice.shape)
    step = twin.resolution / SMOD_SIDE
    corner = -180.0 - SMOD_BESIDE[0] * step, 90.0 - SMOD_BESIDE[1] * step
    first, last = SMOD_CUT, rows - SMOD_CUT
    with _geotiff(path, (last - first, columns + 2), "int16", (*corner, step), SMOD_NODATA) as file:
        for row in range(0, lattice.shape[0], SMOD_CELLS):
            band = slice(row, row + SMOD_CELLS)
            codes = _urbanisation(city[band], land[band], order.astype(np.int16))
            top = row * SMOD_SIDE
            codes = codes[max(first - top, 0) : max(last - top, 0)]
            if len(codes):
                start = max(top, first) - first
                window = ((start, start + len(codes)), (0, columns + 2))
                file.write(np.pad(codes, ((0, 0), (1, 1)), mode="wrap"), 1, window=window)


def _urbanisation(
    city: NDArray[np.int16], land: NDArray[np.int16], order: NDArray[np.int16]
) -> NDArray[np.int16]:
    """Codes of the pixels of cells, from the number of pixels in each that are city and land."""
    ranks = np.tile(order, city.shape)
    codes = np.full(ranks.shape, SMOD_WATER, np.int16)
    codes[ranks < refined(land, SMOD_SIDE)] = SMOD_RURAL
    codes[ranks < refined(city, SMOD_SIDE)] = SMOD_CITY
    return codes


def write_surface(path: Path, twin: Twin) -> None:
    """Write land fraction, altitude and soil organic carbon on cells."""
    grid = Grid(twin.resolution)
    lattice = Lattice.cells(twin.resolution)
    surface = Surface(twin.seed, lattice)
    fields: Mapping[str, Float] = {
        "land_fraction": lattice.land,
        "elevation": surface.elevation,
        "soil_organic_carbon": surface.soil_organic_carbon,
    }
    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        file.setncatts({"Conventions": "CF-1.11", "institution": "ch4grid twin, simulated"})
        coordinate(file, "latitude", grid.latitude, "degrees_north")
        coordinate(file, "longitude", grid.longitude, "degrees_east")
        for name, values in fields.items():
            variable = file.createVariable(
                name, "f4", ("latitude", "longitude"), compression="zlib", complevel=1
            )
            variable.setncatts(STATIC[name].attrs)
            variable[:] = values


@contextmanager
def _geotiff(
    path: Path,
    shape: tuple[int, int],
    dtype: str,
    place: tuple[float, float, float],
    nodata: float,
) -> Iterator[Any]:
    """A compressed GeoTIFF in degrees, open for writing; `place`: west and north edge, step."""
    import rasterio

    west, north, step = place
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=shape[0],
        width=shape[1],
        count=1,
        dtype=dtype,
        crs="EPSG:4326",
        transform=rasterio.Affine(step, 0.0, west, 0.0, -step, north),
        nodata=nodata,
        compress="lzw",
        tiled=True,
        blockxsize=256,
        blockysize=256,
    ) as file:
        yield file

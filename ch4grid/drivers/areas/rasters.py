"""GeoTIFF maps to fractions of the product's cells, strip by strip: class maps, percents, areas per pixel.

Maps of 15 arc-seconds or 25 m never fit in memory and must not be thinned out: every pixel counts with its area on the
WGS84 ellipsoid. Pixels lie on latitude and longitude, or in the Mollweide projection of the settlement layers, whose
parallels are straight lines; both are rows between two parallels with pixels of one width in longitude, so overlaps
with the product's cells are exact along both axes. Maps inside a ZIP archive are read where they are.
"""

import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid.drivers.areas.overlap import Overlap, overlap, row_area, row_overlap
from ch4grid.drivers.kept import keep
from ch4grid.drivers.source import Holding, State
from ch4grid.errors import InputError
from ch4grid.grid import WGS84_A, Grid
from ch4grid.stores import Workspace, sha256_json

Float = NDArray[np.float64]
Decode = Callable[[NDArray[Any]], NDArray[Any]]

# Pixels read at a time [number], so that memory does not grow with the size of the map.
STRIP_PIXELS = 8_000_000

# Blocks that GDAL keeps [MB]: a strip is read once, so more would only cost memory.
CACHE_MEGABYTES = 64

# Blocks at the end of a file whose place is checked against its size.
LAST_BLOCKS = 64


@dataclass(frozen=True)
class Raster:
    """A GeoTIFF, or one inside a ZIP archive.

    Args:
        file: The file or the archive.
        member: Name inside the archive; empty for a file.
    """

    file: Path
    member: str = ""

    @property
    def name(self) -> str:
        """Name without folders."""
        return Path(self.member).name if self.member else self.file.name

    @property
    def address(self) -> str:
        """What GDAL opens."""
        return f"/vsizip/{self.file}/{self.member}" if self.member else str(self.file)


@dataclass(frozen=True)
class Layout:
    """Where the pixels of a raster lie.

    Args:
        shape: Rows and columns.
        origin: West and north edge [degrees or m].
        step: Width and height of a pixel [degrees or m], the height positive.
        mollweide: Whether it is in the Mollweide projection, else on latitude and longitude.
        nodata: Value of missing pixels, if the file declares one.
        dtype: Type of the values.
        block: Rows of a block.
    """

    shape: tuple[int, int]
    origin: tuple[float, float]
    step: tuple[float, float]
    mollweide: bool
    nodata: float | None
    dtype: str
    block: int


def rasters(workspace: Workspace, pattern: str) -> list[Raster]:
    """The GeoTIFFs of a path or glob: files, all in a folder, all in a ZIP archive; by name.

    Raises:
        InputError: Nothing matches, an archive cannot be read, or there is no GeoTIFF.
    """
    found: list[Raster] = []
    for path in workspace.matches(pattern):
        files = (
            sorted(path.rglob("*.tif")) + sorted(path.rglob("*.TIF")) if path.is_dir() else [path]
        )
        for file in files:
            found += _members(file) if zipfile.is_zipfile(file) else [Raster(file)]
    if not found or any(r.file.suffix.lower() == ".zip" and not r.member for r in found):
        raise InputError(
            "no GeoTIFF can be read",
            where=pattern,
            expected="GeoTIFF files, a folder of them or a complete ZIP archive of them",
            found=", ".join(r.name for r in found) or "none",
            fix="Fetch the file again if it was cut short",
        )
    return sorted(found, key=lambda r: r.name)


def _members(archive: Path) -> list[Raster]:
    with zipfile.ZipFile(archive) as members:
        names = members.namelist()
    return [Raster(archive, n) for n in names if n.lower().endswith(".tif")]


def layout(raster: Raster) -> Layout:
    """The layout of a raster, remembered as long as the file's size and modification time stay.

    Raises:
        InputError: It cannot be read, ends early, or its projection is neither of the two.
    """
    stat = raster.file.stat()
    return _layout(raster, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=65536)
def _layout(raster: Raster, size: int, modified: int) -> Layout:
    with opened(raster) as source:
        crs, transform = source.crs, source.transform
        mollweide = crs is not None and "mollweide" in crs.to_wkt().lower()
        if crs is None or not (crs.is_geographic or mollweide) or transform.b or transform.d:
            raise InputError(
                "this map is neither on latitude and longitude nor in the Mollweide projection",
                where=raster.address,
                expected="EPSG:4326 or ESRI:54009, north up",
                found=crs.to_string()[:80] if crs is not None else "no projection",
                fix="Bring it to EPSG:4326 at its own resolution with nearest neighbours",
            )
        if not raster.member:
            _refuse_cut_short(source, raster, size)
        return Layout(
            shape=(source.height, source.width),
            origin=(transform.c, transform.f),
            step=(transform.a, -transform.e),
            mollweide=mollweide,
            nodata=source.nodata,
            dtype=source.dtypes[0],
            block=source.block_shapes[0][0],
        )


def _refuse_cut_short(source: Any, raster: Raster, size: int) -> None:
    """Refuse a file whose last blocks lie beyond its end; GDAL would notice only on reading them."""
    height, width = source.block_shapes[0]
    rows, columns = -(-source.height // height), -(-source.width // width)
    for index in range(max(0, rows * columns - LAST_BLOCKS), rows * columns):
        row, column = divmod(index, columns)
        place, length = (
            source.get_tag_item(f"BLOCK_{what}_{column}_{row}", "TIFF", bidx=1)
            for what in ("OFFSET", "SIZE")
        )
        if place is not None and int(place) + int(length or 0) > size:
            raise unreadable(raster, f"the file ends at byte {size}, a block reaches beyond it")


@contextmanager
def opened(raster: Raster) -> Iterator[Any]:
    """A raster as a rasterio dataset.

    Raises:
        InputError: It cannot be opened, or reading from it fails.
    """
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with (
            rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", GDAL_CACHEMAX=CACHE_MEGABYTES),
            rasterio.open(raster.address) as source,
        ):
            yield source
    except RasterioError as error:
        raise unreadable(raster, str(error)) from error


def unreadable(raster: Raster, reason: str) -> InputError:
    """The error for a map whose content cannot be read."""
    return InputError(
        "cannot read this map",
        where=raster.address,
        expected="a complete GeoTIFF",
        found=f"{raster.file.stat().st_size} bytes; {' '.join(reason.split())[:160]}",
        fix="The download was probably cut short: delete the file and fetch it again",
    )


def cell_fractions(raster: Raster, grid: Grid, decode: Decode, *, areas: bool = False) -> Float:
    """Fraction of every cell of the product that a map covers (latitude, longitude) [1].

    Args:
        raster: The map.
        grid: Target grid.
        decode: Pixel values (rows, columns) to the fraction of the pixel, or to its area [m2] if `areas`; none missing.
        areas: Whether `decode` gives areas. Those of projected maps are parts of the nominal pixel.

    Raises:
        InputError: The map cannot be read.
    """
    where = layout(raster)
    latitude, onto_columns = _geometry(where, grid)
    rows = row_overlap(latitude, grid).tocsc()
    total = np.zeros(grid.shape)
    for first, last, values in strips(raster):
        shares = decode(values)
        if not shares.any():
            continue
        along = onto_columns(shares, first)
        if areas:
            along = along / _pixel_area(where, latitude)[first:last, None]
        total += rows[:, first:last] @ along
    return total


def once(
    source: str,
    told: Mapping[str, object],
    maps: Sequence[Raster],
    grid: Grid,
    workspace: Workspace,
    make: Callable[[], xr.Dataset],
) -> xr.Dataset:
    """Layers that take minutes to make, kept below the cache until the maps, the recipe or the grid change.

    Args:
        source: Kind of the source.
        told: What the recipe says of it.
        maps: What it reads; they count by name, size and modification time.
        grid: Target grid.
        workspace: Where the cache lies.
        make: Makes the layers.
    """
    stats = [(r.name, r.file.stat()) for r in maps]
    key = sha256_json(
        [dict(told), grid.resolution, [[n, s.st_size, s.st_mtime_ns] for n, s in stats]]
    )
    folder = keep(workspace.cache / "maps" / f"{source}-{key[:16]}", make)
    with xr.open_zarr(folder, consolidated=False, chunks=None) as ds:
        kept: xr.Dataset = ds.load().drop_encoding()
    return kept


def strips(raster: Raster) -> Iterator[tuple[int, int, NDArray[Any]]]:
    """First row, row after the last, and values (rows, columns) of a map from north to south.

    Raises:
        InputError: The map cannot be read.
    """
    from rasterio.windows import Window

    where = layout(raster)
    height, width = where.shape
    deep = max(1, STRIP_PIXELS // width // where.block) * where.block
    with opened(raster) as source:
        for first in range(0, height, deep):
            last = min(first + deep, height)
            yield first, last, source.read(1, window=Window(0, first, width, last - first))


def latitude_of(where: Layout) -> Float:
    """Edges of the rows from north to south [degrees_north].

    Source for the projection: Snyder, Map Projections: A Working Manual (1987), eqs. 31-1 to 31-7, on the sphere of
    the semi-major axis as PROJ does.
    """
    if not where.mollweide:
        return _edges(where.origin[1], -where.step[1], where.shape[0])
    theta = _theta(where, np.arange(where.shape[0] + 1.0))
    return np.rad2deg(np.arcsin(np.clip((2 * theta + np.sin(2 * theta)) / np.pi, -1.0, 1.0)))


def _theta(where: Layout, row: NDArray[np.floating[Any]]) -> Float:
    """Auxiliary angle of the Mollweide projection at row positions [radian]."""
    north = where.origin[1] - row * where.step[1]
    return np.asarray(np.arcsin(np.clip(north / (np.sqrt(2.0) * WGS84_A), -1.0, 1.0)))


def _geometry(where: Layout, grid: Grid) -> tuple[Float, Callable[[NDArray[Any], int], Float]]:
    """Latitudes of the rows, and what brings rows of shares from their first row on to the target's columns."""
    latitude = latitude_of(where)
    if where.mollweide:
        return latitude, lambda shares, first: _mollweide_columns(shares, first, where, grid)
    longitude = _edges(where.origin[0], where.step[0], where.shape[1])
    columns = grid.shape[1]
    ratio = where.shape[1] // columns
    nested = where.shape[1] == ratio * columns and np.allclose(
        longitude[::ratio], np.linspace(-180.0, 180.0, columns + 1), rtol=0, atol=1e-9
    )
    if nested:
        return latitude, lambda shares, first: _block_means(shares, columns)
    weights: Overlap = overlap(latitude, longitude, grid)
    return latitude, lambda shares, first: np.asarray(
        (weights.columns @ shares.astype(np.float64).T).T
    )


def _block_means(shares: NDArray[Any], columns: int) -> Float:
    """Means over whole numbers of pixels along the rows: exact, and as fast as the values can be read."""
    blocks = shares.reshape(shares.shape[0], columns, -1)
    kind = np.float64 if shares.dtype.kind == "f" else np.int64
    return np.asarray(blocks.sum(axis=2, dtype=kind) / blocks.shape[2], np.float64)


def _mollweide_columns(shares: NDArray[Any], first: int, where: Layout, grid: Grid) -> Float:
    """Rows of a Mollweide map on the target's columns: a pixel is wider in longitude the nearer it is to a pole."""
    target = np.append(grid.longitude_bounds[:, 0], 180.0)
    east = where.origin[0] + where.step[0] * np.arange(where.shape[1] + 1.0)
    half = (
        2.0 * np.sqrt(2.0) * WGS84_A * np.cos(_theta(where, first + 0.5 + np.arange(len(shares))))
    )
    out = np.zeros((len(shares), grid.shape[1]))
    for row in np.flatnonzero(shares.any(axis=1)):
        filled = np.concatenate([[0.0], np.cumsum(shares[row], dtype=np.float64)])
        degrees = east * 180.0 / half[row]
        step = degrees[1] - degrees[0]
        out[row] = np.diff(np.interp(target, degrees, filled)) * step / grid.resolution
    return out


def _pixel_area(where: Layout, latitude: Float) -> Float:
    """Area of the pixels of every row [m2]; of projected maps the nominal one."""
    if where.mollweide:
        return np.full(where.shape[0], where.step[0] * where.step[1])
    return row_area(latitude) * where.step[0] / 360.0


def _edges(first: float, step: float, count: int) -> Float:
    """Edges of pixels [degrees]; steps like 0.004166667 that mean 1/240 are taken at their word."""
    exact = np.sign(step) / round(1.0 / abs(step)) if abs(step) < 1.0 else step
    number = first / exact
    if abs(exact - step) * count < 0.02 * abs(step) and abs(number - round(number)) < 0.02:
        return np.asarray((round(number) + np.arange(count + 1)) * exact, np.float64)
    return np.asarray(first + step * np.arange(count + 1), np.float64)


def held(
    source: str, variables: Sequence[str], find: Callable[[], Sequence[Raster]]
) -> list[Holding]:
    """What is held of static layers that are made from the same maps.

    Args:
        source: Kind of the source.
        variables: Vocabulary names.
        find: Gives the maps; an error of it says why they are missing or damaged.
    """
    state: State = "missing"
    files: tuple[Path, ...] = ()
    reason = ""
    try:
        found = find()
        files, state = tuple(sorted({r.file for r in found})), "damaged"
        for raster in found:
            layout(raster)
        state = "final"
    except InputError as error:
        reason = str(error)
    return [Holding(source, name, None, state, files, reason) for name in variables]

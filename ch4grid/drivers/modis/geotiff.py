"""GeoTIFF and COG rasters of MODIS fields: whether they are whole, their stored numbers and tags, and where they lie.

Loose files and members of ZIP archives are read alike, with rasterio.
"""

import io
import struct
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from ch4grid.drivers.modis.hdf4 import Stored, damaged
from ch4grid.drivers.modis.sinusoidal import Window
from ch4grid.errors import InputError

# Tags that give places and lengths of strips (273, 279) or tiles (324, 325) (TIFF 6.0, sections 8 and 15), and the
# bytes of an element of a field type.
PLACES, LENGTHS = (273, 324), (279, 325)
WIDTHS = {1: 1, 3: 2, 4: 4, 16: 8}
LETTERS = {1: "B", 2: "H", 4: "I", 8: "Q"}


def flaw(path: Path, member: str = "") -> str:
    """Why a file, or a member of an archive, is not a whole TIFF, in words; empty if it is. Remembered."""
    stat = path.stat()
    return _flaw(path, member, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=65536)
def _flaw(path: Path, member: str, size: int, modified: int) -> str:
    name = member or path.name
    try:
        if member:
            with zipfile.ZipFile(path) as archive:
                content = archive.read(member)
            return _unlike_tiff(io.BytesIO(content), len(content), name)
        with path.open("rb") as stream:
            return _unlike_tiff(stream, size, name)
    except (zipfile.BadZipFile, zlib.error, OSError, KeyError) as error:
        return f"{name} cannot be read: {error}"


def _unlike_tiff(stream: IO[bytes], size: int, name: str) -> str:
    if size == 0:
        return f"{name} is empty"
    magic = stream.read(4)
    if magic not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return f"{name} begins with {magic!r}, which is not TIFF"
    try:
        reach = _reach(stream, "<" if magic[:2] == b"II" else ">", big=b"+" in magic)
    except (struct.error, KeyError):
        return f"{name} ends within its directory, {size} bytes"
    return f"{name} has {size} bytes of at least {reach}" if reach > size else ""


def _reach(stream: IO[bytes], order: str, *, big: bool) -> int:
    """End of the furthest strip or tile of the first image [bytes]."""
    stream.seek(8 if big else 4)
    word = order + ("Q" if big else "I")
    (at,) = struct.unpack(word, stream.read(8 if big else 4))
    stream.seek(at)
    (count,) = struct.unpack(order + ("Q" if big else "H"), stream.read(8 if big else 2))
    entry = order + ("HHQ8s" if big else "HHI4s")
    entries = [struct.unpack(entry, stream.read(struct.calcsize(entry))) for _ in range(count)]
    places = [v for e in entries if e[0] in PLACES for v in _values(stream, order, e)]
    lengths = [v for e in entries if e[0] in LENGTHS for v in _values(stream, order, e)]
    return max((p + n for p, n in zip(places, lengths, strict=False)), default=at)


def _values(stream: IO[bytes], order: str, entry: tuple[Any, ...]) -> list[int]:
    _, kind, count, inline = entry
    width = WIDTHS[kind]
    content = inline
    if count * width > len(inline):
        stream.seek(struct.unpack(order + LETTERS[len(inline)], inline)[0])
        content = stream.read(count * width)
    return list(struct.unpack(f"{order}{count}{LETTERS[width]}", content[: count * width]))


def read(path: Path, member: str = "") -> tuple[Stored, Window]:
    """The first band as stored with its tags, and where it lies on the sinusoidal grid.

    Raises:
        InputError: The file is not whole or cannot be read, or has another projection.
    """
    import rasterio

    where = path / member if member else path
    if not path.is_file():
        raise damaged(path, "no such file")
    if reason := flaw(path, member):
        raise damaged(where, reason)
    try:
        with rasterio.open(_place(path, member)) as raster:
            return Stored(raster.read(1), _attributes(raster)), _window(raster, where)
    except (rasterio.errors.RasterioError, OSError) as error:
        raise damaged(where, " ".join(str(error).split())[:200]) from error


def _attributes(raster: Any) -> dict[str, Any]:
    """Tags of the file and of the band; scale, offset and fill as GDAL understands them where no tag states them."""
    gdal: dict[str, Any] = {
        "scale_factor": raster.scales[0],
        "add_offset": raster.offsets[0],
        "long_name": raster.descriptions[0] or "",
    }
    fill = {} if raster.nodata is None else {"_FillValue": raster.nodata}
    return {**gdal, **fill, **raster.tags(), **raster.tags(1)}


def described(path: Path, member: str = "") -> str:
    """What a raster says it holds, its `long_name`; empty if nothing or if it cannot be read."""
    import rasterio

    if flaw(path, member):
        return ""
    try:
        with rasterio.open(_place(path, member)) as raster:
            return str(_attributes(raster)["long_name"])
    except (rasterio.errors.RasterioError, OSError):
        return ""


def _place(path: Path, member: str) -> str:
    return f"zip://{path}!/{member}" if member else str(path)


def _window(raster: Any, where: object) -> Window:
    parameters = raster.crs.to_dict() if raster.crs else {}
    if parameters.get("proj") != "sinu" or float(parameters.get("lon_0", 0.0)) != 0.0:
        raise InputError(
            "the raster is not on the sinusoidal grid",
            where=where,
            expected="the projection of the MODIS land tiles",
            found=parameters.get("proj") or "no projection or another one",
            fix="Give rasters in the projection of their granules, or monthly ones as source gridded",
        )
    radius = float(parameters.get("R", parameters.get("a", 0.0)))
    transform = raster.transform
    shape = int(raster.height), int(raster.width)
    return Window(transform.c, transform.f, transform.a, -transform.e, shape, radius)

"""NetCDF files, alone or in a ZIP archive: what each one holds, and its fields on our axes.

Whatever a file calls its axes, a field leaves here as (time, latitude, longitude) or (latitude, longitude). A file that
cannot be read, or is cut short, is named. Packed values are decoded file by file: every file has a scale of its own.
"""

import io
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ch4grid.drivers.files.header import Header, Times
from ch4grid.errors import InputError
from ch4grid.regridding import latitude_edges, longitude_edges

# Names that files give to the axes, and ours.
AXES = {
    "valid_time": "time",
    "lat": "latitude",
    "Latitude": "latitude",
    "nav_lat": "latitude",
    "y": "latitude",
    "lon": "longitude",
    "Longitude": "longitude",
    "nav_lon": "longitude",
    "x": "longitude",
}
FIELD = ("time", "latitude", "longitude")

ZIP = b"PK\x03\x04"
CLASSIC = (b"CDF\x01", b"CDF\x02")

# Row spacing of ERA5-Land [degrees]; no other product of ERA5 has it.
LAND_SPACING = 0.1


def read_headers(path: Path) -> list[Header]:
    """The header of a file, one per part of a ZIP archive.

    Raises:
        InputError: It cannot be read or has no latitude and longitude.
    """
    _refuse_cut_short(path)
    found = []
    for part in parts(path):
        with opened(path, part) as ds:
            found.append(header_of(ds, path, part))
    return found


def header_of(ds: xr.Dataset, path: Path | str, part: str = "") -> Header:
    """The header of an open file with our axis names."""
    fields = {str(n): v for n, v in ds.data_vars.items() if v.ndim >= 2}
    lasting = frozenset(n for n, v in fields.items() if not {"time", "month"} & set(v.dims))
    times = stamps(ds["time"], path) if "time" in ds.dims else np.empty(0, "datetime64[s]")
    return Header(
        path,
        frozenset(fields),
        times,
        "month" in ds.dims,
        np.arange(times.size, dtype=np.int64),
        _preliminary(ds, times.size),
        lasting,
        part,
        _traits(ds, f"{path} {part}"),
        "" if "time" in ds.dims or "time" not in ds.coords else str(ds["time"].values)[:16],
    )


def _traits(ds: xr.Dataset, name: str) -> frozenset[str]:
    """What the metadata of a file tell of its origin."""
    words = " ".join([str(ds.attrs.get("history", "")), name.rpartition("/")[2]])
    words = words.lower().replace("_", "-")
    rows = np.abs(np.diff(np.asarray(ds["latitude"].values, np.float64)))
    land = "era5-land" in words or (rows.size and abs(float(np.median(rows)) - LAND_SPACING) < 1e-3)
    by_hour = "by-hour-of-day" in words or "stream-mnth" in words
    traits = {"land": bool(land), "by-hour": by_hour, "monthly": "stream-moda" in words}
    return frozenset(trait for trait, told in traits.items() if told)


def _preliminary(ds: xr.Dataset, number: int) -> np.ndarray:
    """Whether each time is ERA5T: `expver` 5 as a scalar, along time, or as a dimension.

    As a dimension it says nothing by itself: a time is preliminary where the final slice holds no value at all.
    """
    none = np.zeros(number, np.bool_)
    if "expver" not in ds.variables or not number:
        return none
    version = ds["expver"]
    if "expver" not in version.dims:
        early = _is_early(version.values)
        return np.broadcast_to(early, number).copy() if version.ndim == 0 else np.asarray(early)
    early = _is_early(version.values)
    name = next(n for n, v in ds.data_vars.items() if {"expver", "time"} <= set(v.dims))
    final = ds[name].isel(expver=np.flatnonzero(~early))
    for step in range(number if early.any() else 0):
        none[step] = not bool(np.isfinite(final.isel(time=step).values).any())
    return none


def _is_early(versions: np.ndarray) -> np.ndarray:
    texts = [v.decode() if isinstance(v, bytes) else str(v) for v in np.ravel(versions)]
    early = [t.strip().removesuffix(".0").lstrip("0") == "5" for t in texts]
    return np.asarray(early, np.bool_).reshape(np.shape(versions))


@contextmanager
def opened(path: Path, part: str = "") -> Iterator[xr.Dataset]:
    """A file as a lazy Dataset with our axis names; one part of a ZIP archive, or all of them as one.

    Raises:
        InputError: It cannot be opened, or reading from it fails.
    """
    stores: list[xr.Dataset] = []
    try:
        stores = _open(path, part)
        one = len(stores) == 1
        joined = (
            stores[0] if one else xr.merge(map(_plain, stores), compat="override", join="exact")
        )
        yield on_our_axes(joined, path)
    except (OSError, RuntimeError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise unreadable(path, error) from error
    finally:
        for store in stores:
            store.close()


def parts(path: Path) -> list[str]:
    """The NetCDF files in a ZIP archive, whatever its extension; one nameless part of any other file.

    Raises:
        InputError: The archive cannot be read or holds no NetCDF file.
    """
    if magic(path) != ZIP:
        return [""]
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(n for n in archive.namelist() if n.endswith(".nc"))
    except (OSError, zipfile.BadZipFile) as error:
        raise unreadable(path, error) from error
    if not names:
        raise InputError("the archive holds no NetCDF file", where=path, fix="Unpack it")
    return names


def magic(path: Path) -> bytes:
    """The first four bytes of a file.

    Raises:
        InputError: It cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return stream.read(4)
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> InputError:
    """The error for a file whose content cannot be read."""
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return InputError(
        "cannot read this file",
        where=path,
        expected="a complete file of the format its name says",
        found=f"{path.stat().st_size} bytes; {reason}" if path.exists() else reason,
        fix="The download was probably cut short: delete the file and fetch it again",
    )


def _open(path: Path, part: str) -> list[xr.Dataset]:
    # CDS hands out mixed variables as a ZIP archive whatever the extension
    if magic(path) == ZIP:
        import netCDF4

        names = [part] if part else parts(path)
        with zipfile.ZipFile(path) as archive:
            files = {n: archive.read(n) for n in names}
        stores = [_in_memory(netCDF4.Dataset(n, memory=b)) for n, b in files.items()]
        return [xr.open_dataset(s, engine="store", decode_timedelta=False) for s in stores]
    return [xr.open_dataset(path, engine="netcdf4", decode_timedelta=False)]


def _in_memory(dataset: Any) -> Any:
    store: Any = xr.backends.NetCDF4DataStore
    return store(dataset)


def _plain(ds: xr.Dataset) -> xr.Dataset:
    """The Dataset without the scalar coordinates that differ between the files of one request."""
    scalars = [n for n in ("number", "step", "surface", "expver") if n in ds.variables]
    return ds.drop_vars([n for n in scalars if n not in ds.dims])


def on_our_axes(ds: xr.Dataset, path: Path | str) -> xr.Dataset:
    """The Dataset with the axis names time, latitude and longitude.

    Raises:
        InputError: It has no such axes, or one is not monotonic or out of range.
    """
    if "valid_time" in ds.dims and "time" in ds.variables and "time" not in ds.dims:
        # the reference time of a forecast, beside the time that the field is of
        ds = ds.drop_vars("time")
    taken = set(ds.dims) | set(ds.coords)
    axes = {*ds.dims, *(n for n, c in ds.coords.items() if c.ndim == 0)}
    ds = ds.rename({n: o for n, o in AXES.items() if n in axes and o not in taken})
    missing = [n for n in ("latitude", "longitude") if n not in ds.dims or n not in ds.coords]
    if missing:
        raise InputError(
            f"the file has no axis {' and '.join(missing)}",
            where=path,
            expected="one-dimensional coordinates latitude and longitude (or lat, lon, y, x)",
            found=", ".join(map(str, ds.dims)),
            fix="Regrid curvilinear or projected data to a latitude-longitude grid first",
        )
    try:
        latitude_edges(np.asarray(ds["latitude"].values, np.float64))
        longitude_edges(np.asarray(ds["longitude"].values, np.float64))
    except InputError as error:
        raise InputError(str(error).removesuffix("."), where=path) from error
    return ds


def stamps(time: xr.DataArray, path: Path | str) -> Times:
    """The labels of a time axis, those of other calendars by their date.

    Raises:
        InputError: The axis has no CF units.
    """
    if time.dtype.kind == "M":
        return np.asarray(time.values.astype("datetime64[s]"))
    if not hasattr(time.dt, "year") or time.dtype.kind in "iuf":
        raise InputError("the time axis has no CF units", where=path, found=time.attrs)
    # a thirtieth of February is the 28th here: only its month is used
    dates = zip(time.dt.year.values, time.dt.month.values, time.dt.day.values, strict=True)
    return np.array([f"{y:04d}-{m:02d}-{min(d, 28):02d}" for y, m, d in dates], "datetime64[s]")


def _refuse_cut_short(path: Path) -> None:
    """Refuse a classic NetCDF file that ends early: the C library would read zeros beyond the end without a word."""
    if magic(path) not in CLASSIC:
        return
    from scipy.io import netcdf_file

    try:
        with netcdf_file(io.BytesIO(path.read_bytes()), mmap=False):
            pass
    except (ValueError, TypeError, EOFError, IndexError, OverflowError) as error:
        raise unreadable(path, error) from error


def refuse_missing(missing: Sequence[str], name: str, where: object) -> None:
    """Refuse a series with missing months.

    Raises:
        InputError: There are some; the message names them.
    """
    if missing:
        raise InputError(
            f"months are missing for {name!r}",
            where=where,
            expected="every month of the years asked for",
            found=f"no {', '.join(missing[:12])}{' and later' if len(missing) > 12 else ''}",
            fix="Fetch these months or shorten the period",
        )


def joined(parts: Sequence[xr.DataArray], name: str, where: object) -> xr.DataArray:
    """Parts of a series as one (time, latitude, longitude).

    Raises:
        InputError: They lie on different grids.
    """
    try:
        return xr.concat(parts, dim="time", join="exact", combine_attrs="override")
    except ValueError as error:
        raise InputError(
            f"the files of {name!r} lie on different grids", where=where, found=str(error)[:200]
        ) from error


def field_of(values: xr.DataArray, dims: tuple[str, ...], where: object) -> xr.DataArray:
    """The values on exactly these dimensions: one experiment version, no other axis, no stray coordinates.

    Recent ERA5 requests carry `expver` as a dimension (0001 final, 0005 preliminary), each slice missing where the
    other has data; the final one wins.
    """
    if "expver" in values.dims:
        versions = [values.isel(expver=i, drop=True) for i in np.argsort(values["expver"].values)]
        merged = versions[0]
        for later in versions[1:]:
            merged = merged.fillna(later)
        values = merged.assign_attrs(values.attrs)
    extra = [d for d in values.dims if d not in dims]
    if any(values.sizes[d] > 1 for d in extra):
        raise InputError(
            f"variable {values.name!r} has a further dimension",
            where=where,
            expected=dims,
            found={str(d): values.sizes[d] for d in extra},
        )
    values = values.isel(dict.fromkeys(extra, 0), drop=True).transpose(*dims)
    stray: list[Any] = [c for c in values.coords if c not in dims]
    return values.drop_vars(stray)

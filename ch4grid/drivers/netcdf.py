"""NetCDF and Zarr files as monthly fields: what each file holds, and one variable of it for the months asked for.

Whatever a file calls its axes, a field leaves here as (time, latitude, longitude) or (latitude, longitude) with months
labelled by their first day. A file that cannot be read, or is cut short, is named.
"""

import io
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

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


@dataclass(frozen=True)
class Header:
    """What a file holds: its variables, and its months, none if it has no time axis.

    Args:
        path: The file or Zarr folder.
        names: Its data variables with at least two dimensions.
        months: First days of its months, in file order; empty for statics and climatologies.
        climatology: Whether it holds one mean year on a dimension `month`.
    """

    path: Path
    names: frozenset[str]
    months: tuple[np.datetime64, ...]
    climatology: bool


def headers(paths: Sequence[Path]) -> list[Header]:
    """The headers of the files, remembered as long as a file's size and modification time stay.

    Raises:
        InputError: A file cannot be read or has no latitude and longitude.
    """
    return [_header(p, p.stat().st_size, p.stat().st_mtime_ns) for p in paths]


@lru_cache(maxsize=4096)
def _header(path: Path, size: int, modified: int) -> Header:
    _refuse_cut_short(path, size)
    with opened(path) as ds:
        names = frozenset(str(n) for n, v in ds.data_vars.items() if v.ndim >= 2)
        months = tuple(_months(ds["time"], path)) if "time" in ds.dims else ()
        return Header(path, names, months, "month" in ds.dims)


@contextmanager
def opened(path: Path) -> Iterator[xr.Dataset]:
    """A file as a lazy Dataset with our axis names; ZIP archives of NetCDF files as one.

    Raises:
        InputError: It cannot be opened, or reading from it fails.
    """
    parts: list[xr.Dataset] = []
    try:
        parts = _open(path)
        joined = parts[0] if len(parts) == 1 else xr.merge(parts, compat="override", join="exact")
        yield _on_our_axes(joined, path)
    except (OSError, RuntimeError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise unreadable(path, error) from error
    finally:
        for part in parts:
            part.close()


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


def _open(path: Path) -> list[xr.Dataset]:
    if path.is_dir():
        return [xr.open_zarr(path, chunks=None, consolidated=False, decode_timedelta=False)]
    with path.open("rb") as stream:
        magic = stream.read(4)
    # CDS hands out mixed variables as a ZIP archive whatever the extension
    if magic == b"PK\x03\x04":
        import netCDF4

        with zipfile.ZipFile(path) as archive:
            files = {n: archive.read(n) for n in sorted(archive.namelist()) if n.endswith(".nc")}
        stores = [_in_memory(netCDF4.Dataset(n, memory=b)) for n, b in files.items()]
        return [_plain(xr.open_dataset(s, decode_timedelta=False)) for s in stores]
    return [_plain(xr.open_dataset(path, engine="netcdf4", decode_timedelta=False))]


def _in_memory(dataset: Any) -> Any:
    store: Any = xr.backends.NetCDF4DataStore
    return store(dataset)


def _plain(ds: xr.Dataset) -> xr.Dataset:
    """The Dataset without the scalar coordinates that differ between the files of one request."""
    scalars = [n for n in ("number", "step", "surface", "expver") if n in ds.variables]
    return ds.drop_vars([n for n in scalars if n not in ds.dims])


def _on_our_axes(ds: xr.Dataset, path: Path) -> xr.Dataset:
    taken = set(ds.dims) | set(ds.coords)
    ds = ds.rename({n: o for n, o in AXES.items() if n in ds.dims and o not in taken})
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


def _months(time: xr.DataArray, path: Path) -> list[np.datetime64]:
    """First days of the months that the time labels lie in, of any calendar."""
    if not hasattr(time.dt, "year") or time.dtype.kind in "iuf":
        raise InputError("the time axis has no CF units", where=path, found=time.attrs)
    years, months = time.dt.year.values, time.dt.month.values
    return [np.datetime64(f"{y:04d}-{m:02d}-01", "s") for y, m in zip(years, months, strict=True)]


def _refuse_cut_short(path: Path, size: int) -> None:
    """Refuse a classic NetCDF file that ends early: the C library would read zeros beyond the end without a word."""
    if path.is_dir():
        return
    with path.open("rb") as stream:
        if stream.read(4) not in (b"CDF\x01", b"CDF\x02"):
            return
    from scipy.io import netcdf_file

    try:
        with netcdf_file(io.BytesIO(path.read_bytes()), mmap=False):
            pass
    except (ValueError, TypeError, EOFError, IndexError) as error:
        raise unreadable(path, error) from error


def files_with(found: Sequence[Header], name: str) -> list[Header]:
    """The files that hold a variable."""
    return [h for h in found if name in h.names]


def missing_months(found: Sequence[Header], wanted: pd.DatetimeIndex) -> list[str]:
    """Months (YYYY-MM) that none of the files holds."""
    have = {m.astype("datetime64[M]") for h in found for m in h.months}
    return [str(m) for m in wanted.values.astype("datetime64[M]") if m not in have]


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


def read_months(
    found: Sequence[Header], name: str, wanted: pd.DatetimeIndex, where: object
) -> xr.DataArray:
    """One variable for the months wanted, from as many files as it takes (time, latitude, longitude), native units.

    Raises:
        InputError: A month is missing, or twice in the files, or a file cannot be read.
    """
    holders = files_with(found, name)
    refuse_missing(missing_months(holders, wanted), name, where)
    keys = set(wanted.values.astype("datetime64[s]").tolist())
    parts = []
    for header in holders:
        steps = [i for i, m in enumerate(header.months) if m.tolist() in keys]
        if steps:
            parts.append(_read_steps(header, name, steps))
    series = parts[0] if len(parts) == 1 else _joined(parts, name, where)
    series = series.sortby("time")
    labels = pd.DatetimeIndex(series["time"].values)
    if not labels.is_unique:
        raise InputError(
            f"variable {name!r} has more than one field for a month",
            where=where,
            expected="one monthly mean per month",
            found=f"several for {labels[labels.duplicated()][0]:%Y-%m}",
            fix="Give monthly means, and each month in one file only",
        )
    return series


def _joined(parts: Sequence[xr.DataArray], name: str, where: object) -> xr.DataArray:
    try:
        return xr.concat(parts, dim="time", join="exact", combine_attrs="override")
    except ValueError as error:
        raise InputError(
            f"the files of {name!r} lie on different grids", where=where, found=str(error)[:200]
        ) from error


def _read_steps(header: Header, name: str, steps: list[int]) -> xr.DataArray:
    with opened(header.path) as ds:
        values = ds[name].isel(time=steps).load()
    return field_of(values, FIELD, header.path).assign_coords(
        time=np.array([header.months[i] for i in steps])
    )


def read_static(header: Header, name: str) -> xr.DataArray:
    """A variable without its time axis, the first step if it has one (latitude, longitude), native units."""
    with opened(header.path) as ds:
        values = ds[name]
        values = (values.isel(time=0) if "time" in values.dims else values).load()
    return field_of(values, FIELD[1:], header.path)


def read_climatology(header: Header, name: str, wanted: pd.DatetimeIndex) -> xr.DataArray:
    """A mean year repeated over the months wanted (time, latitude, longitude), native units."""
    with opened(header.path) as ds:
        number = ds["month"].values if "month" in ds.coords else np.arange(1, 13)
        values = ds[name].load().assign_coords(month=np.asarray(number))
    if sorted(np.asarray(number).tolist()) != list(range(1, 13)):
        raise InputError(
            "the mean year is not complete",
            where=header.path,
            expected="months 1 to 12",
            found=number,
        )
    series = values.sel(month=xr.DataArray(wanted.month, dims="time")).drop_vars("month")
    return field_of(series, FIELD, header.path).assign_coords(time=wanted.values)


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

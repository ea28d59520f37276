"""GRIB files, edition 1 and 2, by their messages: an index of variable, time and version, and fields by offset.

The messages are read with ecCodes itself. A month needs a few messages out of thousands, so the index keeps where each
one starts and nothing else is decoded.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import xarray as xr

from ch4grid.drivers.files.header import Header
from ch4grid.errors import InputError, RunError

MAGIC = b"GRIB"

# Streams of monthly means of daily means, and of monthly means of one hour of the day (ECMWF, MARS keyword STREAM).
MONTHLY = ("moda", "mdfa", "msda")
BY_HOUR = "mnth"

# Class of ERA5-Land (ECMWF, MARS keyword CLASS).
LAND = "l5"


class Message(NamedTuple):
    """Where a message starts, what it is of, and whether it is ERA5T."""

    name: str
    time: np.datetime64
    offset: int
    early: bool
    traits: frozenset[str]


def read_headers(path: Path) -> list[Header]:
    """One header per variable of a GRIB file, named as the Climate Data Store names it in NetCDF.

    Of two versions of a field the final one counts.

    Raises:
        InputError: A message is cut short, lies on no latitude-longitude grid, or is there twice.
    """
    by_name: dict[str, dict[np.datetime64, Message]] = {}
    for message in _messages(path):
        fields = by_name.setdefault(message.name, {})
        other = fields.get(message.time)
        if other is not None and other.early == message.early:
            raise InputError(
                f"variable {message.name!r} has more than one field for a time",
                where=path,
                expected="one field per time, level and ensemble member 0",
                found=f"two for {message.time}",
            )
        if other is None or other.early:
            fields[message.time] = message
    return [_header(path, name, sorted(f.values(), key=_time)) for name, f in by_name.items()]


def _time(message: Message) -> np.datetime64:
    return message.time


def _header(path: Path, name: str, messages: Sequence[Message]) -> Header:
    return Header(
        path,
        frozenset({name}),
        np.array([m.time for m in messages], "datetime64[s]"),
        steps=np.array([m.offset for m in messages], np.int64),
        preliminary=np.array([m.early for m in messages], np.bool_),
        part=name,
        traits=messages[0].traits | {"grib"},
    )


def _messages(path: Path) -> Iterator[Message]:
    eccodes = _library()
    try:
        with path.open("rb") as stream:
            while (
                handle := eccodes.codes_grib_new_from_file(stream, headers_only=True)
            ) is not None:
                try:
                    yield _message(handle, path)
                finally:
                    eccodes.codes_release(handle)
    except (OSError, eccodes.CodesInternalError) as error:
        raise _unreadable(path, error) from error


def _message(handle: int, path: Path) -> Message:
    eccodes = _library()

    def key(name: str) -> str:
        try:
            return str(eccodes.codes_get(handle, name, str))
        except eccodes.KeyValueNotFoundError:
            return ""

    if key("gridType") != "regular_ll":
        raise InputError(
            "a GRIB message lies on no latitude-longitude grid",
            where=path,
            expected="gridType regular_ll",
            found=key("gridType"),
            fix="Request a regular grid from the Climate Data Store",
        )
    stream = key("stream")
    monthly = stream in (*MONTHLY, BY_HOUR)
    date, clock = ("dataDate", "dataTime") if monthly else ("validityDate", "validityTime")
    day, time = key(date), key(clock).zfill(4)
    traits = {
        "land": key("class") == LAND,
        "monthly": stream in MONTHLY,
        "by-hour": stream == BY_HOUR,
        "instants": not monthly,
    }
    return Message(
        key("cfVarName") if key("cfVarName") != "unknown" else key("shortName"),
        np.datetime64(f"{day[:4]}-{day[4:6]}-{day[6:8]}T{time[:2]}:{time[2:4]}:00", "s"),
        int(eccodes.codes_get_message_offset(handle)),
        key("expver").lstrip("0") == "5",
        frozenset(trait for trait, told in traits.items() if told),
    )


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A GRIB file to read messages from.

    Raises:
        InputError: It cannot be opened.
    """
    try:
        with path.open("rb") as stream:
            yield stream
    except OSError as error:
        raise _unreadable(path, error) from error


def read_fields(
    stream: BinaryIO, path: Path, name: str, offsets: Sequence[int], times: np.ndarray
) -> xr.DataArray:
    """The messages at the offsets as one variable (time, latitude, longitude), native units.

    Raises:
        InputError: A message cannot be read, or they lie on different grids.
    """
    fields: list[xr.DataArray] = []
    for offset in offsets:
        fields.append(_field(stream, path, int(offset)))
        if not all(fields[0][c].equals(fields[-1][c]) for c in ("latitude", "longitude")):
            raise InputError(f"the fields of {name!r} lie on different grids", where=path)
    values = np.stack([f.values for f in fields])
    coords = {"time": times, "latitude": fields[0]["latitude"], "longitude": fields[0]["longitude"]}
    dims = ("time", "latitude", "longitude")
    return xr.DataArray(values, coords, dims, name=name, attrs=fields[0].attrs)


def _field(stream: BinaryIO, path: Path, offset: int) -> xr.DataArray:
    """One message (latitude, longitude)."""
    eccodes = _library()
    try:
        stream.seek(offset)
        handle = eccodes.codes_grib_new_from_file(stream)
        try:
            return _decoded(handle)
        finally:
            eccodes.codes_release(handle)
    except (OSError, eccodes.CodesInternalError) as error:
        raise _unreadable(path, error) from error


def _decoded(handle: Any) -> xr.DataArray:
    eccodes = _library()
    fill = -1e30
    eccodes.codes_set(handle, "missingValue", fill)
    rows, columns = (int(eccodes.codes_get(handle, n, int)) for n in ("Nj", "Ni"))
    values = np.asarray(eccodes.codes_get_values(handle), np.float64)
    latitude, longitude = (
        np.asarray(eccodes.codes_get_array(handle, n), np.float64)
        for n in ("distinctLatitudes", "distinctLongitudes")
    )
    # the distinct values come in scanning order from ecCodes 2.19 on; the keys say it for any version
    if bool(eccodes.codes_get(handle, "jScansPositively", int)) != bool(
        np.all(np.diff(latitude) > 0)
    ):
        latitude = latitude[::-1]
    if eccodes.codes_get(handle, "iScansNegatively", int):
        longitude = longitude[::-1]
    field = np.where(values == fill, np.nan, values).astype(np.float32).reshape(rows, columns)
    coords = {"latitude": latitude, "longitude": longitude}
    units = str(eccodes.codes_get(handle, "units", str))
    return xr.DataArray(field, coords, ("latitude", "longitude"), attrs={"units": units})


def _library() -> Any:
    """The library ecCodes.

    Raises:
        RunError: It is not installed.
    """
    # ecCodes brings a PROJ library of its own; loaded first it breaks pyproj, which then ends in a segmentation fault
    import pyproj  # noqa: F401

    try:
        import eccodes
    except (ImportError, RuntimeError) as error:
        raise RunError(
            "GRIB files need the library ecCodes",
            where="drivers",
            expected="the package eccodes",
            found=str(error),
            fix="Install it with `pip install eccodes`, or fetch NetCDF files",
        ) from error
    library: Any = eccodes
    return library


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(
        "cannot read this GRIB file",
        where=path,
        expected="complete messages of GRIB edition 1 or 2",
        found=" ".join(str(error).split())[:200] or type(error).__name__,
        fix="The download was probably cut short: delete the file and fetch it again",
    )

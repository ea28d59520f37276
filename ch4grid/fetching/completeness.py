"""Whether a file is whole: size and checksum as announced, magic bytes of its format, and the records asked for."""

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ch4grid.fetching.offer import CutError, Format, Offer, Order, RefusedError

# First bytes of each format.
MAGIC: dict[bytes, Format] = {
    b"\x89HDF\r\n\x1a\n": "NetCDF-4",
    b"CDF\x01": "NetCDF classic",
    b"CDF\x02": "NetCDF classic",
    b"CDF\x05": "NetCDF classic",
    b"PK\x03\x04": "ZIP",
    b"GRIB": "GRIB",
    b"\x0e\x03\x13\x01": "HDF4",
    b"II*\x00": "GeoTIFF",
    b"MM\x00*": "GeoTIFF",
    b"II+\x00": "GeoTIFF",
    b"MM\x00+": "GeoTIFF",
}
# Axis of time in files of the Climate Data Store, new and old.
TIME = ("valid_time", "time")
# Bytes of the indicator section and of the end section of a GRIB message.
GRIB_HEAD, GRIB_END = 16, b"7777"
# Most zeros between two of them: MARS fills up to a multiple of 120 bytes.
PADDING = 120

# The HDF4 and HDF5 libraries are not thread-safe.
_LIBRARIES = threading.Lock()


def check(path: Path, offer: Offer, order: Order) -> None:
    """Accept a file that is whole and holds what was asked for.

    Raises:
        CutError: It is shorter or longer than announced, or its checksum differs; another transfer may be right.
        RefusedError: It is empty, of another format, an error page, or lacks a variable or month.
    """
    size = path.stat().st_size
    if size == 0:
        raise RefusedError("the file is empty (0 bytes)")
    if offer.bytes is not None and size != offer.bytes:
        raise CutError(f"{size} bytes came, {offer.bytes} were announced", fresh=size > offer.bytes)
    if offer.checksum is not None:
        algorithm, digest = offer.checksum
        if _digest(path, algorithm) != digest:
            raise CutError(f"the {algorithm} checksum is not the one announced", fresh=True)
    form = format_of(path)
    if form not in order.formats:
        raise RefusedError(
            f"the file is {form or _unknown(path)}, not {' or '.join(order.formats)}"
        )
    _check_records(path, form, order)


def format_of(path: Path) -> Format | None:
    """The format by the first bytes, None if it is none of those known."""
    with path.open("rb") as stream:
        head = stream.read(8)
    return next((form for magic, form in MAGIC.items() if head.startswith(magic)), None)


def is_page(head: bytes) -> bool:
    """Whether bytes begin like a page for people, which servers send in place of a file."""
    start = head.lstrip()[:15].lower()
    return start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<body"))


def _unknown(path: Path) -> str:
    with path.open("rb") as stream:
        head = stream.read(64)
    if is_page(head):
        return "an HTML page"
    return f"of an unknown format (it begins with {head[:4]!r})"


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def _check_records(path: Path, form: Format, order: Order) -> None:
    """Refuse a file without the variables and months asked for.

    Raises:
        RefusedError: It cannot be read to its end, or lacks one of them.
    """
    with _LIBRARIES:
        try:
            if form in ("NetCDF-4", "NetCDF classic"):
                _check_netcdf([(path.name, path.read_bytes())], order)
            elif form == "ZIP":
                with zipfile.ZipFile(path) as archive:
                    members = [n for n in archive.namelist() if n.endswith(".nc")]
                    _check_netcdf([(n, archive.read(n)) for n in members], order)
            elif form == "GRIB":
                _check_grib(path, order)
            elif form == "HDF4":
                _check_hdf4(path, order)
        except (OSError, RuntimeError, ValueError, zipfile.BadZipFile) as error:
            reason = " ".join(str(error).split())[:160] or type(error).__name__
            raise RefusedError(f"the file cannot be read: {reason}") from None


def _check_netcdf(members: list[tuple[str, bytes]], order: Order) -> None:
    found: set[str] = set()
    for name, content in members:
        with _dataset(name, content) as ds:
            fields = {n for n, v in ds.variables.items() if len(v.dimensions) >= 2}
            found |= fields
            if fields:
                _check_months(ds, order)
    lacking = [n for n in order.names if n not in found]
    if lacking:
        raise RefusedError(
            f"variables asked for are not in it: {', '.join(lacking)} "
            f"(it holds {', '.join(sorted(found)) or 'none'})"
        )


@contextmanager
def _dataset(name: str, content: bytes) -> Iterator[Any]:
    import netCDF4

    if content[:4] in (b"CDF\x01", b"CDF\x02"):
        _refuse_cut_short(content)
    with netCDF4.Dataset(name, memory=content) as ds:
        yield ds


def _refuse_cut_short(content: bytes) -> None:
    """Refuse a classic file that ends early: the C library would read zeros beyond the end without a word."""
    from scipy.io import netcdf_file

    try:
        with netcdf_file(io.BytesIO(content), mmap=False):
            pass
    except (ValueError, TypeError, EOFError, IndexError) as error:
        raise RefusedError(f"the file is cut short: {' '.join(str(error).split())[:100]}") from None


def _check_months(ds: Any, order: Order) -> None:
    import netCDF4

    axis = next((ds.variables[n] for n in TIME if n in ds.variables), None)
    if axis is None:
        raise RefusedError(f"the file has no time axis, {order.period} was asked for")
    calendar = getattr(axis, "calendar", "standard")
    times = np.ravel(np.asarray(netCDF4.num2date(axis[:], axis.units, calendar)))
    held = [f"{t.year:04d}-{t.month:02d}" for t in times]
    if held != [order.period]:
        told = f"{len(held)} records, {', '.join(held[:4]) or 'none'}"
        raise RefusedError(f"it holds {told}; one record of {order.period} was asked for")


def _check_grib(path: Path, order: Order) -> None:
    """Walk over the messages by their stated lengths: every one must end where it says, one for each variable."""
    content, at, count = path.read_bytes().rstrip(b"\x00"), 0, 0
    while at < len(content):
        # archives pad messages with zeros
        at += len(content[at : at + PADDING]) - len(content[at : at + PADDING].lstrip(b"\x00"))
        head = content[at : at + GRIB_HEAD]
        if head[:4] != b"GRIB" or len(head) < GRIB_HEAD:
            raise RefusedError(f"byte {at} does not begin a GRIB message")
        # edition 1 states its length in three bytes, edition 2 in eight
        length = int.from_bytes(head[4:7] if head[7] == 1 else head[8:16], "big")
        if length < GRIB_HEAD or content[at + length - 4 : at + length] != GRIB_END:
            raise RefusedError(f"GRIB message {count + 1} is cut short")
        at, count = at + length, count + 1
    if count < len(order.names):
        raise RefusedError(f"it holds {count} messages, {len(order.names)} were asked for")


def _check_hdf4(path: Path, order: Order) -> None:
    from pyhdf.error import HDF4Error
    from pyhdf.SD import SD, SDC

    try:
        granule = SD(str(path), SDC.READ)
        found = set(granule.datasets())
        granule.end()
    except HDF4Error as error:
        raise RefusedError(f"the file cannot be read: {error}") from None
    lacking = [n for n in order.names if n not in found]
    if lacking:
        raise RefusedError(f"data sets asked for are not in it: {', '.join(lacking)}")

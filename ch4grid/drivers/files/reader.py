"""Files of any form behind one face: what each one holds, and its fields, every file opened once.

The first bytes tell the form, never the name: the Climate Data Store hands out ZIP archives called `.nc`, and a server
that wants a login hands out a page called `.grib`.
"""

import re
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
import pandas as pd
import xarray as xr

from ch4grid.drivers.files import archive, grib, netcdf
from ch4grid.drivers.files.header import Header, HeaderMemory
from ch4grid.drivers.files.netcdf import FIELD, field_of
from ch4grid.errors import InputError
from ch4grid.stores import Workspace

NETCDF = (b"CDF\x01", b"CDF\x02", b"CDF\x05", b"\x89HDF", netcdf.ZIP)
PAGE = (b"<", b"{")


def survey(workspace: Workspace, pattern: str) -> list[Header]:
    """The headers of all files of a recipe path, and one with a `problem` for each that cannot be read.

    An unreachable remote store is as it was last seen. Nothing is raised for missing or damaged files.
    """
    memory = HeaderMemory(workspace.cache / "headers.json")
    if archive.is_url(pattern):
        found = _remote(memory, pattern)
    else:
        try:
            paths = workspace.matches(pattern)
        except InputError:
            return []
        found = [h for p in paths for h in memory.of(p, archive.mark(p), partial(_read, p))]
    memory.keep()
    return found


def _remote(memory: HeaderMemory, url: str) -> list[Header]:
    try:
        read = archive.read_headers(url)
    except InputError as error:
        return memory.last(url) or [Header(url, problem=str(error))]
    memory.learn(url, [], read)
    return read


def _read(path: Path) -> list[Header]:
    """The headers of a local file; one that tells the problem if it cannot be read."""
    try:
        if path.is_dir():
            return archive.read_headers(path)
        start = netcdf.magic(path)
        if start == grib.MAGIC:
            return grib.read_headers(path)
        if start in NETCDF:
            return netcdf.read_headers(path)
    except InputError as error:
        return [Header(path, problem=str(error))]
    return [Header(path, problem=_not_data(path, start))]


def _not_data(path: Path, start: bytes) -> str:
    if not start:
        return f"{path.name} has no bytes; delete it and fetch it again"
    if start.lstrip()[:1] in PAGE:
        return f"{path.name} is a web page or a message, not data; log in, accept the licence and fetch it again"
    return f"{path.name} is no NetCDF, GRIB, ZIP or Zarr: it begins with {start!r}"


def problems(found: Sequence[Header]) -> list[Header]:
    """The files that cannot be read."""
    return [h for h in found if h.problem]


def stated_months(header: Header, wanted: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """The months wanted that a file should hold by its name (`2003-05`, `200305`, `2003`); none if it names no date."""
    labels = _dates(header)
    if not labels:
        return wanted[:0]
    held = [
        (wanted.year == int(year)) & ((wanted.month == int(month)) if month else True)
        for year, month in labels
    ]
    return wanted[np.logical_or.reduce(held)]


def states_date(header: Header) -> bool:
    """Whether a file says by its name which year or month it is of."""
    return bool(_dates(header))


def _dates(header: Header) -> list[tuple[str, str]]:
    name = header.path.name if isinstance(header.path, Path) else header.path
    return re.findall(r"(?<!\d)((?:19|20)\d\d)(?:[-_.]?(0[1-9]|1[0-2])(?!\d))?", name)


class Reader:
    """Fields by header, each file opened once and closed at the end of the `with` block."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._open: dict[tuple[str, str], Any] = {}

    def __enter__(self) -> Self:
        """The reader itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close every file."""
        self._stack.close()

    def fields(self, header: Header, name: str, which: np.ndarray) -> xr.DataArray:
        """Some times of a variable (time, latitude, longitude), native units, packed values decoded.

        Args:
            header: The file, and where in it.
            name: Name in the file.
            which: Numbers of the times within `header.times`, ascending.

        Raises:
            InputError: It cannot be read, or has a further dimension.
        """
        times, steps = header.times[which], header.steps[which]
        if "grib" in header.traits:
            stream: BinaryIO = self._opened(header)
            return grib.read_fields(stream, Path(header.path), name, steps.tolist(), times)
        values = self._values(header, name, {"time": _slice(steps)})
        return field_of(values, FIELD, header.path).assign_coords(time=times)

    def static(self, header: Header, name: str) -> xr.DataArray:
        """A variable without its time axis, the first time if it has one (latitude, longitude), native units.

        Raises:
            InputError: It cannot be read, or has a further dimension.
        """
        if "grib" in header.traits:
            return self.fields(header, name, np.arange(1)).isel(time=0, drop=True)
        first = {} if name in header.lasting else {"time": 0}
        return field_of(self._values(header, name, first), FIELD[1:], header.path)

    def mean_year(self, header: Header, name: str, wanted: pd.DatetimeIndex) -> xr.DataArray:
        """A mean year repeated over the months wanted (time, latitude, longitude), native units.

        Raises:
            InputError: It cannot be read or lacks a month.
        """
        values = self._values(header, name, {})
        number = np.asarray(
            values["month"].values if "month" in values.coords else np.arange(1, 13)
        )
        if sorted(number.tolist()) != list(range(1, 13)):
            raise InputError(
                "the mean year is not complete",
                where=header.path,
                expected="months 1 to 12",
                found=number,
            )
        values = values.assign_coords(month=number)
        series = values.sel(month=xr.DataArray(wanted.month, dims="time")).drop_vars("month")
        return field_of(series, FIELD, header.path).assign_coords(
            time=wanted.values.astype("datetime64[s]")
        )

    def _values(self, header: Header, name: str, where: dict[str, Any]) -> xr.DataArray:
        ds = self._opened(header)
        try:
            loaded: xr.DataArray = ds[name].isel(where).load()
        except Exception as error:
            if isinstance(header.path, Path) and isinstance(
                error, (OSError, RuntimeError, ValueError)
            ):
                raise netcdf.unreadable(header.path, error) from error
            if isinstance(header.path, str):
                raise archive.unreachable(header.path, error) from None
            raise
        return loaded

    def _opened(self, header: Header) -> Any:
        key = (str(header.path), "" if "grib" in header.traits else header.part)
        if key not in self._open:
            self._open[key] = self._stack.enter_context(_context(header))
        return self._open[key]


def _context(header: Header) -> Any:
    if "grib" in header.traits:
        return grib.opened(Path(header.path))
    if "store" in header.traits:
        return archive.opened(header.path)
    return netcdf.opened(Path(header.path), header.part)


def _slice(steps: np.ndarray) -> Any:
    """The steps as a slice where they are consecutive, which reads much faster."""
    whole = steps.size and bool((np.diff(steps) == 1).all())
    return slice(int(steps[0]), int(steps[-1]) + 1) if whole else steps

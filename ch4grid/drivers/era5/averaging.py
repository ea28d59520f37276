"""Monthly fields of the native variables of a reanalysis: read as they are, or averaged from hours and days.

Variables made from others are made before the average is taken. A few hours are in memory at a time, a day of amounts,
so that memory does not grow with the length of the month.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from ch4grid.drivers.derived import relative_humidity, vapour_pressure_deficit, wind_speed
from ch4grid.drivers.era5.accumulation import Growth, times_of
from ch4grid.drivers.era5.reanalysis import NATIVE, Lookup, Reanalysis
from ch4grid.drivers.files import netcdf
from ch4grid.drivers.files.header import Header
from ch4grid.drivers.files.reader import Reader
from ch4grid.drivers.units import normalised
from ch4grid.errors import InputError
from ch4grid.vocabulary import VARIABLES

# Times in memory at once: of states, and of amounts, which are looked at by whole days [number].
BLOCK, DAY = 6, 24

PAIRS: dict[str, Callable[[xr.DataArray, xr.DataArray], xr.DataArray]] = {
    "vpd": vapour_pressure_deficit,
    "hurs": relative_humidity,
    "sfcWind": wind_speed,
}


def name_in(header: Header, native: str) -> str:
    """What a file calls a native variable."""
    return next(n for n in (native, *NATIVE[native].aliases) if n in header.names)


def checked(field: xr.DataArray, native: str, where: str) -> xr.DataArray:
    """A field whose stated units are those that its archive writes.

    Raises:
        InputError: They are others.
    """
    units = str(field.attrs.get("units", ""))
    if normalised(units) != NATIVE[native].stated:
        raise InputError(
            f"variable {native!r} has wrong units",
            where=where,
            expected=repr(NATIVE[native].stated),
            found=repr(units),
            fix="Give files as their archive wrote them, or use the source 'gridded'",
        )
    return field


def combined(name: str, fields: Sequence[xr.DataArray]) -> xr.DataArray:
    """A variable from its native fields, with the units that it is in."""
    if len(fields) == 1:
        return fields[0]
    return PAIRS[name](fields[0], fields[1]).assign_attrs(units=VARIABLES[name].units)


def monthly_series(
    lookup: Lookup, open_files: Reader, native: str, wanted: pd.DatetimeIndex, where: str
) -> xr.DataArray:
    """Monthly means of a native variable (time, latitude, longitude)."""
    by_file: dict[Header, list[int]] = {}
    for month in wanted:
        for piece in lookup.month(month).pieces:
            by_file.setdefault(piece.header, []).extend(piece.which.tolist())
    parts = []
    for header, which in by_file.items():
        part = open_files.fields(header, name_in(header, native), np.array(sorted(which)))
        label = part["time"].values.astype("datetime64[M]").astype("datetime64[s]")
        parts.append(checked(part, native, where).assign_coords(time=label))
    series = netcdf.joined(parts, native, where).sortby("time")
    empty = ~np.isfinite(series.values).any(axis=(1, 2))
    blank = [str(m) for m in series["time"].values[empty].astype("datetime64[M]")]
    netcdf.refuse_missing(blank, native, where)
    return series.assign_attrs(units=NATIVE[native].units)


def means(
    files: Reanalysis,
    open_files: Reader,
    made: Mapping[str, tuple[str, ...]],
    month: pd.Timestamp,
    where: str,
) -> dict[str, xr.DataArray]:
    """Means of a month from its hours or days (time of one, latitude, longitude), a block of times in memory."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, natives in made.items():
        lookup = files.lookup(natives[0])
        groups.setdefault((lookup.frequency, lookup.meaning), []).append(name)
    out: dict[str, xr.DataArray] = {}
    for names in groups.values():
        group = {n: made[n] for n in names}
        out |= _group_means(files, open_files, group, month, where)
    return out


def _group_means(
    files: Reanalysis,
    open_files: Reader,
    made: Mapping[str, tuple[str, ...]],
    month: pd.Timestamp,
    where: str,
) -> dict[str, xr.DataArray]:
    """As `means`, for variables made from the same times."""
    natives = list(dict.fromkeys(n for group in made.values() for n in group))
    first = files.lookup(natives[0])
    times = times_of(month.to_datetime64(), first.frequency, first.meaning)
    hourly = first.frequency == "hourly"
    growth = {n: Growth() for n in natives if files.lookup(n).kind == "amount"}
    totals: dict[str, xr.DataArray] = {}
    size = BLOCK if first.meaning == "instant" else DAY
    for block in (times[i : i + size] for i in range(0, times.size, size)):
        fields = {n: _block(files.lookup(n), open_files, n, block, where) for n in natives}
        for native in growth if hourly and first.meaning == "amount" else ():
            growth[native].add(fields[native])
        for name, parts in made.items():
            total = combined(name, [fields[n] for n in parts]).sum(
                "time", skipna=False, dtype=np.float64
            )
            totals[name] = totals[name] + total if name in totals else total
    out = {}
    for name, parts in made.items():
        lookup = files.lookup(parts[0])
        number = month.days_in_month if lookup.kind == "amount" else times.size
        units = NATIVE[parts[0]].units if len(parts) == 1 else VARIABLES[name].units
        mean = (totals[name] / number).expand_dims(time=1)
        out[name] = mean.assign_attrs(units=units)
    if hourly:
        _refuse_other_conventions(files, open_files, growth, times[0], where)
    return out


def _refuse_other_conventions(
    files: Reanalysis,
    open_files: Reader,
    growth: Mapping[str, Growth],
    midnight: np.datetime64,
    where: str,
) -> None:
    """Refuse amounts that count otherwise than they are said to, by the values read or by those of one more day."""
    for native, seen in growth.items():
        lookup = files.lookup(native)
        if lookup.meaning == "since-midnight":
            _look_at_a_day(lookup, open_files, native, midnight, seen)
        seen.refuse_other_than(lookup.meaning, f"{where}, {native}")


def _block(
    lookup: Lookup, open_files: Reader, native: str, times: np.ndarray, where: str
) -> xr.DataArray:
    """A native variable at some times (time, latitude, longitude)."""
    pieces = lookup.series.at(times)
    parts = [open_files.fields(p.header, name_in(p.header, native), p.which) for p in pieces]
    return checked(netcdf.joined(parts, native, where).sortby("time"), native, where)


def _look_at_a_day(
    lookup: Lookup, open_files: Reader, native: str, midnight: np.datetime64, seen: Growth
) -> None:
    """Look at the hours of the day before a midnight, if the files hold them: they tell the convention."""
    hours = midnight - np.arange(23, -1, -1) * np.timedelta64(1, "h")
    if lookup.series.at(hours):
        seen.add(_block(lookup, open_files, native, hours, native))

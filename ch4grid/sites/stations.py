"""Tower series and a site table to SITES: where each tower stands, what ecosystem it sees, one common time axis."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import pandas as pd
import xarray as xr

from ch4grid.ecosystems import site_class, wetland_class
from ch4grid.errors import InputError
from ch4grid.vocabulary import FLUX_UNITS, VARIABLES, Gas

logger = logging.getLogger(__name__)

T = TypeVar("T")

Step = Literal["month", "week"]
Unclassified = Literal["leave-out", "wetland"]

# Weeks are bins of seven days from this Monday, for all towers and years.
WEEK_ANCHOR = pd.Timestamp("1970-01-05")

# What the archives write for a missing number.
MISSING = -9999.0

COLUMNS = ("SITE_ID", "LAT", "LON", "SITE_CLASSIFICATION")


@dataclass(frozen=True)
class Station:
    """A row of the site table: ecosystem is None where the scheme has no class for the tower."""

    name: str
    latitude: float
    longitude: float
    ecosystem: str | None
    classification: str


def read_csv(path: Path) -> pd.DataFrame:
    """A CSV file, plain or compressed, with or without a byte order mark.

    Raises:
        InputError: It cannot be parsed or is empty.
    """
    try:
        table = pd.read_csv(path, encoding="utf-8-sig", low_memory=False)
    except (OSError, EOFError, UnicodeDecodeError, ValueError) as error:
        raise InputError(
            "cannot read this table",
            where=path,
            expected="a comma-separated file with a header, UTF-8",
            found=" ".join(str(error).split())[:200],
            fix="The download was probably cut short: delete the file and fetch it again",
        ) from error
    if table.empty:
        raise InputError("the table has no rows", where=path, expected="a header and rows", found=0)
    return table


def require(table: pd.DataFrame, columns: tuple[str, ...], where: object) -> None:
    """Refuse a table without these columns.

    Raises:
        InputError: One is missing; the message names all columns there are.
    """
    missing = [c for c in columns if c not in table.columns]
    if missing:
        raise InputError(
            f"column {', '.join(missing)} is missing",
            where=where,
            expected=", ".join(columns),
            found=", ".join(map(str, table.columns[:40])),
        )


def read_stations(path: Path, unclassified: Unclassified = "leave-out") -> dict[str, Station]:
    """The site table by upper-case site id, in the columns of the FLUXNET-CH4 archive.

    Args:
        path: The table.
        unclassified: What a tower is that the scheme has no class for, such as a lake: left out later, or a freshwater
            wetland of its latitude.

    Raises:
        InputError: It cannot be read, lacks a column, or a row has no place or an unknown classification.
    """
    table = read_csv(path)
    table = table.rename(columns={c: c.upper() for c in table.columns})
    require(table, COLUMNS, path)
    for column in ("IGBP", "UPLAND_CLASS"):
        if column not in table:
            table[column] = ""
    text = table[["SITE_ID", "SITE_CLASSIFICATION", "IGBP", "UPLAND_CLASS"]].astype(object)
    text = text.where(text.notna(), "").astype(str)
    stations: dict[str, Station] = {}
    for row, latitude, longitude in zip(
        text.itertuples(), table["LAT"].astype(float), table["LON"].astype(float), strict=True
    ):
        name = str(row.SITE_ID).strip()
        if not (abs(latitude) <= 90 and abs(longitude) <= 360):
            raise InputError(
                f"site {name} has no place",
                where=path,
                expected="LAT -90 to 90, LON -180 to 180",
                found=(latitude, longitude),
            )
        kind = str(row.SITE_CLASSIFICATION)
        ecosystem = site_class(kind, str(row.IGBP), str(row.UPLAND_CLASS), latitude)
        if ecosystem is None and unclassified == "wetland":
            ecosystem = str(wetland_class(latitude))
        east = (longitude + 180.0) % 360.0 - 180.0
        stations[name.upper()] = Station(name, latitude, east, ecosystem, kind)
    return stations


def in_vocabulary(mapping: dict[str, T]) -> dict[str, T]:
    """The mapping, whose keys must be names of the vocabulary.

    Raises:
        ValueError: One is not.
    """
    unknown = [n for n in mapping if n not in VARIABLES]
    if unknown:
        raise ValueError(f"no variable {', '.join(unknown)} in the vocabulary")
    return mapping


def numbers(column: pd.Series, path: Path) -> pd.Series:
    """The column as numbers; what is not finite, and the mark -9999 of the archives, is missing.

    Raises:
        InputError: It holds words.
    """
    try:
        values = column.astype(np.float64)
    except ValueError as error:
        raise InputError(
            f"column {column.name} is not numeric", where=path, found=str(error)[:120]
        ) from error
    return values.where(np.isfinite(values) & (values > MISSING))


def by_step(table: pd.DataFrame, step: Step) -> pd.Index:
    """First day of the month or week that each row of a table indexed by time lies in."""
    time = pd.DatetimeIndex(table.index)
    if step == "month":
        return pd.DatetimeIndex(time.values.astype("datetime64[M]").astype("datetime64[s]"))
    weeks = (time.normalize() - WEEK_ANCHOR).days // 7
    return pd.DatetimeIndex(WEEK_ANCHOR + pd.to_timedelta(weeks * 7, unit="D")).as_unit("s")


def to_sites(
    series: Mapping[str, pd.DataFrame],
    stations: Mapping[str, Station],
    gas: Gas,
    step: Step,
    where: object,
) -> xr.Dataset:
    """SITES without clusters, sites in alphabetical order.

    Towers of no class and towers that never measured are left out, named in the log and the attribute `left_out`.

    Args:
        series: Site id in any case to a table indexed by first day of the step: `flux` [kg m-2 s-1], `coverage` [1] and
            any vocabulary variables.
        stations: The site table.
        gas: What was measured.
        step: Length of a step.
        where: For messages.

    Raises:
        InputError: A tower is not in the site table, or none is left.
    """
    unknown = sorted(s for s in series if s.upper() not in stations)
    if unknown:
        raise InputError(
            f"{len(unknown)} towers are not in the site table",
            where=where,
            expected="a row with place and classification for each",
            found=", ".join(unknown),
            fix="Add them to the site table; ids are compared without case",
        )
    left_out = {s: r for s in sorted(series) if (r := _unusable(series[s], stations[s.upper()]))}
    for name, reason in left_out.items():
        logger.info("site %s is left out: %s", name, reason)
    kept = {stations[s.upper()].name: table for s, table in series.items() if s not in left_out}
    if not kept:
        raise InputError(
            "no tower with measurements is left", where=where, found=left_out or "no towers"
        )
    time = _axis(list(kept.values()), step)
    names = sorted(kept)
    out = _variables({n: kept[n].reindex(time) for n in names}, gas)
    places = [stations[n.upper()] for n in names]
    out = out.assign_coords(
        site=np.array(names, dtype=str),
        time=time.values.astype("datetime64[s]"),
        latitude=("site", np.array([p.latitude for p in places])),
        longitude=("site", np.array([p.longitude for p in places])),
        ecosystem=("site", np.array([p.ecosystem for p in places], dtype=str)),
    )
    told = "; ".join(f"{stations[n.upper()].name}: {r}" for n, r in left_out.items())
    return out.assign_attrs(step=step, left_out=told)


def _unusable(table: pd.DataFrame, station: Station) -> str:
    """Why a tower cannot be used, empty if it can."""
    if station.ecosystem is None:
        return f"{station.classification.lower()}: no class in the scheme"
    return "" if bool(table["flux"].notna().any()) else "no step with enough measurements"


def _axis(tables: list[pd.DataFrame], step: Step) -> pd.DatetimeIndex:
    """All steps from the first to the last of which any tower tells something."""
    told = [t.drop(columns="coverage").dropna(how="all").index for t in tables]
    first, last = min(t.min() for t in told), max(t.max() for t in told)
    return pd.date_range(first, last, freq="MS" if step == "month" else "7D", unit="s")


def _variables(tables: Mapping[str, pd.DataFrame], gas: Gas) -> xr.Dataset:
    """Flux, coverage and tower drivers (site, time)."""
    attrs = {
        gas.flux: {"units": FLUX_UNITS, "long_name": f"measured surface {gas.long_name} flux"},
        f"{gas.flux}_coverage": {"units": "1", "long_name": "measured fraction of the step"},
    }
    columns = {gas.flux: "flux", f"{gas.flux}_coverage": "coverage"}
    present = {str(c) for t in tables.values() for c in t.columns}
    for name in (n for n in VARIABLES if n in present):
        columns[name], attrs[name] = name, VARIABLES[name].attrs
    out = xr.Dataset()
    for name, column in columns.items():
        rows = [
            t.get(column, pd.Series(np.nan, t.index)).to_numpy(np.float64) for t in tables.values()
        ]
        values = np.stack(rows)
        if column == "coverage":
            values = np.nan_to_num(values)
        out[name] = (("site", "time"), values, attrs[name])
    return out

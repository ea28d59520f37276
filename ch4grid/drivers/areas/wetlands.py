"""Monthly wetland maps as drivers: WAD2M and GIEMS-MethaneCentric, and what is used once their series has ended.

Both are already net of lakes, rivers, rice and the coast, so the precedence of the ecosystem classes takes nothing from
them twice: it cuts a layer only where the cell is full. A map of all inundation says what it `includes`, and that is
taken off before. Snow, cities and the ocean are sentinels in these files; there they hold no wetland.
"""

import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, field_validator

from ch4grid.drivers.areas import overlap
from ch4grid.drivers.files.netcdf import AXES, unreadable
from ch4grid.drivers.source import Holding, OnGrid, Source, State
from ch4grid.drivers.units import named, normalised
from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.stores import Workspace
from ch4grid.vocabulary import AREA_LAYERS, VARIABLES

Beyond = Literal["error", "climatology", "last-year"]

# Values at or below are sentinels: -999 ocean, -998 snow, -997 city.
SENTINEL = -900.0

# What a fraction may exceed 1 by in a file of float32 [1].
NOISE = 1e-3


@dataclass(frozen=True)
class Series:
    """The documented layout of a monthly wetland map; a file for tests or a twin follows it to the letter.

    Args:
        file: Its usual name.
        variable: The wetland fraction [1], float32.
        dims: Its dimensions; one-dimensional float64 coordinates of the same names, latitude ascending, longitude from
            -180, labels at cell centres.
        time_units: Units of the time axis, float64; `months since` counts whole months and is outside CF.
        period: First and last year.
        sentinels: Values that stand for no wetland and are not declared as missing.
        fill: Declared missing value.
    """

    file: str
    variable: str
    dims: tuple[str, str, str]
    time_units: str
    period: tuple[int, int]
    sentinels: tuple[float, ...]
    fill: float | None


# Sources: Zhang et al. 2021 (ESSD 13, 2001), Zenodo 5553187; Bernard et al. 2025 (ESSD 17, 2985).
SERIES = MappingProxyType(
    {
        "wad2m": Series(
            "WAD2M_wetlands_2000-2020_025deg_Ver2.0.nc",
            "Fw",
            ("time", "lat", "lon"),
            "days since 2000-01-01",
            (2000, 2020),
            (),
            float("nan"),
        ),
        "giems-mc": Series(
            "GIEMS-MC.nc",
            "inund_sat_wetland_frac",
            ("time", "latitude", "longitude"),
            "months since 1992-01-01",
            (1992, 2020),
            (-999.0, -998.0, -997.0),
            None,
        ),
        "giems-methanecentric": Series(
            "GIEMS_MethaneCentric_1992-2020_025deg.nc",
            "Fw",
            ("time", "lat", "lon"),
            "days since 1992-01-01",
            (1992, 2020),
            (),
            float("nan"),
        ),
    }
)
KNOWN = tuple(dict.fromkeys(s.variable for s in SERIES.values()))


@dataclass(frozen=True)
class _Header:
    """Variable, months in file order, and units of a file."""

    path: Path
    variable: str
    months: tuple[pd.Timestamp, ...]
    units: str | None


class Wetlands(Source):
    """A monthly map of freshwater wetland.

    Args:
        path: NetCDF file or a ZIP archive of one, relative to the data folder.
        variable: Name in the file; that of WAD2M or GIEMS-MC if not given.
        beyond: Months outside the series: `error`, `climatology` for the mean of the calendar month over all years, or
            `last-year` for the nearest year at that end. What is missing in a year counts as no wetland in the mean.
        units: `percent` if the file does not say so itself.
        first: First month (YYYY-MM) of a file whose time axis has no units.
        includes: Layers that are part of this map; the precedence takes them off it first.
    """

    source: Literal["wetlands"] = "wetlands"
    path: str
    variable: str | None = None
    variables: tuple[Literal["wetland_fraction"], ...] = Field(
        default=("wetland_fraction",), strict=False
    )
    beyond: Beyond = "error"
    units: Literal["fraction", "percent"] = "fraction"
    first: str | None = None
    includes: tuple[str, ...] = Field(default=(), strict=False)

    @field_validator("includes")
    @classmethod
    def _layers(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        allowed = AREA_LAYERS[: AREA_LAYERS.index("wetland_fraction")]
        wrong = [n for n in names if n not in allowed]
        if wrong:
            raise ValueError(
                f"a wetland map cannot include {', '.join(wrong)}, only {', '.join(allowed)}"
            )
        return names

    def survey(self, workspace: Workspace, wanted: pd.DatetimeIndex) -> list[Holding]:
        """What is held in every month wanted; months of the rule beyond the series are `climatology`."""
        files: tuple[Path, ...] = ()
        try:
            files = (self._file(workspace),)
            header = self._header(workspace)
        except InputError as error:
            state: State = "damaged" if files else "missing"
            return [
                Holding("wetlands", "wetland_fraction", m, state, files, str(error)) for m in wanted
            ]
        return [self._holding(header, month) for month in wanted]

    def _holding(self, header: _Header, month: pd.Timestamp) -> Holding:
        steps = self._steps(header, month)
        inside = header.months[0] <= month <= header.months[-1] or month in header.months
        if not steps:
            gap = "has a gap at" if inside else f"covers {_span(header)}, not"
            reason = f"{header.path.name} {gap} {month:%Y-%m}"
            return Holding("wetlands", "wetland_fraction", month, "missing", (), reason)
        if inside:
            return Holding("wetlands", "wetland_fraction", month, "final", (header.path,))
        reason = self._rule(header)
        return Holding("wetlands", "wetland_fraction", month, "climatology", (header.path,), reason)

    def open(
        self, workspace: Workspace, names: Sequence[str], wanted: pd.DatetimeIndex
    ) -> xr.Dataset:
        """Wetland fractions of the months (time, latitude, longitude), missing on the ocean, on the native grid.

        Raises:
            InputError: The file cannot be read, a month is missing, or a value is no fraction.
        """
        if "wetland_fraction" not in names:
            return xr.Dataset()
        header = self._header(workspace)
        plan = [self._steps(header, month) for month in wanted]
        if not all(plan):
            lost = [f"{m:%Y-%m}" for m, steps in zip(wanted, plan, strict=True) if not steps]
            raise InputError(
                "the wetland map does not reach these months",
                where=header.path,
                expected=_span(header),
                found=", ".join(lost[:12]),
                fix="Write `beyond: climatology` or `beyond: last-year`, or shorten the period",
            )
        values = self._read(header, plan).assign_coords(time=wanted.values)
        rule = self._rule(header) if any(m not in header.months for m in wanted) else ""
        attrs = {"beyond": rule, "includes": " ".join(self.includes)}
        out = named(values, VARIABLES["wetland_fraction"])
        return out.assign_attrs({k: v for k, v in attrs.items() if v}).to_dataset()

    def statics(self, workspace: Workspace) -> xr.Dataset:
        """Nothing: wetlands change by month."""
        return xr.Dataset()

    def on_grid(
        self, workspace: Workspace, names: Sequence[str], wanted: pd.DatetimeIndex, grid: Grid
    ) -> OnGrid:
        """As `open`, on a grid, with the same area; none on the ocean.

        Raises:
            InputError: As `open`.
        """
        native = self.open(workspace, names, wanted)
        return overlap.on_grid(
            xr.Dataset(
                {
                    str(n): overlap.layer(overlap.onto(v, grid), str(n), self.path).assign_attrs(
                        v.attrs
                    )
                    for n, v in native.data_vars.items()
                }
            )
        )

    def _file(self, workspace: Workspace) -> Path:
        found = workspace.matches(self.path)
        if len(found) > 1:
            raise InputError(
                "several files match a wetland map",
                where=self.path,
                expected="one",
                found=len(found),
            )
        return found[0]

    def _header(self, workspace: Workspace) -> _Header:
        path = self._file(workspace)
        stat = path.stat()
        return _header(path, self.variable, self.first, stat.st_size, stat.st_mtime_ns)

    def _steps(self, header: _Header, month: pd.Timestamp) -> tuple[int, ...]:
        """Steps of the file whose mean stands for a month; none if it is missing."""
        if month in header.months:
            return (header.months.index(month),)
        if self.beyond == "error" or header.months[0] <= month <= header.months[-1]:
            return ()
        alike = [i for i, m in enumerate(header.months) if m.month == month.month]
        if self.beyond == "climatology" or not alike:
            return tuple(alike)
        return (alike[0] if month < header.months[0] else alike[-1],)

    def _rule(self, header: _Header) -> str:
        what = {
            "climatology": "the mean of the calendar month over the series",
            "last-year": "the same month of the nearest year of the series",
            "error": "",
        }[self.beyond]
        return f"months outside {_span(header)} are {what}" if what else ""

    def _read(self, header: _Header, plan: Sequence[tuple[int, ...]]) -> xr.DataArray:
        """Means of steps (time, latitude, longitude) [1]; every step is read once."""
        with _opened(header.path) as ds:
            native = ds[header.variable].transpose("time", "latitude", "longitude")
            total = np.zeros((len(plan), *native.shape[1:]))
            seen = np.zeros(total.shape, np.bool_)
            for step in sorted({s for steps in plan for s in steps}):
                field = self._fractions(native[step].values, header)
                valid = np.isfinite(field)
                for position, steps in enumerate(plan):
                    if step in steps:
                        total[position] += np.where(valid, field, 0.0) / len(steps)
                        seen[position] |= valid
            coords = {d: native[d].values for d in ("latitude", "longitude")}
        values = np.where(seen, total, np.nan)
        return xr.DataArray(values, dims=("time", "latitude", "longitude"), coords=coords)

    def _fractions(self, values: NDArray[Any], header: _Header) -> NDArray[np.float64]:
        """Fractions of a month, missing at sentinels."""
        known = np.where(np.asarray(values) <= SENTINEL, np.nan, np.asarray(values, np.float64))
        percent = self.units == "percent" or normalised(header.units or "1") == "%"
        known = known / 100.0 if percent else known
        finite = known[np.isfinite(known)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        if low < -NOISE or high > 1.0 + NOISE:
            raise InputError(
                "the wetland map is not a fraction",
                where=header.path,
                expected="0 to 1, sentinels below -900",
                found=f"{low:g} to {high:g}",
                fix="Write `units: percent` in the recipe if it holds percents",
            )
        return np.clip(known, 0.0, 1.0)


@lru_cache(maxsize=256)
def _header(
    path: Path, variable: str | None, first: str | None, size: int, modified: int
) -> _Header:
    with _opened(path) as ds:
        names = [variable] if variable else [n for n in KNOWN if n in ds.data_vars]
        found = [
            n
            for n in names
            if n in ds.data_vars and {"time", "latitude", "longitude"} == set(ds[n].dims)
        ]
        if len(found) != 1:
            raise InputError(
                "the file holds no wetland map that is known",
                where=path,
                expected=f"{variable or ' or '.join(KNOWN)} (time, latitude, longitude)",
                found=", ".join(f"{n} {v.dims}" for n, v in ds.data_vars.items()) or "no variables",
                fix="Name the variable in the recipe: `variable: ...`",
            )
        units = ds[found[0]].attrs.get("units")
        return _Header(path, found[0], _months(ds["time"], first, path), units)


def _months(time: xr.DataArray, first: str | None, path: Path) -> tuple[pd.Timestamp, ...]:
    """First days of the months of a time axis as it is stored."""
    units = str(time.attrs.get("units", ""))
    if first is not None:
        labels = pd.period_range(first, periods=time.size, freq="M")
    elif units.startswith("months since"):
        start = pd.Period(units.removeprefix("months since").split()[0], freq="M")
        labels = pd.PeriodIndex([start + int(np.floor(k + 1e-6)) for k in time.values])
    else:
        try:
            decoded = xr.decode_cf(time.to_dataset(name="t"))["time"]
            stamps = [
                f"{y:04d}-{m:02d}"
                for y, m in zip(decoded.dt.year.values, decoded.dt.month.values, strict=True)
            ]
        except (ValueError, TypeError, AttributeError) as error:
            raise InputError(
                "the time axis has no units",
                where=path,
                expected="days or months since a date",
                found=units or "none",
                fix="Write the first month in the recipe: `first: 2000-01`",
            ) from error
        labels = pd.PeriodIndex(stamps, freq="M")
    if not (labels.is_monotonic_increasing and labels.is_unique):
        raise InputError(
            "the months of the file are not in order", where=path, found=str(labels[:3])
        )
    return tuple(pd.Timestamp(label.start_time).as_unit("s") for label in labels)


@contextmanager
def _opened(path: Path) -> Iterator[xr.Dataset]:
    """A file, or the only NetCDF file of a ZIP archive, with our axis names and an undecoded time axis.

    Raises:
        InputError: It cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="ch4grid-") as folder:
        try:
            with xr.open_dataset(
                _unpacked(path, Path(folder)), engine="netcdf4", decode_times=False
            ) as ds:
                yield ds.rename(
                    {n: o for n, o in AXES.items() if n in ds.dims and o not in ds.dims}
                )
        except (OSError, RuntimeError, ValueError, zipfile.BadZipFile) as error:
            if isinstance(error, InputError):
                raise
            raise unreadable(path, error) from error


def _unpacked(path: Path, folder: Path) -> Path:
    """The NetCDF file: the archives hold a gigabyte, so the member goes to disk and not to memory."""
    if not zipfile.is_zipfile(path):
        return path
    with zipfile.ZipFile(path) as archive:
        names = [n for n in archive.namelist() if n.endswith(".nc")]
        if len(names) != 1:
            raise InputError(
                "the archive holds no single NetCDF file", where=path, expected="one", found=names
            )
        return Path(archive.extract(names[0], folder))


def _span(header: _Header) -> str:
    return f"{header.months[0]:%Y-%m} to {header.months[-1]:%Y-%m}"

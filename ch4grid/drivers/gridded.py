"""Any CF-like NetCDF or Zarr grid as drivers: area layers, soil, a mean year, another reanalysis.

The recipe says which variable of the file is which of ours; units are converted by the table of
`ch4grid.drivers.units`, and a unit that is neither in the file nor in the recipe is an error.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import xarray as xr
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from ch4grid.drivers.derived import relative_humidity, vapour_pressure_deficit, wind_speed
from ch4grid.drivers.era5.reanalysis import as_damaged
from ch4grid.drivers.files import archive, netcdf, reader
from ch4grid.drivers.files.header import Header
from ch4grid.drivers.files.reader import Reader
from ch4grid.drivers.files.series import Month, Piece, Series
from ch4grid.drivers.source import Holding, Source, State
from ch4grid.drivers.units import convert, named
from ch4grid.errors import InputError
from ch4grid.schema import check_range
from ch4grid.stores import Workspace
from ch4grid.vocabulary import AREA_LAYERS, STATIC, VARIABLES

# What the pairs of names make.
HUMIDITY: dict[str, Callable[[xr.DataArray, xr.DataArray], xr.DataArray]] = {
    "vpd": vapour_pressure_deficit,
    "hurs": relative_humidity,
}
WORST_FIRST: tuple[State, ...] = ("damaged", "missing", "climatology", "preliminary", "final")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Native(_Frozen):
    """A variable of the file, or the sum of several, and how it becomes ours.

    Args:
        name: Name in the file; several are added, missing where all are missing.
        units: Units where the file states none.
        scale: Factor applied before the units.
        offset: Offset applied after the factor, before the units.
        missing_below: Values below it are missing: some files write -999 and -998 without declaring them.
    """

    name: tuple[str, ...] = Field(strict=False)
    units: str | None = None
    scale: float = 1.0
    offset: float = 0.0
    missing_below: float | None = None

    @field_validator("name", mode="before")
    @classmethod
    def _several(cls, name: object) -> object:
        return (name,) if isinstance(name, str) else name


class Humidity(_Frozen):
    """What vapour pressure deficit and relative humidity are made from: air and dew-point temperature of the file."""

    temperature: str
    dewpoint: str


class Wind(_Frozen):
    """What the wind speed is made from: the components of the file."""

    eastward: str
    northward: str


def _named(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


Mapped = Annotated[Native | Humidity | Wind, BeforeValidator(_named)]


class Gridded(Source):
    """NetCDF, GRIB or Zarr files on a latitude-longitude grid: with months, with one mean year, or static.

    Args:
        path: File, Zarr folder or glob, relative to the data folder; or the URL of a Zarr store.
        variables: Vocabulary name to the name in the file, or to `Native`, `Humidity` (vpd, hurs) or `Wind` (sfcWind).
        beyond: What happens to months that the file does not reach: `error`, or `climatology` for the mean of the same
            calendar month over the years it has. A stated rule for layers that end before the product does.
    """

    source: Literal["gridded"] = "gridded"
    path: Annotated[str, AfterValidator(archive.refuse_credentials)]
    variables: dict[str, Mapped]
    beyond: Literal["error", "climatology"] = "error"

    @field_validator("variables")
    @classmethod
    def _known(cls, mapping: dict[str, Mapped]) -> dict[str, Mapped]:
        unknown = [n for n in mapping if n not in VARIABLES]
        if unknown or not mapping:
            raise ValueError(
                f"no variable {', '.join(unknown)} in the vocabulary: {', '.join(VARIABLES)}"
            )
        for kind, names in ((Humidity, tuple(HUMIDITY)), (Wind, ("sfcWind",))):
            wrong = [n for n, m in mapping.items() if isinstance(m, kind) and n not in names]
            if wrong:
                made = " or ".join(names)
                raise ValueError(f"{kind.__name__.lower()} makes {made}, not {', '.join(wrong)}")
        return mapping

    def survey(self, workspace: Workspace, wanted: pd.DatetimeIndex) -> list[Holding]:
        """What is held of every variable in every month wanted, and of every static once, from headers alone."""
        found = reader.survey(workspace, self.path)
        out = []
        for name in self.variables:
            for month in [None] if self._lasts(found, name) else wanted:
                held = self._held(found, name, month)
                out.append(Holding(self.source, name, month, held.state, held.files, held.reason))
        return out

    def open(
        self, workspace: Workspace, names: Sequence[str], wanted: pd.DatetimeIndex
    ) -> xr.Dataset:
        """Variables for the months wanted on the native grid (time, latitude, longitude).

        Raises:
            InputError: A file, variable or month is missing, or a unit or value is wrong.
        """
        found = reader.survey(workspace, self.path)
        return self._variables(found, names, wanted)

    def statics(self, workspace: Workspace) -> xr.Dataset:
        """Variables that do not change (latitude, longitude); an empty Dataset if none.

        Raises:
            InputError: A file or variable is missing, or a unit or value is wrong.
        """
        found = reader.survey(workspace, self.path)
        return self._variables(found, [n for n in self.variables if self._lasts(found, n)], None)

    @property
    def _where(self) -> str:
        return f"gridded, {self.path}"

    def _natives(self, name: str) -> tuple[str, ...]:
        """The names in the files that a variable is made from."""
        mapped = self.variables[name]
        return mapped.name if isinstance(mapped, Native) else tuple(mapped.model_dump().values())

    def _lasts(self, found: Sequence[Header], name: str) -> bool:
        """Whether a variable of ours does not change: soil never does, an area layer if the file has one time of it."""
        if name not in STATIC:
            return False
        holders = _holders(found, self._natives(name)[0])
        if name not in AREA_LAYERS or not holders:
            return True
        native, first = self._natives(name)[0], holders[0]
        return native in first.lasting or (len(holders) == 1 and first.times.size == 1)

    def _held(self, found: Sequence[Header], name: str, month: pd.Timestamp | None) -> Month:
        """How a variable is held in a month: as badly as the worst of what it is made from."""
        held = [self._native_held(found, n, month) for n in self._natives(name)]
        worst = min(held, key=lambda h: WORST_FIRST.index(h.state))
        if worst.state == "damaged":
            return worst
        return Month(worst.state, worst.reason, tuple(p for h in held for p in h.pieces))

    def _native_held(
        self, found: Sequence[Header], native: str, month: pd.Timestamp | None
    ) -> Month:
        damaged = reader.problems(found)
        holders = _holders(found, native)
        if not holders:
            names = ", ".join(sorted({n for h in found for n in h.names}))
            reason = (
                f"no file holds {native!r}; they hold {names}"
                if names
                else f"no file at {self.path}"
            )
            if month is None and damaged:
                return Month("damaged", damaged[0].problem, tuple(_whole(h) for h in damaged))
            missing = Month("missing", reason)
            return missing if month is None else as_damaged(missing, damaged, month)
        first = holders[0]
        if month is None or native in first.lasting:
            return Month("final", "", (_whole(first),))
        if first.climatology:
            return Month("final", "a mean year, the same in every year", (_whole(first),))
        series = Series(holders, "monthly")
        held = series.month(month, "instant")
        if held.state != "missing":
            return held
        held = as_damaged(held, damaged, month)
        inside = (
            min(h.months[0] for h in series.headers)
            <= month
            <= max(h.months[-1] for h in series.headers)
        )
        if held.state == "damaged" or self.beyond == "error" or inside:
            return held
        return _mean_year(series, month)

    def _variables(
        self, found: Sequence[Header], names: Sequence[str], wanted: pd.DatetimeIndex | None
    ) -> xr.Dataset:
        """Variables for the months wanted, or without time."""
        for name in names:
            for month in [None] if wanted is None else wanted:
                held = self._held(found, name, month)
                if held.state in ("missing", "damaged"):
                    raise InputError(
                        f"{name!r} {f'of {month:%Y-%m} ' if month is not None else ''}is {held.state}",
                        where=self._where,
                        found=held.reason,
                        fix="Correct the path or the name in the recipe, or shorten the period",
                    )
        out = xr.Dataset()
        with Reader() as open_files:
            fields = _Fields(self, found, open_files, wanted)
            for name in names:
                out[name] = self._variable(fields, name)
                check_range(out[name], self._where)
        return out

    def _variable(self, fields: "_Fields", name: str) -> xr.DataArray:
        """One of our variables."""
        mapped = self.variables[name]
        if isinstance(mapped, Humidity):
            air, dew = (
                self._converted(fields, "tas", Native(name=(n,)))
                for n in (mapped.temperature, mapped.dewpoint)
            )
            return named(HUMIDITY[name](air, dew), VARIABLES[name])
        if isinstance(mapped, Wind):
            east, north = (fields.of(n) for n in (mapped.eastward, mapped.northward))
            units = self._units(east, Native(name=(mapped.eastward,)))
            return convert(wind_speed(east, north), VARIABLES[name], units, self._where)
        return self._converted(fields, name, mapped)

    def _converted(self, fields: "_Fields", name: str, native: Native) -> xr.DataArray:
        """A variable of the file in the units of ours."""
        parts = [fields.of(n) for n in native.name]
        units = self._units(parts[0], native)
        total = parts[0]
        if len(parts) > 1:
            total = xr.concat(parts, dim="part", join="exact", combine_attrs="override").sum(
                "part", min_count=1
            )
        if native.missing_below is not None:
            total = total.where(total >= native.missing_below)
        scaled = total.astype(np.float64) * native.scale + native.offset
        return convert(scaled, VARIABLES[name], units, f"{self._where}, {native.name[0]}")

    def _units(self, values: xr.DataArray, native: Native) -> str:
        stated = values.attrs.get("units", native.units)
        if stated is None:
            raise InputError(
                f"variable {values.name!r} has no units",
                where=self._where,
                expected="a units attribute, or units in the recipe",
                found="neither",
                fix=f"Write {{name: {values.name}, units: ...}} in the recipe",
            )
        return str(stated)


class _Fields:
    """Native fields of one call, each read once."""

    def __init__(
        self,
        source: Gridded,
        found: Sequence[Header],
        open_files: Reader,
        wanted: pd.DatetimeIndex | None,
    ) -> None:
        self._source, self._found, self._open_files = source, found, open_files
        self._wanted = wanted
        self._read: dict[str, xr.DataArray] = {}

    def of(self, native: str) -> xr.DataArray:
        """A name of the files, with the months wanted unless it has none (time, latitude, longitude)."""
        if native not in self._read:
            self._read[native] = self._field(native)
        return self._read[native]

    def _field(self, native: str) -> xr.DataArray:
        first = _holders(self._found, native)[0]
        if self._wanted is None:
            return self._open_files.static(first, native)
        if native in first.lasting:
            field = self._open_files.static(first, native)
            return field.expand_dims(time=[_second(m) for m in self._wanted]).assign_attrs(
                field.attrs
            )
        if first.climatology:
            return self._open_files.mean_year(first, native, self._wanted)
        months = [self._source._native_held(self._found, native, m) for m in self._wanted]
        parts = [
            self._mean(native, month, held)
            if held.state == "climatology"
            else self._month(native, month, held)
            for month, held in zip(self._wanted, months, strict=True)
        ]
        return netcdf.joined(parts, native, self._source._where)

    def _month(self, native: str, month: pd.Timestamp, held: Month) -> xr.DataArray:
        (piece,) = held.pieces
        field = self._open_files.fields(piece.header, native, piece.which)
        return field.assign_coords(time=[_second(month)])

    def _mean(self, native: str, month: pd.Timestamp, held: Month) -> xr.DataArray:
        """The mean of the same calendar month over the years that the files have, missing where all are."""
        years = [self._open_files.fields(p.header, native, p.which) for p in held.pieces]
        past = netcdf.joined(years, native, self._source._where)
        mean = past.mean("time", skipna=True, keep_attrs=True)
        return mean.expand_dims(time=[_second(month)]).transpose(*past.dims)


def _second(month: pd.Timestamp) -> np.datetime64:
    first: np.datetime64 = month.to_datetime64().astype("datetime64[s]")
    return first


def _holders(found: Sequence[Header], native: str) -> list[Header]:
    return [h for h in found if native in h.names]


def _whole(header: Header) -> Piece:
    return Piece(header, np.arange(header.times.size))


def _mean_year(series: Series, month: pd.Timestamp) -> Month:
    """A month beyond a series, as the mean of the same calendar month over the years it has."""
    pieces = []
    for header in series.headers:
        number = header.times.astype("datetime64[M]").astype(np.int64) % 12 + 1
        which = np.flatnonzero(number == month.month)
        pieces += [Piece(header, which)] if which.size else []
    if not pieces:
        return Month("missing", f"no year holds calendar month {month.month}")
    years = sorted({int(str(m)[:4]) for p in pieces for m in p.header.times[p.which]})
    span = f"{years[0]}" if len(years) == 1 else f"{years[0]} to {years[-1]}"
    return Month("climatology", f"mean of the same month of {span}", tuple(pieces))

"""ERA5 and ERA5-Land in any form that their archives hand out, as monthly fields in our names and units.

Files of the Climate Data Store (NetCDF old and new, ZIP, GRIB) and Zarr stores (Earth Data Hub, ARCO-ERA5) are read, as
monthly means or as hourly or daily values that are averaged here. Humidity and wind speed are made from hourly or daily
values before averaging, which is better than from monthly means: both are convex in what they are made from.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import xarray as xr
from pydantic import AfterValidator, Field, field_validator, model_validator

from ch4grid.drivers.derived import period_mean, standard_pressure
from ch4grid.drivers.era5.accumulation import Frequency
from ch4grid.drivers.era5.averaging import checked, combined, means, monthly_series, name_in
from ch4grid.drivers.era5.latitude import refuse_swapped_latitude
from ch4grid.drivers.era5.reanalysis import NATIVE, Accumulation, Reanalysis
from ch4grid.drivers.era5.reanalysis import Dataset as Archive
from ch4grid.drivers.files import archive, netcdf, reader
from ch4grid.drivers.files.header import Header
from ch4grid.drivers.files.reader import Reader
from ch4grid.drivers.files.series import Month, Piece
from ch4grid.drivers.source import Holding, Source
from ch4grid.drivers.units import convert
from ch4grid.errors import InputError, RunError
from ch4grid.schema import check_range
from ch4grid.stores import Workspace, sha256_json, write_atomic
from ch4grid.vocabulary import STATIC, VARIABLES, months

# Ours from theirs: the first set of short names that the files hold is used.
SOURCES: dict[str, tuple[tuple[str, ...], ...]] = {
    "tas": (("t2m",),),
    "vpd": (("t2m", "d2m"),),
    "hurs": (("t2m", "d2m"),),
    "pr": (("tp",), ("avg_tprate",)),
    "ps": (("sp",),),
    "psa": (("sp",),),
    "sfcWind": (("si10",), ("u10", "v10")),
    "rsds": (("ssrd",), ("avg_sdswrf",)),
    "tsl": (("stl1",),),
    "mrsos": (("swvl1",),),
    "snw": (("sd",),),
    "land_fraction": (("lsm",),),
}
# From the worst to the best way to hold what a variable is made from.
WORST_FIRST = ("damaged", "missing", "preliminary", "final")


class ERA5(Source):
    """ERA5 or ERA5-Land, monthly, daily or hourly.

    Args:
        path: File, glob, Zarr folder or URL; files may be split by year, month or variable, and relative paths start
            from the data folder. Credentials of a URL come from netrc or the environment.
        variables: Vocabulary names; `sfcWind` from `si10` where present, else from the components.
        dataset: `auto` tells ERA5-Land by its class, its name or its spacing of 0.1 degrees.
        frequency: What the times of the files stand for; `auto` tells it where they do.
        accumulation: What hourly accumulations count; `auto` is per hour for ERA5, since 00 UTC for ERA5-Land.
        reference: First and last year whose mean pressure `psa` is an anomaly of, all months needed. Without it the
            reference is the standard atmosphere at the surface geopotential `z`, which must then be in the files.
            Either way it does not depend on the months asked for.
    """

    source: Literal["era5"] = "era5"
    path: Annotated[str, AfterValidator(archive.refuse_credentials)]
    variables: tuple[str, ...] = Field(strict=False)
    dataset: Archive = "auto"
    frequency: Literal["auto"] | Frequency = "auto"
    accumulation: Accumulation = "auto"
    reference: tuple[int, int] | None = Field(default=None, strict=False)

    @field_validator("variables")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [n for n in names if n not in SOURCES]
        if unknown or not names:
            raise ValueError(
                f"era5 has no variable {', '.join(unknown)}; it has {', '.join(SOURCES)}"
            )
        return names

    @model_validator(mode="after")
    def _whole_reference(self) -> "ERA5":
        if self.reference and self.reference[0] > self.reference[1]:
            raise ValueError(f"reference {self.reference} ends before it begins")
        return self

    def survey(self, workspace: Workspace, wanted: pd.DatetimeIndex) -> list[Holding]:
        """What is held of every variable in every month wanted, and of every static once, from headers alone."""
        files = self._reanalysis(workspace)
        out = []
        for name in self.variables:
            if name in STATIC:
                held = self._static(files, name)
                out.append(Holding(self.source, name, None, held.state, held.files, held.reason))
                continue
            for month in wanted:
                held = self._month(files, name, month)
                out.append(Holding(self.source, name, month, held.state, held.files, held.reason))
        return out

    def open(
        self, workspace: Workspace, names: Sequence[str], wanted: pd.DatetimeIndex
    ) -> xr.Dataset:
        """Variables for the months wanted on the native grid (time, latitude, longitude).

        Raises:
            InputError: A file, variable or month is missing, a unit or value is wrong, or north is south.
        """
        files = self._reanalysis(workspace)
        for name in names:
            for month in wanted:
                self._refuse(name, month, self._month(files, name, month))
        out = xr.Dataset()
        with Reader() as open_files:
            raw = self._raw(files, open_files, names, wanted)
            for name in names:
                field = raw[name]
                if name == "psa":
                    field = (field - self._reference(files, open_files, workspace)).assign_attrs(
                        units="Pa"
                    )
                out[name] = self._ours(name, field)
        refuse_swapped_latitude(out, self._where)
        return out

    def statics(self, workspace: Workspace) -> xr.Dataset:
        """Variables that do not change (latitude, longitude); an empty Dataset if none.

        Raises:
            InputError: A file or variable is missing, or a unit or value is wrong.
        """
        files = self._reanalysis(workspace)
        out = xr.Dataset()
        with Reader() as open_files:
            for name in (n for n in self.variables if n in STATIC):
                self._refuse(name, None, self._static(files, name))
                (native,) = self._natives(files, name)
                header = files.holders(native)[0]
                field = checked(
                    open_files.static(header, name_in(header, native)), native, self._where
                )
                out[name] = self._ours(name, field.assign_attrs(units=NATIVE[native].units))
        return out

    @property
    def _where(self) -> str:
        return f"era5, {self.path}"

    def _reanalysis(self, workspace: Workspace) -> Reanalysis:
        return Reanalysis(
            self.path,
            reader.survey(workspace, self.path),
            dataset=self.dataset,
            frequency=self.frequency,
            accumulation=self.accumulation,
        )

    def _natives(self, files: Reanalysis, name: str) -> tuple[str, ...]:
        """The short names that a variable is made from; none if the files do not hold them."""
        for natives in SOURCES[name]:
            if all(files.holders(n) for n in natives):
                return natives
        return ()

    def _month(self, files: Reanalysis, name: str, month: pd.Timestamp) -> Month:
        """How a variable is held in a month: as badly as the worst of what it is made from."""
        natives = self._natives(files, name)
        if not natives:
            return files.or_damaged(Month("missing", self._absent(files, name)), month)
        frequencies = {n: files.lookup(n).frequency for n in natives}
        if len(set(frequencies.values())) > 1:
            mixture = " and ".join(f"{n} {f}" for n, f in frequencies.items())
            return Month("damaged", f"made from {mixture}: fetch both at one frequency")
        held = [(n, files.month(n, month)) for n in natives]
        if name == "psa":
            held += self._reference_months(files, natives[0])
        return _worst(held)

    def _reference_months(self, files: Reanalysis, native: str) -> list[tuple[str, Month]]:
        """How the reference of the pressure anomaly is held."""
        if self.reference is None:
            there = bool(files.holders("z"))
            reason = "no reference years in the recipe and no surface geopotential z in the files"
            return [("reference", Month("final") if there else Month("missing", reason))]
        held = [(m, files.month(native, m)) for m in months(*self.reference)]
        worst = min(held, key=lambda pair: WORST_FIRST.index(pair[1].state))
        if worst[1].state == "final":
            return []
        reason = f"reference {worst[0]:%Y-%m}: {worst[1].reason}"
        return [("reference", Month(worst[1].state, reason))]

    def _static(self, files: Reanalysis, name: str) -> Month:
        natives = self._natives(files, name)
        if not natives:
            damaged = tuple(Piece(h, np.empty(0, np.int64)) for h in files.problems)
            reason = self._absent(files, name)
            return (
                Month("damaged", damaged[0].header.problem, damaged)
                if damaged
                else Month("missing", reason)
            )
        header = files.holders(natives[0])[0]
        return Month("final", "", (Piece(header, np.arange(1)),))

    def _absent(self, files: Reanalysis, name: str) -> str:
        made = " or ".join(" and ".join(n) for n in SOURCES[name])
        if not files.headers and not files.problems:
            return f"no file at {self.path}"
        return f"no file holds {made}; they hold {files.names}"

    def _refuse(self, name: str, month: pd.Timestamp | None, held: Month) -> None:
        """Refuse what is missing or damaged."""
        if held.state in ("missing", "damaged"):
            raise InputError(
                f"{name!r} {f'of {month:%Y-%m} ' if month is not None else ''}is {held.state}",
                where=self._where,
                found=held.reason,
                fix="Fetch it from the archive, or see `ch4grid inventory`",
            )

    def _ours(self, name: str, field: xr.DataArray) -> xr.DataArray:
        """A field as the vocabulary's variable, its values checked."""
        out = convert(field, VARIABLES[name], field.attrs["units"], f"{self._where}, {name}")
        check_range(out, self._where)
        return out

    def _raw(
        self, files: Reanalysis, open_files: Reader, names: Sequence[str], wanted: pd.DatetimeIndex
    ) -> dict[str, xr.DataArray]:
        """Monthly means (time, latitude, longitude) by our name, in the units that they state."""
        made = {n: self._natives(files, n) for n in names}
        monthly: dict[str, tuple[str, ...]] = {}
        finer: dict[str, tuple[str, ...]] = {}
        for name, natives in made.items():
            kinds = {files.lookup(n).frequency for n in natives}
            (monthly if kinds == {"monthly"} else finer)[name] = natives
        out: dict[str, xr.DataArray] = {}
        fields = {
            n: monthly_series(files.lookup(n), open_files, n, wanted, self._where)
            for n in dict.fromkeys(n for natives in monthly.values() for n in natives)
        }
        out |= {
            name: combined(name, [fields[n] for n in natives]) for name, natives in monthly.items()
        }
        if finer:
            whole = [means(files, open_files, finer, m, self._where) for m in wanted]
            for name in finer:
                parts = [w[name] for w in whole]
                out[name] = netcdf.joined(parts, name, self._where).assign_coords(
                    time=wanted.values.astype("datetime64[s]")
                )
        return out

    def _reference(
        self, files: Reanalysis, open_files: Reader, workspace: Workspace
    ) -> xr.DataArray:
        """What the pressure anomaly is an anomaly of [Pa] (latitude, longitude), kept in the cache."""
        if self.reference is None:
            header = files.holders("z")[0]
            field = open_files.static(header, name_in(header, "z"))
            return standard_pressure(checked(field, "z", self._where))
        wanted = months(*self.reference)
        pieces = [p for m in wanted for p in self._month(files, "ps", m).pieces]
        marks = sorted({str(_mark(p.header)) for p in pieces})
        key = sha256_json([self.model_dump(mode="json", exclude={"variables"}), marks])[:16]
        kept = workspace.cache / "pressure-reference" / f"{key}.nc"
        with suppress(OSError, ValueError), xr.open_dataset(kept, engine="scipy") as ds:
            stored: xr.DataArray = ds["ps"].load()
            return stored
        years = [wanted[i : i + 12] for i in range(0, len(wanted), 12)]
        mean = xr.zeros_like(self._raw(files, open_files, ("ps",), wanted[:1])["ps"][0], np.float64)
        for year in years:
            part = period_mean(self._raw(files, open_files, ("ps",), year)["ps"])
            mean = mean + part * float(np.sum(year.days_in_month) / np.sum(wanted.days_in_month))
        document = mean.drop_vars("time").rename("ps").to_dataset().to_netcdf(engine="scipy")
        with suppress(RunError):
            write_atomic(kept, bytes(document))
        return mean


def _mark(header: Header) -> object:
    path = header.path
    return path if isinstance(path, str) else [path.name, *archive.mark(path)]


def _worst(held: Sequence[tuple[str, Month]]) -> Month:
    """Several months as one: the worst state with its reason, the pieces of all."""
    native, worst = min(held, key=lambda pair: WORST_FIRST.index(pair[1].state))
    pieces = tuple(p for _, month in held for p in month.pieces)
    files = worst.pieces if worst.state == "damaged" else pieces
    reason = f"{native}: {worst.reason}" if worst.reason and len(held) > 1 else worst.reason
    return Month(worst.state, reason, files)

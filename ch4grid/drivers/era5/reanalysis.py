"""The files of one ERA5 path, looked up by native variable and month: which ones serve, or why none does.

Here lie the conventions that file formats do not state: what a time stands for, what an accumulation counts, which
monthly means of ERA5-Land are wrong.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from ch4grid.drivers.era5.accumulation import Frequency, Meaning
from ch4grid.drivers.files.header import Header
from ch4grid.drivers.files.reader import problems, stated_months, states_date
from ch4grid.drivers.files.series import Month, Piece, Series, frequency_of


class Native(NamedTuple):
    """A variable of ERA5: units it must state and is in, what its hourly values stand for, other names of it.

    `amount` adds up over time, `rate` is a mean over the hour before, `instant` is the state at the time.
    """

    stated: str
    units: str
    kind: Literal["instant", "amount", "rate"] = "instant"
    aliases: tuple[str, ...] = ()


# Short names of the Climate Data Store. Accumulations of monthly means are per day although their units do not say so
# (ECMWF, "ERA5: accumulated variables"). Aliases are the long names of ARCO-ERA5 and the short names before 2024.
NATIVE: dict[str, Native] = {
    "t2m": Native("K", "K", aliases=("2m_temperature",)),
    "d2m": Native("K", "K", aliases=("2m_dewpoint_temperature",)),
    "stl1": Native("K", "K", aliases=("soil_temperature_level_1",)),
    "sp": Native("Pa", "Pa", aliases=("surface_pressure",)),
    "tp": Native("m", "m day-1", "amount", ("total_precipitation",)),
    "avg_tprate": Native(
        "kg m-2 s-1", "kg m-2 s-1", "rate", ("mtpr", "mean_total_precipitation_rate")
    ),
    "ssrd": Native("J m-2", "J m-2 day-1", "amount", ("surface_solar_radiation_downwards",)),
    "avg_sdswrf": Native(
        "W m-2", "W m-2", "rate", ("msdwswrf", "mean_surface_downward_short_wave_radiation_flux")
    ),
    "swvl1": Native("m3 m-3", "m3 m-3", aliases=("volumetric_soil_water_layer_1",)),
    "sd": Native("m", "m", aliases=("snow_depth",)),
    "si10": Native("m s-1", "m s-1", aliases=("10m_wind_speed",)),
    "u10": Native("m s-1", "m s-1", aliases=("10m_u_component_of_wind",)),
    "v10": Native("m s-1", "m s-1", aliases=("10m_v_component_of_wind",)),
    "lsm": Native("1", "1", aliases=("land_sea_mask",)),
    "z": Native("m2 s-2", "m2 s-2", aliases=("geopotential_at_surface",)),
}

# Months whose accumulations are wrong in the monthly means of ERA5-Land (forum.ecmwf.int/t/2370).
WRONG_LAND = (pd.Timestamp("2022-09-01"), pd.Timestamp("2024-02-01"))
WRONG_REASON = (
    "accumulations of ERA5-Land monthly means are wrong from 2022-09 to 2024-02; fetch "
    "monthly_averaged_reanalysis_by_hour_of_day at 00:00 for it, `by_hour_of_day` in the file name"
)

Dataset = Literal["auto", "era5", "era5-land"]
Accumulation = Literal["auto", "per-hour", "since-midnight"]


class Reanalysis:
    """The headers of a path and what the recipe says of them.

    Args:
        path: The path of the recipe, for messages.
        found: Headers of all its files, damaged ones included.
        dataset: `auto` tells ERA5-Land by its class, its name or its spacing of 0.1 degrees.
        frequency: `auto` tells it from the times.
        accumulation: What hourly accumulations count; `auto` is per hour for ERA5, since midnight for ERA5-Land.
    """

    def __init__(
        self,
        path: str,
        found: Sequence[Header],
        *,
        dataset: Dataset,
        frequency: Frequency | Literal["auto"],
        accumulation: Accumulation,
    ) -> None:
        self.path = path
        self.headers = [self._of(dataset, h) for h in found if not h.problem]
        self.problems = problems(found)
        self._frequency = frequency
        self._accumulation = accumulation
        self._known: dict[str, Lookup] = {}

    @staticmethod
    def _of(dataset: Dataset, header: Header) -> Header:
        if dataset == "auto":
            return header
        traits = header.traits - {"land"} | ({"land"} if dataset == "era5-land" else set())
        return replace(header, traits=traits)

    def holders(self, native: str) -> list[Header]:
        """The files that hold a native variable under any of its names."""
        names = {native, *NATIVE[native].aliases}
        return [h for h in self.headers if names & h.names]

    @property
    def names(self) -> str:
        """All names in the files, for messages."""
        return ", ".join(sorted({n for h in self.headers for n in h.names})) or "nothing"

    def lookup(self, native: str) -> "Lookup":
        """How the months of a native variable are found."""
        if native not in self._known:
            self._known[native] = Lookup(
                native, self.holders(native), self._frequency, self._accumulation
            )
        return self._known[native]

    def month(self, native: str, month: pd.Timestamp) -> Month:
        """How a native variable is held in a month."""
        held = self.lookup(native).month(month)
        return self.or_damaged(held, month) if held.state == "missing" else held

    def or_damaged(self, held: Month, month: pd.Timestamp) -> Month:
        """A missing month as damaged, if a file that cannot be read is of that month by its name."""
        return as_damaged(held, self.problems, month)


def as_damaged(held: Month, damaged: Sequence[Header], month: pd.Timestamp) -> Month:
    """A missing month as damaged, if one of the files that cannot be read is of that month by its name.

    A damaged file whose name tells no date is named in the reason of every missing month.
    """
    alone = pd.DatetimeIndex([month])
    mine = [h for h in damaged if len(stated_months(h, alone))]
    if mine:
        nothing = np.empty(0, np.int64)
        return Month("damaged", mine[0].problem, tuple(Piece(h, nothing) for h in mine))
    nameless = [h for h in damaged if not states_date(h)]
    if nameless:
        return Month(
            "missing", f"{held.reason}; {nameless[0].label} cannot be read: {nameless[0].problem}"
        )
    return held


class Lookup:
    """The months of one native variable.

    Args:
        native: Its short name.
        holders: The files that hold it.
        frequency: What their times stand for; `auto` tells it from them.
        accumulation: What hourly accumulations count.
    """

    def __init__(
        self,
        native: str,
        holders: Sequence[Header],
        frequency: Frequency | Literal["auto"],
        accumulation: Accumulation,
    ) -> None:
        self.kind = NATIVE[native].kind
        by_hour = [h for h in holders if "by-hour" in h.traits]
        self.plain = [h for h in holders if h.times.size and h not in by_hour]
        self.moments = [h for h in holders if h.moment]
        self.land = any("land" in h.traits for h in holders)
        self.frequency: Frequency = "monthly"
        self.refusal = ""
        if frequency == "auto":
            self._tell_frequency()
        else:
            self.frequency = frequency
            self._refuse_instants()
        self.meaning: Meaning = _meaning(self.kind, self.land, accumulation)
        mixed = len({"land" in h.traits for h in self.plain}) > 1
        if (
            mixed
            and self.frequency == "hourly"
            and self.meaning != "instant"
            and accumulation == "auto"
        ):
            self.refusal = (
                "files of ERA5 and of ERA5-Land, whose hourly accumulations count differently"
            )
        self.series = Series(self.plain, self.frequency)
        self._at_midnight = Series([_at_midnight(h) for h in by_hour], "monthly")

    def _tell_frequency(self) -> None:
        """The frequency of the files; a refusal where they have several, or do not tell."""
        told = {h: frequency_of(h) for h in self.plain}
        kinds = sorted({f for f in told.values() if f})
        unclear = [h for h, f in told.items() if f is None]
        if len(kinds) > 1 or (kinds == ["monthly"] and unclear):
            examples = {f or "instants": h.label for h, f in reversed(told.items())}
            mixture = " and ".join(f"{f} in {label}" for f, label in sorted(examples.items()))
            self.refusal = f"conventions are mixed: {mixture}; give each kind a path of its own"
        elif kinds:
            self.frequency = kinds[0]
        elif unclear:
            self.frequency = "hourly"
            self.refusal = _unclear(unclear[0])

    def _refuse_instants(self) -> None:
        instants = [h for h in self.plain if "instants" in h.traits]
        if instants and self.frequency != "hourly":
            self.refusal = (
                f"{instants[0].label} holds instants or forecasts, not {self.frequency} means"
            )

    def month(self, month: pd.Timestamp) -> Month:
        """How it is held in a month."""
        if not self.plain and self.moments:
            return Month(
                "missing", f"held only at the instant {self.moments[0].moment}, not as a month"
            )
        held = self.series.month(month, self.meaning)
        if self.refusal and any(_is_of(h, month) for h in self.plain):
            files = held.pieces or tuple(Piece(h, np.empty(0, np.int64)) for h in self.plain[:1])
            unclear = held.state == "missing" and "mixed" not in self.refusal
            return Month("missing" if unclear else "damaged", self.refusal, files)
        if self.frequency != "monthly" or self.kind != "amount" or not self.land:
            return self._or_by_hour(held)
        wrong = WRONG_LAND[0] <= month <= WRONG_LAND[1] and held.state != "missing"
        if held.state == "missing" or wrong:
            instead = self._at_midnight.month(month, "instant")
            if instead.state != "missing":
                return instead
        return replace(held, state="damaged", reason=WRONG_REASON) if wrong else held

    def _or_by_hour(self, held: Month) -> Month:
        only = held.state == "missing" and self._at_midnight.headers
        reason = (
            "held only as monthly means by hour of day, which serve ERA5-Land accumulations alone"
        )
        return replace(held, reason=reason) if only else held


def _is_of(header: Header, month: pd.Timestamp) -> bool:
    """Whether one of the times of a file lies in a month."""
    first = month.to_datetime64().astype("datetime64[M]")
    return bool((header.times.astype("datetime64[M]") == first).any())


def _meaning(kind: str, land: bool, accumulation: Accumulation) -> Meaning:
    if kind == "instant":
        return "instant"
    since = accumulation == "since-midnight" or (accumulation == "auto" and land)
    return "since-midnight" if since and kind == "amount" else "amount"


def _at_midnight(header: Header) -> Header:
    """The times of a by-hour-of-day file that are of 00 UTC: the mean total of the days before."""
    kept = header.times == header.times.astype("datetime64[D]")
    return replace(
        header,
        times=header.times[kept],
        steps=header.steps[kept],
        preliminary=header.preliminary[kept],
    )


def _unclear(header: Header) -> str:
    times = header.times
    if times.size == 1:
        return f"held only at the instant {str(times[0])[:16]}, not as a month"
    return (
        "one value a day may be an instant or a daily mean: write `frequency: daily` if they are daily means, "
        "`frequency: hourly` if instants"
    )

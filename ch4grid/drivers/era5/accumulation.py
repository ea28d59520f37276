"""Which times make a month: instants, amounts per hour, and amounts since midnight.

The label of an amount is the end of what it counts. So the month of an hourly amount runs from 01 UTC of its first day
to 00 UTC of the next month, and where ERA5-Land counts since 00 UTC, the value at 00 UTC is the total of the day before
(ECMWF, "ERA5-Land: data documentation", accumulations): a month is then the sum of its daily totals, each labelled
with the following midnight.
"""

from typing import Literal

import numpy as np
import xarray as xr

from ch4grid.errors import InputError

Frequency = Literal["monthly", "daily", "hourly"]

# What a value stands for: the state at its time, the hour or day before it, or all since 00 UTC.
Meaning = Literal["instant", "amount", "since-midnight"]

HOUR = np.timedelta64(1, "h")
DAY = np.timedelta64(1, "D")

# Fall within a day [part of the largest value] that packing alone can cause.
NOISE = 1e-3

# Days that must only grow before amounts per hour are disbelieved: on one it can be the weather.
TELLING_DAYS = 3


def times_of(month: np.datetime64, frequency: Frequency, meaning: Meaning) -> np.ndarray:
    """The times that a month is made from, ascending.

    Args:
        month: Any time in the month.
        frequency: `daily` values are labelled by their day, whatever they mean.
        meaning: What an hourly value stands for.
    """
    first = month.astype("datetime64[M]")
    start, end = first.astype("datetime64[s]"), (first + 1).astype("datetime64[s]")
    if frequency == "monthly":
        return np.array([start])
    if frequency == "daily":
        return np.arange(start, end, DAY)
    if meaning == "instant":
        return np.arange(start, end, HOUR)
    if meaning == "amount":
        return np.arange(start + HOUR, end + HOUR, HOUR)
    return np.arange(start + DAY, end + DAY, DAY)


def incomplete(absent: np.ndarray, needed: int, frequency: Frequency, meaning: Meaning) -> str:
    """Why a month is not whole, in words: how many of its times are there, and which is the first that is not."""
    kind = "days" if frequency == "daily" or meaning == "since-midnight" else "hours"
    text = f"{needed - absent.size} of {needed} {kind}; no {_label(absent[0])}"
    if frequency == "hourly" and meaning != "instant" and _midnight_after(absent[-1]):
        ending = "hour" if meaning == "amount" else "day"
        text += f"; the value at {_label(absent[-1])} counts the last {ending} of the month"
    return text


def _midnight_after(time: np.datetime64) -> bool:
    return bool(time == time.astype("datetime64[M]").astype("datetime64[s]"))


def _label(time: np.datetime64) -> str:
    return str(time.astype("datetime64[m]")).replace("T", " ")


class Growth:
    """Whether hourly amounts fall within a day, or only grow: what tells amounts per hour from totals since midnight.

    A total since midnight can only grow from 01 UTC to the next 00 UTC; amounts per hour of rain or sunshine fall again
    on the same day. Fields that are zero or do not change tell nothing.
    """

    def __init__(self) -> None:
        self.falling = 0
        self.growing = 0

    def add(self, day: xr.DataArray) -> None:
        """Look at a day (time, latitude, longitude) from 01 UTC to 00 UTC; of less than a day there is no telling."""
        field = day.values.astype(np.float64)
        largest = float(np.nanmax(field, initial=0.0))
        steps = np.diff(field, axis=0)
        steps = steps[np.isfinite(steps)]
        if steps.size and largest > 0.0 and len(field) == 24:
            falls = bool(steps.min() < -NOISE * largest)
            self.falling += falls
            self.growing += not falls and bool(steps.max() > NOISE * largest)

    def refuse_other_than(self, meaning: Meaning, where: object) -> None:
        """Refuse what was looked at if it counts otherwise than it is said to, as far as the values tell.

        Raises:
            InputError: Totals since midnight fall, or amounts per hour grow on several days and fall on none.
        """
        if meaning == "since-midnight" and self.falling:
            found, other = "values that fall within the day", "per-hour"
        elif meaning == "amount" and self.growing >= TELLING_DAYS and not self.falling:
            found, other = "values that only grow until 00 UTC on every day", "since-midnight"
        else:
            return
        raise InputError(
            "hourly accumulations follow another convention",
            where=where,
            expected=f"amounts {'since 00 UTC' if meaning == 'since-midnight' else 'per hour'}",
            found=found,
            fix=f"Write `accumulation: {other}` in the recipe if all files are like this; never mix both kinds",
        )

"""One native variable through time: which files and steps each month is made from, and how well it is held.

The headers of all files are joined into one sorted axis, so that a century of months is looked up in milliseconds.
Where a time is there twice, the final version is taken before the preliminary one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ch4grid.drivers.era5.accumulation import Frequency, Meaning, incomplete, times_of
from ch4grid.drivers.files.header import Header
from ch4grid.drivers.source import State

EARLY = "ERA5T, to be replaced by the final version in two or three months"


class Piece(NamedTuple):
    """Some times of one file: the numbers within `header.times`, ascending."""

    header: Header
    which: np.ndarray


@dataclass(frozen=True)
class Month:
    """How a variable is held in a month, and the pieces that it is read from."""

    state: State
    reason: str = ""
    pieces: tuple[Piece, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """The local files of its pieces, sorted."""
        paths = {p.header.path for p in self.pieces if isinstance(p.header.path, Path)}
        return tuple(sorted(paths))


class Series:
    """The times of one variable over several files.

    Args:
        headers: The files that hold it.
        frequency: What their times stand for.
    """

    def __init__(self, headers: Sequence[Header], frequency: Frequency) -> None:
        self.headers = [h for h in headers if h.times.size]
        self.frequency: Frequency = frequency
        units = {"monthly": "M", "daily": "D", "hourly": "s"}[frequency]
        times = [
            h.times.astype(f"datetime64[{units}]").astype("datetime64[s]") for h in self.headers
        ]
        owners = [np.full(h.times.size, i) for i, h in enumerate(self.headers)]
        key = np.concatenate([*times, np.empty(0, "datetime64[s]")])
        early = np.concatenate([*(h.preliminary for h in self.headers), np.empty(0, np.bool_)])
        order = np.lexsort((early, key))
        self._key, self._early = key[order], early[order]
        self._owner = np.concatenate([*owners, np.empty(0, np.int64)])[order]
        numbers = [np.arange(h.times.size) for h in self.headers]
        self._number = np.concatenate([*numbers, np.empty(0, np.int64)])[order]

    def month(self, month: pd.Timestamp, meaning: Meaning) -> Month:
        """How a month is held."""
        needed = times_of(month.to_datetime64(), self.frequency, meaning)
        left = np.searchsorted(self._key, needed, side="left")
        right = np.searchsorted(self._key, needed, side="right")
        absent = needed[left == right]
        if absent.size:
            return Month("missing", self._why(absent, needed.size, meaning))
        if self.frequency != "hourly":
            several = self._conflict(left, right)
            if several:
                return Month("damaged", several, self._pieces(left))
        early = bool(self._early[left].any())
        return Month(
            "preliminary" if early else "final", EARLY if early else "", self._pieces(left)
        )

    def at(self, times: np.ndarray) -> tuple[Piece, ...]:
        """The pieces that hold exactly these times; none if one of them is held nowhere."""
        left = np.searchsorted(self._key, times, side="left")
        there = left < self._key.size
        if not there.all() or (self._key[left] != times).any():
            return ()
        return self._pieces(left)

    def _pieces(self, at: np.ndarray) -> tuple[Piece, ...]:
        owners = self._owner[at]
        return tuple(
            Piece(self.headers[o], np.sort(self._number[at[owners == o]]))
            for o in np.unique(owners)
        )

    def _conflict(self, left: np.ndarray, right: np.ndarray) -> str:
        """Whether two fields of the same standing claim the same month or day."""
        twice = np.flatnonzero(right - left > 1)
        clash = [i for i in twice if self._early[left[i]] == self._early[left[i] + 1]]
        if not clash:
            return ""
        labels = sorted({self.headers[self._owner[left[clash[0]] + k]].label for k in (0, 1)})
        return f"more than one field of it, in {' and '.join(labels)}"

    def _why(self, absent: np.ndarray, needed: int, meaning: Meaning) -> str:
        if self._key.size and bool(absent[-1] > self._key[-1]):
            last = str(self._key[-1].astype("datetime64[D]"))
            if any("store" in h.traits for h in self.headers):
                return f"the store ends at {last}; if it no longer grows it has been superseded"
        if self.frequency == "monthly":
            return "no file holds it"
        return incomplete(absent, needed, self.frequency, meaning)


def frequency_of(header: Header) -> Frequency | None:
    """The frequency that the times of a file tell; None if they do not.

    A single time is a month only on its first day, at 00 UTC, or at 06 UTC where the Climate Data Store labels
    accumulations; one value a day may be a daily mean or an instant, which is for the recipe to say.
    """
    if header.traits & {"monthly", "by-hour"}:
        return "monthly"
    hours = header.times.astype("datetime64[h]")
    months = hours.astype("datetime64[M]")
    if "instants" in header.traits:
        return "hourly"
    if hours.size == 1:
        into = int((hours[0] - months[0].astype("datetime64[h]")).astype(int))
        return "monthly" if into in (0, 6) else None
    if np.unique(months).size == hours.size:
        return "monthly"
    step = int(np.diff(np.sort(hours)).astype(int).min())
    return "hourly" if step < 24 else None

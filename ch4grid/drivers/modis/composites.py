"""Composites of several days as parts of months: the period of a start day, and its days in each month.

Every day belongs to the composite that began last, so the periods of a product cover the calendar once: 8-day and
16-day products begin anew each year and their last composite is cut at the next year's first, as MODIS itself does for
sums over 8 days (MOD17 user guide, 5 or 6 days at the end of the year).
"""

import datetime
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

Date = datetime.date


@dataclass(frozen=True)
class Cycle:
    """Start days of a product's composites.

    Args:
        step: Days from one start to the next within a year.
        first: Day of year of a year's first start.
    """

    step: int
    first: int = 1

    def begins(self, day: Date) -> bool:
        """Whether a composite begins on this day."""
        return (day.timetuple().tm_yday - self.first) % self.step == 0

    def end(self, start: Date) -> Date:
        """First day after the period of the composite that begins on `start`."""
        renewal = Date(start.year + 1, 1, 1) + datetime.timedelta(days=self.first - 1)
        return min(start + datetime.timedelta(days=self.step), renewal)

    def days(self, start: Date) -> int:
        """Days that the composite stands for."""
        return (self.end(start) - start).days

    def starts(self, month: pd.Timestamp) -> list[Date]:
        """Starts of the composites with days in a month, in order."""
        first = month.date()
        last = (month + pd.offsets.MonthEnd(0)).date()
        return [s for s in self._from(first.year - 1) if s <= last and self.end(s) > first]

    def _from(self, year: int) -> Iterator[Date]:
        for y in (year, year + 1):
            start = Date(y, 1, 1) + datetime.timedelta(days=self.first - 1)
            while start.year == y:
                yield start
                start += datetime.timedelta(days=self.step)

    def weights(self, start: Date) -> dict[pd.Timestamp, int]:
        """Days of the composite by the month they fall in, keyed by first days of months."""
        days = pd.date_range(start, periods=self.days(start), freq="D")
        firsts, counts = np.unique(days.values.astype("datetime64[M]"), return_counts=True)
        return {pd.Timestamp(m): int(n) for m, n in zip(firsts, counts, strict=True)}

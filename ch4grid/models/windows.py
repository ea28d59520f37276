"""Windows: a long record cut into rows of equal length, so that a fit spends no step on years without a target.

Towers measure for three years out of twenty. A row holds 24 months of memory and 48 months that may be targets; rows
start a multiple of 48 months apart, so all share their calendar months, and every target stands in exactly one row.
"""

from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ch4grid.models.samples import Points

Integers = NDArray[np.int64]
Number = TypeVar("Number", bound=np.generic)

SPIN_UP = 24
TARGETS = 48
LENGTH = SPIN_UP + TARGETS


@dataclass(frozen=True, eq=False)
class Windows:
    """Rows cut from the records of towers.

    Args:
        owner: Tower of each row (R), ascending.
        start: First month of each row (R).
        months: Months in a row.
    """

    owner: Integers
    start: Integers
    months: int

    @classmethod
    def of(cls, weight: NDArray[np.float64]) -> "Windows":
        """The rows that hold a target, of weights (S, T); records no longer than a row are kept whole."""
        towers, months = weight.shape
        if months <= LENGTH:
            return cls(np.arange(towers), np.zeros(towers, dtype=np.int64), months)
        starts = np.arange(0, months - SPIN_UP, TARGETS)
        first = np.where(starts == 0, 0, starts + SPIN_UP)
        wanted = [
            (weight[:, a : s + LENGTH] > 0).any(axis=1) for a, s in zip(first, starts, strict=True)
        ]
        owner, window = np.nonzero(np.stack(wanted, axis=1))
        return cls(owner, starts[window], LENGTH)

    def cut(self, values: NDArray[Number], fill: float) -> NDArray[Number]:
        """Rows (R, months, ...) of values (S, T, ...), `fill` after the end of the record."""
        beyond = int(max(self.start.max(initial=0) + self.months - values.shape[1], 0))
        width: list[tuple[int, int]] = [(0, 0), (0, beyond)] + [(0, 0)] * (values.ndim - 2)
        padded: NDArray[Any] = np.pad(values, width, constant_values=fill)
        rows: NDArray[Number] = padded[
            self.owner[:, None], self.start[:, None] + np.arange(self.months)
        ]
        return rows

    def weights(self, weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rows of weights (S, T) in which every month counts once: in no row's memory, except in the first row."""
        rows = self.cut(weight, 0.0)
        rows[self.start > 0, :SPIN_UP] = 0.0
        return rows

    def points(self, points: Points) -> Points:
        """Rows of points."""
        rows = points.at(self.owner)
        dynamic = self.cut(points.dynamic, np.nan)
        return replace(rows, dynamic=dynamic, month=points.month[: self.months])

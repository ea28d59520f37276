"""Windows: a long record cut into rows of equal length, so that a fit spends no step on years without a target.

Towers measure for three years out of twenty, with gaps. A row holds 24 months of memory and some years that may be
targets; rows start whole years apart, so all share their calendar months, and every target stands in exactly one row.
Short rows waste memory, long ones months without a target: the length that costs least is taken.
"""

from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ch4grid.models.samples import Points

Integers = NDArray[np.int64]
Number = TypeVar("Number", bound=np.generic)

SPIN_UP = 24
# Months of a row that may be targets, the longest first: of equal cost it wins.
TARGETS = (48, 36, 24, 12)
LONGEST = SPIN_UP + TARGETS[0]
# Cost of a month that may be a target over that of a month of memory, which only the encoder sees.
TARGET_COST = 3.0


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
        if months <= LONGEST:
            return cls(np.arange(towers), np.zeros(towers, dtype=np.int64), months)
        return min((cls._cut(weight, targets) for targets in TARGETS), key=lambda w: w.cost)

    @property
    def cost(self) -> float:
        """What a step over these rows costs, in months of memory."""
        return len(self.owner) * (SPIN_UP + TARGET_COST * (self.months - SPIN_UP))

    @classmethod
    def _cut(cls, weight: NDArray[np.float64], targets: int) -> "Windows":
        """Rows of a given number of months that may be targets."""
        months, length = weight.shape[1], SPIN_UP + targets
        starts = np.arange(0, months - SPIN_UP, targets)
        first = np.where(starts == 0, 0, starts + SPIN_UP)
        wanted = [
            (weight[:, a : s + length] > 0).any(axis=1) for a, s in zip(first, starts, strict=True)
        ]
        owner, window = np.nonzero(np.stack(wanted, axis=1))
        return cls(owner, starts[window], length)

    def lead(self, weight: NDArray[np.float64]) -> int:
        """Whole years at the beginning of all rows that hold no target: nothing but memory, at most `SPIN_UP`."""
        at = np.flatnonzero(self.weights(weight).any(axis=0))
        return min(SPIN_UP, int(at.min(initial=SPIN_UP)) // 12 * 12, self.months - 12)

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

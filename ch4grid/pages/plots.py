"""Interval plots and gradients as plain coordinates, drawn as inline SVG by the templates.

A row that a check has failed is grey, one whose interval holds the reference is hollow: neither says anything by colour
alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ch4grid.pages.charts import LEFT, RIGHT, Chart, Tick, chart
from ch4grid.pages.figures import figure, tick

Values = NDArray[np.float64]

# The drawing [SVG user units]: width, room around, room for the labels of rows at least and at most, and per letter.
WIDTH, MARGIN = 440.0, 16.0
LABELS, MOST_LABELS, LETTER = 110.0, 252.0, 6.9
ROW, FOOT = 24.0, 44.0
# Points farther out than this many median interval widths are cut off at the edge rather than squeezing the rest.
CUT = 3.0


class Estimate(NamedTuple):
    """A number with its interval; `sound` is False where a check failed."""

    label: str
    value: float
    lower: float
    upper: float
    sound: bool = True


class Row(NamedTuple):
    """An estimate in the drawing: height, ends and point of its interval, its style and itself in words."""

    label: str
    y: float
    low: float
    high: float
    point: float
    style: str
    told: str


@dataclass(frozen=True)
class IntervalPlot:
    """Estimates below each other on one axis.

    Args:
        title: What it shows.
        description: The same in words.
        unit: Of the axis.
        rows: The estimates.
        ticks: Of the axis.
        reference: Place and label of the line that estimates are compared with.
        height: Of the drawing.
    """

    title: str
    description: str
    unit: str
    rows: tuple[Row, ...]
    ticks: tuple[Tick, ...]
    reference: Tick | None
    height: float
    width: float = WIDTH
    left: float = LABELS
    right: float = WIDTH - MARGIN


class Gradient(NamedTuple):
    """An effect along a gradient with the place where it reverses, if it does."""

    chart: Chart
    at: float | None
    low: float | None
    high: float | None


def interval_plot(
    estimates: Sequence[Estimate],
    *,
    title: str,
    unit: str,
    reference: float | None = 0.0,
    reference_label: str = "",
) -> IntervalPlot:
    """Estimates with their intervals, one row each.

    Args:
        estimates: What to draw; rows that are not finite are named and left empty.
        title: What it shows.
        unit: Of the values.
        reference: Value of the line to compare with; None for no line.
        reference_label: What that line is.
    """
    levels = _levels(estimates, reference)
    left, right = _room(estimates), WIDTH - MARGIN

    def place(value: float) -> float:
        share = (value - levels[0]) / (levels[-1] - levels[0])
        return round(float(np.clip(left + share * (right - left), left, right)), 1)

    rows = []
    for i, e in enumerate(estimates):
        finite = np.isfinite(e.value)
        low, high = _ends(e)
        rows.append(
            Row(
                e.label,
                ROW * (i + 0.5) + 8.0,
                place(low) if finite else left,
                place(high) if finite else left,
                place(e.value) if finite else left,
                _style(e, reference),
                in_words(e),
            )
        )
    return IntervalPlot(
        title=title,
        description=f"{title}, {unit}. "
        + "; ".join(f"{e.label}: {in_words(e)}" for e in estimates),
        unit=unit,
        rows=tuple(rows),
        ticks=tuple(Tick(place(float(v)), tick(float(v))) for v in levels),
        reference=None if reference is None else Tick(place(reference), reference_label),
        height=ROW * len(rows) + FOOT,
        left=left,
    )


def _room(estimates: Sequence[Estimate]) -> float:
    """Room for the longest label [SVG user units]."""
    longest = max((len(e.label) for e in estimates), default=0)
    return float(np.clip(12 + LETTER * longest, LABELS, MOST_LABELS))


def gradient(
    share: Values,
    bounds: tuple[Values, Values, Values],
    *,
    title: str,
    reversal: tuple[float, float, float] | None = None,
) -> Gradient:
    """An effect against the urban fraction with its band, and where it changes sign.

    Args:
        share: Urban fractions, increasing.
        bounds: Lower bound, mean and upper bound at each.
        title: What it shows.
        reversal: Fraction at which the sign changes and the ends of its interval; None where it does not.
    """
    even = np.linspace(float(share[0]), float(share[-1]), 101)
    lower, mean, upper = (np.interp(even, share, b) for b in bounds)
    told = (
        f"from {figure(float(mean[0]))} at an urban fraction of {tick(round(float(even[0]), 2))}"
        f" to {figure(float(mean[-1]))} at {tick(round(float(even[-1]), 2))}"
    )
    if reversal is not None:
        told += f"; the sign changes at {figure(reversal[0])} ({figure(reversal[1])} to {figure(reversal[2])})"
    every = [0, 25, 50, 75, 100]
    drawn = chart(
        (lower, mean, upper),
        [(i, tick(round(float(even[i]), 2))) for i in every],
        title=title,
        description=f"{title}: {told}.",
        size=(440.0, 220.0),
    )

    def place(value: float) -> float:
        span = (np.clip(value, even[0], even[-1]) - even[0]) / (even[-1] - even[0])
        return round(float(LEFT + span * (drawn.width - RIGHT - LEFT)), 1)

    marks = (None, None, None) if reversal is None else tuple(map(place, reversal))
    return Gradient(drawn, marks[0], marks[1], marks[2])


def in_words(estimate: Estimate) -> str:
    """An estimate with its interval, and a warning where a check failed."""
    if not np.isfinite(estimate.value):
        return "not estimated"
    told = figure(estimate.value)
    if np.isfinite(estimate.lower) and np.isfinite(estimate.upper):
        told += f" ({figure(estimate.lower)} to {figure(estimate.upper)})"
    return told if estimate.sound else f"{told}, a check failed"


def _ends(estimate: Estimate) -> tuple[float, float]:
    """Ends of the interval; the point itself where there is none."""
    return (
        estimate.lower if np.isfinite(estimate.lower) else estimate.value,
        estimate.upper if np.isfinite(estimate.upper) else estimate.value,
    )


def _style(estimate: Estimate, reference: float | None) -> str:
    if not np.isfinite(estimate.value):
        return "absent"
    if not estimate.sound:
        return "doubtful"
    low, high = _ends(estimate)
    if reference is None or low <= reference <= high:
        return "unsure"
    return "plus" if estimate.value > reference else "minus"


def _levels(estimates: Sequence[Estimate], reference: float | None) -> Values:
    """Ticks that span the intervals and the line; an interval of no use does not squeeze the others."""
    from matplotlib.ticker import MaxNLocator

    ends = np.array([_ends(e) for e in estimates if np.isfinite(e.value)], dtype=np.float64)
    anchor = 0.0 if reference is None else reference
    if not len(ends):
        ends = np.array([[anchor - 1.0, anchor + 1.0]])
    width = np.median(ends[:, 1] - ends[:, 0])
    points = ends.mean(axis=1)
    reach = CUT * width if width > 0 else np.inf
    low = min(anchor, float(np.maximum(ends[:, 0], points - reach).min()))
    high = max(anchor, float(np.minimum(ends[:, 1], points + reach).max()))
    if low == high:
        low, high = anchor - 1.0, anchor + 1.0
    levels = MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return np.asarray(levels, dtype=np.float64)

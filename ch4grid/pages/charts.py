"""Line charts with a band as plain coordinates, drawn as inline SVG by the templates.

The drawing area is a fixed box in SVG user units; the browser scales it to the width of the page.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ch4grid.pages.figures import tick

Values = NDArray[np.floating]

# Margins around the plot [SVG user units]: room for labels left and below.
LEFT, RIGHT, TOP, BOTTOM = 52.0, 12.0, 10.0, 26.0


@dataclass(frozen=True)
class Tick:
    """A tick of an axis: its place [SVG user units] and label."""

    place: float
    label: str


@dataclass(frozen=True)
class Chart:
    """A line with its band, ready to draw.

    Args:
        title: What it shows.
        description: The same in a sentence with numbers, for those who cannot see it.
        width: Width of the drawing [SVG user units].
        height: Height of the drawing.
        line: Path of the mean.
        band: Closed path of the interval.
        x: Ticks of the time axis.
        y: Ticks of the value axis.
        zero: Height of the zero line, if it is inside.
    """

    title: str
    description: str
    width: float
    height: float
    line: str
    band: str
    x: tuple[Tick, ...]
    y: tuple[Tick, ...]
    zero: float | None

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the plot."""
        return LEFT, TOP, self.width - RIGHT, self.height - BOTTOM


def chart(
    bounds: tuple[Values, Values, Values],
    x_labels: Sequence[tuple[int, str]],
    *,
    title: str,
    description: str,
    size: tuple[float, float] = (720.0, 240.0),
) -> Chart:
    """A chart of lower bound, mean and upper bound at equal steps.

    Args:
        bounds: Lower, mean and upper values, same length.
        x_labels: Index and label of the ticks of the horizontal axis.
        title: What it shows.
        description: A sentence for screen readers.
        size: Width and height [SVG user units].
    """
    from matplotlib.ticker import MaxNLocator

    lower, mean, upper = bounds
    finite = np.concatenate([b[np.isfinite(b)] for b in bounds])
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    levels = MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]).tick_values(
        min(low, 0.0), max(high, 0.0)
    )
    width, height = size
    xs = np.linspace(LEFT, width - RIGHT, max(len(mean), 2))[: len(mean)]

    def place(values: Values) -> Values:
        share = (values - levels[0]) / (levels[-1] - levels[0])
        return (height - BOTTOM) - share * (height - BOTTOM - TOP)

    edge = np.concatenate([np.stack([xs, place(upper)], 1), np.stack([xs, place(lower)], 1)[::-1]])
    return Chart(
        title=title,
        description=description,
        width=width,
        height=height,
        line=_path(np.stack([xs, place(mean)], 1)),
        band=_path(edge) + "Z" if len(edge) else "",
        x=tuple(Tick(round(float(xs[i]), 1), label) for i, label in x_labels),
        y=tuple(Tick(round(float(place(np.array([v]))[0]), 1), tick(float(v))) for v in levels),
        zero=round(float(place(np.zeros(1))[0]), 1) if levels[0] < 0 < levels[-1] else None,
    )


def _path(points: NDArray[np.floating]) -> str:
    """SVG path through the finite points; a gap where one is missing."""
    parts, pen = [], "M"
    for x, y in points:
        if not np.isfinite(y):
            pen = "M"
            continue
        parts.append(f"{pen}{x:.1f} {y:.1f}")
        pen = "L"
    return "".join(parts)

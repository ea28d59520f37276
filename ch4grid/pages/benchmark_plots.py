"""Plots of a benchmark as plain shapes, drawn as inline SVG by the templates: rows of symbols, curves, bars, a scatter.

In come names and numbers, out goes a `Picture` whose text says the same as its shapes. A series has its own symbol as
well as its own colour, so that no plot needs colour vision; all are as wide as a phone shows without shrinking the text
much.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ch4grid.pages.colour import Scale
from ch4grid.pages.figures import MISSING, figure, tick

Values = NDArray[np.float64]

# The drawing [SVG user units]: width, margins, room per letter, per digit, and for the labels of rows.
WIDTH, MARGIN, LETTER, DIGIT = 440.0, 16.0, 6.7, 8.0
LABELS, MOST_LABELS, LONGEST_LABEL = 60.0, 196.0, 28
# Height of a row with one line of symbols, distance of two lines in one row, height of a row of the legend and of the
# axis below.
ROW, DODGE, LEGEND, FOOT = 24.0, 9.5, 20.0, 44.0
# Half the width of a symbol.
RADIUS = 4.5
# Left edge and height of the plots with two axes.
LEFT, HEIGHT = 58.0, 330.0
# One shape a series, around the origin; the first and the second are filled by the style sheet.
SHAPES = (
    "m-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0Z",
    "m-4 -4h8v8h-8Z",
    "m0 -5l5 9h-10Z",
    "m0 -5.5l5.5 5.5l-5.5 5.5l-5.5 -5.5Z",
    "m0 5l5 -9h-10Z",
    "m-4 -4l8 8m0 -8l-8 8",
    "m-5 0h10m-5 -5v10",
    "m-4.5 -4.5h9l-9 9h9Z",
    "m-5 0h10m-5 -5v10m-3.5 -8.5l7 7m0 -7l-7 7",
)


class Mark(NamedTuple):
    """A path and its style."""

    path: str
    style: str


class Text(NamedTuple):
    """A text at a place; `anchor` as in SVG, `turned` where it reads upwards."""

    x: float
    y: float
    text: str
    anchor: str = "middle"
    style: str = ""
    turned: bool = False


@dataclass(frozen=True)
class Picture:
    """Shapes and texts, ready to draw.

    Args:
        title: What it shows.
        description: The same in words with the numbers.
        height: Of the drawing [SVG user units].
        marks: Shapes, the lowest first.
        texts: Texts, above the shapes.
        width: Of the drawing.
    """

    title: str
    description: str
    height: float
    marks: tuple[Mark, ...]
    texts: tuple[Text, ...]
    width: float = WIDTH


class Series(NamedTuple):
    """A symbol with a value for every row, NaN for none.

    Args:
        name: For the legend.
        values: One per row.
        style: Index of its shape and colour.
        ends: Ends of the interval of every row, or None; empty for no intervals.
        joined: Draw a line through the rows.
    """

    name: str
    values: tuple[float, ...]
    style: int
    ends: tuple[tuple[float, float] | None, ...] = ()
    joined: bool = False


class Axis(NamedTuple):
    """Of values: its title, a value to mark, and the lowest value shown; lower ones are written at the edge."""

    unit: str
    reference: float = 0.0
    floor: float = -np.inf


class Span(NamedTuple):
    """Values at both ends of an axis and their places."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Place of a value, at most at the ends."""
        share = (value - self.low) / (self.high - self.low)
        place = self.start + float(np.clip(share, 0.0, 1.0)) * (self.end - self.start)
        return round(place, 1)


def dot_rows(
    labels: Sequence[str], series: Sequence[Series], axis: Axis, *, title: str, linked: bool = False
) -> Picture:
    """One row per label with a symbol per series, over a common axis.

    Args:
        labels: Of the rows, from the top.
        series: What to draw.
        axis: Of the values.
        title: What it shows.
        linked: Symbols of a row lie on one line and are joined; otherwise one below the other.
    """
    legend = _legend([(s.name, s.style) for s in series])
    step = 0.0 if linked else DODGE
    pitch = ROW + step * (len(series) - 1)
    top = legend.height + 8.0
    bottom = top + pitch * len(labels)
    levels = _levels(series, axis)
    span = Span(float(levels[0]), float(levels[-1]), _room(labels), WIDTH - MARGIN - 8.0)
    marks, texts = _scale_below(levels, span, axis, (top, bottom))
    marks += [
        Mark(f"M8 {top + pitch * i:.1f}H{span.end}", "rule")
        for i in range(1, len(labels) if step else 0)
    ]
    heights = [
        [
            top + pitch * (row + 0.5) + step * (i - (len(series) - 1) / 2)
            for row in range(len(labels))
        ]
        for i in range(len(series))
    ]
    marks += _between(series, span, heights) if linked else _through(series, span, heights)
    texts += [
        Text(span.start - 10.0, top + pitch * (i + 0.5) + 4.0, _short(label), "end")
        for i, label in enumerate(labels)
    ]
    for s, ys in zip(series, heights, strict=True):
        drawn, told = _symbols(s, span, ys, axis.floor)
        marks += drawn
        texts += told
    return Picture(
        title,
        _told(title, labels, series),
        bottom + FOOT,
        (*legend.marks, *marks),
        (*legend.texts, *texts),
    )


def curves(
    x: Values, series: Sequence[Series], *, title: str, x_label: str, y_label: str
) -> Picture:
    """Shares against shares, both from 0 to 1, with the line on which they are the same."""
    legend = _legend([(s.name, s.style) for s in series])
    top = legend.height + 10.0
    across, up = _square(top, 0.0, 1.0)
    marks, texts = _frame(across, up, [(v, tick(v)) for v in (0.0, 0.25, 0.5, 0.75, 1.0)])
    marks.append(Mark(f"M{across.start} {up.start:.1f}L{across.end} {up.end:.1f}", "same"))
    # The first series lies on top with a symbol at every point, the others have a few to be told apart.
    for i, s in reversed(list(enumerate(series))):
        places = [
            (across.at(a), up.at(b)) for a, b in zip(x, s.values, strict=True) if np.isfinite(b)
        ]
        marks.append(Mark(_polyline(places), f"line l{s.style}"))
        shown = places[len(places) // 2 :: max(1, len(places) // 2)] if i else places
        marks += [Mark(f"M{a} {b}{SHAPES[s.style]}", f"symbol s{s.style}") for a, b in shown]
    texts += _titles(across, up, x_label, y_label)
    return Picture(
        title,
        _told(title, [tick(round(float(v), 3)) for v in x], series),
        up.start + FOOT,
        (*legend.marks, *marks),
        (*legend.texts, *texts),
    )


def bars(values: Values, even: float, *, title: str, x_label: str, y_label: str) -> Picture:
    """A bar for every equal part of 0 to 1, with a line at the share that all would have if they were even."""
    from matplotlib.ticker import MaxNLocator

    levels = MaxNLocator(nbins=5).tick_values(0.0, max(float(values.max()), 1.5 * even))
    across, up = _square(10.0, 0.0, 1.0, 200.0)
    up = up._replace(high=float(levels[-1]))
    marks = [Mark(f"M{across.start} {up.at(v)}H{across.end}", "grid") for v in levels]
    edges = np.linspace(0.0, 1.0, len(values) + 1)
    marks += [
        Mark(
            f"M{across.at(a) + 1:.1f} {up.start}V{up.at(v)}H{across.at(b) - 1:.1f}V{up.start}Z",
            "bar",
        )
        for a, b, v in zip(edges[:-1], edges[1:], values, strict=True)
    ]
    marks.append(Mark(f"M{across.start} {up.at(even)}H{across.end}", "same"))
    texts = [Text(across.start - 7, up.at(v) + 4, tick(float(v)), "end", "soft") for v in levels]
    texts += [
        Text(across.at(v), up.start + 16, tick(float(v)), style="soft")
        for v in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    texts += _titles(across, up, x_label, y_label)
    told = ", ".join(figure(float(v)) for v in values)
    return Picture(
        title,
        f"{title}. Shares from the lowest to the highest: {told}.",
        up.start + FOOT,
        tuple(marks),
        tuple(texts),
    )


def scatter(
    months: Values,
    sites: Values,
    scale: Scale,
    *,
    title: str,
    description: str,
    labels: tuple[str, str],
) -> Picture:
    """Pairs on equal axes with the line on which both are the same.

    Args:
        months: Measured and predicted months (month, 2), in the units of `scale`.
        sites: The same of means of towers (site, 2).
        scale: Of both axes.
        title: What it shows.
        description: The same in words.
        labels: Titles of the horizontal and the vertical axis.
    """
    across, up = _square(10.0, 0.0, 1.0)
    marks, texts = _frame(across, up, scale.ticks)
    # Halves of a unit are finer than a dot; pairs that fall on the same place are drawn once.
    x = np.array([across.at(v) for v in scale.position(months[:, 0])])
    y = np.array([up.at(v) for v in scale.position(months[:, 1])])
    dots = np.unique(np.round(2 * np.stack([x, y], 1)) / 2, axis=0)
    marks.append(Mark("".join(f"M{a:g} {b:g}h0" for a, b in dots), "months"))
    marks.append(Mark(f"M{across.start} {up.start:.1f}L{across.end} {up.end:.1f}", "same"))
    circles = zip(scale.position(sites[:, 0]), scale.position(sites[:, 1]), strict=True)
    marks += [Mark(f"M{across.at(a)} {up.at(b)}{SHAPES[0]}", "symbol s0 mean") for a, b in circles]
    texts += _titles(across, up, *labels)
    return Picture(title, description, up.start + FOOT, tuple(marks), tuple(texts))


class _Legend(NamedTuple):
    marks: tuple[Mark, ...]
    texts: tuple[Text, ...]
    height: float


def _legend(entries: Sequence[tuple[str, int]]) -> _Legend:
    """Symbols with their names from left to right, in as many rows as they need."""
    marks, texts = [], []
    x, y = 8.0, 12.0
    for name, style in entries:
        room = 28.0 + LETTER * len(name)
        if x > 8.0 and x + room > WIDTH:
            x, y = 8.0, y + LEGEND
        marks.append(Mark(f"M{x + 6:.1f} {y:.1f}{SHAPES[style]}", f"symbol s{style}"))
        texts.append(Text(x + 16.0, y + 4.0, name, "start"))
        x += room
    return _Legend(tuple(marks), tuple(texts), y + 10.0 if entries else 0.0)


def _scale_below(
    levels: Values, span: Span, axis: Axis, box: tuple[float, float]
) -> tuple[list[Mark], list[Text]]:
    """Grid lines from top to bottom, the line of the reference, tick labels and the title of the axis."""
    top, bottom = box
    marks = [Mark(f"M{span.at(v)} {top:.1f}V{bottom:.1f}", "grid") for v in levels]
    if levels[0] <= axis.reference <= levels[-1]:
        marks.append(Mark(f"M{span.at(axis.reference)} {top:.1f}V{bottom:.1f}", "zero"))
    texts = [Text(span.at(v), bottom + 16.0, tick(float(v)), style="soft") for v in levels]
    half = LETTER * len(axis.unit) / 2
    centre = min((span.start + span.end) / 2, WIDTH - half)
    return marks, [*texts, Text(max(centre, half), bottom + 36.0, axis.unit, style="soft")]


def _between(series: Sequence[Series], span: Span, heights: list[list[float]]) -> list[Mark]:
    """In every row the line from the lowest to the highest value, and intervals behind it."""
    marks = []
    for i, y in enumerate(heights[0]):
        known = [s.values[i] for s in series if np.isfinite(s.values[i])]
        marks += [_interval(s, i, span, y) for s in series if s.ends and s.ends[i] is not None]
        if len(known) > 1:
            marks.append(Mark(f"M{span.at(min(known))} {y:.1f}H{span.at(max(known))}", "join"))
    return marks


def _through(series: Sequence[Series], span: Span, heights: list[list[float]]) -> list[Mark]:
    """Lines of the joined series from row to row, across rows without a value, and intervals."""
    marks = []
    for s, ys in zip(series, heights, strict=True):
        marks += [_interval(s, i, span, y) for i, y in enumerate(ys) if s.ends and s.ends[i]]
        places = [
            (span.at(v), round(y, 1)) for v, y in zip(s.values, ys, strict=True) if np.isfinite(v)
        ]
        if s.joined and len(places) > 1:
            marks.append(Mark(_polyline(places), f"line l{s.style}"))
    return marks


def _interval(series: Series, row: int, span: Span, y: float) -> Mark:
    low, high = series.ends[row] or (np.nan, np.nan)
    return Mark(f"M{span.at(low)} {y:.1f}H{span.at(high)}", f"reach r{series.style}")


def _symbols(
    series: Series, span: Span, heights: Sequence[float], floor: float
) -> tuple[list[Mark], list[Text]]:
    """Symbols of a series; a value below the floor is an arrow at the edge with its number."""
    marks, texts = [], []
    for value, y in zip(series.values, heights, strict=True):
        if not np.isfinite(value):
            continue
        if value < floor:
            marks.append(Mark(f"M{span.start} {y:.1f}m0 -4l-7 4l7 4Z", f"symbol s{series.style}"))
            texts.append(Text(span.start + 5.0, y + 3.5, figure(value), "start", "small"))
        else:
            shape = SHAPES[series.style]
            marks.append(Mark(f"M{span.at(value)} {y:.1f}{shape}", f"symbol s{series.style}"))
    return marks, texts


def _levels(series: Sequence[Series], axis: Axis) -> Values:
    """Ticks that span values, intervals and the reference, from the floor up."""
    from matplotlib.ticker import MaxNLocator

    ends = [e for s in series for pair in s.ends if pair is not None for e in pair]
    known = np.array([axis.reference, *ends, *(v for s in series for v in s.values)])
    known = known[np.isfinite(known)]
    low, high = max(float(known.min()), axis.floor), max(float(known.max()), axis.floor)
    if high <= low:
        low, high = low, low + 1.0
    levels = MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return np.asarray(levels, dtype=np.float64)


def _square(top: float, low: float, high: float, height: float = HEIGHT) -> tuple[Span, Span]:
    """Both axes of a plot below `top`."""
    return (
        Span(low, high, LEFT, WIDTH - MARGIN),
        Span(low, high, top + height, top),
    )


def _frame(
    across: Span, up: Span, ticks: Sequence[tuple[float, str]]
) -> tuple[list[Mark], list[Text]]:
    """Grid and labels of two equal axes."""
    marks, texts = [], []
    free = 0.0
    for place, label in ticks:
        x, y = across.at(place), up.at(place)
        marks.append(Mark(f"M{across.start} {y}H{across.end}M{x} {up.start}V{up.end}", "grid"))
        texts.append(Text(across.start - 7.0, y + 4.0, label, "end", "soft"))
        half = DIGIT * len(label) / 2
        if x - half >= free:
            texts.append(Text(x, up.start + 16.0, label, style="soft"))
            free = x + half + 4.0
    return marks, texts


def _titles(across: Span, up: Span, x_label: str, y_label: str) -> list[Text]:
    return [
        Text((across.start + across.end) / 2, up.start + 36.0, x_label, style="soft"),
        Text(13.0, (up.start + up.end) / 2, y_label, style="soft", turned=True),
    ]


def _polyline(places: Sequence[tuple[float, float]]) -> str:
    return "".join(f"{'L' if i else 'M'}{x} {y}" for i, (x, y) in enumerate(places))


def _room(labels: Sequence[str]) -> float:
    """Room for the longest label [SVG user units]."""
    longest = max((len(_short(label)) for label in labels), default=0)
    return float(np.clip(14.0 + LETTER * longest, LABELS, MOST_LABELS))


def _short(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}…"


def _told(title: str, labels: Sequence[str], series: Sequence[Series]) -> str:
    """All values in words, row by row."""
    rows = [
        f"{label}: "
        + ", ".join(f"{s.name} {figure(s.values[i]).replace(MISSING, 'none')}" for s in series)
        for i, label in enumerate(labels)
    ]
    return f"{title}. {'; '.join(rows)}."

"""Which drawing a finding gets: intervals on one axis per driver or unit, or an effect along the urban gradient.

A finding's table says enough: `lower` and `upper` beside a value are intervals, an `urban_fraction` makes a gradient.
"""

from collections.abc import Hashable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from ch4grid.findings import Finding
from ch4grid.pages.figures import words
from ch4grid.pages.network import short
from ch4grid.pages.plots import Estimate, Gradient, IntervalPlot, gradient, interval_plot

# Columns that hold the value of an interval, the first that is there.
VALUES = (
    "effect",
    "estimate",
    "rate",
    "false_link_rate",
    "share",
    "slope",
    "trend",
    "change",
    "mean",
    "value",
)
# Columns whose values make a panel each, and those that are no part of a row's label.
PANELS = ("outcome", "quantity", "driver", "treatment")
UNLABELLED = frozenset(
    {"unit", "units", "verdict", "why", "told", "note", "modifiers", "adjustment"}
)
SOUND = ("sound", "passed", "overlap_holds")
RATES = frozenset({"rate", "false_link_rate"})
# Share of false links that the null controls allow.
ALLOWED = 0.05
MOST_PANELS, MOST_ROWS = 12, 26

READ_INTERVALS = (
    "Points with their 90 % intervals. Filled: the interval lies on one side of the line; hollow: it holds the line, so"
    " no direction is shown; grey and dashed: a check failed, do not use it."
)
READ_RATES = "Share of links found where none can be, with its 90 % interval; the line is what is allowed, 0.05."
READ_GRADIENT = (
    "Effect (line) with its 90 % interval (band) against the urban fraction. Dashed: where the sign changes, with the"
    " interval of that place shaded; it is drawn only where a reversal was found."
)


class Drawing(NamedTuple):
    """A drawing of a finding: intervals or a gradient, and how to read it."""

    title: str
    intervals: IntervalPlot | None
    gradient: Gradient | None
    unit: str
    reading: str


def drawings(finding: Finding) -> list[Drawing]:
    """The drawings of a finding; none where its table holds no intervals."""
    table = finding.table
    value = next((c for c in VALUES if c in table), None)
    if value is None or not {"lower", "upper"} <= set(table) or not len(table):
        return []
    if "urban_fraction" in table:
        return list(_gradients(finding, value))[:MOST_PANELS]
    return [_intervals(finding, name, rows, value) for name, rows in _panels(table)][:MOST_PANELS]


def _panels(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Rows that share an axis: one panel per driver or quantity and unit."""
    by = [c for c in PANELS if c in table and table[c].nunique() > 1][:1]
    by += [c for c in ("unit", "units") if c in table and table[c].nunique() > 1][:1]
    if not by:
        yield "", table
        return
    for key, rows in table.groupby(by, sort=False):
        yield _named(key), rows


def _named(key: Hashable) -> str:
    first = key[0] if isinstance(key, tuple) else key
    return short(str(first))


def _intervals(finding: Finding, name: str, rows: pd.DataFrame, value: str) -> Drawing:
    labels = [
        str(c)
        for c in rows
        if not pd.api.types.is_numeric_dtype(rows[c])
        and c not in UNLABELLED
        and (rows[c].nunique() > 1 or len(rows) == 1)
        and not (name and c in PANELS)
    ][:2] or [str(rows.columns[0])]
    sound = next((c for c in SOUND if c in rows), None)
    estimates = [
        Estimate(
            _label(row, labels),
            float(row[value]),
            float(row["lower"]),
            float(row["upper"]),
            True if sound is None else bool(row[sound]),
        )
        for _, row in rows.head(MOST_ROWS).iterrows()
    ]
    unit = next((str(rows[c].iloc[0]) for c in ("unit", "units") if c in rows), "")
    title = name or finding.title
    rate = value in RATES
    plot = interval_plot(
        estimates,
        title=title,
        unit=unit or _unit_of(finding.columns[value]),
        reference=ALLOWED if rate else 0.0,
        reference_label="allowed" if rate else "",
    )
    return Drawing(title, plot, None, plot.unit, READ_RATES if rate else READ_INTERVALS)


def _label(row: pd.Series, columns: list[str]) -> str:
    told = ", ".join(words(short(str(row[c]))) for c in columns)
    return told if len(told) <= 24 else f"{told[:23]}…"


def _unit_of(meaning: str) -> str:
    """What stands in brackets at the end of a column's meaning."""
    return meaning[meaning.rfind("[") + 1 : meaning.rfind("]")] if "[" in meaning else meaning


def _gradients(finding: Finding, value: str) -> Iterator[Drawing]:
    table = finding.table
    by = [c for c in ("ecosystem", "class", "driver") if c in table] or [table.columns[0]]
    for key, rows in table.groupby(by, sort=False):
        rows = rows.dropna(subset=[value, "urban_fraction"]).sort_values("urban_fraction")
        if len(rows) < 2:
            continue
        parts = [words(short(str(k))) for k in (key if isinstance(key, tuple) else (key,))]
        unit = next((str(rows[c].iloc[0]) for c in ("unit", "units") if c in rows), "")
        drawn = gradient(
            rows["urban_fraction"].to_numpy(np.float64),
            (
                rows["lower"].to_numpy(np.float64),
                rows[value].to_numpy(np.float64),
                rows["upper"].to_numpy(np.float64),
            ),
            title=", ".join(parts),
            reversal=_reversal(rows),
        )
        yield Drawing(", ".join(parts), None, drawn, unit, READ_GRADIENT)


def _reversal(rows: pd.DataFrame) -> tuple[float, float, float] | None:
    names = ("reversal", "reversal_lower", "reversal_upper")
    if not set(names) <= set(rows):
        return None
    at, low, high = (float(rows[n].iloc[0]) for n in names)
    return (at, low, high) if np.isfinite([at, low, high]).all() else None

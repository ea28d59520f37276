"""Which drawing a finding gets: intervals on one axis per driver or unit, or an effect along the urban gradient.

A finding's table says enough: `lower` and `upper` beside a value are intervals, an `urban_fraction` makes a gradient.
"""

from collections.abc import Hashable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ch4grid.findings import Finding
from ch4grid.pages.figures import words
from ch4grid.pages.network import short
from ch4grid.pages.plots import Estimate, Gradient, IntervalPlot, gradient, interval_plot
from ch4grid.vocabulary import VARIABLES

Values = NDArray[np.float64]

# Columns that hold the value of an interval, the first that is there.
VALUES = ("effect", "linked", "estimate", "change", "slope", "trend", "value", "share")
# What is drawn where a table holds more than one kind of result.
MAIN = {"kind": "total", "contrast": "per unit", "scale": "plain"}
# Columns whose values make a panel each, and those that are no part of a row's label.
PANELS = ("mediator", "from", "driver", "treatment", "kind")
UNLABELLED = frozenset({"unit", "units", "status", "why", "adjustment", "blocks", "placebo_zero"})
# Where the null controls put their rates; the share of false links that they allow.
RATE, ALLOWED = "linked", 0.05
# How the name of a flux ends: of equations, that of the flux is drawn.
FLUX = "_flux"
# Drivers that the gradient takes the logarithm of.
LOGARITHMS = frozenset({"pr", "sfcWind"})
# Pascals are too small for an axis: a slope is drawn per hundred of them.
PASCAL, HECTO = "Pa", 100.0
# All towers together.
POOL = "pool"
SOUND_STATUS = "estimated"
# Letters of an axis title that the drawing has room for.
LONGEST_UNIT = 62
# Effects that repeat others of the same table and are not drawn.
REPEATED = "own"
# Half the width of a 90 % interval in standard errors.
NORMAL_90 = 1.645
MOST_PANELS, MOST_ROWS = 12, 36
# Letters of the label of a row.
LONGEST_LABEL = 34

READ_INTERVALS = (
    "Points with their 90 % intervals. Filled: the interval lies on one side of the line; hollow: it holds the line, so"
    " no direction is shown; grey and dashed: a check failed, do not use it."
)
READ_RATES = "Share of links found where none can be, with its 90 % interval; the line is what is allowed, 0.05."
READ_GRADIENT = (
    "Slope of the flux on the driver against the urban fraction, over the fractions of the towers, with its 90 % band."
    " Where the band holds zero no direction is shown. Dashed: where it changes sign, with the 90 % interval of that"
    " place shaded; drawn only where a reversal may be claimed."
)


class Drawing(NamedTuple):
    """A drawing of a finding: intervals or a gradient, and how to read it."""

    title: str
    intervals: IntervalPlot | None
    gradient: Gradient | None
    reading: str


def drawings(finding: Finding) -> list[Drawing]:
    """The drawings of a finding; none where its table holds no intervals."""
    if {"nature", "change", "reversal"} <= set(finding.table):
        return list(_gradients(finding))[:MOST_PANELS]
    table = _main(finding.table)
    value = next((c for c in VALUES if c in table and pd.api.types.is_numeric_dtype(table[c])), "")
    if not value or not {"lower", "upper"} <= set(table) or table[value].isna().all():
        return []
    table = table[table[value].notna()]
    return [_intervals(finding, name, rows, value) for name, rows in _panels(table)][:MOST_PANELS]


def _main(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the main kind of result."""
    for column, value in MAIN.items():
        if column in table and (table[column] == value).any():
            table = table[table[column] == value]
    if "effect" in table and not pd.api.types.is_numeric_dtype(table["effect"]):
        table = table[table["effect"] != REPEATED]
    if "to" in table:
        table = table[table["to"].astype(str).str.endswith(FLUX)]
    return table


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
        if (c == "lag" or not pd.api.types.is_numeric_dtype(rows[c]))
        and c not in UNLABELLED
        and (rows[c].nunique() > 1 or len(rows) == 1)
        and not (name and c in PANELS)
    ][:2] or [str(rows.columns[0])]
    estimates = [
        Estimate(
            _label(row, labels),
            float(row[value]),
            float(row["lower"]),
            float(row["upper"]),
            _sound(row),
        )
        for _, row in rows.head(MOST_ROWS).iterrows()
    ]
    rate = value == RATE
    plot = interval_plot(
        estimates,
        title=name or finding.title,
        unit=_unit(finding, rows, value),
        reference=ALLOWED if rate else 0.0,
        reference_label="allowed" if rate else "",
    )
    return Drawing(plot.title, plot, None, READ_RATES if rate else READ_INTERVALS)


def _sound(row: pd.Series) -> bool:
    """Whether nothing in the row says that its value is not to be used."""
    if "sound" in row:
        return bool(row["sound"])
    if {"shuffled_lower", "shuffled_upper"} <= set(row.index):
        dealt = row["shuffled_lower"] > 0 or row["shuffled_upper"] < 0
        return str(row["status"]).startswith(SOUND_STATUS) and not dealt
    return "status" not in row or str(row["status"]).startswith(SOUND_STATUS)


def _label(row: pd.Series, columns: list[str]) -> str:
    told = ", ".join(f"lag {row[c]}" if c == "lag" else words(short(str(row[c]))) for c in columns)
    return told if len(told) <= LONGEST_LABEL else f"{told[: LONGEST_LABEL - 1]}…"


def _unit(finding: Finding, rows: pd.DataFrame, value: str) -> str:
    """The unit of a panel: what the rows say, else what stands in brackets in the meaning of the column."""
    if value == RATE:
        return "share of the tests"
    said = next((str(rows[c].iloc[0]) for c in ("unit", "units") if c in rows), "")
    if said:
        per = "per unit" if said == "per 1" else said
        return f"asinh units {per}" if per.startswith("per ") else per
    meaning = finding.columns[value]
    unit = meaning[meaning.rfind("[") + 1 : meaning.rfind("]")] if "[" in meaning else meaning
    return unit if len(unit) <= LONGEST_UNIT else f"{unit[: LONGEST_UNIT - 1]}…"


def _gradients(finding: Finding) -> Iterator[Drawing]:
    """The slope of every driver against the urban fraction, for all classes together."""
    table = _main(finding.table)
    if table.empty:
        return
    least, most = finding.attributes.get("urban_fraction", (0.0, 1.0))
    share = np.linspace(float(least), float(most), 41)
    name = POOL if (table["ecosystem"] == POOL).any() else table["ecosystem"].iloc[0]
    for _, row in table[table["ecosystem"] == name].iterrows():
        claimed = bool(row["claimed"])
        drawn = gradient(
            share,
            _band(row, share),
            title=f"{short(str(row['driver']))}, asinh units {_per(str(row['driver']))}",
            reversal=(row["reversal"], row["lower"], row["upper"]) if claimed else None,
        )
        yield Drawing(drawn.chart.title, None, drawn, READ_GRADIENT)


def _band(row: pd.Series, share: Values) -> tuple[Values, Values, Values]:
    """Slope at urban fractions, between the ends of its 90 % interval."""
    slope = float(row["nature"]) + float(row["change"]) * share
    change = (float(row["change_upper"]) - float(row["change_lower"])) / 2 / NORMAL_90
    variance = row["nature_error"] ** 2 + 2 * share * row["covariance"] + (share * change) ** 2
    half = NORMAL_90 * np.sqrt(np.maximum(np.asarray(variance, dtype=np.float64), 0.0))
    scale = HECTO if _unit_of(str(row["driver"])) == PASCAL else 1.0
    return scale * (slope - half), scale * slope, scale * (slope + half)


def _per(driver: str) -> str:
    """What a slope of the gradient is per: rain and wind are logarithms there."""
    if driver in LOGARITHMS:
        return "per e-fold"
    units = _unit_of(driver)
    return {"1": "per unit", PASCAL: "per hPa"}.get(units, f"per {units}")


def _unit_of(driver: str) -> str:
    return VARIABLES[driver].units if driver in VARIABLES else "1"

"""Trends and seasonal signatures as `Finding`s, always with the words a trend from short tower records needs."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ch4grid.findings import Check, Finding
from ch4grid.trends.totals import ALL
from ch4grid.trends.years import DRIVEN, SHORTEST, STATUS

TREND_COLUMNS = {
    "ecosystem": "class, or all",
    "region": "region",
    "mean": "mean annual total [Tg year-1]",
    "trend": "Theil-Sen slope of the annual totals [Tg year-2]",
    "lower": "lower bound, 90 %, over members and blocks of two years",
    "upper": "upper bound, 90 %",
    "relative_trend": "slope over the mean [% per decade]",
    "p": "Mann-Kendall with allowance for memory; missing where not tested",
    "q": "false discovery rate over classes and regions (Benjamini-Hochberg)",
    "persistence": "autocorrelation of the annual totals about the line",
    "significant": "q <= 0.05 and an interval without zero",
    "acceleration": "slope of the last less that of the first decade [Tg year-2]",
    "acceleration_lower": "lower bound, 90 %",
    "acceleration_upper": "upper bound, 90 %",
    "status": "tested, or why not",
    "label": "how the trend must be called",
}
SEASON_COLUMNS = {
    "ecosystem": "class, or all",
    "region": "region",
    "amplitude": "highest less lowest month of the mean year [Tg]",
    "lower": "lower bound of the amplitude, 90 %",
    "upper": "upper bound of the amplitude, 90 %",
    "peak_month": "month of the highest value, 1 to 12; 0 without a season",
    "phase": "peak of the first harmonic [months after the middle of January]",
    "phase_lower": "lower bound, 90 %",
    "phase_upper": "upper bound, 90 %",
    "amplitude_change": "last less first decade [Tg]",
    "amplitude_change_lower": "lower bound, 90 %",
    "amplitude_change_upper": "upper bound, 90 %",
    "phase_change": "last less first decade [months]",
    "phase_change_lower": "lower bound, 90 %",
    "phase_change_upper": "upper bound, 90 %",
}


def report_trends(result: xr.Dataset) -> Finding:
    """The finding of `trends`."""
    named = result.rename(trend_lower="lower", trend_upper="upper")
    table = _table(named, list(TREND_COLUMNS))
    names = {value: name for name, value in STATUS.items()}
    table["status"] = [names[int(value)] for value in table["status"]]
    table["label"] = result.attrs["label"]
    found = table[table["significant"]]
    first, last = result.attrs["first_year"], result.attrs["last_year"]
    tested = int((table["status"] == "tested").sum())
    answers = tuple(_trend_sentence(row) for row in found.to_dict("records"))
    if not answers:
        answers = (
            f"No class or region has a trend over {first}-{last} at a false discovery rate of 5 %.",
        )
    if not tested:
        answers = (f"{first}-{last} is too short for a trend: {SHORTEST} years are needed.",)
    return Finding(
        key="trends",
        title="Trends of annual totals",
        question=f"Did the annual totals of classes and regions change over {first}-{last}?",
        data=_data(result) + f"; {tested} of {len(table)} series tested",
        answers=(*answers, *_decade_sentence(table)),
        table=table[list(TREND_COLUMNS)],
        columns=TREND_COLUMNS,
        checks=(_members(result),),
        limits=(
            f"{result.attrs['label']}: {result.attrs['caution']}.",
            "The interval holds the spread of the members and of blocks of two years, not errors that all share.",
            "Fixed-area and fixed-driver runs are needed to separate changing areas from changing drivers.",
        ),
        attributes=dict(result.attrs),
    )


def report_seasons(result: xr.Dataset) -> Finding:
    """The finding of `seasons`."""
    named = result.drop_dims("month").rename(amplitude_lower="lower", amplitude_upper="upper")
    table = _table(named, list(SEASON_COLUMNS))
    whole = table[(table["ecosystem"] == ALL) & (table["peak_month"] > 0)]
    answers = [
        f"{row['region']}: highest in month {row['peak_month']}, range over the mean year {row['amplitude']:.3g} Tg "
        f"({row['lower']:.3g} to {row['upper']:.3g}, 90 %)."
        for row in whole.to_dict("records")
    ]
    moved = table[table["phase_change_lower"] * table["phase_change_upper"] > 0]
    answers += [
        f"{row['ecosystem']}, {row['region']}: the season moved by {row['phase_change']:+.2f} months from the first to "
        f"the last decade ({row['phase_change_lower']:+.2f} to {row['phase_change_upper']:+.2f}, 90 %)."
        for row in moved.to_dict("records")
    ]
    return Finding(
        key="seasonal-signatures",
        title="Seasonal signatures",
        question="When and how strongly does each class emit over the year, and did that change?",
        data=_data(result),
        answers=tuple(answers) or ("No class has a season.",),
        table=table,
        columns=SEASON_COLUMNS,
        limits=(
            f"Changes are {result.attrs['label']}: {result.attrs['caution']}.",
            "Intervals of changes are single tests; with many classes and regions some exclude zero by chance.",
        ),
        attributes=dict(result.attrs),
    )


def _table(result: xr.Dataset, columns: list[str]) -> pd.DataFrame:
    """Rows (ecosystem, region) of the variables over these two."""
    flat = result[[name for name in columns if name in result.data_vars]]
    frame = flat.to_dataframe().reset_index()
    return frame[[name for name in columns if name in frame.columns]]


def _data(result: xr.Dataset) -> str:
    return (
        f"{result.sizes['ecosystem'] - 1} classes and their sum in {result.sizes['region']} regions, "
        f"{result.attrs['first_year']}-{result.attrs['last_year']}"
    )


def _trend_sentence(row: dict[Any, Any]) -> str:
    name = f"{DRIVEN} trend" if row["label"] == DRIVEN else "trend"
    return (
        f"{row['ecosystem']}, {row['region']}: {name} of {row['trend']:+.3g} Tg per year and year "
        f"({row['lower']:+.3g} to {row['upper']:+.3g}, 90 %), {row['relative_trend']:+.1f} % per decade "
        f"(q = {row['q']:.2g})."
    )


def _decade_sentence(table: pd.DataFrame) -> list[str]:
    """Of the classes whose slope changed between decades, or that there is only one decade."""
    if table["acceleration"].isna().all():
        return ["Fewer than two decades: slopes are not compared between decades."]
    changed = table[table["acceleration_lower"] * table["acceleration_upper"] > 0]
    return [
        f"{row['ecosystem']}, {row['region']}: the slope of the last decade less that of the first is "
        f"{row['acceleration']:+.3g} ({row['acceleration_lower']:+.3g} to {row['acceleration_upper']:+.3g}) Tg per "
        "year and year."
        for row in changed.to_dict("records")
    ]


def _members(result: xr.Dataset) -> Check:
    """Whether all members give a significant trend its sign."""
    name = "members agree"
    each, mean = result["trend_member"], result["trend"]
    claimed = result["significant"].values
    if not claimed.any() or each.sizes["member"] < 2:
        why = "no significant trend" if each.sizes["member"] > 1 else "one member"
        return Check(name, None, f"could not be run: {why}")
    agree = (np.sign(each) == np.sign(mean)).all("member").values[claimed]
    told = f"{int(agree.sum())} of {int(claimed.sum())} significant trends have one sign in all members"
    return Check(name, bool(agree.all()), told)

"""The statement of an account: annual budgets of a region as rows for a table or for another program."""

from typing import Any

import xarray as xr

from ch4grid import account
from ch4grid.account import Annual, Interval, Place

LEVEL = 0.9
SPREADS = ("members", "independent", "correlated", "understated", "overstated")


def statement(
    ds: xr.Dataset, place: Place, *, classes: bool = False, compare: bool = False
) -> list[dict[str, Any]]:
    """Rows of years, and of their mean where there are several: mean, lower, upper [Tg per year]; None where missing.

    Args:
        ds: A product cut to complete years.
        place: The region.
        classes: Also rows of every ecosystem class; without bounds where the product's table lacks the region.
        compare: Also the standard deviations of `account.spreads` in the rows of single years of all classes.
    """
    inflation = account.inflation_of(ds)
    rows = _rows(account.annual(account.monthly(ds, place), LEVEL, inflation), "all")
    if compare:
        rows = _compared(rows, account.spreads(ds, place))
    return rows + (_class_rows(ds, place) if classes else [])


def _rows(found: Annual, ecosystem: str) -> list[dict[str, Any]]:
    """A row per year, and one for the mean of the years where there are several."""
    years = [int(y) for y in found.mean["year"].values]
    parts = [(str(y), Interval(*(v.sel(year=y) for v in found))) for y in years]
    if len(years) > 1:
        parts.append((f"mean of {len(years)}", found.period))
    return [
        {"years": label, "ecosystem": ecosystem}
        | {n: _number(getattr(part, n)) for n in ("mean", "lower", "upper")}
        for label, part in parts
    ]


def _class_rows(ds: xr.Dataset, place: Place) -> list[dict[str, Any]]:
    mass = account.by_class(ds, place)
    rows = []
    for name in mass["ecosystem"].values:
        one = mass.sel(ecosystem=name, drop=True)
        if "member" in one.dims:
            rows += _rows(account.annual(one, LEVEL, account.inflation_of(ds)), str(name))
        else:
            rows += _mean_rows(one, str(name))
    return rows


def _mean_rows(mass: xr.DataArray, ecosystem: str) -> list[dict[str, Any]]:
    """Rows of a class that has no members: no interval."""
    totals = mass.groupby("time.year").sum(skipna=False)
    labels = [(str(int(y)), _number(totals.sel(year=y))) for y in totals["year"].values]
    if len(labels) > 1:
        labels.append((f"mean of {len(labels)}", _number(totals.mean())))
    return [
        {"years": label, "ecosystem": ecosystem, "mean": mean, "lower": None, "upper": None}
        for label, mean in labels
    ]


def _compared(rows: list[dict[str, Any]], spreads: xr.Dataset) -> list[dict[str, Any]]:
    """Rows of single years with their spreads beside them."""
    known = {
        str(int(y)): {n: _number(spreads[n].sel(year=y)) for n in SPREADS}
        for y in spreads["year"].values
    }
    return [row | known.get(row["years"], {}) for row in rows]


def _number(value: xr.DataArray) -> float | None:
    """A JSON number; None where it is missing."""
    number = float(value)
    return number if number == number else None

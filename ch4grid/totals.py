"""Budgets of a product with their intervals, as a table and beside what others have published."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import xarray as xr

from ch4grid import budgets, pages
from ch4grid.references import REFERENCES
from ch4grid.stores import write_atomic

LEVEL = 0.9


@dataclass(frozen=True)
class Totals:
    """Monthly and annual budgets with their 90 % intervals [Tg], the class `all` included.

    Args:
        monthly: By month.
        annual: By year.
        members: The annual budgets of the members.
        inflation: Factor on the half width of intervals.
    """

    monthly: pages.Interval
    annual: pages.Interval
    members: xr.DataArray
    inflation: float


def totals(product: xr.Dataset, gas: str) -> Totals:
    """Budgets of an opened product: members are summed first, then their spread is taken (methods 3.9).

    Args:
        product: The opened product.
        gas: Row of the gas table.
    """
    table = product[f"{gas}_budget"].load()
    # years of the axis that nobody has made yet have no sum, rather than one of zero
    everything = table.sum("ecosystem", keep_attrs=True, min_count=1)
    everything = everything.expand_dims(ecosystem=["all"])
    members = xr.concat([table, everything], dim="ecosystem").transpose(*table.dims)
    members = members.dropna("time", how="all")
    inflation = float(product.attrs.get(budgets.INFLATION, 1.0))
    yearly = budgets.annual(members)
    return Totals(
        monthly=pages.Interval(*budgets.interval(members, LEVEL, inflation)),
        annual=pages.Interval(*budgets.interval(yearly, LEVEL, inflation)),
        members=yearly,
        inflation=inflation,
    )


def beside(found: Totals, gas: str) -> tuple[pages.Beside, ...]:
    """Global sums of classes, mean of all years, beside published ranges of the gas; absent classes are left out.

    Args:
        found: Budgets of a product.
        gas: Row of the gas table.
    """
    globe = found.members.sel(region="globe").mean("year")
    rows = []
    for reference in REFERENCES.get(gas, ()):
        summed = globe.sel(ecosystem=list(reference.ecosystems)).sum("ecosystem", min_count=1)
        if bool(summed.notnull().all()) and bool((summed != 0).any()):
            bounds = budgets.interval(summed, LEVEL, found.inflation)
            rows.append(pages.Beside(reference, *(float(b) for b in bounds)))
    return tuple(rows)


def write_totals(path: Path, found: Totals) -> Path:
    """Annual and monthly budgets as one table: period, ecosystem, region, mean, lower, upper [Tg]."""
    frames = []
    for dim, interval in (("time", found.monthly), ("year", found.annual)):
        columns = zip(("lower_tg", "mean_tg", "upper_tg"), interval, strict=True)
        frame = xr.Dataset({name: values.drop_attrs() for name, values in columns}).to_dataframe()
        frame = frame.reset_index()
        period = frame.pop(dim)
        text = period.dt.strftime("%Y-%m") if dim == "time" else period.astype(str)
        frame.insert(0, "period", text)
        frames.append(frame)
    table = pd.concat(frames).dropna()
    names = ["period", "ecosystem", "region", "mean_tg", "lower_tg", "upper_tg"]
    write_atomic(path, table[names].to_csv(index=False, float_format="%.6g").encode())
    return path

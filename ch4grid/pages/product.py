"""The page of a product: maps, budgets, seasonal cycle, skill, provenance and how to open it, in one HTML file.

The file reads the same from a disk or a server. Without scripts, or alone, it shows all but the interactive map, whose
data lie in the folder beside it (`atlas`). What it shows is computed from its inputs alone: same product, same bytes.
"""

import calendar
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from ch4grid.graph import CausalGraph
from ch4grid.pages.atlas import is_whole, sweep, write_atlas
from ch4grid.pages.causes import causes_of
from ch4grid.pages.charts import Chart, chart
from ch4grid.pages.figures import MISSING, figure, percent, words
from ch4grid.pages.plots import Estimate, IntervalPlot, interval_plot
from ch4grid.pages.snippets import snippets
from ch4grid.pages.templates import render
from ch4grid.pages.year_maps import year_maps
from ch4grid.references import Reference
from ch4grid.stores import write_atomic
from ch4grid.vocabulary import GASES, NEVER_WRITTEN, QUALITY_WORDS, Gas

ALL = "all"
SPLIT_WORDS = {
    "random": "random months",
    "temporal": "later years",
    "loso": "sites never seen, one at a time",
    "loco": "regions never seen, one 300 km cluster at a time",
    "class": "an ecosystem class never seen",
    "region": "a continent or band never seen",
    "holdout": "towers kept aside, scored once",
}


FILE_WORDS = {
    "budget": "Budgets by month, year, class and region with their intervals (CSV)",
    "ledger": "Ledger: state and SHA-256 of every chunk (Parquet)",
    "recipe": "Resolved recipe (JSON)",
    "difference": "What changed since the version before",
}


class Interval(NamedTuple):
    """Lower bound, mean and upper bound of a budget (time or year, ecosystem, region) [Tg]."""

    lower: xr.DataArray
    mean: xr.DataArray
    upper: xr.DataArray


class Beside(NamedTuple):
    """A sum of classes, mean of all years of the product with its interval [Tg yr-1], beside a published range."""

    reference: Reference
    lower: float
    mean: float
    upper: float

    @property
    def verdict(self) -> str:
        """Where the mean lies, and whether the interval reaches the range otherwise."""
        low, high = self.reference.lower, self.reference.upper
        if low <= self.mean <= high:
            return "within"
        side = "above" if self.mean > high else "below"
        touches = self.lower <= high and self.upper >= low
        return f"{side}, its interval reaches the range" if touches else side


@dataclass(frozen=True, eq=False)
class Change:
    """What the page of a scenario shows besides.

    Args:
        changed: What was changed, one phrase each.
        follows: What follows from it, in a sentence.
        response: How the flux answers it, in sentences.
        left_out: By year what is left out because it leaves the training: shares `cell_months`, `area` and
            `historical_emission` (None where unknown), and `clipped` values by driver.
        difference: Paired difference to history: columns ecosystem, lower, mean, upper [Tg yr-1], years.
        limits: What a scenario does not show, one sentence each.
    """

    changed: Sequence[str]
    follows: str
    response: str
    left_out: Mapping[int, Mapping[str, Any]]
    difference: pd.DataFrame | None
    limits: Sequence[str]


@dataclass(frozen=True)
class ProductPage:
    """Everything that a product page shows.

    Args:
        title: One line.
        summary: One paragraph of plain text: what it is and what it is not.
        product: Identifier.
        version: Number N of `v<N>`.
        scenario: Name of the scenario.
        gas: Row of the gas table.
        dataset: The opened product; flux, standard error and flags of its last year are drawn.
        monthly: Monthly budget (time, ecosystem, region) [Tg], region `globe` among them; ecosystem `all` is the sum.
        annual: Annual budget (year, ecosystem, region) [Tg] of the same.
        store: The Zarr group.
        files: Other files to link, by key of `FILE_WORDS` or by what they are called.
        skill: Rows as a benchmark writes them: split, n, nse, asinh_nse, coverage90, ...
        provenance: What it was made from, by heading: recipe, checkpoint digest, inputs, versions.
        citation: How to cite it.
        licence: Its licence.
        limits: What not to use it for, one sentence each.
        level: Coverage that the intervals aim at.
        change: What differs from history; None for history.
        causes: The causal graph; None where there is none.
        sources: Digest of the stored values of a year, by year: the map of a year with the same is not drawn again.
        index: The page that lists all products; None for no link.
        beside: Global sums beside published ranges; none for a synthetic Earth.
    """

    title: str
    summary: str
    product: str
    version: int
    scenario: str
    gas: str
    dataset: xr.Dataset
    monthly: Interval
    annual: Interval
    store: Path
    files: Mapping[str, Path] = field(default_factory=dict)
    skill: Sequence[Mapping[str, Any]] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)
    citation: str = ""
    licence: str = "CC-BY-4.0"
    limits: Sequence[str] = ()
    level: float = 0.9
    change: Change | None = None
    causes: CausalGraph | None = None
    sources: Mapping[int, str] = field(default_factory=dict)
    index: Path | None = None
    beside: Sequence[Beside] = ()


def write_product_page(path: Path, page: ProductPage) -> Path:
    """Write the page of a product to `path` and the data of its map to the folder of the same name beside it.

    Every file is written atomically, the page after what it loads; references to store and files are relative to it.
    Data of years that the page no longer has are removed last.

    Raises:
        RunError: A file cannot be written.
    """
    gas = GASES[page.gas]
    last = page.dataset.sel(time=_last_year(page.dataset))
    years = [int(y) for y in page.annual.mean["year"].values]
    atlas = write_atlas(path.with_suffix(""), page.dataset, gas, years, page.sources)
    text = render(
        "product.html.j2",
        page=page,
        gas=gas,
        years=years_words(page.annual.mean["year"].values.tolist()),
        last_year=int(last["time"].dt.year[0]),
        index=_relative(page.index, path) if page.index else "",
        store=_relative(page.store, path),
        files={FILE_WORDS.get(n, n): _relative(target, path) for n, target in page.files.items()},
        headline=_headline(page, gas),
        **year_maps(last, gas),
        series=[_series(page, size) for size in ((960.0, 260.0), (380.0, 220.0))],
        cycles=_cycles(page),
        totals=_class_table(page),
        classes=_class_plot(page),
        history=_history(page),
        beside=_beside(page.beside),
        skill=_skill(page),
        flags=_flags(last),
        flag_words=_flag_words(last),
        atlas=atlas,
        causes=causes_of(page.causes),
        snippets=snippets(_relative(page.store, path), gas, years[-1]),
        left_out=_left_out(page.change),
        difference=_difference(page.change),
        level=round(100 * page.level),
    )
    write_atomic(path, text.encode())
    sweep(path.with_suffix(""))
    return path


def has_its_map(path: Path) -> bool:
    """Whether a product page has the data of its map beside it, no file missing or cut."""
    return is_whole(path.with_suffix(""))


def years_words(years: Sequence[int] | pd.Index) -> str:
    """Years as people write them: `2001`, `2001 to 2003` or `2001 to 2003, 2005`."""
    known = sorted({int(y) for y in years})
    starts = [y for y in known if y - 1 not in known]
    ends = [y for y in known if y + 1 not in known]
    return ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in zip(starts, ends, strict=True))


def _last_year(ds: xr.Dataset) -> slice:
    year = int(pd.DatetimeIndex(ds["time"].values).year.max())
    return slice(f"{year}-01-01", f"{year}-12-31")


def _relative(target: Path, page: Path) -> str:
    return Path(os.path.relpath(target.absolute(), page.parent.absolute())).as_posix()


def _headline(page: ProductPage, gas: Gas) -> str:
    lower, mean, upper = (float(_globe(b).isel(year=-1)) for b in page.annual)
    year = int(page.annual.mean["year"][-1])
    return (
        f"{figure(mean)} Tg of {gas.long_name} in {year}"
        f" ({round(100 * page.level)}\N{NO-BREAK SPACE}% interval {figure(lower)} to {figure(upper)} Tg)"
    )


def _globe(budget: xr.DataArray) -> xr.DataArray:
    return budget.sel(ecosystem=ALL, region="globe")


def _series(page: ProductPage, size: tuple[float, float]) -> Chart:
    """The global total by month, drawn for a width of the page."""
    bounds = [_globe(b) for b in page.monthly]
    time = pd.DatetimeIndex(bounds[1]["time"].values)
    values = bounds[1].values
    january = [i for i, month in enumerate(time.month) if month == 1]
    every = -(-len(january) // int(size[0] / 90))
    top = int(np.nanargmax(values))
    return chart(
        (bounds[0].values, values, bounds[2].values),
        [(i, str(time[i].year)) for i in january[::every]],
        title="Global total by month",
        description=(
            f"Global monthly total from {time[0]:%B %Y} to {time[-1]:%B %Y}:"
            f" mean {figure(float(np.nanmean(values)))} Tg per month,"
            f" largest {figure(float(values[top]))} Tg in {time[top]:%B %Y}."
        ),
        size=size,
    )


def _cycles(page: ProductPage) -> list[Chart]:
    """Mean seasonal cycle of every region, all classes together."""
    charts = []
    for region in page.monthly.mean["region"].values:
        lower, mean, upper = (
            b.sel(ecosystem=ALL, region=region).groupby("time.month").mean("time").values
            for b in page.monthly
        )
        month = calendar.month_name[int(np.nanargmax(mean)) + 1]
        charts.append(
            chart(
                (lower, mean, upper),
                [(0, "Jan"), (3, "Apr"), (6, "Jul"), (9, "Oct")],
                title=words(str(region)).capitalize(),
                description=(
                    f"Mean seasonal cycle, {words(str(region))}: from {figure(float(np.nanmin(mean)))} to"
                    f" {figure(float(np.nanmax(mean)))} Tg per month, largest in {month}."
                ),
                size=(440.0, 200.0),
            )
        )
    return charts


def _class_table(page: ProductPage) -> list[tuple[str, list[tuple[str, str]]]]:
    """Annual totals of the last year: class, then mean and interval by region; the sum of classes last."""
    classes = [str(e) for e in page.annual.mean["ecosystem"].values]
    rows = []
    for name in [*(c for c in classes if c != ALL), ALL]:
        cells = [b.sel(ecosystem=name).isel(year=-1).values for b in page.annual]
        row = [
            (figure(float(m)), f"{figure(float(lo))} to {figure(float(up))}")
            for lo, m, up in zip(*cells, strict=True)
        ]
        rows.append((words(name) if name != ALL else "all classes", row))
    return rows


def _class_plot(page: ProductPage) -> IntervalPlot:
    """Global totals of the last year by class with their intervals."""
    year = int(page.annual.mean["year"][-1])
    lower, mean, upper = (b.sel(region="globe").isel(year=-1) for b in page.annual)
    estimates = [
        Estimate(
            words(name) if name != ALL else "all classes",
            float(mean.sel(ecosystem=name)),
            float(lower.sel(ecosystem=name)),
            float(upper.sel(ecosystem=name)),
        )
        for name in map(str, mean["ecosystem"].values)
    ]
    return interval_plot(estimates, title=f"Global totals by class in {year}", unit="Tg per year")


def _history(page: ProductPage) -> list[tuple[int, str, str]]:
    lower, mean, upper = (_globe(b) for b in page.annual)
    return [
        (int(y), figure(float(m)), f"{figure(float(lo))} to {figure(float(up))}")
        for y, lo, m, up in zip(
            mean["year"].values, lower.values, mean.values, upper.values, strict=True
        )
    ]


def _beside(rows: Sequence[Beside]) -> list[dict[str, str]]:
    return [
        {
            "name": row.reference.name,
            "mean": figure(row.mean),
            "range": f"{figure(row.lower)} to {figure(row.upper)}",
            "published": f"{row.reference.lower:g} to {row.reference.upper:g}",
            "period": row.reference.period,
            "source": row.reference.source,
            "note": row.reference.note,
            "verdict": row.verdict,
        }
        for row in rows
    ]


def _skill(page: ProductPage) -> list[dict[str, str]]:
    columns = ("nse", "asinh_nse", "r2", "coverage90")
    rows = []
    for row in page.skill:
        cells = {c: figure(float(row[c])) if row.get(c) is not None else MISSING for c in columns}
        if row.get("coverage90") is not None:
            cells["coverage90"] = percent(float(row["coverage90"]))
        split = str(row.get("split", ""))
        rows.append(
            cells
            | {
                "model": str(row.get("model", "")),
                "split": SPLIT_WORDS.get(split, words(split)),
                "n": f"{int(row['n'])}" if row.get("n") is not None else MISSING,
            }
        )
    return rows


def _left_out(change: Change | None) -> list[tuple[int, str]]:
    """What a scenario leaves out, by year, in a sentence."""
    rows = []
    for year, told in sorted((change.left_out if change else {}).items()):
        emission = told.get("historical_emission")
        past = (
            f"with {percent(emission)} of the historical exchange"
            if emission is not None
            else "share of the historical exchange unknown, as the historical product lacks the year"
        )
        clipped = ", ".join(f"{n} {c}" for n, c in told.get("clipped", {}).items())
        rows.append(
            (
                year,
                f"{percent(told['cell_months'])} of the cell-months, {percent(told['area'])} of the area, {past}"
                + (f"; values held in the range of their driver: {clipped}" if clipped else ""),
            )
        )
    return rows


def _difference(change: Change | None) -> list[tuple[str, str, str]]:
    if change is None or change.difference is None:
        return []
    return [
        (
            words(row["ecosystem"]) if row["ecosystem"] != ALL else "all classes",
            figure(row["mean"]),
            f"{figure(row['lower'])} to {figure(row['upper'])}"
            if np.isfinite(row["lower"])
            else MISSING,
        )
        for row in change.difference.to_dict("records")
    ]


def _flag_words(last: xr.Dataset) -> str:
    """Words of every quality flag by value, as JSON for the page's scripts."""
    told = {str(value): name for value, name, _, _ in _flags(last)}
    text = json.dumps(told | {str(NEVER_WRITTEN): "never written"}, sort_keys=True)
    return text.replace("<", "\\u003c")


def _flags(last: xr.Dataset) -> list[tuple[int, str, str, str]]:
    """Value, meaning, explanation and share of cell-months of every quality flag in the last year."""
    flag = last["quality_flag"]
    values, meanings = np.atleast_1d(flag.attrs["flag_values"]), flag.attrs["flag_meanings"].split()
    data = flag.values
    return [
        (int(v), words(m), QUALITY_WORDS.get(m, ""), percent(float((data == v).mean())))
        for v, m in zip(values, meanings, strict=True)
    ]

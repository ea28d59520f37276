"""Inventories: masses by month and by year, region and ecosystem class with intervals, as tidy tables.

Contract: see `CONTRACT`, which `ch4grid export --for csv-inventory --describe` prints.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from ch4grid import account, budgets
from ch4grid.exports import provenance
from ch4grid.exports.closure import proved
from ch4grid.exports.contract import Contract
from ch4grid.exports.export import Export, Piece
from ch4grid.exports.request import Request
from ch4grid.exports.sectors import sector_of
from ch4grid.exports.source import Source, seconds
from ch4grid.stores import write_atomic
from ch4grid.vocabulary import KG_PER_TG

LEVEL = 0.9
ALL = "all"

COLUMNS: dict[str, tuple[str, str]] = {
    "product": ("string", "product, version and scenario"),
    "year": ("integer", "year"),
    "month": ("integer", "month of the year; the table by year has no such column"),
    "region": ("string", "region of the product's own table, such as globe, tropics, or a country"),
    "ecosystem": ("string", "class, or all: their sum"),
    "ipcc_category": (
        "string",
        "category of the 2006 IPCC Guidelines that holds all of the class and nothing else; empty where there is none",
    ),
    "mean_tg": ("number", "mass in the period, mean of the members [Tg]"),
    "lower_tg": ("number", "5 % end of the interval [Tg]"),
    "upper_tg": ("number", "95 % end of the interval [Tg]"),
    "note": ("string", "why there is a category or none, and what would be counted twice"),
}

CONTRACT = Contract(
    purpose="Inventory agencies and who compares with national or regional reports.",
    files="PRODUCT_VERSION_SCENARIO_inventory[_CHOICE]_YYYY-YYYY_monthly.csv and ..._annual.csv, beside each a "
    "-metadata.json (CSV on the Web) with the meaning of every column and the provenance.",
    variables=f"columns {', '.join(COLUMNS)}; UTF-8, header, comma, full precision (17 digits).",
    units="Tg of the gas per month or per year, true lengths of months.",
    time="year and month as integers.",
    grid="Regions of the product's table: globe, latitude bands, and those of its recipe, such as countries.",
    missing="No row.",
    law="The rows of all classes of the globe are the product's budget; the mean of a month equals the sum over cells "
    "of its flux to 1e-6 of the gross flux; classes add up to all. Intervals do not add up: members are summed first.",
    consumer="Reads it with pandas, R or a spreadsheet; compares rice-paddy with 3.C.7 and leaves natural sources out.",
    checked="By pandas.",
)


class CsvInventory(Export):
    """Masses by period, region and class as tidy tables."""

    name = "csv-inventory"
    contract = CONTRACT
    takes = frozenset({"ecosystems"})

    def reads(self, source: Source, request: Request) -> tuple[str, ...]:
        """Variables of the product that are read."""
        return (f"{source.gas.name}_budget", source.gas.flux, "cell_area", "time")

    def pieces(self, source: Source, request: Request) -> Iterator[Piece]:
        """The table by month and that by year, each with its metadata."""
        span = f"{request.years[0]}-{request.years[-1]}"
        base = "_".join(p for p in (source.stem, "inventory", request.label, span) if p)
        for step in ("monthly", "annual"):
            name = f"{base}_{step}.csv"
            yield Piece(name, request.years, _maker(source, request, step))
            yield Piece(f"{name}-metadata.json", request.years, _describer(source, request, name))


def table(source: Source, request: Request, step: str) -> pd.DataFrame:
    """Rows of every period, region and class; columns as in `COLUMNS`.

    Args:
        source: The product.
        request: Years and classes.
        step: `monthly` or `annual`.
    """
    ds = source.ds
    cut = ds[f"{source.gas.name}_budget"].sel(time=ds["time"].dt.year.isin(list(request.years)))
    members = cut.sel(ecosystem=list(request.ecosystems)).load()
    if request.ecosystems == source.ecosystems:
        whole = members.sum("ecosystem", skipna=False).expand_dims(ecosystem=[ALL])
        members = xr.concat([whole, members], "ecosystem", coords="minimal", compat="override")
    if step == "annual":
        members = budgets.annual(members)
    found = budgets.interval(members, LEVEL, account.inflation_of(ds))
    columns = zip(("lower_tg", "mean_tg", "upper_tg"), found, strict=True)
    frame = xr.Dataset({n: v.drop_attrs() for n, v in columns}).to_dataframe().reset_index()
    if step == "monthly":
        frame["year"], frame["month"] = frame["time"].dt.year, frame["time"].dt.month
    frame["ecosystem"], frame["region"] = (
        frame["ecosystem"].astype(str),
        frame["region"].astype(str),
    )
    sectors = frame["ecosystem"].map(lambda e: None if e == ALL else sector_of(e))
    frame["ipcc_category"] = [s.ipcc if s else "" for s in sectors]
    frame["note"] = [s.note if s else "sum of the classes" for s in sectors]
    frame["product"] = source.stem
    return _ordered(frame, source, request)


def _ordered(frame: pd.DataFrame, source: Source, request: Request) -> pd.DataFrame:
    """Rows by period, region and class, the latter two in the order of the product."""
    regions = [str(r) for r in source.ds["region"].values]
    order = {"region": regions, "ecosystem": [ALL, *request.ecosystems]}
    frame = frame.dropna(subset=["mean_tg"])
    names = [c for c in COLUMNS if c in frame]
    keys = [c for c in ("year", "month", "region", "ecosystem") if c in frame]
    return frame[names].sort_values(
        keys, key=lambda c: c.map(order[str(c.name)].index) if c.name in order else c
    )


def _maker(source: Source, request: Request, step: str) -> Callable[[Path], float | None]:
    def make(path: Path) -> float | None:
        content = table(source, request, step).to_csv(index=False, float_format="%.17g")
        write_atomic(path, content.encode())
        return _proof(path, source, request) if step == "monthly" else None

    return make


def _proof(path: Path, source: Source, request: Request) -> float:
    """What the table says of the globe against the flux of the cells, month by month."""
    read = pd.read_csv(path, keep_default_na=False)
    told = read[(read["region"] == account.GLOBE) & (read["ecosystem"] != ALL)]
    worst = 0.0
    for year in request.years:
        total, gross = np.zeros(12), np.zeros(12)
        for rows in source.stripes():
            mass = np.nan_to_num(source.flux(year, request, rows).astype(np.float64))
            mass *= source.grid.cell_area[rows]
            total += mass.sum(axis=(1, 2))
            gross += np.abs(mass).sum(axis=(1, 2))
        by_month = told[told["year"] == year].groupby("month")["mean_tg"].sum().to_numpy()
        length = seconds(year) / KG_PER_TG
        worst = max(worst, proved(path, by_month, gross * length, total * length))
    return worst


def _describer(source: Source, request: Request, name: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        told = provenance.attributes(source, request.years, "csv-inventory", request)
        columns = [c for c in COLUMNS if "_monthly" in name or c != "month"]
        document = {
            "@context": "http://www.w3.org/ns/csvw",
            "url": name,
            "dc:title": told.get("title", ""),
            "dc:license": told.get("license", ""),
            "dc:bibliographicCitation": told["citation"],
            "dc:provenance": told["history"],
            "ch4grid:source_store_sha256": told["source_store_sha256"],
            "ch4grid:source_store_sha256_rule": told["source_store_sha256_rule"],
            "ch4grid:level": LEVEL,
            "tableSchema": {
                "columns": [
                    {"name": c, "datatype": COLUMNS[c][0], "dc:description": COLUMNS[c][1]}
                    for c in columns
                ]
            },
        }
        write_atomic(path, (json.dumps(document, indent=2) + "\n").encode())

    return make

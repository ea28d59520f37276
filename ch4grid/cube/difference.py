"""The difference report of a new version: how far cells and budgets moved, for machines and for people.

It is read back from both stores region by region, so its memory does not grow with the product.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid import ledger
from ch4grid.cube.objects import dims_of, open_planned, read_document
from ch4grid.cube.publish import tiles
from ch4grid.cube.repair import first_year
from ch4grid.cube.template import year_slice
from ch4grid.cube.verify import damaged_rows, gas_of
from ch4grid.errors import RunError
from ch4grid.stores import sweep_partial, write_atomic, write_json


@dataclass
class _Change:
    """Largest change of a variable so far."""

    absolute: float = 0.0
    relative: float = 0.0
    changed: int = 0
    appeared: int = 0
    vanished: int = 0

    def add(self, old: NDArray[Any], new: NDArray[Any]) -> None:
        a, b = old.astype(np.float64), new.astype(np.float64)
        valid = np.isfinite(a) & np.isfinite(b)
        step = np.abs(b - a)[valid]
        size = np.abs(a)[valid]
        self.absolute = max(self.absolute, float(step.max(initial=0.0)))
        known = size > 0
        self.relative = max(self.relative, float((step[known] / size[known]).max(initial=0.0)))
        self.changed += int((step > 0).sum())
        self.appeared += int((~np.isfinite(a) & np.isfinite(b)).sum())
        self.vanished += int((np.isfinite(a) & ~np.isfinite(b)).sum())


def difference(old: Path, new: Path, reason: str) -> dict[str, Any]:
    """What changed between two published stores of a product in the years that both hold.

    Cells are compared where both have the same grid and the same members; budgets always.

    Raises:
        RunError: An object of the older store is damaged.
    """
    rows = [r for r in ledger.rows_of(old) if r.state == "published"]
    hurt = damaged_rows(old, rows)
    if hurt:
        raise RunError(
            f"{old.parent.name} cannot be compared with {new.parent.name}",
            where=old / hurt[0].key,
            expected="the object that was published",
            found=hurt[0].what,
            fix=f"`ch4grid repair {old}`, then run again; {new.parent.name} is in its store, not in the catalog yet",
        )
    years = sorted(set(ledger.published_years(old)) & set(ledger.published_years(new)))
    gas = gas_of(new)
    variables = {}
    for name in (gas.flux, f"{gas.flux}_standard_error", f"{gas.flux}_density", "quality_flag"):
        change = _cells(old, new, name, years)
        if change is not None:
            units = read_document(new, name)["attributes"]["units"]
            variables[name] = {
                "units": units,
                "largest_absolute_change": change.absolute,
                "largest_relative_change": change.relative,
                "cells_changed": change.changed,
                "cells_appeared": change.appeared,
                "cells_vanished": change.vanished,
            }
    return {
        "from": old.parent.name,
        "to": new.parent.name,
        "scenario": new.stem,
        "reason": reason,
        "years": years,
        "variables": variables,
        "budget_tg": _budgets(old, new, years),
    }


def _cells(old: Path, new: Path, name: str, years: list[int]) -> _Change | None:
    docs = [read_document(store, name) for store in (old, new)]
    shapes = [
        [n for n, d in zip(doc["shape"], dims_of(doc), strict=True) if d != "time"] for doc in docs
    ]
    if shapes[0] != shapes[1]:
        return None
    change = _Change()
    leading = (slice(None),) * (len(docs[0]["shape"]) - 3)
    arrays = [open_planned(store, name) for store in (old, new)]
    for year in years:
        when = [year_slice(year, first_year(store)) for store in (old, new)]
        for tile in tiles(new):
            parts = [np.asarray(a[(*leading, w, *tile)]) for a, w in zip(arrays, when, strict=True)]
            change.add(parts[0], parts[1])
    return change


def _budgets(old: Path, new: Path, years: list[int]) -> dict[str, dict[str, dict[str, float]]]:
    """Annual ensemble means by region and year [Tg]."""
    name = f"{gas_of(new).name}_budget"
    tables = []
    for store in (old, new):
        with xr.open_zarr(store, chunks=None) as ds:
            total = ds[name].mean("member").sum("ecosystem").groupby("time.year").sum("time")
            tables.append(total.load())
    regions = [str(r) for r in tables[1]["region"].values if r in tables[0]["region"].values]
    result: dict[str, dict[str, dict[str, float]]] = {}
    for region in regions:
        result[region] = {}
        for year in years:
            before, after = (float(t.sel(region=region, year=year)) for t in tables)
            result[region][str(year)] = {
                "old": before,
                "new": after,
                "change": after - before,
            }
    return result


def write_difference(old: Path, new: Path, reason: str) -> tuple[Path, Path]:
    """Write the report beside the new store as JSON and Markdown; their paths.

    Raises:
        RunError: The folder cannot be written or the disk is full.
    """
    report = difference(old, new, reason)
    stem = f"diff-{report['from']}-{report['to']}.{report['scenario']}"
    paths = new.with_name(f"{stem}.json"), new.with_name(f"{stem}.md")
    sweep_partial(new.parent, f".{stem}.*.partial")
    write_json(paths[0], report)
    write_atomic(paths[1], _markdown(report).encode())
    return paths


def _markdown(report: Mapping[str, Any]) -> str:
    lines = [
        f"# {report['from']} to {report['to']}, {report['scenario']}",
        "",
        f"Why: {report['reason']}.",
        f"Years compared: {', '.join(map(str, report['years'])) or 'none'}.",
        "",
        "| variable | units | largest change | largest relative change | changed | appeared | vanished |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, v in report["variables"].items():
        lines.append(
            f"| {name} | {v['units']} | {v['largest_absolute_change']:.4g} | "
            f"{v['largest_relative_change']:.2%} | {v['cells_changed']} | {v['cells_appeared']} | "
            f"{v['cells_vanished']} |"
        )
    if not report["variables"]:
        lines.append("| cells are on different grids and not compared | | | | | | |")
    lines += ["", "| region | year | old [Tg] | new [Tg] | change [Tg] |", "|---|---|---|---|---|"]
    for region, years in report["budget_tg"].items():
        for year, v in years.items():
            lines.append(
                f"| {region} | {year} | {v['old']:.4f} | {v['new']:.4f} | {v['change']:+.4f} |"
            )
    return "\n".join(lines) + "\n"

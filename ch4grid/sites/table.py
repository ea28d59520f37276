"""A compiled table of monthly tower fluxes, one row per site and month."""

import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from pydantic import BaseModel, ConfigDict, Field, field_validator

from ch4grid.errors import InputError
from ch4grid.sites.descriptors import Descriptor, describe
from ch4grid.sites.stations import (
    Unclassified,
    in_vocabulary,
    numbers,
    read_csv,
    read_stations,
    require,
    to_sites,
)
from ch4grid.sites.wide import WideSeries
from ch4grid.stores import Workspace
from ch4grid.vocabulary import GASES, Gas

# Marks of a gap-filled column: FCH4_F, FCH4_F_nmol, FCH4_ANN_nmol, FCH4_F_ANNOPTLM.
FILLED = re.compile(r"_(F|ANN\w*|MDS\w*|FILLED)(_|$)", re.IGNORECASE)


class TowerTable(BaseModel):
    """A CSV of monthly means, columns `site_id`, `time` and the flux, and a site table.

    Args:
        path: The table (csv, csv.gz), relative to the data folder.
        sites: Site table with SITE_ID, LAT, LON, SITE_CLASSIFICATION and, if known, IGBP and UPLAND_CLASS.
        flux_column: Measured monthly mean [nmol m-2 s-1].
        coverage_column: Measured fraction of the month [1]; without one a month that has a value counts as measured.
        min_coverage: Smallest measured fraction that gives a flux [1].
        drivers: Vocabulary name to a column in vocabulary units, for drivers measured at the tower.
        wide: Vocabulary name to a table with one column per tower, for drivers seen from space.
        statics: Vocabulary name to a column of the site table, for what describes the place.
        unclassified: What a tower is that the scheme has no class for, such as a lake: left out, or a freshwater
            wetland of its latitude.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    source: Literal["table"] = "table"
    path: str
    sites: str
    flux_column: str = "FCH4_nmol"
    coverage_column: str | None = None
    min_coverage: float = Field(default=0.2, gt=0.0, le=1.0)
    drivers: dict[str, str] = Field(default_factory=dict)
    wide: dict[str, WideSeries] = Field(default_factory=dict)
    statics: dict[str, Descriptor] = Field(default_factory=dict)
    unclassified: Unclassified = "leave-out"

    @field_validator("flux_column")
    @classmethod
    def _measured(cls, name: str) -> str:
        if FILLED.search(name):
            raise ValueError(
                f"column {name} is gap-filled: it holds the output of another model and cannot be a target; "
                "name the measured-only column"
            )
        return name

    @field_validator("drivers", "wide", "statics")
    @classmethod
    def _known(cls, mapping: dict[str, Any]) -> dict[str, Any]:
        return in_vocabulary(mapping)

    def inputs(self, workspace: Workspace, gas: Gas = GASES["ch4"]) -> list[Path]:
        """The site table, the table of fluxes and the wide tables, sorted; the same for every gas.

        Raises:
            InputError: A file is missing.
        """
        wide = [f for w in self.wide.values() for f in workspace.matches(w.path)]
        return sorted({*workspace.matches(self.sites), *workspace.matches(self.path), *wide})

    def open(self, workspace: Workspace, gas: Gas) -> xr.Dataset:
        """SITES without clusters, monthly (site, time).

        Raises:
            InputError: A file or column is missing, a time is not a month, or a tower is not in the site table.
        """
        stations = read_stations(workspace.matches(self.sites)[0], self.unclassified)
        paths = workspace.matches(self.path)
        table = pd.concat([self._read(path) for path in paths], ignore_index=True)
        if bool(table.duplicated(["site", "month"]).any()):
            row = table[table.duplicated(["site", "month"])].iloc[0]
            raise InputError(
                "a month stands twice", where=self.path, found=f"{row['site']} {row['month']:%Y-%m}"
            )
        table["flux"] = table["flux"] * gas.kg_per_nmol
        columns = ["flux", "coverage", *self.drivers]
        wide = {n: w.monthly(n, workspace) for n, w in self.wide.items()}
        series = {
            str(site): _joined(rows.set_index("month")[columns], str(site), wide)
            for site, rows in table.groupby("site")
        }
        sites = to_sites(series, stations, gas, "month", f"table, {self.path}")
        return describe(sites, self.statics, workspace.matches(self.sites)[0])

    def _read(self, path: Path) -> pd.DataFrame:
        """Site (upper case), month, flux [nmol m-2 s-1], coverage and drivers of one file."""
        native = read_csv(path)
        asked = [self.flux_column, *self.drivers.values()]
        asked += [self.coverage_column] if self.coverage_column else []
        require(native, ("site_id", "time", *asked), path)
        flux = numbers(native[self.flux_column], path)
        coverage = (
            numbers(native[self.coverage_column], path).fillna(0.0)
            if self.coverage_column
            else flux.notna().astype(np.float64)
        )
        table = pd.DataFrame(
            {
                "site": native["site_id"].astype(str).str.strip().str.upper(),
                "month": _first_days(native["time"], path),
                "flux": flux.where(coverage >= self.min_coverage),
                "coverage": coverage,
            }
        )
        return table.assign(**{n: numbers(native[c], path) for n, c in self.drivers.items()})


def _joined(rows: pd.DataFrame, site: str, wide: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The rows of a tower with what was seen of it from space, on all months of either."""
    seen = {n: table[site] for n, table in wide.items() if site in table}
    return rows.join(pd.DataFrame(seen), how="outer") if seen else rows


def _first_days(time: pd.Series, path: Path) -> pd.Series:
    try:
        months = pd.to_datetime(time)
    except ValueError as error:
        raise InputError(
            "a time cannot be read", where=path, expected="YYYY-MM-01", found=str(error)[:120]
        ) from error
    wrong = months[months.dt.day != 1]
    if len(wrong):
        raise InputError(
            "months are not labelled by their first day",
            where=path,
            expected="YYYY-MM-01",
            found=str(wrong.iloc[0]),
        )
    return months.dt.as_unit("s")

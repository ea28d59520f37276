"""X-MethaneWet (Sun et al. 2025, arXiv 2505.18355; Hugging Face ymsun99/X-MethaneWet): towers, and cells of TEM-MDM.

Towers come from the daily FLUXNET-CH4 table `FLUXNET_T1_DD` and its site table, simulated cells from NetCDF files
(`xmethanewet_cells`). The layout is that of the data card. It has been tested on files planted in that layout, not on
the published ones, whose column and variable names and units the card does not state; a recipe names them.

Different from the published data: the target is measured days only, never `FCH4_F`; 29 February and incomplete years
stay; folds put no two towers nearer than 300 km on both sides, while the published folds remain as a legacy split from
a file that the user has.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr
from pydantic import BaseModel, ConfigDict, Field, field_validator

from ch4grid.errors import InputError
from ch4grid.grid import Grid, great_circle_km
from ch4grid.sites.clusters import clusters
from ch4grid.sites.fluxnet_ch4 import DRIVERS
from ch4grid.sites.stations import (
    by_step,
    in_vocabulary,
    numbers,
    read_csv,
    read_stations,
    require,
    to_sites,
)
from ch4grid.sites.xmethanewet_cells import Native, Simulation, Wanted, simulated_samples
from ch4grid.stores import Workspace
from ch4grid.vocabulary import GASES, VARIABLES, Gas

NEIGHBOURHOOD_KM = 300.0


class XMethaneWet(BaseModel):
    """The folder of X-MethaneWet.

    Args:
        path: The daily table of towers, or a glob of several.
        sites: Site table with SITE_ID, LAT, LON, SITE_CLASSIFICATION and, if known, IGBP and UPLAND_CLASS.
        site_column: Column of the daily table with the site id.
        time_column: Column with the day, YYYYMMDD or YYYY-MM-DD.
        min_coverage: Smallest measured fraction of a month that gives a flux [1].
        simulation: The NetCDF files of the simulation, a path or glob.
        resolution: Size of its cells [degrees]; divides 180.
        label: The simulated flux, to kg m-2 s-1.
        variables: Vocabulary name to a simulated driver or a static of the cell.
        folds: Folds as published: a JSON object of fold to list of sites, or a CSV with columns site and fold.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    source: Literal["xmethanewet"] = "xmethanewet"
    path: str
    sites: str
    site_column: str = "SITE_ID"
    time_column: str = "TIMESTAMP"
    min_coverage: float = Field(default=0.2, gt=0.0, le=1.0)
    simulation: str | None = None
    resolution: float = Field(default=0.5, gt=0.0)
    label: Native | None = None
    variables: dict[str, Native] = Field(default_factory=dict)
    folds: str | None = None

    @field_validator("variables")
    @classmethod
    def _known(cls, mapping: dict[str, Native]) -> dict[str, Native]:
        return in_vocabulary(mapping)

    def inputs(self, workspace: Workspace, gas: Gas = GASES["ch4"]) -> list[Path]:
        """All files that the recipe names, sorted; the same for every gas.

        Raises:
            InputError: A file is missing.
        """
        patterns = [self.path, self.sites, self.simulation, self.folds]
        return sorted({f for p in patterns if p is not None for f in workspace.matches(p)})

    def open(self, workspace: Workspace, gas: Gas) -> xr.Dataset:
        """SITES of the towers without clusters, monthly means of measured days (site, time).

        Raises:
            InputError: A file or column is missing, a day stands twice, or a tower is not in the site table.
        """
        stations = read_stations(workspace.matches(self.sites)[0])
        tables = [self._daily(path, gas) for path in workspace.matches(self.path)]
        daily = pd.concat(tables)
        twice = daily[daily.index.duplicated()]
        if len(twice):
            raise InputError("a day stands twice", where=self.path, found=twice.index[0])
        series = {
            str(site): self._monthly(rows.droplevel("site"))
            for site, rows in daily.groupby(level="site")
        }
        return to_sites(series, stations, gas, "month", f"xmethanewet, {self.path}")

    def simulated(
        self, workspace: Workspace, gas: Gas, *, cells: int = 2000, seed: int = 0
    ) -> xr.Dataset:
        """Samples of simulated cells: drivers and flux (site, time), statics and means of drivers (site).

        Args:
            workspace: Where the files lie.
            gas: The gas of the label.
            cells: Largest number of cells; they are drawn from those that have a label.
            seed: Seed of the draw.

        Raises:
            InputError: A file or variable is missing, or a grid does not start in the south west.
        """
        if self.simulation is None or self.label is None:
            raise InputError(
                "the recipe names no simulation",
                where="xmethanewet",
                expected="the keys simulation and label",
                found="none",
            )
        wanted = Wanted(self.label, self.variables, cells, seed)
        with Simulation(workspace.matches(self.simulation), Grid(self.resolution)) as simulation:
            return simulated_samples(simulation, wanted, gas)

    def published_folds(self, workspace: Workspace) -> dict[str, str]:
        """Site, in upper case, to its fold as published: a legacy split that parts near neighbours.

        Raises:
            InputError: There is no file of folds, or a site stands in two of them.
        """
        if self.folds is None:
            raise InputError(
                "the recipe names no file of folds", where="xmethanewet", expected="the key folds"
            )
        path = workspace.matches(self.folds)[0]
        pairs = _fold_pairs(path)
        folds: dict[str, str] = {}
        for site, fold in pairs:
            if folds.setdefault(site, fold) != fold:
                raise InputError(
                    f"site {site} stands in two folds",
                    where=path,
                    expected="one",
                    found=f"{folds[site]}, {fold}",
                )
        return folds

    def _daily(self, path: Path, gas: Gas) -> pd.DataFrame:
        """Flux [kg m-2 s-1] and drivers by site (upper case) and day of one table."""
        table = read_csv(path)
        require(table, (self.site_column, self.time_column, gas.tower_column), path)
        site = table[self.site_column].astype(str).str.strip().str.upper()
        index = pd.MultiIndex.from_arrays([site, _days(table[self.time_column], path)])
        scale = gas.kg_per_nmol * gas.tower_unit
        native = {"flux": numbers(table[gas.tower_column], path) * scale}
        for name, (columns, factor, offset) in DRIVERS.items():
            present = [numbers(table[c], path) for c in columns if c in table]
            if present:
                # meteorology, unlike the flux, may be the archive's filled one where nothing was measured
                best = present[0]
                for other in present[1:]:
                    best = best.combine_first(other)
                native[name] = _possible(best * factor + offset, name)
        daily = pd.DataFrame(native).set_axis(index.set_names(["site", "day"]), axis=0)
        return daily

    def _monthly(self, daily: pd.DataFrame) -> pd.DataFrame:
        """Means of the months of one tower over its days, and the measured fraction of the true month."""
        bins = daily.groupby(by_step(daily, "month"))
        days = pd.DatetimeIndex(bins.size().index).days_in_month
        measured = bins.count().div(np.asarray(days, dtype=np.float64), axis=0)
        means = bins.mean().where(measured >= self.min_coverage)
        return means.assign(coverage=measured["flux"])


def near_pairs(
    sites: xr.Dataset, folds: Mapping[str, object], km: float = NEIGHBOURHOOD_KM
) -> pd.DataFrame:
    """Pairs of towers of different folds that stand nearer than this, nearest first.

    Args:
        sites: Towers.
        folds: Site in any case to its fold; a tower without one is in no pair.
        km: The distance [km].

    Returns:
        Columns site, other, fold, other_fold, km.
    """
    named = {str(s).upper(): f for s, f in folds.items()}
    names = [str(n) for n in sites["site"].values]
    latitude, longitude = sites["latitude"].values, sites["longitude"].values
    away = great_circle_km(latitude[:, None], longitude[:, None], latitude, longitude)
    rows = [
        (a, b, named[a.upper()], named[b.upper()], float(away[i, j]))
        for i, a in enumerate(names)
        for j, b in enumerate(names[:i])
        if away[i, j] < km and a.upper() in named and b.upper() in named
    ]
    table = pd.DataFrame(rows, columns=["site", "other", "fold", "other_fold", "km"])
    apart = table[table["fold"] != table["other_fold"]]
    return apart.sort_values("km", ignore_index=True)


def clustered_folds(sites: xr.Dataset, count: int = 5) -> dict[str, int]:
    """Folds of whole groups of neighbours: no two towers of different folds stand nearer than 300 km.

    Clusters of 300 km may touch, so those with towers nearer than that to each other go together; the largest groups
    are dealt first, each to the smallest fold.

    Args:
        sites: Towers.
        count: Folds; some stay empty when there are fewer groups.
    """
    latitude, longitude = sites["latitude"].values, sites["longitude"].values
    number = clusters(latitude.astype(np.float64), longitude.astype(np.float64), NEIGHBOURHOOD_KM)
    near = great_circle_km(latitude[:, None], longitude[:, None], latitude, longitude)
    for i, j in zip(*np.nonzero(near < NEIGHBOURHOOD_KM), strict=True):
        number[number == number[j]] = number[i]
    names, size = np.unique(number, return_counts=True)
    load = np.zeros(count, dtype=np.int64)
    fold: dict[int, int] = {}
    for group in np.argsort(-size, kind="stable"):
        fold[int(names[group])] = int(load.argmin())
        load[load.argmin()] += size[group]
    return {str(s): fold[int(n)] for s, n in zip(sites["site"].values, number, strict=True)}


def _days(column: pd.Series, path: Path) -> pd.DatetimeIndex:
    text = column.astype(str).str.strip().str.replace("-", "", regex=False)
    try:
        return pd.DatetimeIndex(pd.to_datetime(text, format="%Y%m%d"))
    except ValueError as error:
        raise InputError(
            "a day cannot be read", where=path, expected="YYYYMMDD", found=str(error)[:120]
        ) from error


def _possible(values: pd.Series, name: str) -> pd.Series:
    low, high = VARIABLES[name].valid_range
    return values.where((values >= low) & (values <= high))


def _fold_pairs(path: Path) -> list[tuple[str, str]]:
    """Site (upper case) and fold of every entry of a JSON or CSV file."""
    if path.suffix.lower() != ".json":
        table = read_csv(path)
        require(table, ("site", "fold"), path)
        columns = [table[c].astype(str).str.strip() for c in ("site", "fold")]
        return list(zip(columns[0].str.upper(), columns[1], strict=True))
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return [(str(s).strip().upper(), str(f)) for f, names in document.items() for s in names]
    except (ValueError, AttributeError, TypeError) as error:
        raise InputError(
            "cannot read these folds",
            where=path,
            expected='{"1": ["FI-Sii", ...], ...}',
            found=str(error)[:120],
        ) from error

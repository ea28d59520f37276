"""FLUXNET-CH4 daily and half-hourly site files to monthly or weekly tower series.

The target is what was measured: the mean of the flux column over the days or half-hours that have it, kept where
enough of the step was measured. Gap-filled fluxes are the output of other models and never read.
"""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr
from pydantic import BaseModel, ConfigDict, Field

from ch4grid.errors import InputError
from ch4grid.sites.stations import (
    Step,
    by_step,
    numbers,
    read_csv,
    read_stations,
    require,
    to_sites,
)
from ch4grid.stores import Workspace
from ch4grid.vocabulary import GASES, SECONDS_PER_DAY, VARIABLES, Gas

# Time column, its format, code in the file name and steps per day of the two forms of file.
FORMS = {
    "daily": ("TIMESTAMP", "%Y%m%d", "DD", 1),
    "half-hourly": ("TIMESTAMP_START", "%Y%m%d%H%M", "HH", 48),
}

# Vocabulary name: columns to take, best first, factor and offset to our units. Precipitation is a sum per time step.
DRIVERS: dict[str, tuple[tuple[str, ...], float, float]] = {
    "tas": (("TA", "TA_F"), 1.0, 273.15),
    "vpd": (("VPD", "VPD_F"), 100.0, 0.0),
    "ps": (("PA", "PA_F"), 1000.0, 0.0),
    "pr": (("P", "P_F"), 1.0 / SECONDS_PER_DAY, 0.0),
    "sfcWind": (("WS", "WS_F"), 1.0, 0.0),
    "rsds": (("SW_IN", "SW_IN_F"), 1.0, 0.0),
    "tsl": (("TS_1", "TS_1_F"), 1.0, 273.15),
    # volumetric percent to kg m-2 of the layer 0 to 7 cm
    "mrsos": (("SWC_1", "SWC", "SWC_1_F", "SWC_F"), 0.7, 0.0),
}


class FluxnetCH4(BaseModel):
    """Site files `FLX_<site>_FLUXNET-CH4_<DD or HH>_<years>_<version>.csv` and their site table.

    Args:
        path: Folder or glob of the site files, relative to the data folder.
        sites: Site table with SITE_ID, LAT, LON, SITE_CLASSIFICATION and, if known, IGBP and UPLAND_CLASS.
        frequency: Which form of file to read.
        step: Length of a step of the series.
        min_coverage: Smallest measured fraction of a step that gives a flux [1].
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    source: Literal["fluxnet_ch4"] = "fluxnet_ch4"
    path: str
    sites: str
    frequency: Literal["daily", "half-hourly"] = "daily"
    step: Step = "month"
    min_coverage: float = Field(default=0.2, gt=0.0, le=1.0)

    def inputs(self, workspace: Workspace, gas: Gas = GASES["ch4"]) -> list[Path]:
        """The site table and the site files, sorted; the same for every gas.

        Raises:
            InputError: A file is missing.
        """
        return sorted([*workspace.matches(self.sites), *self._files(workspace).values()])

    def open(self, workspace: Workspace, gas: Gas) -> xr.Dataset:
        """SITES without clusters: flux, its coverage and the meteorology of the towers (site, time).

        Raises:
            InputError: A file or column is missing, or a tower is not in the site table.
        """
        stations = read_stations(workspace.matches(self.sites)[0])
        series = {s: self._series(p, gas) for s, p in self._files(workspace).items()}
        return to_sites(series, stations, gas, self.step, f"fluxnet_ch4, {self.path}")

    def _files(self, workspace: Workspace) -> dict[str, Path]:
        """Site id to its file."""
        code = FORMS[self.frequency][2]
        folder = workspace.resolve(self.path)
        pattern = f"{self.path.rstrip('/')}/FLX_*_{code}_*.csv" if folder.is_dir() else self.path
        files: dict[str, Path] = {}
        for path in workspace.matches(pattern):
            parts = path.name.split("_")
            if len(parts) < 4 or parts[0] != "FLX" or code not in parts:
                continue
            if parts[1] in files:
                raise InputError(
                    f"site {parts[1]} has two files",
                    where=f"fluxnet_ch4, {self.path}",
                    expected="one",
                    found=f"{files[parts[1]].name}, {path.name}",
                )
            files[parts[1]] = path
        if not files:
            raise InputError(
                f"no {self.frequency} site files",
                where=f"fluxnet_ch4, {self.path}",
                expected=f"FLX_<site>_FLUXNET-CH4_{code}_<years>_<version>.csv",
                found="none",
            )
        return files

    def _series(self, path: Path, gas: Gas) -> pd.DataFrame:
        """Flux [kg m-2 s-1], coverage and drivers of one tower by step."""
        column, form, _, per_day = FORMS[self.frequency]
        table = read_csv(path)
        require(table, (column, gas.tower_column), path)
        table.index = _times(table[column], form, path)
        flux = numbers(table[gas.tower_column], path)
        flux = flux * gas.kg_per_nmol * gas.tower_unit
        native = pd.DataFrame({"flux": flux} | _drivers(table, per_day, path))
        bins = native.groupby(by_step(native, self.step))
        expected = _expected(pd.DatetimeIndex(bins.size().index), self.step) * per_day
        measured = bins.count().div(expected, axis=0)
        means = bins.mean().where(measured >= self.min_coverage)
        return means.assign(coverage=measured["flux"].clip(upper=1.0))


def _times(stamps: pd.Series, form: str, path: Path) -> pd.DatetimeIndex:
    try:
        times = pd.DatetimeIndex(pd.to_datetime(stamps.astype(str), format=form))
    except ValueError as error:
        raise InputError(
            "a time stamp cannot be read", where=path, expected=form, found=str(error)[:120]
        ) from error
    if not times.is_unique:
        raise InputError(
            "a time stamp stands twice", where=path, found=str(times[times.duplicated()][0])
        )
    return times


def _drivers(table: pd.DataFrame, per_day: int, path: Path) -> dict[str, pd.Series]:
    """Meteorology in our units, measured where it was and gap-filled elsewhere; impossible values are missing."""
    found: dict[str, pd.Series] = {}
    for name, (columns, factor, offset) in DRIVERS.items():
        present = [numbers(table[c], path) for c in columns if c in table]
        if not present:
            continue
        best = present[0]
        for other in present[1:]:
            best = best.fillna(other)
        scale = factor * per_day if name == "pr" else factor
        values = best * scale + offset
        low, high = VARIABLES[name].valid_range
        found[name] = values.where((values >= low) & (values <= high))
    return found


def _expected(first_days: pd.DatetimeIndex, step: Step) -> pd.Series:
    """Days of each step."""
    days = first_days.days_in_month if step == "month" else np.full(len(first_days), 7)
    return pd.Series(np.asarray(days, np.float64), index=first_days)

"""What every source of drivers can do: say what it holds, read it in our names and units, bring it to a grid.

A source is the object that a line of the recipe decodes into. Nothing above this package knows a file name, a native
variable or a native unit.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd
import xarray as xr
from pydantic import BaseModel, ConfigDict

from ch4grid.drivers.units import named
from ch4grid.grid import Grid
from ch4grid.regridding import conservative
from ch4grid.stores import Workspace
from ch4grid.vocabulary import STATIC, VARIABLES

# How well a month of a variable is held. `final` and `preliminary` come from files of that month, `climatology` from
# the stated rule of a series that ended before it; `missing` has no file and `damaged` one that cannot be read.
State = Literal["final", "preliminary", "climatology", "missing", "damaged"]

# Cells of a product are areas on the ellipsoid, and so are the overlaps with them.
FIGURE: Literal["wgs84"] = "wgs84"

# Smallest valid area fraction of a cell that still gives a value; below half of the cell it is marked as filled.
LEAST_VALID = 0.05


@dataclass(frozen=True)
class Holding:
    """What is held of one variable in one month.

    Args:
        source: Kind of the source, `era5`.
        variable: Vocabulary name.
        month: First day of the month; None for what does not change.
        state: How well it is held.
        files: Files that it is read from; the damaged ones when `damaged`.
        reason: Why it is missing, damaged or preliminary, in words.
    """

    source: str
    variable: str
    month: pd.Timestamp | None
    state: State
    files: tuple[Path, ...] = ()
    reason: str = ""


class OnGrid(NamedTuple):
    """Variables on the product grid, and the area fraction of each cell that their values rest on [1]."""

    values: xr.Dataset
    valid: xr.Dataset


class Source(BaseModel, ABC):
    """A source of drivers; subclasses make `source` a literal and add `variables`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    source: str

    @abstractmethod
    def survey(self, workspace: Workspace, wanted: pd.DatetimeIndex) -> list[Holding]:
        """What is held of every variable in every month wanted, and of every static variable once.

        It reads headers only, remembers them, and does not raise for a file that is missing or damaged: it says so.
        """

    @abstractmethod
    def open(
        self, workspace: Workspace, names: Sequence[str], wanted: pd.DatetimeIndex
    ) -> xr.Dataset:
        """Variables that change, for exactly these months (time, latitude, longitude), in our names and units.

        Args:
            workspace: Where relative paths start.
            names: Vocabulary names, all held in all of the months.
            wanted: First days of months.

        Raises:
            InputError: A file cannot be read, or a unit or value is wrong.
        """

    @abstractmethod
    def statics(self, workspace: Workspace) -> xr.Dataset:
        """Variables that do not change (latitude, longitude), in our names and units; an empty Dataset if none."""

    def on_grid(
        self, workspace: Workspace, names: Sequence[str], wanted: pd.DatetimeIndex, grid: Grid
    ) -> OnGrid:
        """As `open`, as area means on a grid; sources off latitude and longitude override it.

        Raises:
            InputError: A file cannot be read, or a unit or value is wrong.
        """
        return regridded(self.open(workspace, names, wanted), grid)

    def statics_on_grid(self, workspace: Workspace, grid: Grid) -> OnGrid:
        """As `statics`, as area means on a grid; sources off latitude and longitude override it.

        Raises:
            InputError: A file cannot be read, or a unit or value is wrong.
        """
        return regridded(self.statics(workspace), grid)


def regridded(native: xr.Dataset, grid: Grid) -> OnGrid:
    """A native Dataset on the grid; area layers count as zero where missing, so that coasts conserve their area."""
    import dask

    values, valid = xr.Dataset(), xr.Dataset()
    for name, field in native.data_vars.items():
        area = name in STATIC and str(name).endswith("_fraction")
        field = field.fillna(0.0) if area else field
        mean, share = conservative(field, grid, LEAST_VALID, figure=FIGURE)
        values[name], valid[name] = named(mean, VARIABLES[str(name)]), share
    # both at once, so that lazy input is read once; in one thread, because HDF4 knows no other
    return OnGrid(*dask.compute(values, valid, scheduler="synchronous"))

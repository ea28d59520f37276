"""What maps of fine pixels have in common: they do not change, and they are read onto a grid, never as they are."""

from collections.abc import Sequence

import pandas as pd
import xarray as xr

from ch4grid.drivers.source import Source
from ch4grid.errors import InputError
from ch4grid.stores import Workspace


class FineMaps(Source):
    """A source of static maps with pixels of 10 m to 1 km; subclasses give `survey` and `statics_on_grid`."""

    def open(
        self, workspace: Workspace, names: Sequence[str], wanted: pd.DatetimeIndex
    ) -> xr.Dataset:
        """Nothing: the layers do not change."""
        return xr.Dataset()

    def statics(self, workspace: Workspace) -> xr.Dataset:
        """Refused: the pixels of the globe do not fit in memory.

        Raises:
            InputError: Always.
        """
        raise InputError(
            f"maps of the source {self.source!r} are read onto a grid, not as they are",
            where=self.source,
            expected="`statics_on_grid`",
            found="`statics`",
        )

"""Towers of the twin: their tables are written where absent, then read back as any compiled table would be."""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ch4grid.stores import Workspace
from ch4grid.twin import Twin, tower_files
from ch4grid.vocabulary import FLUX_UNITS, GASES, Gas, months


class TwinTowers(BaseModel):
    """Flux towers of a synthetic Earth.

    Args:
        seed: Seed of the planet.
        resolution: Size of its native cells [degrees].
        towers: Number of towers.
        period: First and last year measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    source: Literal["twin"] = "twin"
    seed: int = Field(default=1, ge=0)
    resolution: float = Field(default=2.0, gt=0)
    towers: int = Field(default=40, ge=14)
    period: tuple[int, int] = Field(default=(2001, 2004), strict=False)

    @model_validator(mode="after")
    def _simulated(self) -> "TwinTowers":
        first, last = self.period
        if not self.twin.first_year <= first <= last <= self.twin.last_year:
            raise ValueError(
                f"period must lie within {self.twin.first_year} to {self.twin.last_year}, found {first} to {last}"
            )
        return self

    @property
    def twin(self) -> Twin:
        """The planet."""
        return Twin(seed=self.seed, resolution=self.resolution, towers=self.towers)

    def inputs(self, workspace: Workspace, gas: Gas = GASES["ch4"]) -> list[Path]:
        """The tables of towers and of their measurements of a gas; absent ones are written.

        Raises:
            RunError: A file cannot be written.
        """
        return tower_files(self.twin, workspace, *self.period, gas.name)

    def open(self, workspace: Workspace, gas: Gas) -> xr.Dataset:
        """Monthly flux (site, time) [kg m-2 s-1], NaN where not measured, and its coverage [1], without clusters.

        Raises:
            RunError: A file cannot be written.
        """
        stations, series = self.inputs(workspace, gas)
        sites = pd.read_csv(stations, dtype={"site": str, "ecosystem": str})
        table = pd.read_csv(series, parse_dates=["month"])
        flux, coverage = (
            self._matrix(table, sites["site"], n) for n in (gas.tower_column, "coverage")
        )
        units, dims = (
            {"units": FLUX_UNITS, "long_name": f"surface {gas.long_name} flux"},
            ("site", "time"),
        )
        share = {"units": "1", "long_name": "measured fraction of the month"}
        place = {n: ("site", sites[n].to_numpy()) for n in ("latitude", "longitude")}
        return xr.Dataset(
            {
                gas.flux: (dims, flux * gas.tower_unit * gas.kg_per_nmol, units),
                f"{gas.flux}_coverage": (dims, coverage, share),
            },
            coords=place
            | {
                "site": sites["site"].to_numpy(dtype=object).astype(str),
                "time": months(*self.period),
                "ecosystem": ("site", sites["ecosystem"].to_numpy(dtype=object).astype(str)),
            },
            attrs={"step": "month"},
        )

    def _matrix(self, table: pd.DataFrame, sites: pd.Series, name: str) -> np.ndarray:
        """A column of the table as (site, time), in the order of the site table."""
        wide = table.pivot(index="site", columns="month", values=name)
        matrix: np.ndarray = wide.reindex(index=sites, columns=months(*self.period)).to_numpy(float)
        return matrix

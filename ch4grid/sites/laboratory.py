"""Towers of the twin's laboratory: as many of each class as a method needs, with the drivers at their places."""

from pathlib import Path
from typing import Literal

import xarray as xr
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ch4grid.stores import Workspace
from ch4grid.twin import Twin, laboratory
from ch4grid.vocabulary import ECOSYSTEMS, GASES, Gas


class TwinLaboratory(BaseModel):
    """A network that no planet has: the same number of towers for every class, all years, drivers measured exactly.

    It shows what a method can find when there are enough towers. Nothing is read from disk.

    Args:
        seed: Seed of the planet.
        towers: Towers per class.
        ecosystems: Classes measured; all of them when empty.
        period: First and last year measured.
        gradient: Whether the towers of a class stand on a ladder from no to the most urban cell.
        urban_reversal: Whether effects of temperature and wind change sign along that ladder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    source: Literal["twin-laboratory"] = "twin-laboratory"
    seed: int = Field(default=1, ge=0)
    towers: int = Field(default=12, ge=2, le=60)
    ecosystems: tuple[str, ...] = Field(default=(), strict=False)
    period: tuple[int, int] = Field(default=(1999, 2008), strict=False)
    gradient: bool = False
    urban_reversal: bool = True

    @field_validator("ecosystems")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(names) - set(ECOSYSTEMS))
        if unknown:
            raise ValueError(
                f"no such class: {', '.join(unknown)}; known are {', '.join(ECOSYSTEMS)}"
            )
        return names

    @model_validator(mode="after")
    def _ordered(self) -> "TwinLaboratory":
        if self.period[0] > self.period[1]:
            raise ValueError(f"period ends ({self.period[1]}) before it begins ({self.period[0]})")
        return self

    @property
    def twin(self) -> Twin:
        """The planet, simulated over the period."""
        return Twin(
            seed=self.seed,
            first_year=self.period[0],
            last_year=self.period[1],
            urban_reversal=self.urban_reversal,
        )

    def inputs(self, workspace: Workspace, gas: Gas = GASES["ch4"]) -> list[Path]:
        """No file: the planet is its settings."""
        return []

    def open(self, workspace: Workspace, gas: Gas) -> xr.Dataset:
        """Flux [kg m-2 s-1], coverage [1], drivers (site, time) and statics (site), without clusters."""
        samples = laboratory(
            self.twin,
            ecosystems=self.ecosystems or ECOSYSTEMS,
            towers=self.towers,
            gradient=self.gradient,
            gas=gas.name,
        )
        return samples.drop_vars("cluster")

"""A scenario that adds a constant to drivers, everything else equal.

Only the named drivers change: a warmer scenario does not become drier by itself, because no structural model updates
the descendants here. The product of such a scenario says so in its attributes.
"""

import xarray as xr
from pydantic import BaseModel, ConfigDict, Field, field_validator

from ch4grid.errors import RecipeError
from ch4grid.vocabulary import DYNAMIC


class Scenario(BaseModel):
    """What is added to drivers, by name, in their units; nothing for `historical`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    add: dict[str, float] = Field(default_factory=dict)

    @field_validator("add")
    @classmethod
    def _drivers(cls, value: dict[str, float]) -> dict[str, float]:
        unknown = sorted(set(value) - set(DYNAMIC))
        if unknown:
            raise ValueError(f"{', '.join(unknown)} is no monthly driver of the vocabulary")
        return value


def apply(drivers: xr.Dataset, scenario: Scenario) -> xr.Dataset:
    """DRIVERS under a scenario.

    Args:
        drivers: DRIVERS (time, latitude, longitude).
        scenario: What is added.

    Raises:
        RecipeError: The scenario names a driver that the recipe does not have.
    """
    absent = sorted(set(scenario.add) - set(map(str, drivers.data_vars)))
    if absent:
        raise RecipeError(
            "the scenario changes drivers that the recipe does not have",
            where="scenarios.*.add",
            expected=f"one of {', '.join(sorted(map(str, drivers.data_vars)))}",
            found=", ".join(absent),
        )
    shifted = {
        n: (drivers[n] + step).assign_attrs(drivers[n].attrs) for n, step in scenario.add.items()
    }
    return drivers.assign(shifted)

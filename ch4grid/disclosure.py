"""What a product must say of itself: what it must not be used for, and of a scenario what was changed and left out."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from ch4grid import budgets, catalog, cube, ledger, pages
from ch4grid.recipe import Recipe
from ch4grid.scenarios import STRUCTURAL, followers, response_in_words
from ch4grid.totals import LEVEL

if TYPE_CHECKING:
    from ch4grid.models import Checkpoint

# The scenario that others are compared with.
HISTORY = "historical"
# What no scenario shows, one sentence each.
SCENARIO_LIMITS = (
    "It is the answer of a statistical model to changed inputs, consistent with the towers, and no forecast.",
    "The change is lasting and the same in every month; how the world gets there is not part of it.",
    "Climate normals, soils and cities stay as they were: ecosystems do not move or adapt.",
    "New wetland emits like the wetland that the cell has, drained land like its upland, both at once.",
    "Cells that the change takes out of what the towers cover are left out: totals of the two cubes do not compare, "
    "the paired difference over the cells that both have does.",
)
# What besides no scenario shows by the way in which the flux answers changed drivers.
RESPONSE_LIMITS = {
    "structural": "The flux equations are straight lines in asinh space, fitted to departures from the mean year: a "
    "lasting change is taken to act like a passing one, and a driver with little chance in the causal graph does "
    "nothing. The interval holds what is not known of these equations, not of those among drivers.",
    "model": "The model is fitted to predict and may read one cause through another that moves with it, so it can "
    "answer the change of a single driver too weakly.",
}
# What a product of a gas must not be used for besides.
GAS_LIMITS: dict[str, tuple[str, ...]] = {
    "ch4": (
        "Upland fluxes are of the size of the measurement noise; do not read single upland cells.",
        "Urban fluxes overlap with the waste and gas sectors of inventories; do not add them up.",
    ),
    "co2": (
        "The flux is net ecosystem exchange: totals are small differences of uptake and respiration, and fire, harvest "
        "and rivers are not in them.",
        "Urban fluxes overlap with the fossil fuel sectors of inventories; do not add them up.",
    ),
    "n2o": (
        "The flux comes in pulses: which month has one is hardly foreseen, so do not read single cell-months. A total "
        "rests on the few towers of the classes that carry it; on twins it was 0.8 to 1.3 times the truth.",
        "Urban and paddy fluxes overlap with the sectors of inventories; do not add them up.",
    ),
}


def left_out(store: Path) -> tuple[str, ...]:
    """What a scenario's store leaves out because it leaves the training, one line by year."""
    with catalog.open_store(store) as product:
        told = json.loads(product.attrs.get(cube.OUTSIDE_TRAINING, "{}"))
    return tuple(
        f"{year}: {found['cell_months']:.1%} of the cell-months left out, outside the training under the scenario"
        + (
            f", with {found['historical_emission']:.1%} of the historical exchange"
            if found["historical_emission"] is not None
            else ""
        )
        for year, found in sorted(told.items())
    )


def paired(store: Path, recipe: Recipe) -> pd.DataFrame | None:
    """The paired difference of a scenario to history beside it; None for history, or where no year is in both."""
    past = store.with_name(f"{HISTORY}.zarr")
    if past == store or not (past / "zarr.json").is_file():
        return None
    with catalog.open_store(store) as new, catalog.open_store(past) as old:
        return budgets.paired_difference(new, old, recipe.gas_row, LEVEL)


def without_history(store: Path) -> tuple[int, ...]:
    """Years of a scenario that the historical product beside it lacks."""
    past = set(ledger.published_years(store.with_name(f"{HISTORY}.zarr")))
    return tuple(year for year in ledger.published_years(store) if year not in past)


def scenario_attributes(recipe: Recipe, name: str, checkpoint: "Checkpoint") -> dict[str, str]:
    """Attributes of a scenario's store: what was changed and what follows from it; none for history."""
    scenario = recipe.scenarios[name]
    if not scenario.changes:
        return {}
    return {
        "scenario_changes": "; ".join(scenario.in_words()),
        "scenario_consequences": _consequences(recipe, name, checkpoint),
        "scenario_response": response_in_words(scenario, checkpoint.structure, checkpoint.drivers),
    }


def _consequences(recipe: Recipe, name: str, checkpoint: "Checkpoint") -> str:
    """What follows from a scenario's change of drivers, in a sentence."""
    scenario = recipe.scenarios[name]
    if not scenario.propagate or checkpoint.structure is None:
        return "All other drivers are those of history: nothing follows from the change."
    names = followers(checkpoint.drivers, scenario, checkpoint.structure)
    return (
        f"By the structural model of the towers' weather, for good: {', '.join(names)} follow."
        if names
        else "The structural model knows no driver that follows from the change."
    )


def change_of(recipe: Recipe, product: xr.Dataset, store: Path) -> pages.Change | None:
    """What the page of a scenario says besides; None for history."""
    name = store.stem
    scenario = recipe.scenarios[name]
    if not scenario.changes:
        return None
    told = json.loads(product.attrs.get(cube.OUTSIDE_TRAINING, "{}"))
    found = paired(store, recipe)
    response = str(product.attrs["scenario_response"])
    by = "structural" if STRUCTURAL in response else "model"
    return pages.Change(
        changed=scenario.in_words(),
        follows=str(product.attrs["scenario_consequences"]),
        response=response,
        left_out={int(y): v for y, v in told.items()},
        difference=found,
        limits=(
            *SCENARIO_LIMITS,
            *([RESPONSE_LIMITS[by]] if scenario.forced else []),
        ),
    )


def limits(recipe: Recipe, product: xr.Dataset) -> tuple[str, ...]:
    """What the product must not be used for, one sentence each, with the figures of this product."""
    flags = product["quality_flag"].isel(time=slice(-12, None)).load()
    meanings = str(flags.attrs["flag_meanings"]).split()
    outside = int(
        np.atleast_1d(flags.attrs["flag_values"])[meanings.index("outside_applicability")]
    )
    area = product["cell_area"] * product["land_fraction"]
    share = float(((flags == outside) * area).sum() / (area.sum() * flags.sizes["time"]))
    return (
        f"{share:.0%} of the land area lies outside the conditions that the towers cover (flag outside_applicability).",
        *GAS_LIMITS[recipe.gas],
        "Attention weights are no effects, and nothing here is a causal claim about a single place.",
    )

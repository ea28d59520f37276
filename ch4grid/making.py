"""The commands `plan` and `run`: what would be made, and making it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ch4grid.arguments import (
    AsJson,
    Cluster,
    Data,
    Device,
    MemoryLimit,
    Output,
    RecipeFile,
    ScenarioName,
    Years,
    workspace,
)
from ch4grid.console import say
from ch4grid.errors import InputError, RecipeError
from ch4grid.progress import reporting

if TYPE_CHECKING:
    from ch4grid.planning.saved import SavedPlan

HISTORY = "historical"


def plan(
    recipe: RecipeFile,
    year: Years = None,
    scenario: ScenarioName = HISTORY,
    output: Output = Path("products"),
    data: Data = Path(),
    cluster: Cluster = "local",
    memory_limit: MemoryLimit = "",
    save: Annotated[
        Path | None, typer.Option("--save", help="Write the plan to this file, for `run --plan`.")
    ] = None,
    map_file: Annotated[
        Path | None, typer.Option("--map", help="Draw its write regions into this GeoJSON file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what would run and why: tasks, bytes, memory, time, missing inputs. Computes nothing."""
    from ch4grid.cluster import processes
    from ch4grid.planning import memory, saved, tilemap
    from ch4grid.planning import plan as make_plan
    from ch4grid.recipe import load

    loaded, here = load(recipe), processes(cluster)
    made = make_plan(loaded, workspace(data, output), years=year, scenario=scenario)
    held = memory.footprint(made, here, memory_limit)
    if as_json:
        say(json.dumps(made.as_dict() | {"memory": held.as_dict()}, indent=2))
    else:
        say(made.in_words() if made.complete else f"{made.in_words()}\n{held.in_words()}")
    if map_file is not None:
        tilemap.write(made, loaded.product_grid, map_file)
    if made.missing:
        raise InputError(
            f"{len(made.missing)} input(s) are missing",
            where=recipe,
            found=made.missing[0],
            fix="See the plan above",
        )
    memory.refuse_above(held)
    if save is not None:
        saved.save(made, save)


def run(
    recipe: RecipeFile,
    year: Years = None,
    scenario: ScenarioName = HISTORY,
    output: Output = Path("products"),
    data: Data = Path(),
    cluster: Cluster = "local",
    device: Device = "auto",
    memory_limit: MemoryLimit = "",
    plan_file: Annotated[
        Path | None,
        typer.Option("--plan", help="Run this saved plan; refuse if recipe or inputs moved since."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make the product of a recipe, or add years to it, and publish them in the catalog."""
    from ch4grid.planning import saved
    from ch4grid.recipe import load
    from ch4grid.running import run as run_recipe

    agreed = None if plan_file is None else saved.read(plan_file)
    if agreed is not None:
        _refuse_other(agreed, year, scenario)
        year, scenario = list(agreed.years), agreed.scenario
    loaded = load(recipe)
    with reporting() as report:
        done = run_recipe(
            loaded,
            workspace(data, output),
            years=year,
            scenario=scenario,
            cluster=cluster,
            device=device,
            memory_limit=memory_limit,
            agreed=agreed,
            report=report,
        )
    say(json.dumps(done.as_dict(), indent=2) if as_json else done.in_words())


def _refuse_other(agreed: "SavedPlan", years: list[int] | None, scenario: str) -> None:
    """Refuse years or a scenario beside a saved plan, which names its own."""
    if years is not None and sorted(set(years)) != list(agreed.years):
        raise RecipeError(
            "the saved plan is about other years",
            where="--year",
            expected=", ".join(map(str, agreed.years)),
            found=", ".join(map(str, years)),
            fix="Leave --year out, or save a plan of these years",
        )
    if scenario not in (HISTORY, agreed.scenario):
        raise RecipeError(
            "the saved plan is about another scenario",
            where="--scenario",
            expected=agreed.scenario,
            found=scenario,
            fix="Leave --scenario out, or save a plan of this scenario",
        )

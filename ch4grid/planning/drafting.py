"""Making the plan: what is there, what is owed, and what that costs. It computes no flux and fits nothing."""

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ch4grid import catalog, cube
from ch4grid.assembly import Assembly
from ch4grid.errors import InputError, RecipeError
from ch4grid.metering import Meter
from ch4grid.planning import listing, measurements
from ch4grid.planning.costs import Costs, Rates, Shape
from ch4grid.planning.document import Plan, YearPlan
from ch4grid.planning.identity import (
    inputs_of,
    is_checkpoint,
    model_digest,
    model_of,
    parts_of,
    recipe_digests,
    regions_of,
)
from ch4grid.planning.measurements import Measurement
from ch4grid.planning.regions import Regions
from ch4grid.planning.tasks import COPY, PREDICT, Task, by_stage, label
from ch4grid.recipe import Recipe
from ch4grid.stores import Workspace, product_store, sha256_json
from ch4grid.vocabulary import DYNAMIC


def plan(
    recipe: Recipe,
    workspace: Workspace,
    *,
    years: list[int] | None = None,
    scenario: str = "historical",
) -> Plan:
    """What `run` with the same arguments would do.

    Args:
        recipe: The recipe.
        workspace: Its folders.
        years: Years asked for; the recipe's period when None.
        scenario: A scenario of the recipe.

    Raises:
        RecipeError: The recipe has no such scenario, or no driver that it changes.
    """
    _refuse_scenario(recipe, scenario)
    wanted = sorted(set(years or recipe.years))
    assembly = Assembly(recipe, workspace)
    files, missing = inputs_of(assembly, wanted)
    inputs = {year: cube.fingerprint(told) for year, told in files.items()}
    model, trained, problems = model_of(recipe, workspace, assembly)
    regions, added, lacking = regions_of(assembly)
    parts = parts_of(recipe, scenario, model_digest(recipe, model)) | regions
    decision = cube.next_version(
        workspace.output, recipe.product, cube.Identity(scenario, parts, inputs)
    )
    store = product_store(workspace.output, recipe.product, decision.version, scenario)
    listed = catalog.published_years(workspace.catalog, recipe.product, decision.version, scenario)
    planned = tuple(
        _year(y, y in decision.years, y in listed) for y in sorted({*inputs, *decision.years})
    )
    inner = Regions(recipe, workspace, store, parts, files)
    shape = shape_of(recipe, model, added)
    rates = measurements.rates(measurements.read(workspace), shape, areas_key(parts))
    costs = Costs(shape, rates)
    return Plan(
        product=recipe.product,
        version=decision.version,
        version_reason=decision.reason,
        previous=decision.previous,
        scenario=scenario,
        store=store,
        model=model,
        trained=trained,
        years=planned,
        tasks=tuple(
            costs.of(task)
            for task in (
                *listing.inputs(assembly, planned, trained),
                *listing.fits(recipe, planned, trained),
                *inner.tasks(planned, decision),
                *listing.publications(planned),
            )
        ),
        learned=dict(rates.runs),
        missing=tuple(dict.fromkeys(missing + problems + lacking)),
        doubts=tuple(dict.fromkeys(d for y in wanted for d in assembly.doubts(y))),
        parts=parts,
        recipe=recipe_digests(recipe),
        inputs=inputs,
        files=_files(assembly, files),
        shape=shape,
    )


def account(todo: Plan, meter: Meter) -> Measurement:
    """What a run took, beside what its plan and the formulas alone had said.

    The formulas are given the pairs that were counted, so that their ratio does not depend on what was known of them.

    Args:
        todo: The plan that was run.
        meter: What was measured.
    """
    formulas = Costs(todo.shape, Rates(pairs=meter.of(PREDICT).pairs))
    tasks = [_as_done(task, meter) for task in todo.tasks]
    return measurements.measurement(
        todo.product,
        todo.shape,
        areas_key(todo.parts),
        meter,
        computed=by_stage([formulas.of(task) for task in tasks]),
        predicted=by_stage(tasks),
    )


def _as_done(task: Task, meter: Meter) -> Task:
    """A task under the stage that did it: a region may turn out to be copied, or to need computing after all."""
    if task.tile is None or task.year is None or not task.owed:
        return task
    copied = (task.year, label(task.tile)) in meter.of(COPY).regions
    return replace(task, stage=COPY if copied else PREDICT)


def shape_of(recipe: Recipe, model: Path, regions: int) -> Shape:
    """The sizes of a recipe that costs grow with.

    Args:
        recipe: The recipe.
        model: Folder of its checkpoint, there or not.
        regions: Number of regions that it adds.
    """
    rows, columns = recipe.product_grid.shape
    return Shape(
        cells=rows * columns,
        members=recipe.members,
        drivers=len(recipe.driver_names),
        spin_up=recipe.spin_up,
        architecture=_architecture(recipe, model),
        sources=",".join(sorted(str(s.source) for s in recipe.drivers)),
        regions=regions,
    )


def areas_key(parts: dict[str, str]) -> str:
    """Digest of what the (cell, class) pairs of a region depend on, years and scenarios apart."""
    return sha256_json([parts["grid"], parts["ecosystems"]])[:16]


def _architecture(recipe: Recipe, model: Path) -> str:
    if recipe.learner is not None:
        return str(getattr(recipe.learner, "architecture", ""))
    if not is_checkpoint(model):
        return ""
    config = json.loads((model / "checkpoint.json").read_bytes()).get("config", {})
    return str(config.get("architecture", ""))


def _files(assembly: Assembly, files: dict[int, dict[str, str]]) -> dict[str, str]:
    """Every input file with its digest: those of the years, and those that the model is learnt from."""
    found = {path: digest for told in files.values() for path, digest in told.items()}
    training = assembly.recipe.training
    if assembly.recipe.learner is not None and training is not None:
        learnt, _ = inputs_of(assembly, list(range(training.period[0], training.period[1] + 1)))
        for told in learnt.values():
            found |= told
        with suppress(InputError):  # the plan lists it among what is missing
            found |= assembly.tower_inputs()
    return dict(sorted(found.items()))


def _refuse_scenario(recipe: Recipe, scenario: str) -> None:
    if scenario not in recipe.scenarios:
        raise RecipeError(
            "unknown scenario",
            where="--scenario",
            expected=", ".join(recipe.scenarios),
            found=scenario,
        )
    absent = sorted(set(recipe.scenarios[scenario].forced) - set(recipe.driver_names))
    if absent:
        raise RecipeError(
            "the scenario changes drivers that the recipe does not have",
            where=f"scenarios.{scenario}",
            expected=f"some of {', '.join(n for n in recipe.driver_names if n in DYNAMIC)}",
            found=", ".join(absent),
        )


def _year(year: int, owed: bool, listed: bool) -> YearPlan:
    if owed:
        return YearPlan(year, "make", "not in the ledger of this version")
    if not listed:
        return YearPlan(year, "publish", "in the store, not yet in the catalog")
    return YearPlan(year, "done", "published from the same inputs")

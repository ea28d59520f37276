"""Making a product: fit the model if it is not there, predict and write regions on workers, publish whole years.

This is where torch is loaded; planning and a run that has nothing to do stay clear of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from ch4grid import budgets, cube, disclosure, extents, ledger, publication, training
from ch4grid.assembly import Assembly
from ch4grid.cluster import Workers
from ch4grid.drivers.cube import Mapper
from ch4grid.errors import Ch4gridError, RecipeError, RunError
from ch4grid.grid import Grid
from ch4grid.inference import (
    CheckpointPlugin,
    Region,
    count_clipped,
    equations,
    loaded,
    predict_region,
    region_of,
    source_digest,
)
from ch4grid.metering import Written
from ch4grid.models import Checkpoint
from ch4grid.planning import Plan
from ch4grid.planning.tasks import AREAS, COPY, FIT, PREDICT, PUBLISH, READ, corners, label
from ch4grid.recipe import Recipe
from ch4grid.scenarios import able, apply_areas
from ch4grid.stores import folder_bytes, product_store
from ch4grid.vocabulary import Gas


@dataclass(frozen=True)
class Job:
    """One region and year, as it travels to a worker: paths and numbers only; `previous` is the version before."""

    store: Path
    checkpoint: Path
    region: Region
    year: int
    gas: Gas
    device: str
    previous: Path | None = None


def reading(workers: Workers) -> Mapper:
    """The mapper of an assembly: a map over workers that counts the stored bytes of driver months."""

    def mapped(stage: str, function: Callable[[Any], Any], jobs: Sequence[Any]) -> list[Any]:
        made = workers.map(stage, function, jobs)
        workers.meter.of(READ).bytes += sum(row.bytes for rows in made for row in rows)
        return made

    return mapped


def trained(assembly: Assembly, todo: Plan, workers: Workers) -> Path:
    """The folder of the checkpoint, fitted now unless it is there."""
    if todo.trained:
        return todo.model
    with workers.meter.stage(FIT) as spent:
        _fit(assembly, todo, workers)
        spent.bytes += folder_bytes(todo.model)
    return todo.model


def _fit(assembly: Assembly, todo: Plan, workers: Workers) -> None:
    recipe = assembly.recipe
    samples, training_settings = assembly.samples(), recipe.training
    learner = recipe.learner
    if training_settings is None or learner is None:
        raise RecipeError("the recipe does not train a model", where="model", found=recipe.model)
    checkpoint = training.fit(
        samples,
        assembly.series(samples),
        gas=recipe.gas_row,
        model=learner,
        members=recipe.members,
        discovery=recipe.discovery.settings,
        folds=training_settings.folds,
        fold_members=training_settings.fold_members,
        seed=training_settings.seed,
        mapper=lambda function, tasks: workers.map(
            function.__name__.replace("_", " "), function, tasks
        ),
        neighbour_distances=assembly.neighbour_distances(samples),
        simulation=assembly.simulation(samples),
    )
    checkpoint.save(todo.model)


def make(
    assembly: Assembly, todo: Plan, folder: Path, workers: Workers, device: str
) -> tuple[cube.Failure, ...]:
    """Predict and write every region of the years to make; a year is published in the store when it is whole.

    Returns:
        Regions whose computation raised: they are in quarantine. Years before the first of them are published; later
        ones wait for it, because the time axis of a reader would run through it.
    """
    years = [y.year for y in todo.years if y.action == "make"]
    if not years:
        return ()
    recipe, checkpoint = assembly.recipe, Checkpoint.load(folder)
    grid = recipe.product_grid
    scenario = recipe.scenarios[todo.scenario]
    if scenario.propagate:
        able(checkpoint.structure, scenario, checkpoint.meta.get("structure", ""))
    equations(checkpoint, scenario)
    with workers.meter.stage(AREAS) as spent:
        _begin(assembly, todo, checkpoint, years)
        regions = {
            year: region_of(
                assembly,
                year,
                scenario,
                spin_up=recipe.spin_up,
                period=recipe.normals_period,
                resolution=grid.resolution,
            )
            for year in years
        }
        spent.bytes += sum(
            folder_bytes(assembly.areas_folder(t.year))
            for t in todo.tasks
            if t.stage == AREAS and t.owed and t.year in regions
        )
    workers.plug(CheckpointPlugin(folder))
    previous = _previous(assembly, todo)
    jobs = [
        Job(todo.store, folder, regions[year].at(tile), year, recipe.gas_row, device, previous)
        for year in years
        for tile in grid.tiles()
        if cube.staged(todo.store, year, tile) is None
    ]
    _predict(_carried(jobs, workers) if previous is not None else jobs, workers)
    failed = tuple(f for f in cube.failures(todo.store) if f.year in years)
    whole = [year for year in years if all(year < f.year for f in failed)]
    with workers.meter.stage(PUBLISH):
        for number, year in enumerate(whole, start=1):
            cube.finish(todo.store, year, _told(folder, regions[year], grid, workers))
            workers.report("verify and publish years", number, len(whole))
    return failed


def _previous(assembly: Assembly, todo: Plan) -> Path | None:
    """The store of the version that is replaced, where it has the scenario."""
    if todo.previous is None:
        return None
    recipe, output = assembly.recipe, assembly.workspace.output
    store = product_store(output, recipe.product, todo.previous, todo.scenario)
    return store if ledger.published_years(store) else None


def _carried(jobs: Sequence[Job], workers: Workers) -> list[Job]:
    """Copy the regions that the version before has from the same values; those that are left to predict."""
    found = workers.map(COPY, carry_region, jobs)
    copied = workers.meter.of(COPY)
    for job, done in zip(jobs, found, strict=True):
        if done is not None:
            copied.bytes += done
            copied.regions.add((job.year, label(corners(job.region.tile))))
    return [job for job, done in zip(jobs, found, strict=True) if done is None]


def carry_region(job: Job) -> int | None:
    """One task of a worker: copy a region from the version before; its stored bytes, None where it must be computed."""
    if job.previous is None:
        return None
    source, tile = source_digest(loaded(job.checkpoint), job.region), job.region.tile
    found = cube.carry_block(job.store, job.previous, year=job.year, tile=tile, source=source)
    return None if found is None else sum(row.bytes for row in found.rows)


def _predict(jobs: Sequence[Job], workers: Workers) -> None:
    """Predict and write regions; those that cannot be computed are in quarantine afterwards."""
    written = workers.attempt(PREDICT, write_region, jobs, _quarantine)
    predicted = workers.meter.of(PREDICT)
    for job, done in zip(jobs, written, strict=True):
        if done is not None:
            predicted.bytes += done.bytes
            predicted.pairs[label(corners(job.region.tile))] = done.pairs


def _quarantine(job: Job, error: Exception) -> None:
    """Note why a region could not be computed, so that a rerun tries it again and `status` can tell."""
    reason = str(error) if isinstance(error, Ch4gridError) else f"{type(error).__name__}: {error}"
    told = " ".join(reason.split())
    cube.write_failure(job.store, cube.Failure(job.year, job.region.tile, told))


def refuse_holes(todo: Plan, failed: Sequence[cube.Failure]) -> None:
    """End a run that left regions in quarantine.

    Raises:
        RunError: There are some; the message counts them and has the first reason.
    """
    if not failed:
        return
    there = ledger.published_years(todo.store)
    years = [y.year for y in todo.years if y.action == "make" and y.year not in there]
    raise RunError(
        f"{len(failed)} region(s) could not be computed and {len(years)} year(s) are not published: "
        + ", ".join(map(str, years)),
        where=todo.store,
        expected="every region of a year, and of those before it, before it is published",
        found=f"{failed[0].place}: {failed[0].reason}",
        fix="Run again: only these regions are computed. `ch4grid status` and report.html list them",
    )


def _begin(assembly: Assembly, todo: Plan, checkpoint: Checkpoint, years: list[int]) -> None:
    """Lay out the store and take up the years to make."""
    recipe, scenario = assembly.recipe, assembly.recipe.scenarios[todo.scenario]
    areas = xr.open_zarr(assembly.areas(years[0]), consolidated=False, chunks=None).load()
    areas = areas.assign(ecosystem_fraction=apply_areas(areas["ecosystem_fraction"], scenario))
    spec = _spec(recipe, todo, checkpoint, areas)
    static = planes(areas, assembly.regions(), spec.members)
    cube.create(todo.store, spec, recipe.product_grid, static)
    pending = cube.begin(todo.store, spec, {y: todo.inputs[y] for y in years})
    cube.record_inputs(todo.store, {y: assembly.inputs(y) for y in pending}, todo.inputs)


def _told(folder: Path, region: Region, grid: Grid, workers: Workers) -> dict[str, Any]:
    """What a scenario has to tell of a year: how many land months of a driver were held in its range."""
    if not region.scenario.do and not region.scenario.propagate:
        return {}
    jobs = [(folder, region.at(tile)) for tile in grid.tiles()]
    found = workers.map("count values out of range", clipped, jobs)
    names = sorted({n for one in found for n in one})
    return {"clipped": {n: sum(one.get(n, 0) for one in found) for n in names}}


def clipped(job: tuple[Path, Region]) -> dict[str, int]:
    """One task of a worker: how many values of a region a scenario takes out of range, by driver."""
    folder, region = job
    return count_clipped(loaded(folder), region)


def write_region(job: Job) -> Written:
    """One task of a worker: predict a region and year, bring it to the product's variables, write its objects."""
    block, table = computed(job)
    source, tile = source_digest(loaded(job.checkpoint), job.region), job.region.tile
    record = cube.write_block(job.store, block, table, year=job.year, tile=tile, source=source)
    pairs = (block["ecosystem_fraction"] > 0).any("time").sum()
    return Written(sum(row.bytes for row in record.rows), int(pairs))


def computed(job: Job) -> tuple[xr.Dataset, xr.DataArray]:
    """Product variables of a region and year, and its budget (member, time, ecosystem, region) [Tg per month]."""
    flux = predict_region(loaded(job.checkpoint), job.region, gas=job.gas, device=job.device)
    grid, tile = Grid(job.region.resolution), job.region.tile
    block = cube.cell_block(flux, grid, tile, gas=job.gas)
    shares = cube.region_fraction(job.store, tile)
    return block, budgets.budget(flux, block[f"{job.gas.flux}_member"], shares, grid, tile)


def tell(assembly: Assembly, todo: Plan, folder: Path, workers: Workers) -> None:
    """Publish in the catalog the years that are in the store but not there yet."""
    there = ledger.published_years(todo.store)
    years = [y.year for y in todo.years if y.action != "done" and y.year in there]
    if not years:
        return
    catalog = assembly.workspace.catalog
    with workers.meter.stage(PUBLISH) as spent:
        before = folder_bytes(catalog)
        _tell(assembly, todo, folder, years)
        spent.bytes += max(0, folder_bytes(catalog) - before)


def _tell(assembly: Assembly, todo: Plan, folder: Path, years: Sequence[int]) -> None:
    recipe, workspace = assembly.recipe, assembly.workspace
    checkpoint = Checkpoint.load(folder)
    model = publication.publish_model(recipe, workspace, folder, checkpoint)
    difference = None
    if todo.previous is not None:
        old = workspace.output / recipe.product / f"v{todo.previous}" / todo.store.name
        if (old / "zarr.json").is_file():
            difference = cube.write_difference(old, todo.store, todo.version_reason)[0]
    publication.publish_years(
        recipe,
        workspace,
        todo.store,
        {year: assembly.area_log(year) for year in years},
        model=model,
        checkpoint=checkpoint,
        version=todo.version,
        difference=difference,
    )


def _spec(
    recipe: Recipe, todo: Plan, checkpoint: Checkpoint, areas: xr.Dataset
) -> cube.ProductSpec:
    return cube.ProductSpec(
        name=recipe.product,
        title=recipe.title,
        summary=recipe.summary or recipe.title,
        version=todo.version,
        scenario=todo.scenario,
        first_year=min(recipe.period[0], *(y.year for y in todo.years)),
        members=len(checkpoint.members),
        recipe=recipe.resolved(),
        checkpoint=checkpoint.digest,
        graph=checkpoint.graph.to_json(),
        parts=todo.parts,
        gas=recipe.gas_row,
        static_fraction="time" not in areas["ecosystem_fraction"].dims,
        attributes={budgets.INFLATION: f"{checkpoint.calibration['inflation']:.6g}"}
        | disclosure.scenario_attributes(recipe, todo.scenario, checkpoint),
        intervened=recipe.scenarios[todo.scenario].changes,
    )


def planes(areas: xr.Dataset, regions: xr.DataArray, members: int) -> xr.Dataset:
    """Static variables of the product: land, budget regions and, where they do not change in time, class fractions.

    Args:
        areas: `land_fraction` and `ecosystem_fraction` of a year, under the scenario.
        regions: Share of the cell area by region (region, latitude, longitude) [1].
        members: Number of members, over which several wetland maps are dealt.
    """
    known = areas[["land_fraction"]].assign(region_fraction=regions)
    static = "time" not in areas["ecosystem_fraction"].dims
    fraction = extents.mean_fraction(areas["ecosystem_fraction"], members)
    return known.assign(ecosystem_fraction=fraction) if static else known


def torch_device(name: str) -> str:
    """`cuda` or `cpu` for `auto`, `cpu` or `cuda`.

    Raises:
        RecipeError: There is no CUDA device although it is asked for.
    """
    import torch

    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise RecipeError(
            "no CUDA device was found", where="--device", expected="auto or cpu", found=name
        )
    return "cuda" if name != "cpu" and there else "cpu"

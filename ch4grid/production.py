"""Making a product: fit the model if it is not there, predict and write regions on workers, publish whole years.

This is where torch is loaded; planning and a run that has nothing to do stay clear of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from ch4grid import budgets, cube, extents, publication, training
from ch4grid.assembly import Assembly
from ch4grid.cluster import Workers
from ch4grid.drivers.cube import Mapper
from ch4grid.errors import RecipeError
from ch4grid.grid import Grid
from ch4grid.inference import (
    CheckpointPlugin,
    Region,
    count_clipped,
    equations,
    loaded,
    predict_region,
    region_of,
)
from ch4grid.metering import Written
from ch4grid.models import Checkpoint
from ch4grid.planning import Plan
from ch4grid.planning.tasks import AREAS, FIT, PREDICT, PUBLISH, READ, corners, label
from ch4grid.recipe import Recipe
from ch4grid.scenarios import able, apply_areas
from ch4grid.stores import folder_bytes
from ch4grid.vocabulary import Gas


@dataclass(frozen=True)
class Job:
    """One region and year, as it travels to a worker: paths and numbers only."""

    store: Path
    checkpoint: Path
    region: Region
    year: int
    gas: Gas
    device: str


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


def make(assembly: Assembly, todo: Plan, folder: Path, workers: Workers, device: str) -> None:
    """Predict and write every region of the years to make; a year is published in the store when it is whole."""
    years = [y.year for y in todo.years if y.action == "make"]
    if not years:
        return
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
    jobs = [
        Job(todo.store, folder, regions[year].at(tile), year, recipe.gas_row, device)
        for year in years
        for tile in grid.tiles()
        if cube.staged(todo.store, year, tile) is None
    ]
    written = workers.map("predict regions", write_region, jobs)
    predicted = workers.meter.of(PREDICT)
    predicted.bytes += sum(w.bytes for w in written)
    predicted.pairs |= {
        label(corners(job.region.tile)): w.pairs for job, w in zip(jobs, written, strict=True)
    }
    with workers.meter.stage(PUBLISH):
        for done, year in enumerate(years, start=1):
            cube.finish(todo.store, year, _told(folder, regions[year], grid, workers))
            workers.report("verify and publish years", done, len(years))


def _begin(assembly: Assembly, todo: Plan, checkpoint: Checkpoint, years: list[int]) -> None:
    """Lay out the store and take up the years to make."""
    recipe, scenario = assembly.recipe, assembly.recipe.scenarios[todo.scenario]
    areas = xr.open_zarr(assembly.areas(years[0]), consolidated=False, chunks=None).load()
    areas = areas.assign(ecosystem_fraction=apply_areas(areas["ecosystem_fraction"], scenario))
    spec = _spec(recipe, todo, checkpoint, areas)
    grid = recipe.product_grid
    cube.create(todo.store, spec, grid, _planes(areas, assembly.regions(), spec.members))
    cube.begin(todo.store, spec, {y: todo.inputs[y] for y in years})


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
    flux = predict_region(loaded(job.checkpoint), job.region, gas=job.gas, device=job.device)
    grid, tile = Grid(job.region.resolution), job.region.tile
    block = cube.cell_block(flux, grid, tile, gas=job.gas)
    shares = cube.region_fraction(job.store, tile)
    table = budgets.budget(flux, block[f"{job.gas.flux}_member"], shares, grid, tile)
    record = cube.write_block(job.store, block, table, year=job.year, tile=tile)
    pairs = (flux["ecosystem_fraction"] > 0).any("time").sum()
    return Written(sum(row.bytes for row in record.rows), int(pairs))


def tell(assembly: Assembly, todo: Plan, folder: Path, workers: Workers) -> None:
    """Publish in the catalog the years that are in the store but not there yet."""
    catalog = assembly.workspace.catalog
    with workers.meter.stage(PUBLISH) as spent:
        before = folder_bytes(catalog)
        _tell(assembly, todo, folder)
        spent.bytes += max(0, folder_bytes(catalog) - before)


def _tell(assembly: Assembly, todo: Plan, folder: Path) -> None:
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
        {y.year: assembly.area_log(y.year) for y in todo.years if y.action != "done"},
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
        | publication.scenario_attributes(recipe, todo.scenario, checkpoint),
        intervened=recipe.scenarios[todo.scenario].changes,
    )


def _planes(areas: xr.Dataset, regions: xr.DataArray, members: int) -> xr.Dataset:
    planes = areas[["land_fraction"]].assign(region_fraction=regions)
    static = "time" not in areas["ecosystem_fraction"].dims
    fraction = extents.mean_fraction(areas["ecosystem_fraction"], members)
    return planes.assign(ecosystem_fraction=fraction) if static else planes


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

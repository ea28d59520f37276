"""The program on one page: drivers, scenario, flux, budget, write, publish."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import xarray as xr

from ch4grid import budgets, catalog, cube, ledger, publication, training
from ch4grid.assembly import Assembly
from ch4grid.cluster import Workers, open_workers
from ch4grid.errors import InputError, RecipeError
from ch4grid.evaluation import KINDS, SplitKind, fitters
from ch4grid.evaluation import benchmark as score_models
from ch4grid.grid import Grid
from ch4grid.inference import CheckpointPlugin, Region, loaded, predict_region
from ch4grid.models import Checkpoint
from ch4grid.planning import Plan, plan
from ch4grid.progress import Report, silent
from ch4grid.recipe import ModelCheckpoint, ModelFile, Recipe
from ch4grid.stores import Workspace
from ch4grid.vocabulary import Gas

# Groups of clusters left out together by `benchmark --quick`.
QUICK_GROUPS = 4


@dataclass(frozen=True)
class Outcome:
    """What a run did: the store, the catalog, the years made now and what they amount to."""

    store: Path
    catalog: Path
    made: tuple[int, ...]
    published: tuple[int, ...]
    reason: str
    totals: dict[str, list[float]]

    def as_dict(self) -> dict[str, Any]:
        """The outcome as JSON values."""
        return {
            "store": str(self.store),
            "catalog": str(self.catalog),
            "made": list(self.made),
            "published": list(self.published),
            "reason": self.reason,
            "annual_total_tg": self.totals,
        }

    def in_words(self) -> str:
        """The outcome as lines for people."""
        done = f"made {_listed(self.made)}" if self.made else "nothing to do"
        lines = [f"{done}: {self.reason}"]
        lines += [
            f"{year}: {t[1]:.1f} Tg ({t[0]:.1f} to {t[2]:.1f})" for year, t in self.totals.items()
        ]
        lines += [
            f"store    {self.store}",
            f"open     xarray.open_zarr({str(self.store)!r})",
            f"catalog  {self.catalog / 'catalog.json'}",
            f"page     {self.catalog / 'index.html'}",
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class Trained:
    """A checkpoint and its skill on clusters that it has not seen."""

    folder: Path
    digest: str
    skill: tuple[dict[str, Any], ...]

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {"folder": str(self.folder), "digest": self.digest, "skill": list(self.skill)}

    def in_words(self) -> str:
        """The result as lines for people."""
        rows = [", ".join(f"{k} {v}" for k, v in row.items()) for row in self.skill]
        return "\n".join([f"checkpoint {self.folder}", f"digest     {self.digest}", *rows])


@dataclass(frozen=True)
class Job:
    """One region and year, as it travels to a worker: paths and numbers only."""

    store: Path
    checkpoint: Path
    region: Region
    year: int
    gas: Gas
    device: str


def run(
    recipe: Recipe,
    workspace: Workspace,
    *,
    years: list[int] | None = None,
    scenario: str = "historical",
    cluster: str = "local",
    device: str = "auto",
    report: Report = silent,
) -> Outcome:
    """Make the years of a recipe that are not made yet, and publish them.

    Args:
        recipe: The recipe.
        workspace: Its folders.
        years: Years; the recipe's period when None.
        scenario: A scenario of the recipe.
        cluster: Where tasks run, see `cluster.open_workers`.
        device: `auto`, `cpu` or `cuda`.
        report: Told about progress.

    Raises:
        RecipeError: An argument does not fit the recipe.
        InputError: An input is missing or wrong.
        RunError: The product cannot be written or does not verify.
    """
    todo = plan(recipe, workspace, years=years, scenario=scenario)
    if todo.missing:
        raise InputError(
            todo.missing[0],
            fix=f"{len(todo.missing)} input(s) are missing; `ch4grid plan` lists them",
        )
    if not todo.complete:
        with cube.lock(todo.store), open_workers(cluster, report) as workers:
            folder = _trained(recipe, workspace, todo, workers)
            make(recipe, workspace, todo, folder, workers, device)
            tell(recipe, workspace, todo, folder)
    return _outcome(recipe, workspace, todo)


def train(
    recipe: Recipe, workspace: Workspace, *, cluster: str = "local", report: Report = silent
) -> Trained:
    """Fit the model of a recipe unless its checkpoint is there.

    Raises:
        RecipeError: The recipe names a checkpoint instead of describing a model.
        InputError: A tower or driver file is missing or wrong.
    """
    if isinstance(recipe.model, ModelCheckpoint):
        raise RecipeError(
            "the recipe names a trained checkpoint",
            where="model.checkpoint",
            found=recipe.model.checkpoint,
        )
    todo = plan(recipe, workspace, years=[recipe.training.period[1]] if recipe.training else None)
    with open_workers(cluster, report) as workers:
        folder = _trained(recipe, workspace, todo, workers)
    checkpoint = Checkpoint.load(folder)
    return Trained(folder, checkpoint.digest, tuple(checkpoint.skill))


def benchmark(
    recipe: Recipe,
    workspace: Workspace,
    *,
    models: list[str],
    split: str = "loco",
    quick: bool = False,
    cluster: str = "local",
    report: Report = silent,
) -> list[dict[str, Any]]:
    """Scores of models on towers they have not seen, one row each.

    Raises:
        RecipeError: A model or split is unknown.
    """
    if split not in KINDS:
        raise RecipeError("unknown split", where="--split", expected=", ".join(KINDS), found=split)
    assembly = Assembly(recipe, workspace)
    samples = assembly.samples()
    named = fitters(
        models,
        gas=recipe.gas_row,
        model=recipe.model,
        discovery=recipe.discovery.settings,
        seed=_seed(recipe),
    )
    with open_workers(cluster, report) as workers:
        return score_models(
            samples,
            assembly.series(samples),
            named,
            cast(SplitKind, split),
            gas=recipe.gas_row,
            seed=_seed(recipe),
            groups=QUICK_GROUPS if quick else None,
            mapper=lambda function, jobs: workers.map("fit and score", function, jobs),
        )


def verify(store: Path) -> list[str]:
    """What is wrong with a product, in words; empty when every chunk is as the ledger says.

    Raises:
        InputError: There is no product at `store`.
    """
    if not (store / "zarr.json").is_file():
        raise InputError(
            "no product here", where=store, expected="a folder with zarr.json", found="none"
        )
    return [str(problem) for problem in cube.verify(store)]


def make(
    recipe: Recipe, workspace: Workspace, todo: Plan, folder: Path, workers: Workers, device: str
) -> None:
    """Predict and write every region of the years to make; a year is published in the store when it is whole."""
    years = [y.year for y in todo.years if y.action == "make"]
    if not years:
        return
    assembly, checkpoint, grid = (
        Assembly(recipe, workspace),
        Checkpoint.load(folder),
        recipe.product_grid,
    )
    areas = xr.open_zarr(assembly.areas(years[0]), consolidated=False, chunks=None).load()
    spec = _spec(recipe, todo, checkpoint, areas)
    cube.create(todo.store, spec, grid, _planes(grid, areas))
    cube.begin(todo.store, spec, {y: todo.inputs[y] for y in years})
    workers.plug(CheckpointPlugin(folder))
    normals = assembly.normals(recipe.normals_period)
    jobs = []
    for year in years:
        region = Region(
            drivers=assembly.memory_of(year),
            areas=assembly.areas(year),
            normals=normals,
            scenario=recipe.scenarios[todo.scenario],
            resolution=grid.resolution,
        )
        jobs += [
            Job(todo.store, folder, region.at(tile), year, recipe.gas_row, _device(device))
            for tile in grid.tiles()
            if cube.staged(todo.store, year, tile) is None
        ]
    workers.map("predict regions", write_region, jobs)
    for done, year in enumerate(years, start=1):
        cube.finish(todo.store, year)
        workers.report("verify and publish years", done, len(years))


def write_region(job: Job) -> None:
    """One task of a worker: predict a region and year, bring it to the product's variables, write its objects."""
    flux = predict_region(loaded(job.checkpoint), job.region, gas=job.gas, device=job.device)
    grid, tile = Grid(job.region.resolution), job.region.tile
    block = cube.cell_block(flux, grid, tile, gas=job.gas)
    table = budgets.budget(flux, block[f"{job.gas.flux}_member"], budgets.regions(grid), grid, tile)
    cube.write_block(job.store, block, table, year=job.year, tile=tile)


def tell(recipe: Recipe, workspace: Workspace, todo: Plan, folder: Path) -> None:
    """Publish in the catalog the years that are in the store but not there yet."""
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
        tuple(y.year for y in todo.years if y.action != "done"),
        model=model,
        checkpoint=checkpoint,
        version=todo.version,
        difference=difference,
    )


def _trained(recipe: Recipe, workspace: Workspace, todo: Plan, workers: Workers) -> Path:
    """The folder of the checkpoint, fitted now unless it is there."""
    if todo.trained:
        return todo.model
    assembly = Assembly(recipe, workspace)
    samples, training_settings = assembly.samples(), recipe.training
    if training_settings is None or isinstance(recipe.model, ModelCheckpoint | ModelFile):
        raise RecipeError("the recipe does not train a model", where="model", found=recipe.model)
    checkpoint = training.fit(
        samples,
        assembly.series(samples),
        gas=recipe.gas_row,
        model=recipe.model,
        discovery=recipe.discovery.settings,
        folds=training_settings.folds,
        fold_members=training_settings.fold_members,
        seed=training_settings.seed,
        mapper=lambda function, tasks: workers.map(
            function.__name__.replace("_", " "), function, tasks
        ),
        neighbour_distances=assembly.neighbour_distances(samples),
    )
    checkpoint.save(todo.model)
    return todo.model


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
        attributes={budgets.INFLATION: f"{checkpoint.calibration['inflation']:.6g}"},
    )


def _planes(grid: Grid, areas: xr.Dataset) -> xr.Dataset:
    planes = areas[["land_fraction"]].assign(region_fraction=budgets.regions(grid))
    static = "time" not in areas["ecosystem_fraction"].dims
    return planes.assign(ecosystem_fraction=areas["ecosystem_fraction"]) if static else planes


def _outcome(recipe: Recipe, workspace: Workspace, todo: Plan) -> Outcome:
    with catalog.open_store(todo.store) as product:
        annual = publication.totals(product, recipe.gas).annual
    globe = [v.sel(ecosystem="all", region="globe") for v in annual]
    totals = {str(int(y)): [float(v.sel(year=y)) for v in globe] for y in globe[0]["year"].values}
    return Outcome(
        store=todo.store,
        catalog=workspace.catalog,
        made=tuple(y.year for y in todo.years if y.action == "make"),
        published=ledger.published_years(todo.store),
        reason=todo.version_reason,
        totals=totals,
    )


def _seed(recipe: Recipe) -> int:
    return recipe.training.seed if recipe.training else 0


def _device(name: str) -> str:
    """`cuda` or `cpu`.

    Raises:
        RecipeError: The device is unknown or not there.
    """
    import torch

    there = torch.cuda.is_available()
    if name not in ("auto", "cpu", "cuda") or (name == "cuda" and not there):
        raise RecipeError(
            "no such device",
            where="--device",
            expected="auto, cpu" + (" or cuda" if there else "; no CUDA device was found"),
            found=name,
        )
    return "cuda" if name != "cpu" and there else "cpu"


def _listed(years: tuple[int, ...]) -> str:
    return ", ".join(map(str, years))

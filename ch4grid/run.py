"""The program on one page: drivers, scenario, flux, budget, write, publish."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from ch4grid import budgets, catalog, cube, ledger, publication, training
from ch4grid.assembly import Assembly
from ch4grid.cluster import Workers, open_workers
from ch4grid.errors import InputError, RecipeError
from ch4grid.inference import Region, predict_region
from ch4grid.models import Checkpoint
from ch4grid.plan import Plan, plan
from ch4grid.progress import Report, silent
from ch4grid.recipe import ModelCheckpoint, Recipe
from ch4grid.stores import Workspace
from ch4grid.vocabulary import Gas


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
        lines += [f"{year}: {t[1]:.1f} Tg ({t[0]:.1f} to {t[2]:.1f})" for year, t in self.totals.items()]
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
        raise InputError(todo.missing[0], fix=f"{len(todo.missing)} input(s) are missing; `ch4grid plan` lists them")
    if not todo.complete:
        with cube.lock(todo.store), open_workers(cluster, report) as workers:
            folder = _trained(recipe, workspace, todo, workers)
            make(recipe, workspace, todo, folder, workers, device)
            tell(recipe, workspace, todo, folder)
    return _outcome(recipe, workspace, todo)


def train(recipe: Recipe, workspace: Workspace, *, cluster: str = "local", report: Report = silent) -> Trained:
    """Fit the model of a recipe unless its checkpoint is there.

    Raises:
        RecipeError: The recipe names a checkpoint instead of describing a model.
        InputError: A tower or driver file is missing or wrong.
    """
    if isinstance(recipe.model, ModelCheckpoint):
        raise RecipeError("the recipe names a trained checkpoint", where="model.checkpoint", found=recipe.model.checkpoint)
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
    from ch4grid import evaluation

    assembly = Assembly(recipe, workspace)
    samples = assembly.samples()
    fitters = evaluation.fitters(
        models, gas=recipe.gas_row, model=recipe.model, discovery=recipe.discovery.settings, seed=_seed(recipe)
    )
    with open_workers(cluster, report) as workers:
        return evaluation.benchmark(
            samples,
            assembly.series(samples),
            fitters,
            split,
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
        raise InputError("no product here", where=store, expected="a folder with zarr.json", found="none")
    return [str(problem) for problem in cube.verify(store)]


def make(
    recipe: Recipe, workspace: Workspace, todo: Plan, folder: Path, workers: Workers, device: str
) -> None:
    """Predict and write every region of the years to make; publish each year in the store when it is whole."""
    years = [y.year for y in todo.years if y.action == "make"]
    if not years:
        return
    assembly, checkpoint = Assembly(recipe, workspace), Checkpoint.load(folder)
    grid, store = recipe.product_grid, todo.store
    areas = xr.open_zarr(assembly.areas(years[0]), consolidated=False, chunks=None)
    cube.create(store, _spec(recipe, todo, checkpoint, areas), grid, _planes(recipe, areas))
    cube.begin(store, _spec(recipe, todo, checkpoint, areas), {y: todo.inputs[y] for y in years})
    workers.plug(training_free_plugin(folder))
    normals = assembly.normals(recipe.training.period if recipe.training else checkpoint.normals_period)
    for year in years:
        region = Region(assembly.memory_of(year), assembly.areas(year), normals, recipe.scenarios[todo.scenario])
        jobs = [
            Job(store, folder, region.at(tile), year, recipe.gas_row, device)
            for tile in grid.tiles()
            if cube.staged(store, year, tile) is None
        ]
        workers.map(f"predict {year}", write_region, jobs)
        cube.finish(store, year)


def write_region(job: Job) -> None:
    """One task of a worker: predict a region and year, bring it to the product's variables, write its objects."""
    flux = predict_region(loaded(job.checkpoint), job.region, job.year, gas=job.gas, device=job.device)
    grid = Grid(job.region.resolution)
    block = cube.cell_block(flux, grid, job.region.tile, gas=job.gas)
    table = budgets.budget(flux, block, grid, job.region.tile, gas=job.gas)
    cube.write_block(job.store, block, table, year=job.year, tile=job.region.tile)


def tell(recipe: Recipe, workspace: Workspace, todo: Plan, folder: Path) -> None:
    """Publish the years in the catalog that are in the store but not there yet."""
    checkpoint = Checkpoint.load(folder)
    model = publication.publish_model(recipe, workspace, folder, checkpoint)
    years = tuple(y.year for y in todo.years if y.action != "done")
    difference = None
    if todo.previous is not None:
        difference = cube.write_difference(workspace.output, recipe.product, todo.previous, todo.version, todo.scenario)
    publication.publish_years(
        recipe,
        workspace,
        todo.store,
        years,
        model=model,
        checkpoint=checkpoint,
        version=todo.version,
        difference=difference,
    )

"""What a user asks for: run, train, benchmark, verify. Each plans first; heavy libraries load for real work only."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ch4grid import catalog, cube, disclosure, ledger, publication, reports, totals
from ch4grid.assembly import Assembly
from ch4grid.cluster import check as check_cluster
from ch4grid.cluster import open_workers, processes
from ch4grid.errors import InputError, RecipeError
from ch4grid.findings import Finding
from ch4grid.metering import Meter
from ch4grid.outcomes import Attributed, Outcome, Trained
from ch4grid.planning import Plan, account, measurements, plan, saved
from ch4grid.planning.comparison import Compared, compare
from ch4grid.planning.memory import footprint, refuse_above
from ch4grid.progress import Report, silent
from ch4grid.recipe import ModelCheckpoint, Recipe
from ch4grid.remote import is_url
from ch4grid.stores import Workspace

if TYPE_CHECKING:
    from ch4grid.benchmarking import Benchmarked
    from ch4grid.investigation import Outcome as Investigation

# Differences of budgets that are no more than the rounding of the members [Tg yr-1].
ROUNDING_TG = 1e-6
DEVICES = ("auto", "cpu", "cuda")


def run(
    recipe: Recipe,
    workspace: Workspace,
    *,
    years: list[int] | None = None,
    scenario: str = "historical",
    cluster: str = "local",
    device: str = "auto",
    memory_limit: str = "",
    agreed: saved.SavedPlan | None = None,
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
        memory_limit: What all processes on this machine may hold together, such as `8GB` or `50%`; nine tenths of the
            machine when empty.
        agreed: A saved plan, which must still be the plan.
        report: Told about progress.

    Raises:
        RecipeError: An argument does not fit the recipe, or the predicted memory is above the limit.
        InputError: An input is missing or wrong, or recipe or inputs are no more those of the saved plan.
        RunError: The product cannot be written or does not verify, or a region could not be computed; all others were.
    """
    check_cluster(cluster)
    if device not in DEVICES:
        raise RecipeError(
            "no such device", where="--device", expected=", ".join(DEVICES), found=device
        )
    todo = plan(recipe, workspace, years=years, scenario=scenario)
    if agreed is not None:
        saved.refuse_moved(agreed, todo)
    _refuse_missing(todo)
    refuse_above(footprint(todo, processes(cluster), memory_limit))
    revised: tuple[str, ...] = ()
    took: tuple[Compared, ...] = ()
    if not todo.complete:
        from ch4grid import production  # heavy: torch

        chosen = production.torch_device(device)
        with cube.lock(todo.store), open_workers(cluster, report) as workers:
            assembly = Assembly(recipe, workspace, production.reading(workers))
            folder = production.trained(assembly, todo, workers)
            failed = production.make(assembly, todo, folder, workers, chosen)
            production.tell(assembly, todo, folder, workers)
            revised = assembly.revised()
        if workspace.catalog.is_dir():
            publication.write_index(workspace)
        took = _took(workspace, todo, workers.meter, keep=not failed)
        reports.tell(workspace, todo, took, failed=failed, revised=revised)
        production.refuse_holes(todo, failed)
    publication.mend_page(recipe, workspace, todo.store, todo.version)
    publication.write_index(workspace)
    return _outcome(recipe, workspace, todo, revised, took)


def _took(workspace: Workspace, todo: Plan, meter: Meter, *, keep: bool) -> tuple[Compared, ...]:
    """What a run took beside what its plan had said, kept for the next plan if it did all of it."""
    found = account(todo, meter)
    if keep:
        measurements.keep(workspace, found)
    return compare(found)


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
    check_cluster(cluster)
    todo = plan(recipe, workspace, years=[recipe.training.period[1]] if recipe.training else None)
    _refuse_missing(todo)
    from ch4grid import production  # heavy: torch
    from ch4grid.models import Checkpoint

    with open_workers(cluster, report) as workers:
        folder = production.trained(Assembly(recipe, workspace, workers.map), todo, workers)
    checkpoint = Checkpoint.load(folder)
    return Trained(folder, checkpoint.digest, tuple(checkpoint.skill))


def benchmark(
    path: Path,
    workspace: Workspace,
    *,
    models: list[str],
    splits: list[str],
    holdout: Path | None = None,
    quick: bool = False,
    cluster: str = "local",
    report: Report = silent,
) -> "Benchmarked":
    """Score models on towers they have not seen, and write tables, predictions and a page.

    Args:
        path: A benchmark recipe, or a product recipe whose towers are used.
        workspace: Its folders.
        models: Names of models; those of the recipe when empty.
        splits: Kinds of splits; those of the recipe when empty.
        holdout: A folder of towers kept back, in the layout of the recipe's own site source.
        quick: Few groups, no tuning, few models.
        cluster: Where fits run, see `cluster.open_workers`.
        report: Told about progress.

    Raises:
        RecipeError: The recipe is wrong, or a model or split is unknown.
        InputError: A file is missing or wrong.
    """
    from ch4grid import benchmarking  # heavy: scikit-learn, tigramite

    check_cluster(cluster)
    recipe, product = benchmarking.load(path)
    benchmarking.named_models(recipe, models)
    benchmarking.named_sections(recipe, splits)
    if holdout is not None:
        benchmarking.refuse_absent(holdout)
    with open_workers(cluster, report) as workers:
        return benchmarking.benchmark(
            recipe,
            product,
            workspace,
            workers,
            models=models,
            splits=splits,
            holdout=holdout,
            quick=quick,
            command=benchmarking.spoken(
                path, models=models, splits=splits, holdout=holdout, quick=quick
            ),
        )


def discover(
    recipe: Recipe,
    workspace: Workspace,
    *,
    quick: bool = False,
    accept: bool = False,
    cluster: str = "local",
    report: Report = silent,
) -> "Investigation":
    """Investigate the causes of the flux at the towers of a recipe, and write a report.

    Raises:
        RecipeError: The recipe names no towers, or the cluster is unknown.
        InputError: A file is missing or wrong, or there are too few towers.
        RunError: The report cannot be written.
    """
    check_cluster(cluster)
    from ch4grid.investigation import investigate  # heavy: tigramite, scikit-learn

    with open_workers(cluster, report) as workers:
        assembly = Assembly(recipe, workspace, workers.map)
        return investigate(
            recipe,
            assembly,
            quick=quick,
            accept=accept,
            more=_attributed(recipe, workspace),
            tell=lambda text: report(f"expected: {text}; discovery", 0, 1),
        )


def attribute(
    recipe: Recipe,
    workspace: Workspace,
    *,
    before: str | None = None,
    after: str | None = None,
    scenario: str | None = None,
    years: list[int] | None = None,
    cluster: str = "local",
    report: Report = silent,
) -> Attributed:
    """Say which driver contributes how much to the change between two periods, or from history to a scenario.

    Args:
        recipe: The recipe.
        workspace: Its folders.
        before: A year or period such as `2001-2003`, instead of a scenario.
        after: The same; the last published years of the same number when None.
        scenario: A scenario of the recipe.
        years: Years of the scenario; those published when None.
        cluster: Where tasks run, see `cluster.open_workers`.
        report: Told about progress.

    Raises:
        RecipeError: An argument does not fit the recipe or another one.
        InputError: What is to be compared is not published.
        RunError: Contributions do not add up to the published change, or cannot be written.
    """
    check_cluster(cluster)
    if (before is None) == (scenario is None) or (scenario and after) or (before and years):
        raise RecipeError(
            "what is to be compared is not clear",
            where="--from, --to, --scenario, --year",
            expected="--from [--to], or --scenario [--year]",
            found="neither" if before is None and scenario is None else "both",
        )
    from ch4grid import attribution, production  # heavy: torch

    if before is not None:
        question = attribution.between_periods(recipe, workspace, before, after)
    else:
        question = attribution.between_scenarios(recipe, workspace, str(scenario), years)
    with open_workers(cluster, report) as workers:
        assembly = Assembly(recipe, workspace, workers.map)
        device = production.torch_device("auto")
        found, known = attribution.answer(question, recipe, assembly, workers, device)
    return Attributed(question.output, found, known)


def _attributed(recipe: Recipe, workspace: Workspace) -> tuple[Finding, ...]:
    """What `attribute` has found for the newest version of the recipe's product."""
    from ch4grid import attribution

    product = workspace.output / recipe.product
    stores = {s.name: s for s in _by_version(product.glob(f"v*/{cube.ATTRIBUTION}*.zarr"))}
    return tuple(attribution.finding(store) for _, store in sorted(stores.items()))


def _by_version(stores: Iterable[Path]) -> list[Path]:
    """Stores of a product, those of the newest version last."""
    return sorted(stores, key=lambda store: (len(store.parent.name), store.as_posix()))


def verify(store: str | Path) -> list[str]:
    """What is wrong with a product, in words; empty when every chunk is as the ledger says.

    Args:
        store: Its folder, or its URL (`cube.verify_remote`).

    Raises:
        InputError: There is no product at `store`.
        RunError: The place behind a URL does not answer.
    """
    if is_url(store):
        return [str(problem) for problem in cube.verify_remote(str(store))]
    store = Path(store)
    if not (store / "zarr.json").is_file() and not ledger.path_of(store).is_file():
        raise InputError(
            "no product here", where=store, expected="a folder with zarr.json", found="none"
        )
    return [str(problem) for problem in cube.verify(store)]


def _refuse_missing(todo: Plan) -> None:
    """Refuse to begin what a plan lacks inputs for.

    Raises:
        InputError: There are missing inputs; the message has the first of them.
    """
    if todo.missing:
        more = f"; {len(todo.missing) - 1} more are missing" if len(todo.missing) > 1 else ""
        raise InputError(todo.missing[0], fix=f"`ch4grid plan` lists what is missing{more}")


def _outcome(
    recipe: Recipe,
    workspace: Workspace,
    todo: Plan,
    revised: tuple[str, ...],
    took: tuple[Compared, ...],
) -> Outcome:
    with catalog.open_store(todo.store) as product:
        annual = totals.totals(product, recipe.gas).annual
    globe = [v.sel(ecosystem="all", region="globe") for v in annual]
    by_year = {str(int(y)): [float(v.sel(year=y)) for v in globe] for y in globe[0]["year"].values}
    difference, told = _against_history(recipe, todo)
    return Outcome(
        store=todo.store,
        catalog=workspace.catalog,
        made=tuple(y.year for y in todo.years if y.action == "make"),
        published=ledger.published_years(todo.store),
        reason=todo.version_reason,
        totals=by_year,
        doubts=todo.doubts,
        revised=revised,
        difference=difference,
        scenario=told,
        choice=recipe.choice,
        took=took,
        report=reports.path_of(workspace) if took else None,
    )


def _against_history(
    recipe: Recipe, todo: Plan
) -> tuple[tuple[dict[str, Any], ...] | None, tuple[str, ...]]:
    """The paired difference of a scenario to history [Tg yr-1] as rows and in words; nothing for history itself."""
    if not recipe.scenarios[todo.scenario].changes:
        return None, ()
    told = disclosure.left_out(todo.store)
    alone = disclosure.without_history(todo.store)
    if alone:
        listed = ", ".join(map(str, alone))
        told += (
            f"no difference to historical for {listed}: not published there; run the recipe for "
            f"{'this year' if len(alone) == 1 else 'these years'} without --scenario",
        )
    found = disclosure.paired(todo.store, recipe)
    if found is None:
        return None, told
    rows = tuple({str(k): v for k, v in row.items()} for row in found.to_dict("records"))
    lines = [
        f"difference to historical, {r['ecosystem']}: {r['mean']:+.3g} Tg yr-1"
        + (f" ({r['lower']:+.3g} to {r['upper']:+.3g})" if r["lower"] == r["lower"] else "")
        for r in rows
        if abs(r["mean"]) > ROUNDING_TG
    ]
    return rows, (*told, *lines)

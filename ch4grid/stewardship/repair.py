"""Repair: damaged objects of a published store written anew, bit for bit, from what the store says it was made from.

Metadata, coordinates and calendar follow from the store and what lies beside it. A flux, an area or a budget is
computed again, its region and year only, once inputs, checkpoint and package are known to be those of the publication.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from ch4grid import cube, ledger
from ch4grid.assembly import Assembly
from ch4grid.cluster import check as check_cluster
from ch4grid.cluster import open_workers
from ch4grid.cube.staging import Slices
from ch4grid.errors import InputError, RunError
from ch4grid.progress import Report, silent
from ch4grid.stewardship.drift import moved_inputs, moved_parts
from ch4grid.stewardship.origin import Origin, origin_of

if TYPE_CHECKING:
    from ch4grid.cluster import Workers
    from ch4grid.inference import Region
    from ch4grid.production import Job

# Statics that are made from files; the others follow from the grid and the attributes.
MAPPED = ("land_fraction", "ecosystem_fraction")


@dataclass(frozen=True)
class Repaired:
    """What was damaged and what was written: keys of objects inside the store."""

    store: Path
    problems: tuple[cube.Problem, ...]
    written: tuple[str, ...]
    regions: tuple[tuple[int, Slices], ...]

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            "store": str(self.store),
            "damaged": [{"key": p.key, "kind": p.kind, "what": p.what} for p in self.problems],
            "written": list(self.written),
            "recomputed": [
                {
                    "year": year,
                    "rows": [tile[0].start, tile[0].stop],
                    "columns": [tile[1].start, tile[1].stop],
                }
                for year, tile in self.regions
            ],
        }

    def in_words(self) -> str:
        """The result as lines for people."""
        if not self.problems:
            return f"{self.store}: nothing is damaged, nothing was written."
        lines = [f"damaged  {p}" for p in self.problems]
        lines += [f"computed {_place(year, tile)}" for year, tile in self.regions]
        lines += [f"written  {key}" for key in self.written]
        return "\n".join([*lines, f"{self.store}: every object has its published digest again."])


@dataclass(frozen=True)
class Recomputation:
    """One region and year to compute again, as it travels to a worker.

    Args:
        job: The region.
        write: Whether objects of the region are damaged; otherwise its budget alone is wanted.
    """

    job: "Job"
    write: bool


def repair(
    store: Path,
    *,
    data: Path = Path(),
    output: Path | None = None,
    cluster: str = "local",
    device: str = "auto",
    report: Report = silent,
) -> Repaired:
    """Write what is damaged of a published store anew; what is sound is not touched.

    Args:
        store: The store.
        data: Where relative paths of its recipe start.
        output: Where models and caches lie; the folder above the product when None.
        cluster: Where regions are computed, see `cluster.open_workers`.
        device: `auto`, `cpu` or `cuda`: the one that made the store, for other ones round otherwise.
        report: Told about progress.

    Raises:
        RecipeError: An argument is wrong.
        InputError: There is no published product, or an input or the checkpoint is gone or changed.
        RunError: The group metadata is lost with its copy, what was computed is not what was published, or a run holds
            the store.
    """
    check_cluster(cluster)
    store = store.absolute()
    with cube.hold(store):
        metadata, mended = _mend(store)
        origin = origin_of(store, data=data, output=output)
        hurt = cube.damage(store)
        written = mended + [k for year in hurt.calendar for k in cube.repair_calendar(store, year)]
        written += _repair_statics(origin, hurt.statics)
        wanted = _wanted(origin, hurt)
        if wanted:
            written += _recompute(origin, hurt, wanted, cluster, device, report)
        left = cube.damage(store).problems
    if left:
        raise RunError(
            f"{len(left)} object(s) are still damaged",
            where=store,
            expected="every object with its published digest",
            found=left[0],
            fix="Check the disk, then repair again",
        )
    problems = (*metadata, *(p for p in hurt.problems if p.kind != "metadata"))
    return Repaired(store, problems, tuple(written), tuple(wanted))


def _mend(store: Path) -> tuple[list[cube.Problem], list[str]]:
    """Damaged metadata, and the keys that were written: the group's first, everything else is read with it."""
    _refuse_unpublished(store)
    before = cube.metadata_problems(store)
    group = cube.mend_group(store)
    cube.settle(store)
    problems = before if not group else before + cube.metadata_problems(store)
    return problems, group + cube.mend_arrays(store)


def _refuse_unpublished(store: Path) -> None:
    if not ledger.published_years(store):
        raise InputError(
            "no published product to repair",
            where=store,
            expected=f"a folder ending in .zarr with {ledger.path_of(store).name} beside it",
            found="no published year",
            fix="A year that is not published yet is completed by `ch4grid run`",
        )


def _wanted(origin: Origin, hurt: cube.Damage) -> list[tuple[int, Slices]]:
    """Regions and years to compute again: damaged ones, and all of a year whose budget table is damaged."""
    regions = {_corner(y, t) for y, t in hurt.regions}
    tiles = origin.recipe.product_grid.tiles()
    years = sorted({y for y, _ in hurt.regions} | set(hurt.budgets))
    return [
        (year, tile)
        for year in years
        for tile in tiles
        if year in hurt.budgets or _corner(year, tile) in regions
    ]


def _corner(year: int, tile: Slices) -> tuple[int, int, int]:
    return year, tile[0].start, tile[1].start


def _recompute(
    origin: Origin,
    hurt: cube.Damage,
    wanted: list[tuple[int, Slices]],
    cluster: str,
    device: str,
    report: Report,
) -> list[str]:
    """Compute regions again on workers and write what is damaged of them; the keys that were written."""
    years = tuple(sorted({y for y, _ in wanted}))
    folder = origin.found_checkpoint()
    _refuse_moved(origin, folder, years)
    from ch4grid import production  # heavy: torch
    from ch4grid.inference import CheckpointPlugin

    chosen = production.torch_device(device)
    with open_workers(cluster, report) as workers:
        workers.plug(CheckpointPlugin(folder))
        regions = _regions(origin, years, workers)
        damaged = {_corner(y, t) for y, t in hurt.regions}
        jobs = [
            Recomputation(
                production.Job(
                    origin.store, folder, regions[y].at(t), y, origin.recipe.gas_row, chosen
                ),
                _corner(y, t) in damaged,
            )
            for y, t in wanted
        ]
        made = workers.map("compute damaged regions", recompute, jobs)
    written = [key for keys, _ in made for key in keys]
    for year in hurt.budgets:
        tables = [table for (y, _), (_, table) in zip(wanted, made, strict=True) if y == year]
        written += cube.repair_budget(origin.store, _summed(tables), year)
    return written


def _regions(origin: Origin, years: Iterable[int], workers: "Workers") -> dict[int, "Region"]:
    from ch4grid.inference import region_of

    recipe = origin.recipe
    assembly = Assembly(recipe, origin.workspace, workers.map)
    return {
        year: region_of(
            assembly,
            year,
            recipe.scenarios[origin.scenario],
            spin_up=recipe.spin_up,
            period=recipe.normals_period,
            resolution=recipe.product_grid.resolution,
        )
        for year in years
    }


def recompute(task: Recomputation) -> tuple[list[str], xr.DataArray]:
    """One task of a worker: the keys that were written of a region, and its budget [Tg per month]."""
    from ch4grid import production

    job = task.job
    block, table = production.computed(job)
    tile = job.region.tile
    keys = cube.repair_block(job.store, block, year=job.year, tile=tile) if task.write else []
    return keys, table


def _summed(tables: list[xr.DataArray]) -> xr.DataArray:
    """The budget of all regions, added in their order as `cube.finish` does."""
    values = [np.asarray(t.values, dtype=np.float64) for t in tables]
    total = np.sum(values, axis=0) if len(values) > 1 else values[0]
    return tables[0].copy(data=total)


def _refuse_moved(origin: Origin, checkpoint: Path, years: tuple[int, ...]) -> None:
    """Refuse to compute from other things than the published cells were computed from.

    Raises:
        InputError: A part or an input is another one; the message names the first.
    """
    assembly = Assembly(origin.recipe, origin.workspace)
    moved = [
        *moved_parts(origin, checkpoint, years),
        *moved_inputs(origin, assembly, years),
    ]
    if moved:
        more = f" and {len(moved) - 1} more" if len(moved) > 1 else ""
        raise InputError(
            "the damaged objects cannot be computed again, what they were made from changed",
            where=origin.store,
            expected=f"the inputs, the recipe and the package of the published {_listed(moved[0].years)}",
            found=moved[0].what + more,
            fix="Bring them back, or restore the objects from a copy; `ch4grid status --data` lists every change",
        )


def _repair_statics(origin: Origin, names: tuple[str, ...]) -> list[str]:
    """Write damaged coordinates and statics anew; areas are read for as many years as it takes to find theirs."""
    if not names:
        return []
    grid = origin.recipe.product_grid
    regions = Assembly(origin.recipe, origin.workspace).regions()
    known = xr.Dataset({"region_fraction": regions})
    spec = _spec(origin)
    if not set(names) & set(MAPPED):
        return cube.repair_statics(origin.store, spec, grid, known)
    refused: list[RunError | InputError] = []
    for year in origin.years:
        try:
            return cube.repair_statics(
                origin.store, spec, grid, _planes(origin, year, spec.members)
            )
        except (
            RunError,
            InputError,
        ) as error:  # the areas of another year, or none: the next may be theirs
            refused.append(error)
    raise refused[0]


def _planes(origin: Origin, year: int, members: int) -> xr.Dataset:
    """Static variables from the areas of a year."""
    from ch4grid import production  # heavy: torch
    from ch4grid.scenarios import apply_areas

    recipe = origin.recipe
    assembly = Assembly(recipe, origin.workspace)
    folder = assembly.areas(year)
    areas = xr.open_zarr(folder, consolidated=False, chunks=None).load()
    scenario = recipe.scenarios[origin.scenario]
    areas = areas.assign(ecosystem_fraction=apply_areas(areas["ecosystem_fraction"], scenario))
    return production.planes(areas, assembly.regions(), members)


def _spec(origin: Origin) -> cube.ProductSpec:
    """The product as far as its coordinates depend on it."""
    told, recipe = origin.attributes, origin.recipe
    return cube.ProductSpec(
        name=recipe.product,
        title=recipe.title,
        summary=recipe.summary or recipe.title,
        version=origin.version,
        scenario=origin.scenario,
        first_year=int(told["ch4grid_first_year"]),
        members=cube.members_of(origin.store),
        recipe=recipe.resolved(),
        checkpoint=str(told["ch4grid_checkpoint"]),
        graph=str(told["ch4grid_graph"]),
        parts=origin.parts,
        gas=recipe.gas_row,
    )


def _place(year: int, tile: Slices) -> str:
    rows, columns = tile
    return f"{year}, rows {rows.start}:{rows.stop}, columns {columns.start}:{columns.stop}"


def _listed(years: tuple[int, ...]) -> str:
    return ", ".join(map(str, years))

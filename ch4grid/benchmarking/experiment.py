"""What a benchmark works on: towers with predictors and measured flux, from site sources or from a product recipe."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid import sites as sites_package
from ch4grid.assembly import Assembly, joined_clusters
from ch4grid.benchmarking.recipe import BenchmarkRecipe
from ch4grid.errors import RecipeError
from ch4grid.grid import Grid, great_circle_km
from ch4grid.recipe import Recipe
from ch4grid.sites import SiteSource
from ch4grid.stores import Fingerprints, Workspace
from ch4grid.twin.lattice import Lattice
from ch4grid.vocabulary import Gas

# Land cells from which distances of deployment are drawn: grid [degrees] and rows south of it left out (Antarctica).
DEPLOYMENT_RESOLUTION = 2.5
SOUTHERNMOST = -60.0
LAND = 0.5


@dataclass(frozen=True, eq=False)
class Experiment:
    """Towers for models.

    Args:
        samples: Points (site, time) with drivers, statics, flux and coverage; coordinates per site.
        series: What discovery sees.
        simulation: Simulated sites in the layout of the samples, for transfer; None without.
        distances: Distances [km] from land cells to their nearest tower.
        inputs: Files that were read, with their SHA-256.
    """

    samples: xr.Dataset
    series: xr.Dataset
    simulation: xr.Dataset | None
    distances: NDArray[np.float64]
    inputs: dict[str, str]


def assemble(recipe: BenchmarkRecipe, product: Recipe | None, workspace: Workspace) -> Experiment:
    """The experiment of a benchmark.

    Raises:
        InputError: A file is missing or wrong, or no tower has a measured month in the period.
        RecipeError: A predictor that the recipe names does not exist.
    """
    gas = recipe.gas_row
    if product is not None:
        assembly = Assembly(product, workspace)
        samples = assembly.samples()
        series = assembly.series(samples)
        inputs = assembly.tower_inputs()
    else:
        samples = tower_samples(recipe, recipe.sites, workspace)
        inputs = _inputs(recipe, workspace)
        others = recipe.discovery.sites
        series = samples
        if others:
            towers = sites_package.assemble(others, workspace, gas)
            series = joined_clusters(towers, samples)
    samples = chosen(samples, recipe, gas)
    return Experiment(
        samples=samples,
        series=samples if recipe.product is None and not recipe.discovery.sites else series,
        simulation=None
        if recipe.simulation is None
        else recipe.simulation.open(workspace, gas, recipe.spin_up, samples),
        distances=deployment_distances(samples),
        inputs=inputs,
    )


def tower_samples(
    recipe: BenchmarkRecipe, sources: Sequence[SiteSource], workspace: Workspace
) -> xr.Dataset:
    """Towers of site sources as samples: drivers from the spin-up on, flux in the period only.

    Raises:
        InputError: No tower has a measured month in the period.
    """
    gas = recipe.gas_row
    period = recipe.period
    if period is None:
        raise RecipeError("a benchmark of sites needs a period", where="period")
    towers = sites_package.assemble(sources, workspace, gas)
    return sites_package.in_period(towers, gas, period, recipe.spin_up)


def chosen(samples: xr.Dataset, recipe: BenchmarkRecipe, gas: Gas) -> xr.Dataset:
    """Samples with the predictors that the recipe names.

    Raises:
        RecipeError: One of them does not exist.
    """
    kept = {gas.flux, f"{gas.flux}_coverage"}
    for key, names, dynamic in (
        ("drivers", recipe.drivers, True),
        ("statics", recipe.statics, False),
    ):
        there = {
            str(n)
            for n, v in samples.data_vars.items()
            if ("time" in v.dims) == dynamic and n not in kept
        }
        unknown = sorted(set(names) - there)
        if unknown:
            raise RecipeError(
                f"unknown {key}", where=key, expected=sorted(there), found=", ".join(unknown)
            )
        kept |= set(names) or there
    return samples[sorted(kept)]


def deployment_distances(samples: xr.Dataset) -> NDArray[np.float64]:
    """Distances [km] from land cells of the globe, Antarctica left out, to their nearest tower."""
    grid = Grid(DEPLOYMENT_RESOLUTION)
    latitude, longitude = np.meshgrid(grid.latitude, grid.longitude, indexing="ij")
    land = (Lattice.cells(DEPLOYMENT_RESOLUTION).land > LAND) & (latitude > SOUTHERNMOST)
    distance = great_circle_km(
        latitude[land][:, None],
        longitude[land][:, None],
        samples["latitude"].values,
        samples["longitude"].values,
    )
    return np.asarray(distance.min(axis=1))


def _inputs(recipe: BenchmarkRecipe, workspace: Workspace) -> dict[str, str]:
    """Tower files with their SHA-256, by path relative to the data folder."""
    sources = (*recipe.sites, *recipe.discovery.sites)
    files = [f for source in sources for f in source.inputs(workspace, recipe.gas_row)]
    digests = Fingerprints(workspace.cache / "fingerprints.json").of(files)
    base = workspace.data.absolute()
    return {
        Path(p).relative_to(base).as_posix() if Path(p).is_relative_to(base) else Path(p).name: d
        for p, d in digests.items()
    }

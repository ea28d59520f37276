"""What an investigation works on: the towers of a recipe with their drivers, and how they are to be looked at."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from ch4grid import sites
from ch4grid.assembly import Assembly
from ch4grid.causal import Discovery
from ch4grid.drivers.cube import Mapper
from ch4grid.drivers.derived import saturation_pressure
from ch4grid.errors import InputError, RecipeError
from ch4grid.recipe import Recipe
from ch4grid.stores import sha256_file, sha256_json
from ch4grid.vocabulary import DYNAMIC, ECOSYSTEMS, Gas

# Relative humidity follows from temperature and vapour pressure deficit: only two of the three can be in one graph.
DETERMINED = "hurs"
# A block bootstrap over sites needs some.
FEWEST_TOWERS = 3
# Replicates of a quick look.
QUICK = {"bootstraps": 10, "driver_bootstraps": 3}


@dataclass(frozen=True, eq=False)
class Question:
    """The input of every part of the chain.

    Args:
        series: Flux [kg m-2 s-1], coverage [1], drivers (site, time) and statics (site), `ecosystem` by name.
        gas: Row of the gas table.
        drivers: Drivers of the graph, in the order of the vocabulary.
        config: How causes are discovered.
        seed: Seed of everything random.
        quick: Whether few replicates are enough.
        mapper: Runs a function over jobs, in order: stage, function, jobs.
        accept: Whether to go on with series that are not stationary or a graph that is nearly full.
        product: The newest product of the recipe, if it has made one.
        record: First and last year of the towers that the product's model was fitted to.
    """

    series: xr.Dataset
    gas: Gas
    drivers: tuple[str, ...]
    config: Discovery
    seed: int
    quick: bool
    mapper: Mapper
    accept: bool = False
    product: Path | None = None
    record: tuple[int, int] | None = None

    @property
    def flux(self) -> str:
        """Name of the flux variable."""
        return self.gas.flux

    @property
    def ecosystems(self) -> tuple[str, ...]:
        """Classes that have a tower, in the order of the vocabulary."""
        there = set(map(str, self.series["ecosystem"].values))
        return tuple(name for name in ECOSYSTEMS if name in there)

    @property
    def towers(self) -> str:
        """Which towers there are, in words."""
        measured = self.series[self.flux].notnull()
        time = self.series["time"].values[measured.any("site").values]
        step = self.config.step
        return (
            f"{self.series.sizes['site']} towers of {len(self.ecosystems)} classes,"
            f" {int(measured.sum())} tower {step}s with a measured flux from {str(time.min())[:7]}"
            f" to {str(time.max())[:7]}"
        )

    def fingerprint(self) -> str:
        """SHA-256 of the values, the settings and the seed."""
        arrays = {
            str(n): _digest(v.values) for n, v in sorted(self.series.variables.items(), key=str)
        }
        settings = self.config.model_dump(mode="json")
        how = [self.seed, self.quick, self.accept, self.gas.name, self.record]
        product = sha256_file(self.product / "zarr.json") if self.product else ""
        return sha256_json([arrays, self.drivers, settings, how, product])


def ask(recipe: Recipe, assembly: Assembly, *, quick: bool, accept: bool) -> Question:
    """The question of a recipe: its discovery towers where it names some, else those of the training.

    Raises:
        RecipeError: The recipe names no towers.
        InputError: A file is missing or wrong, or there are too few towers with a flux.
    """
    if not (recipe.sites or recipe.discovery.sites):
        raise RecipeError(
            "the recipe names no towers to learn from",
            where="sites",
            expected="towers under 'sites' or 'discovery.sites'",
            found="none",
        )
    own = recipe.discovery.sites
    series = (
        sites.assemble(own, assembly.workspace, recipe.gas_row) if own else assembly.samples()
    ).load()
    series = _named(_with_humidity(series))
    _refuse_few(series, recipe.gas_row)
    config = recipe.discovery.settings
    return Question(
        series=series,
        gas=recipe.gas_row,
        drivers=drivers_of(series),
        config=config.model_copy(update=QUICK) if quick else config,
        seed=recipe.training.seed if recipe.training else 0,
        quick=quick,
        mapper=assembly.mapper,
        accept=accept,
        product=_newest(assembly.workspace.output, recipe.product),
        record=recipe.training.period if recipe.training else None,
    )


def _newest(output: Path, product: str) -> Path | None:
    """The historical store of the highest version that can be opened."""
    found = {
        int(store.parent.name[1:]): store
        for store in (output / product).glob("v*/historical.zarr")
        if store.parent.name[1:].isdigit() and (store / "zarr.json").is_file()
    }
    return found[max(found)] if found else None


def drivers_of(series: xr.Dataset) -> tuple[str, ...]:
    """Drivers that the series hold with any value, without the one that two others determine."""
    return tuple(
        name
        for name in DYNAMIC
        if name in series
        and "time" in series[name].dims
        and bool(series[name].notnull().any())
        and not (name == DETERMINED and {"tas", "vpd"} <= set(map(str, series.data_vars)))
    )


def _with_humidity(series: xr.Dataset) -> xr.Dataset:
    """Relative humidity from temperature and vapour pressure deficit, where it was not measured."""
    if DETERMINED in series or not {"tas", "vpd"} <= set(map(str, series.data_vars)):
        return series
    humidity = (1.0 - series["vpd"] / saturation_pressure(series["tas"])).clip(0.0, 1.0)
    return series.assign({DETERMINED: humidity.assign_attrs(DYNAMIC[DETERMINED].attrs)})


def _named(series: xr.Dataset) -> xr.Dataset:
    """The classes by name; training samples hold their index."""
    classes = series["ecosystem"].values
    if classes.dtype.kind not in "iu":
        return series
    return series.assign_coords(ecosystem=("site", np.array(ECOSYSTEMS)[classes]))


def _refuse_few(series: xr.Dataset, gas: Gas) -> None:
    seen = int(series[gas.flux].notnull().any("time").sum())
    if seen < FEWEST_TOWERS:
        raise InputError(
            "too few towers to learn causes from",
            where="discovery",
            expected=f"at least {FEWEST_TOWERS} with a measured {gas.flux}",
            found=seen,
            fix="Add towers under 'sites' or 'discovery.sites'",
        )


def _digest(values: np.ndarray) -> str:
    plain = values.astype("U64") if values.dtype.kind in "OU" else np.ascontiguousarray(values)
    return hashlib.sha256(plain.tobytes()).hexdigest()

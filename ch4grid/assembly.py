"""From a recipe to the Datasets its stages work on: drivers and class areas by year, towers with their drivers.

Everything assembled is kept in the cache under a name that says what determined it, so a later year, a rerun or a
worker finds it instead of making it again.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid import drivers as drivers_package
from ch4grid import ecosystems
from ch4grid import sites as sites_package
from ch4grid.drivers import DriverSource
from ch4grid.drivers.cube import keep, open_years, year_key
from ch4grid.errors import RecipeError
from ch4grid.grid import great_circle_km
from ch4grid.recipe import Recipe, Training
from ch4grid.stores import Fingerprints, Workspace, sha256_json
from ch4grid.vocabulary import AREA_LAYERS, ECOSYSTEMS

# Towers nearer than this to each other share a cluster (methods 0, decision 2).
CLUSTER_KM = 300.0
# Land cells from which the distances to the nearest tower are drawn.
DISTANCE_SAMPLE = 2000


class Assembly:
    """The inputs of a recipe in a workspace.

    Args:
        recipe: The recipe.
        workspace: Its folders.
    """

    def __init__(self, recipe: Recipe, workspace: Workspace) -> None:
        self.recipe = recipe
        self.workspace = workspace
        self.fingerprints = Fingerprints(workspace.cache / "fingerprints.json")

    def inputs(self, year: int) -> dict[str, str]:
        """Input files of a product year, spin-up included, with their SHA-256; paths are relative to the data folder.

        Raises:
            InputError: A file or month is missing.
        """
        files = [f for y in self._memory(year) for f in self._files(self.recipe.drivers, y)]
        return self._named(files + self._files(self.recipe.ecosystems.areas, year))

    def tower_inputs(self) -> dict[str, str]:
        """Tower files with their SHA-256.

        Raises:
            InputError: A file is missing.
        """
        sources = (*self.recipe.sites, *self.recipe.discovery.sites)
        return self._named([f for s in sources for f in s.inputs(self.workspace)])

    def drivers(self, first_year: int, last_year: int) -> xr.Dataset:
        """DRIVERS of consecutive years (time, latitude, longitude), lazy."""
        return open_years([self._driver_year(y) for y in range(first_year, last_year + 1)])

    def memory_of(self, year: int) -> tuple[Path, ...]:
        """Folders of the drivers that a product year is predicted from: the spin-up and the year."""
        return tuple(self._driver_year(y) for y in self._memory(year))

    def areas(self, year: int) -> Path:
        """Folder of `ecosystem_fraction` and `land_fraction` of a year."""
        files = self._files(self.recipe.ecosystems.areas, year)
        key = self._key(self.recipe.ecosystems.areas, files)
        return keep(
            self.workspace.cache / "areas" / f"{year}-{key}", lambda: self._make_areas(year)
        )

    def normals(self, period: tuple[int, int]) -> Path:
        """Folder of the static predictors: climate normals over a period, and what the drivers hold as static."""
        years = [self._driver_year(y) for y in range(period[0], period[1] + 1)]
        key = sha256_json([p.name for p in years])[:16]

        def make() -> xr.Dataset:
            drivers = open_years(years)
            statics = [n for n in drivers.data_vars if "time" not in drivers[n].dims]
            return drivers[statics].merge(
                drivers_package.normals(drivers), join="exact", compat="override"
            )

        return keep(self.workspace.cache / "normals" / key, make)

    def samples(self) -> xr.Dataset:
        """Towers with gridded drivers, statics, measured flux and coverage: what a model is fitted to.

        Raises:
            RecipeError: A static predictor that the recipe names does not exist.
        """
        training, gas = self._training(), self.recipe.gas_row
        towers = sites_package.assemble(self.recipe.sites, self.workspace, gas)
        first = training.period[0] - self.recipe.spin_up
        gridded = self.drivers(first, training.period[1])
        statics = xr.open_zarr(self.normals(training.period), consolidated=False, chunks=None)
        dynamic = [
            n
            for n in gridded.data_vars
            if n in self.recipe.driver_names and "time" in gridded[n].dims
        ]
        at_towers = drivers_package.at_sites(
            gridded[dynamic].assign({n: statics[n] for n in self._static_names(statics)}), towers
        )
        measured = towers[[gas.flux, f"{gas.flux}_coverage"]].reindex(time=at_towers["time"])
        measured = measured.where(measured["time.year"] >= training.period[0])
        index = (
            "site",
            np.array([ECOSYSTEMS.index(e) for e in towers["ecosystem"].values], dtype=np.int8),
        )
        merged = at_towers.assign({str(n): measured[n] for n in measured.data_vars})
        seen = merged[gas.flux].notnull().any("time")
        return merged.assign_coords(ecosystem=index).isel(site=np.flatnonzero(seen.values)).load()

    def series(self, samples: xr.Dataset) -> xr.Dataset:
        """What discovery sees: towers of its own where the recipe names them, otherwise the samples."""
        sources = self.recipe.discovery.sites
        if not sources:
            return samples
        series = sites_package.assemble(sources, self.workspace, self.recipe.gas_row)
        return _joined_clusters(series, samples)

    def neighbour_distances(self, samples: xr.Dataset) -> NDArray[np.float64]:
        """Distances from land cells to their nearest tower [km]: what neighbour dropout draws from."""
        areas = xr.open_zarr(
            self.areas(self._training().period[1]), consolidated=False, chunks=None
        )
        land = areas["land_fraction"].values > 0.5
        latitude, longitude = np.meshgrid(areas["latitude"], areas["longitude"], indexing="ij")
        step = max(1, int(land.sum()) // DISTANCE_SAMPLE)
        distance = great_circle_km(
            latitude[land][::step, None],
            longitude[land][::step, None],
            samples["latitude"].values,
            samples["longitude"].values,
        )
        return np.asarray(distance.min(axis=1))

    def static_names(self) -> tuple[str, ...]:
        """Static predictors of the model."""
        statics = xr.open_zarr(
            self.normals(self._training().period), consolidated=False, chunks=None
        )
        return tuple(self._static_names(statics))

    def _training(self) -> Training:
        if self.recipe.training is None:
            raise RecipeError(
                "the recipe does not train a model", expected="the key 'training'", found="none"
            )
        return self.recipe.training

    def _static_names(self, statics: xr.Dataset) -> list[str]:
        known = sorted(map(str, statics.data_vars))
        wanted = list(self._training().statics) or known
        unknown = sorted(set(wanted) - set(known))
        if unknown:
            raise RecipeError(
                "unknown static predictors",
                where="training.statics",
                expected=f"some of {', '.join(known)}",
                found=", ".join(unknown),
            )
        return wanted

    def _memory(self, year: int) -> range:
        return range(year - self.recipe.spin_up, year + 1)

    def _driver_year(self, year: int) -> Path:
        key = self._key(self.recipe.drivers, self._files(self.recipe.drivers, year))
        return keep(
            self.workspace.cache / "drivers" / f"{year}-{key}",
            lambda: drivers_package.assemble(
                self.recipe.drivers, self.recipe.product_grid, year, year, self.workspace
            ),
        )

    def _make_areas(self, year: int) -> xr.Dataset:
        grid = self.recipe.product_grid
        layers = drivers_package.assemble(
            self.recipe.ecosystems.areas, grid, year, year, self.workspace
        )
        wanted = [n for n in (*AREA_LAYERS, "land_fraction") if n in layers]
        fractions = ecosystems.fractions(layers[wanted])
        return xr.Dataset(
            {"ecosystem_fraction": fractions, "land_fraction": layers["land_fraction"].fillna(0.0)}
        )

    def _files(self, sources: Sequence[DriverSource], year: int) -> list[Path]:
        return [f for source in sources for f in source.inputs(self.workspace, year, year)]

    def _key(self, sources: Sequence[DriverSource], files: Sequence[Path]) -> str:
        told = [s.model_dump(mode="json") for s in sources]
        return year_key(told, self.recipe.grid.resolution, self.fingerprints.of(files))

    def _named(self, files: Sequence[Path]) -> dict[str, str]:
        return {
            self._relative(path): digest for path, digest in self.fingerprints.of(files).items()
        }

    def _relative(self, path: str) -> str:
        for base in (self.workspace.cache, self.workspace.data):
            if Path(path).is_relative_to(base):
                return Path(path).relative_to(base).as_posix()
        return Path(path).name


def _joined_clusters(series: xr.Dataset, samples: xr.Dataset) -> xr.Dataset:
    """The discovery series with the cluster numbers of the samples, so that holding a cluster out holds both out.

    A tower that is no sample takes the cluster of the nearest sample within the cluster distance, else one of its own.
    """
    distance = great_circle_km(
        series["latitude"].values[:, None],
        series["longitude"].values[:, None],
        samples["latitude"].values,
        samples["longitude"].values,
    )
    nearest = distance.argmin(axis=1)
    own = samples["cluster"].values.max() + 1 + np.arange(series.sizes["site"])
    near = distance.min(axis=1) <= CLUSTER_KM
    return series.assign_coords(
        cluster=("site", np.where(near, samples["cluster"].values[nearest], own))
    )

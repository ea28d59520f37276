"""From a recipe to the Datasets its stages work on: drivers and class areas by year, towers with their drivers.

Everything assembled is kept in the cache under a name that says what determined it, so a later year, a rerun or a
worker finds it instead of making it again.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid import budgets, ecosystems
from ch4grid import drivers as drivers_package
from ch4grid import sites as sites_package
from ch4grid.drivers import DriverSource
from ch4grid.drivers.cube import DriverCube, Mapper, gaps, in_turn, revision
from ch4grid.drivers.cube.revision import Revision
from ch4grid.drivers.kept import keep
from ch4grid.errors import RecipeError
from ch4grid.grid import great_circle_km
from ch4grid.recipe import Recipe, Training
from ch4grid.stores import Fingerprints, Workspace, beside, sha256_json, write_atomic
from ch4grid.structure import LOG_FLOOR
from ch4grid.vocabulary import AREA_LAYERS, ECOSYSTEMS, months

# Towers nearer than this to each other share a cluster (methods 0, decision 2).
CLUSTER_KM = 300.0
# Months before its own that the encoder of a driver sees; each of two layers of attention adds the longest lag.
ENCODER_MEMORY = 14
# Version of the kept spreads.
SPREADS_FORMAT = 1
# Layout of the kept class fractions.
AREAS_FORMAT = 3
# Land cells from which the distances to the nearest tower are drawn.
DISTANCE_SAMPLE = 2000


class Assembly:
    """The inputs of a recipe in a workspace.

    Args:
        recipe: The recipe.
        workspace: Its folders.
        mapper: Runs a function over jobs: stage, function, jobs.
    """

    def __init__(self, recipe: Recipe, workspace: Workspace, mapper: Mapper = in_turn) -> None:
        self.recipe = recipe
        self.workspace = workspace
        self.mapper = mapper
        self.fingerprints = Fingerprints(workspace.cache / "fingerprints.json")
        self.revisions: list[Revision] = []
        self._cubes: dict[int, DriverCube] = {}

    def inputs(self, year: int) -> dict[str, str]:
        """Input files of a product year, spin-up included, with their SHA-256; paths are relative to the data folder.

        Raises:
            InputError: A month is missing, damaged or preliminary and the recipe does not accept it.
        """
        wanted = self._memory(year)
        cube = self.cube(wanted[0].year)
        gaps.refuse(cube.survey(wanted), self.recipe.gaps)
        return self._named([*cube.files(wanted), *self._area_files(year)])

    def doubts(self, year: int) -> list[str]:
        """What the inputs of a product year hold that is not final, in words."""
        wanted = self._memory(year)
        held = [
            h for s in self._area_sources() for h in s.survey(self.workspace, months(year, year))
        ]
        return gaps.doubts([*self.cube(wanted[0].year).survey(wanted), *held])

    def tower_inputs(self) -> dict[str, str]:
        """Tower files with their SHA-256.

        Raises:
            InputError: A file is missing.
        """
        simulated = self.recipe.simulation.sites if self.recipe.simulation else ()
        sources = (*self.recipe.sites, *self.recipe.discovery.sites, *simulated)
        gas = self.recipe.gas_row
        return self._named([f for s in sources for f in s.inputs(self.workspace, gas)])

    def region_inputs(self) -> list[list[str]]:
        """What determines the regions that the recipe adds: property and SHA-256 of every file.

        Raises:
            InputError: A file is missing.
        """
        return [
            [s.name, *self._named([s.file(self.workspace)]).values()] for s in self.recipe.regions
        ]

    def region_names(self) -> list[str]:
        """Names of all regions of the product: globe and latitude bands, then those of the recipe's files.

        Raises:
            InputError: A file is missing or not GeoJSON.
            RecipeError: Two regions have one name.
        """
        added = [n for s in self.recipe.regions for n in s.names(self.workspace)]
        names = [*budgets.BANDS, *added]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise RecipeError(
                "two regions of the product have one name",
                where="regions",
                expected="names that no other file has, and none of " + ", ".join(budgets.BANDS),
                found=", ".join(twice[:5]),
                fix="Choose another property, or rename features",
            )
        return names

    def regions(self) -> xr.DataArray:
        """Share of every cell's area in each region of the product (region, latitude, longitude) [1].

        Raises:
            InputError: A file is missing or a geometry is invalid.
            RecipeError: Two regions have one name.
        """
        grid = self.recipe.product_grid
        bands = budgets.regions(grid)
        if not self.recipe.regions:
            return bands
        self.region_names()
        added = [s.shares(self.workspace, grid) for s in self.recipe.regions]
        return xr.concat([bands, *added], dim="region", coords="minimal", compat="override")

    def cube(self, first_year: int) -> DriverCube:
        """The driver cube of the recipe, whose time axis begins with the spin-up or with an earlier year asked for."""
        periods = [self.recipe.period, self.recipe.normals_period]
        origin = min(first_year, *(p[0] - self.recipe.spin_up for p in periods))
        if origin not in self._cubes:
            self._cubes[origin] = DriverCube(
                self.workspace.cache / "drivers",
                self.recipe.drivers,
                self.recipe.product_grid,
                self.workspace,
                first_year=origin,
                policy=self.recipe.gaps,
                reference=self.recipe.normals_period,
                fingerprints=self.fingerprints,
            )
        return self._cubes[origin]

    def update(self, first_year: int, last_year: int) -> Path:
        """The store of the driver cube, brought up to date for some years; what changed is added to `revisions`.

        Raises:
            InputError: A month is missing, damaged or preliminary and the recipe does not accept it.
            RunError: The cube cannot be written.
        """
        cube = self.cube(first_year)
        self.revisions += cube.update(months(first_year, last_year), self.mapper)
        return cube.store

    def revised(self) -> tuple[str, ...]:
        """What changed in driver months that were there before, in words, and where the cells are listed."""
        if not self.revisions:
            return ()
        store = next(iter(self._cubes.values())).store
        cells = revision.affected(
            revision.table(store), 1 + ENCODER_MEMORY + 2 * self.recipe.discovery.settings.max_lag
        )
        path = beside(store, ".affected.csv")
        write_atomic(path, cells.to_csv(index=False, lineterminator="\n").encode())
        told = [r.in_words() for r in self.revisions]
        return (*told, f"{len(cells)} product cells depend on them, with their months: {path}")

    def drivers(self, first_year: int, last_year: int) -> xr.Dataset:
        """DRIVERS of consecutive years (time, latitude, longitude), lazy."""
        self.update(first_year, last_year)
        return self.cube(first_year).open(first_year, last_year)

    def areas(self, year: int) -> Path:
        """Folder of `ecosystem_fraction`, `land_fraction` and `area_filled` of a year, made where it is not there."""
        return keep(self.areas_folder(year), lambda: self._make_areas(year))

    def areas_folder(self, year: int) -> Path:
        """Where the class areas of a year lie, there or not.

        Raises:
            InputError: A file is missing or damaged.
        """
        told = self.recipe.ecosystems.model_dump(mode="json")
        digests = sorted(self.fingerprints.of(self._area_files(year)).values())
        key = sha256_json([AREAS_FORMAT, told, self.recipe.grid.resolution, digests])[:16]
        return self.workspace.cache / "areas" / f"{year}-{key}"

    def area_log(self, year: int) -> dict[str, Any]:
        """Where the area of every layer went in a year, by wetland map if there are several [km2]."""
        with xr.open_zarr(self.areas(year), consolidated=False, chunks=None) as areas:
            found: dict[str, Any] = json.loads(areas["ecosystem_fraction"].attrs["mass_log"])
        return found

    def normals(self, period: tuple[int, int]) -> Path:
        """Folder of the static predictors: climate normals over a period, and what the drivers hold as static."""
        self.update(*period)
        cube = self.cube(period[0])
        key = sha256_json([period, cube.fingerprint(months(*period))])[:16]

        def make() -> xr.Dataset:
            drivers = cube.open(*period)
            statics = [n for n in drivers.data_vars if "time" not in drivers[n].dims]
            return drivers[statics].merge(
                drivers_package.normals(drivers), join="exact", compat="override"
            )

        return keep(self.workspace.cache / "normals" / key, make)

    def spreads(self, period: tuple[int, int]) -> Path:
        """Folder of the standard deviation of every driver's anomalies over a period, in the space of its equation."""
        self.update(*period)
        cube = self.cube(period[0])
        key = sha256_json([SPREADS_FORMAT, period, cube.fingerprint(months(*period))])[:16]
        return keep(
            self.workspace.cache / "spreads" / key,
            lambda: drivers_package.spreads(cube.open(*period), LOG_FLOOR),
        )

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
        return joined_clusters(series, samples)

    def simulation(self, samples: xr.Dataset) -> xr.Dataset | None:
        """Simulated sites away from all towers, for models that learn from them first; None without."""
        recipe = self.recipe
        if recipe.simulation is None:
            return None
        return recipe.simulation.open(self.workspace, recipe.gas_row, recipe.spin_up, samples)

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

    def _memory(self, year: int) -> pd.DatetimeIndex:
        return months(year - self.recipe.spin_up, year)

    def _area_sources(self) -> list[DriverSource]:
        section = self.recipe.ecosystems
        return [*section.areas, *section.wetlands.values()]

    def _area_files(self, year: int) -> list[Path]:
        held = [
            h for s in self._area_sources() for h in s.survey(self.workspace, months(year, year))
        ]
        gaps.refuse(held, "strict")
        return sorted({f for h in held for f in h.files})

    def _make_areas(self, year: int) -> xr.Dataset:
        grid, section = self.recipe.product_grid, self.recipe.ecosystems
        layers = drivers_package.assemble(section.areas, grid, year, year, self.workspace)
        wanted = layers[[n for n in (*AREA_LAYERS, "land_fraction") if n in layers]]
        if section.wetlands:
            given = {
                name: drivers_package.assemble([source], grid, year, year, self.workspace)
                for name, source in section.wetlands.items()
            }
            wetlands = {name: ds["wetland_fraction"] for name, ds in given.items()}
            fractions = ecosystems.extents(wanted, wetlands)
        else:
            fractions = ecosystems.fractions(wanted)
        return xr.Dataset(
            {
                "ecosystem_fraction": fractions,
                "land_fraction": layers["land_fraction"].fillna(0.0),
                "area_filled": self._filled_months(year),
            }
        )

    def _filled_months(self, year: int) -> xr.DataArray:
        """Months (time) in which an area layer follows the rule for what lies beyond its series, 1 or 0."""
        time = months(year, year)
        held = [h for s in self._area_sources() for h in s.survey(self.workspace, time)]
        ruled = {h.month for h in held if h.state == "climatology"}
        return xr.DataArray(np.array([m in ruled for m in time], np.uint8), {"time": time}, "time")

    def _named(self, files: Sequence[Path]) -> dict[str, str]:
        return {
            self._relative(path): digest for path, digest in self.fingerprints.of(files).items()
        }

    def _relative(self, path: str) -> str:
        for base in (self.workspace.cache, self.workspace.data):
            if Path(path).is_relative_to(base):
                return Path(path).relative_to(base).as_posix()
        return Path(path).name


def joined_clusters(series: xr.Dataset, samples: xr.Dataset) -> xr.Dataset:
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

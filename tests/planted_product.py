"""A made-up product whose every value is known, small enough to be written many times."""

from pathlib import Path

import numpy as np
import xarray as xr

from ch4grid import budgets, cube
from ch4grid.grid import Grid
from ch4grid.stores import product_store
from ch4grid.vocabulary import ECOSYSTEMS, GASES, Gas, months

GRID = Grid(4.0)
MEMBERS = 3
FLUX_QUANTILES = [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95]


def flux_block(grid: Grid, tile, year: int, *, seed: int = 0, members: int = MEMBERS) -> xr.Dataset:
    """FLUX of one region: emissions and uptake, absent classes, ocean, a lost driver, all from the seed."""
    rng = np.random.default_rng([seed, year, tile[0].start, tile[1].start])
    latitude, longitude = grid.latitude[tile[0]], grid.longitude[tile[1]]
    time = months(year, year)
    shape = (len(ECOSYSTEMS), len(time), latitude.size, longitude.size)
    fraction = rng.dirichlet(np.ones(len(ECOSYSTEMS)), shape[1:]).transpose(3, 0, 1, 2)
    fraction = np.where(rng.random(shape) < 0.3, 0.0, fraction) * 0.9
    ocean = rng.random(shape[2:]) < 0.3
    fraction = np.where(ocean, 0.0, fraction).astype(np.float32)
    base = rng.normal(1e-9, 3e-9, shape)
    density = base + rng.normal(0, 1e-9, (members, *shape))
    density = np.where(fraction > 0, density, np.nan)
    lost = rng.random(shape[1:]) < 0.01
    density = np.where(lost, np.nan, density).astype(np.float32)
    variance = np.where(fraction > 0, rng.uniform(0, 4e-18, shape), np.nan)
    variance = np.where(lost, np.nan, variance).astype(np.float32)
    spread = np.linspace(-2e-9, 2e-9, len(FLUX_QUANTILES)).reshape(-1, 1, 1, 1, 1)
    quantile = (density.mean(axis=0)[None] + spread).astype(np.float32)
    flag = np.where(ocean, 1, rng.choice([0, 3, 5], shape[1:])).astype(np.uint8)
    block = ("ecosystem", "time", "latitude", "longitude")
    units = {"units": "kg m-2 s-1"}
    return xr.Dataset(
        {
            "ch4_flux_density": (("member", *block), density, units),
            "ch4_flux_density_variance": (block, variance, {"units": "kg2 m-4 s-2"}),
            "ch4_flux_density_quantile": (("quantile", *block), quantile, units),
            "ecosystem_fraction": (block, fraction, {"units": "1"}),
            "dissimilarity_index": (
                block[1:],
                rng.uniform(0, 2, shape[1:]).astype(np.float32),
                {"units": "1"},
            ),
            "quality_flag": (block[1:], flag, {"units": "1"}),
        },
        coords={
            "member": np.arange(members),
            "quantile": FLUX_QUANTILES,
            "ecosystem": list(ECOSYSTEMS),
            "time": time,
            "latitude": latitude,
            "longitude": longitude,
        },
        attrs={"step": "month"},
    )


def spec(**changes) -> cube.ProductSpec:
    """Specification of the made-up product."""
    known = {
        "name": "planted",
        "title": "A made-up product",
        "summary": "Made up for tests.",
        "version": 1,
        "scenario": "historical",
        "first_year": 2001,
        "members": MEMBERS,
        "recipe": {"product": "planted", "grid": {"resolution": 4.0}},
        "checkpoint": "0" * 64,
        "graph": "{}",
        "parts": {"grid": "a", "model": "b"},
    }
    return cube.ProductSpec(**(known | changes))


def planes(grid: Grid) -> xr.Dataset:
    """Static variables of the made-up product."""
    land = xr.DataArray(np.full(grid.shape, 0.5, dtype=np.float32), dims=("latitude", "longitude"))
    return xr.Dataset({"land_fraction": land, "region_fraction": budgets.regions(grid)})


def store_path(output: Path, version: int = 1) -> Path:
    """Where the made-up product lies."""
    return product_store(output, "planted", version, "historical")


def write_years(
    output: Path, *years: int, grid: Grid = GRID, seed: int = 0, inputs: str = "i", **changes
) -> Path:
    """Write and publish years of the made-up product as a run does."""
    told = spec(**changes)
    gas = told.gas
    store = store_path(output, told.version)
    static = planes(grid)
    with cube.lock(store):
        cube.create(store, told, grid, static)
        for year in cube.begin(store, told, {y: f"{inputs}-{y}" for y in years}):
            for tile in grid.tiles():
                if cube.staged(store, year, tile) is None:
                    write_tile(store, grid, tile, year, seed=seed, static=static, gas=gas)
            cube.finish(store, year)
    return store


def write_tile(
    store: Path,
    grid: Grid,
    tile,
    year: int,
    *,
    static: xr.Dataset,
    seed: int = 0,
    gas: Gas = GASES["ch4"],
):
    """Compute and write one region; of another gas the numbers are those of methane."""
    flux = flux_block(grid, tile, year, seed=seed)
    flux = flux.rename({str(v): str(v).replace("ch4", gas.name) for v in flux.data_vars})
    block = cube.cell_block(flux, grid, tile, gas=gas)
    shares = static["region_fraction"][:, tile[0], tile[1]]
    budget = budgets.budget(flux, block[f"{gas.flux}_member"], shares, grid, tile)
    return cube.write_block(store, block, budget, year=year, tile=tile)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but the lock."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.suffix != ".lock"
    }


def mirrored(folder: Path) -> dict[str, bytes]:
    """The files below a folder that a mirror holds: not those that lie beside a store for its repair."""
    own = (".metadata.json", ".inputs.json", ".retractions.json")
    return {
        name: content
        for name, content in tree(folder).items()
        if not name.endswith(own) and ".records/" not in name
    }

"""A model that says where it was asked, through every region into a store: each value lies where it belongs.

Latitude is negative in the south and longitude in the west, so a turned, shifted or transposed axis, members, classes
or months in another order, and a region in the place of another one all give other numbers.
"""

from pathlib import Path

import numpy as np
import planted_product
import pytest
import xarray as xr
from test_inference import Echo, asked

from ch4grid import budgets, cube
from ch4grid.drivers.kept import keep
from ch4grid.grid import Grid
from ch4grid.inference import Region, predict_region
from ch4grid.production import planes
from ch4grid.scenarios import Scenario
from ch4grid.vocabulary import ECOSYSTEMS, GASES, months

GAS = GASES["ch4"]
MEMBERS = 5
YEAR = 2001
CLASSES = len(ECOSYSTEMS)
# Share of the cell by class: no two alike, their sum below one.
SHARES = np.array([0.02, 0.05, 0.07, 0.11, 0.13, 0.17, 0.19], dtype=np.float32)


def region_of(folder: Path, grid: Grid) -> Region:
    """The globe with every class in every cell, one driver without a pattern."""
    time, plane = months(YEAR, YEAR), ("latitude", "longitude")
    drivers = xr.Dataset(
        {
            "ps": (("time", *plane), np.full((12, *grid.shape), 1e5, np.float32)),
            "driver_status": (("time", *plane), np.zeros((12, *grid.shape), np.uint8)),
        },
        coords={**grid.coords, "time": time},
    )
    fraction = np.broadcast_to(SHARES[:, None, None], (CLASSES, *grid.shape))
    areas = xr.Dataset(
        {
            "ecosystem_fraction": (("ecosystem", *plane), fraction),
            "land_fraction": (plane, np.ones(grid.shape, np.float32)),
            "area_filled": ("time", np.zeros(12, np.uint8)),
        },
        coords={**grid.coords, "ecosystem": list(ECOSYSTEMS), "time": time},
    )
    normals = areas[["land_fraction"]]
    return Region(
        drivers=keep(folder / "drivers", lambda: drivers),
        years=(YEAR, YEAR),
        areas=keep(folder / "areas", lambda: areas),
        normals=keep(folder / "normals", lambda: normals),
        scenario=Scenario(),
        resolution=grid.resolution,
    )


def published(folder: Path, grid: Grid) -> Path:
    """The store of a year that the echo predicted, region by region."""
    region, store = region_of(folder, grid), folder / "planted" / "v1" / "historical.zarr"
    recipe = {"product": "planted", "grid": {"resolution": grid.resolution}}
    spec = planted_product.spec(members=MEMBERS, recipe=recipe, static_fraction=True)
    areas = xr.open_zarr(region.areas, consolidated=False, chunks=None).load()
    cube.create(store, spec, grid, planes(areas, budgets.regions(grid), MEMBERS))
    cube.begin(store, spec, {YEAR: "planted"})
    for tile in grid.tiles():
        flux = predict_region(Echo(drivers=("ps",)), region.at(tile), gas=GAS)
        block = cube.cell_block(flux, grid, tile, gas=GAS)
        shares = cube.region_fraction(store, tile)
        table = budgets.budget(flux, block[f"{GAS.flux}_member"], shares, grid, tile)
        cube.write_block(store, block, table, year=YEAR, tile=tile)
    cube.finish(store, YEAR)
    return store


def told(grid: Grid, code: int) -> np.ndarray:
    """Flux of a class that was planted (member, time, latitude, longitude) [kg m-2 s-1]."""
    month = np.arange(1, 13)[:, None, None]
    law = asked(MEMBERS, grid.latitude[:, None], grid.longitude, float(code), month)
    return 10 * np.sinh(law) * GAS.kg_per_nmol


@pytest.mark.parametrize(
    "resolution", [1.0, pytest.param(0.25, marks=pytest.mark.slow)], ids="{:g} degrees".format
)
def test_every_value_of_a_store_lies_in_its_cell_class_month_and_member(
    tmp_path: Path, resolution: float
) -> None:
    grid = Grid(resolution)
    assert len(grid.tiles()) > 1
    product = xr.open_zarr(published(tmp_path, grid), chunks=None)
    cells = np.zeros((MEMBERS, 12, *grid.shape))
    for code, name in enumerate(ECOSYSTEMS):
        flux = told(grid, code)
        found = product["ch4_flux_density"].sel(ecosystem=name).values
        # the mean of members is kept to ten bits
        np.testing.assert_allclose(found, flux.mean(axis=0), rtol=2**-10, atol=1e-16)
        share = product["ecosystem_fraction"].sel(ecosystem=name).values
        np.testing.assert_allclose(share, SHARES[code], rtol=2**-10)
        cells += flux * SHARES[code]
    np.testing.assert_allclose(product["ch4_flux_member"].values, cells, rtol=1e-5, atol=1e-16)
    np.testing.assert_allclose(
        product["ch4_flux"].values, cells.mean(axis=0), rtol=2**-9, atol=1e-15
    )
    assert (product["quality_flag"].values == 0).all()

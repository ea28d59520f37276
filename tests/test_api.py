"""The public functions: light to import, the same by every way to them, honest about what they cannot open."""

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import planted_product as planted
import pytest
import xarray as xr

import ch4grid
from ch4grid import budgets
from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.testing import drivers

HEAVY = ("torch", "tigramite", "econml", "xesmf", "pystac", "sklearn", "matplotlib", "s3fs")
SUBMODULES = ("budgets", "running", "planning", "regridding", "production", "graph", "api")
GRID = Grid(10.0)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("product")
    planted.write_years(output, 2001, grid=GRID)
    return planted.store_path(output)


def test_importing_and_opening_load_no_heavy_library(store: Path) -> None:
    program = (
        "import sys, ch4grid\n"
        f"before = [m for m in {HEAVY} if m in sys.modules]\n"
        f"ds = ch4grid.open({str(store)!r})\n"
        f"after = [m for m in {HEAVY} if m in sys.modules]\n"
        "sys.stdout.write(f'{before} {after} {ds.sizes[\"time\"]}')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[] [] 12"


def test_a_budget_loads_no_heavy_library(store: Path) -> None:
    program = (
        f"import sys, ch4grid\nch4grid.budget(ch4grid.open({str(store)!r})).mean.load()\n"
        f"sys.stdout.write(str([m for m in {HEAVY} if m in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]"


@pytest.mark.parametrize("name", ch4grid.__all__)
def test_a_public_name_stays_what_it_is_after_the_modules_were_imported(name: str) -> None:
    first = getattr(ch4grid, name)
    for module in SUBMODULES:
        importlib.import_module(f"ch4grid.{module}")
    assert getattr(ch4grid, name) is first
    assert callable(first)
    assert name in dir(ch4grid)


def test_an_unknown_name_is_refused_with_the_public_ones() -> None:
    with pytest.raises(AttributeError, match="no attribute 'bugdet'; public are Grid, budget"):
        _ = ch4grid.bugdet


def test_the_budget_of_a_region_is_the_sum_over_its_cells(store: Path) -> None:
    with ch4grid.open(store) as ds:
        found = ch4grid.budget(ds, region=ds.latitude > 60)
        flux = ds["ch4_flux_member"].values.astype(float)
        area, inflation = ds["cell_area"].values, float(ds.attrs.get(budgets.INFLATION, 1.0))
        latitude, time = ds["latitude"].values, pd.DatetimeIndex(ds["time"].values)
        found = [v.load() for v in found]
    total = np.zeros(flux.shape[:2])
    for member, month, row, column in np.ndindex(flux.shape):
        value = flux[member, month, row, column]
        if latitude[row] > 60 and np.isfinite(value):
            seconds = time[month].days_in_month * 86400
            total[member, month] += value * area[row, column] * seconds / 1e9
    np.testing.assert_allclose(found[1], total.mean(axis=0), rtol=1e-12)
    expected = budgets.interval(xr.DataArray(total, dims=("member", "time")), inflation=inflation)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-9)
    np.testing.assert_allclose(found[2], expected[2], rtol=1e-9)


def test_the_budget_without_a_region_is_the_stored_budget_of_the_globe(store: Path) -> None:
    with ch4grid.open(store) as ds:
        table = ds["ch4_budget"].sel(region="globe").sum("ecosystem").mean("member").load()
        np.testing.assert_allclose(ch4grid.budget(ds).mean, table, rtol=1e-9)


def test_a_region_of_another_grid_is_refused(store: Path) -> None:
    other = xr.DataArray(np.ones(3), dims="latitude", coords={"latitude": [61.0, 62.0, 63.0]})
    with ch4grid.open(store) as ds, pytest.raises(InputError, match="grid"):
        ch4grid.budget(ds, region=other)


def test_opening_nothing_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no product here\. Expected the Zarr group"):
        ch4grid.open(tmp_path / "no.zarr")


def test_a_folder_that_holds_no_checkpoint_has_no_causal_graph(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="this is no checkpoint"):
        ch4grid.causal_graph(tmp_path)


@pytest.mark.parametrize("method", ["conservative", "bilinear", "nearest"])
def test_regridding_keeps_a_constant(method: str) -> None:
    ds = drivers(GRID, 2001, 2001)[["tas"]].isel(time=[0]) * 0 + 280.0
    found = ch4grid.regrid(ds, Grid(30.0), method=method)
    np.testing.assert_allclose(found["tas"], 280.0, rtol=1e-6)


def test_regridding_conserves_the_integral_over_the_cells_of_a_product() -> None:
    fine, coarse = Grid(5.0), Grid(20.0)
    values = np.random.default_rng(1).random(fine.shape)
    ds = xr.Dataset({"tas": (("latitude", "longitude"), values)}, coords=fine.coords)
    found = ch4grid.regrid(ds, coarse)
    expected = float((values * fine.cell_area).sum())
    assert float((found["tas"].values * coarse.cell_area).sum()) == pytest.approx(
        expected, rel=1e-12
    )

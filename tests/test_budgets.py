"""Budgets: true months, exact areas, classes that add up, intervals that cover."""

import numpy as np
import pandas as pd
import planted_product as planted
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from ch4grid import budgets, cube
from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.vocabulary import months

GRID = planted.GRID
TILE = GRID.tiles()[0]


def product(year=2001, seed=0):
    flux = planted.flux_block(GRID, TILE, year, seed=seed)
    return flux, cube.cell_block(flux, GRID, TILE)


@pytest.mark.parametrize("resolution", [0.5, 4.0, 22.5])
def test_latitude_bands_add_up_to_the_globe(resolution):
    weights = budgets.regions(Grid(resolution))
    assert set(np.unique(weights.sel(region="globe"))) == {1.0}
    np.testing.assert_allclose(weights.sum("region"), 2.0, rtol=1e-12)
    area = (weights * Grid(resolution).cell_area).sum(("latitude", "longitude"))
    # the exact zone between the parallels does not depend on the grid it is summed on
    exact = (budgets.regions(Grid(30.0)) * Grid(30.0).cell_area).sum(("latitude", "longitude"))
    np.testing.assert_allclose(area, exact, rtol=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(1990, 2030))
def test_classes_add_up_to_the_stored_members(seed, year):
    flux, block = product(year, seed)
    weights = budgets.regions(GRID)
    table = budgets.budget(flux, block["ch4_flux_member"], weights, GRID, TILE)
    seconds = pd.DatetimeIndex(flux["time"].values).days_in_month.values * 86400.0
    stored = np.nan_to_num(block["ch4_flux_member"].values.astype(float))
    for r in range(weights.sizes["region"]):
        mass = (stored * (GRID.cell_area * weights.values[r])).sum(axis=(2, 3)) * seconds / 1e9
        size = (abs(stored) * (GRID.cell_area * weights.values[r])).sum(axis=(2, 3)) * seconds / 1e9
        assert (abs(table.values[..., r].sum(axis=2) - mass) <= 1e-12 * size).all()


def test_a_budget_equals_brute_force_loops():
    flux, block = product()
    table = budgets.budget(flux, block["ch4_flux_member"], budgets.regions(GRID), GRID, TILE)
    k = list(flux["ecosystem"].values).index("rice-paddy")
    total = 0.0
    for y in range(GRID.shape[0]):
        for x in range(GRID.shape[1]):
            density = float(flux["ch4_flux_density"].values[1, k, 1, y, x])
            fraction = float(flux["ecosystem_fraction"].values[k, 1, y, x])
            if fraction > 0 and np.isfinite(block["ch4_flux"].values[1, y, x]):
                total += density * fraction * GRID.cell_area[y, x] * 28 * 86400 / 1e9
    found = table.sel(ecosystem="rice-paddy", region="globe").isel(member=1, time=1)
    assert float(found) == pytest.approx(total, rel=1e-6)


def test_tiles_add_up_to_the_whole():
    grid = Grid(10.0)
    whole = (slice(0, 18), slice(0, 36))
    flux = planted.flux_block(grid, whole, 2001)
    weights = budgets.regions(grid)
    block = cube.cell_block(flux, grid, whole)
    table = budgets.budget(flux, block["ch4_flux_member"], weights, grid, whole)
    parts = []
    for slices in grid.tiles(6):
        part = flux.isel(latitude=slices[0], longitude=slices[1])
        members = block["ch4_flux_member"].isel(latitude=slices[0], longitude=slices[1])
        shares = weights[:, slices[0], slices[1]]
        parts.append(budgets.budget(part, members, shares, grid, slices))
    np.testing.assert_allclose(sum(p.values for p in parts), table.values, rtol=1e-12, atol=1e-15)


def test_doubling_the_flux_doubles_the_budget():
    flux, block = product()
    weights = budgets.regions(GRID)
    once = budgets.budget(flux, block["ch4_flux_member"], weights, GRID, TILE)
    flux["ch4_flux_density"] = (flux["ch4_flux_density"] * 2).assign_attrs(units="kg m-2 s-1")
    twice = budgets.budget(flux, block["ch4_flux_member"] * 2, weights, GRID, TILE)
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-12)


def test_a_known_flux_gives_the_closed_form_also_in_leap_years(tmp_path):
    members = xr.DataArray(
        np.full((2, 24, *GRID.shape), 1e-9),
        dims=("member", "time", "latitude", "longitude"),
        coords={"time": months(2003, 2004), **GRID.coords},
    )
    ds = xr.Dataset(
        {"ch4_flux_member": members, "cell_area": (("latitude", "longitude"), GRID.cell_area)}
    )
    mass = budgets.regional(ds)
    year = budgets.annual(mass)
    earth = 5.100656217240885e14
    np.testing.assert_allclose(year.sel(year=2003), 1e-9 * earth * 365 * 86400 / 1e9, rtol=1e-12)
    np.testing.assert_allclose(year.sel(year=2004), 1e-9 * earth * 366 * 86400 / 1e9, rtol=1e-12)
    half = xr.DataArray(np.full(GRID.shape, 0.5), dims=("latitude", "longitude"))
    np.testing.assert_allclose(budgets.regional(ds, half), mass / 2, rtol=1e-12)
    assert mass.attrs["units"] == "Tg"


def test_regional_budgets_of_an_opened_product_equal_its_table(tmp_path):
    store = planted.write_years(tmp_path, 2001)
    with xr.open_zarr(store) as ds:
        for region in ds["region"].values:
            share = ds["region_fraction"].sel(region=region, drop=True)
            table = ds["ch4_budget"].sel(region=region).sum("ecosystem")
            np.testing.assert_allclose(budgets.regional(ds, share), table, rtol=1e-9)


def test_a_region_off_the_grid_or_beyond_a_share_is_refused():
    ds = xr.Dataset(
        {
            "ch4_flux_member": (
                ("member", "time", "latitude", "longitude"),
                np.zeros((2, 12, *GRID.shape)),
            ),
            "cell_area": (("latitude", "longitude"), GRID.cell_area),
        },
        coords={"time": months(2001, 2001), **GRID.coords},
    )
    with pytest.raises(InputError, match="not on the grid"):
        budgets.regional(ds, xr.DataArray(np.ones((3, 4)), dims=("latitude", "longitude")))
    with pytest.raises(InputError, match="not a share"):
        budgets.regional(ds, xr.DataArray(np.full(GRID.shape, 2.0), dims=("latitude", "longitude")))


def test_a_year_without_twelve_months_has_no_annual_sum():
    monthly = xr.DataArray(np.ones(18), dims="time", coords={"time": months(2001, 2002)[:18]})
    year = budgets.annual(monthly)
    assert float(year.sel(year=2001)) == 12
    assert np.isnan(float(year.sel(year=2002)))


def test_intervals_cover_a_further_draw_at_the_stated_rate():
    rng = np.random.default_rng(3)
    draws = rng.normal(100, 5, (11, 20000))
    members = xr.DataArray(draws[:10], dims=("member", "trial"))
    low, mean, high = budgets.interval(members, 0.9)
    covered = ((low.values <= draws[10]) & (draws[10] <= high.values)).mean()
    assert covered == pytest.approx(0.9, abs=0.01)
    wide = budgets.interval(members, 0.9, inflation=2.0)
    np.testing.assert_allclose(wide[2] - mean, 2 * (high - mean))
    with pytest.raises(InputError, match="two members"):
        budgets.interval(members[:1])

"""Members dealt over wetland maps: the cell flux of a member, the mean density, and that one map changes nothing."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ch4grid import budgets, cube, extents
from ch4grid.cube.block import check_block
from ch4grid.grid import Grid
from ch4grid.testing import flux as flux_block
from ch4grid.vocabulary import GASES

GAS = GASES["ch4"]
NAME = f"{GAS.flux}_density"
GRID = Grid(60.0)


def planted(
    seed: int, names: tuple[str, ...] = ("wide", "narrow")
) -> tuple[xr.Dataset, xr.DataArray]:
    """FLUX on the mean fractions, and the fractions by extent: members and maps differ everywhere."""
    flux = flux_block(GRID, 2001, 2001, seed=seed)
    rng = np.random.default_rng(seed)
    base = flux["ecosystem_fraction"]
    share = rng.uniform(0.0, 1.0, (len(names), *base.shape)) * base.values / len(names)
    own = xr.DataArray(
        share.astype(np.float32),
        dims=("extent", *base.dims),
        coords={"extent": list(names), **base.coords},
    )
    mean = extents.mean_fraction(own, flux.sizes["member"])
    used = mean.transpose(*base.dims) > 0
    masked = {n: flux[n].where(used) for n in (NAME, f"{NAME}_variance", f"{NAME}_quantile")}
    ordered = {n: v.transpose(*flux[n].dims).assign_attrs(flux[n].attrs) for n, v in masked.items()}
    return flux.assign(ordered).assign(
        ecosystem_fraction=mean.transpose(*base.dims).assign_attrs(base.attrs)
    ), own


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_a_members_cell_flux_is_that_of_its_own_map(seed: int) -> None:
    flux, own = planted(seed)
    dealt = extents.deal(flux, own, GAS)
    block = cube.cell_block(dealt, GRID, (slice(None), slice(None)), gas=GAS)
    of_member = extents.dealt(2, flux.sizes["member"])
    shares = own.isel(extent=xr.DataArray(of_member, dims="member"))
    found = block[f"{GAS.flux}_member"]
    expected = (flux[NAME] * shares).fillna(0.0).sum("ecosystem").transpose(*found.dims).values
    present = np.isfinite(found.values)
    assert present.any()
    np.testing.assert_allclose(found.values[present], expected[present], rtol=2e-5, atol=1e-18)
    assert check_block(block, GAS) == []


def test_the_mean_density_is_weighted_by_the_area_that_members_give_it() -> None:
    flux, own = planted(3)
    dealt = extents.deal(flux, own, GAS)
    of_member = extents.dealt(2, flux.sizes["member"])
    shares = own.isel(extent=xr.DataArray(of_member, dims="member"))
    expected = (flux[NAME] * shares).sum("member") / shares.sum("member")
    found = dealt[NAME].mean("member")
    both = np.isfinite(found.values)
    np.testing.assert_allclose(
        found.values[both], expected.transpose(*found.dims).values[both], rtol=1e-4
    )


def test_a_spread_of_maps_widens_the_interval_of_a_budget() -> None:
    flux, own = planted(5)
    same = own.isel(extent=[0, 0]).assign_coords(extent=["a", "b"])
    mean = extents.mean_fraction(own, flux.sizes["member"])
    apart = xr.concat([mean * 1.5, mean * 0.5], dim="extent").transpose(*own.dims)
    widths = []
    for maps in (same * 0 + mean, apart):
        dealt = extents.deal(flux, maps.transpose(*own.dims), GAS)
        block = cube.cell_block(dealt, GRID, (slice(None), slice(None)), gas=GAS)
        table = budgets.budget(dealt, block[f"{GAS.flux}_member"], budgets.regions(GRID), GRID)
        low, _, high = budgets.interval(table.sum("ecosystem").sel(region="globe").isel(time=0))
        widths.append(float(high - low))
    assert widths[1] > 1.2 * widths[0]


def test_one_map_changes_nothing() -> None:
    flux, own = planted(1)
    static = own.isel(extent=0, drop=True)
    assert extents.deal(flux, static, GAS) is flux
    assert extents.mean_fraction(static, 10) is static


@pytest.mark.parametrize(("members", "weights"), [(4, (0.5, 0.5)), (3, (2 / 3, 1 / 3))])
def test_maps_weigh_as_many_members_as_they_have(
    members: int, weights: tuple[float, float]
) -> None:
    maps = xr.DataArray(
        np.array([[1.0], [0.0]]), dims=("extent", "ecosystem"), coords={"extent": ["a", "b"]}
    )
    assert float(extents.mean_fraction(maps, members)[0]) == pytest.approx(weights[0])

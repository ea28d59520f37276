"""Every wire lets a valid dataset through unchanged and names what is wrong with an invalid one."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from ch4grid import testing
from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.schema import check_budget, check_drivers, check_flux, check_range, check_sites
from ch4grid.vocabulary import GASES, VARIABLES

GRID = Grid(45.0)
GAS = GASES["ch4"]
NAMES = ("tas", "pr", "ps", "mrsos", "elevation")


def sites() -> xr.Dataset:
    return testing.sites()


def drivers() -> xr.Dataset:
    return testing.drivers(GRID, 2001, 2001)


def flux() -> xr.Dataset:
    return testing.flux(GRID, 2001)


def test_a_valid_dataset_passes_every_wire_as_it_is() -> None:
    for made, check in (
        (sites(), lambda ds: check_sites(ds, GAS)),
        (drivers(), lambda ds: check_drivers(ds, NAMES)),
        (flux(), lambda ds: check_flux(ds, GAS)),
    ):
        before = made.copy(deep=True)
        assert check(made) is made
        xr.testing.assert_identical(made, before)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda ds: ds.drop_vars("ch4_flux"), "variable 'ch4_flux' is missing"),
        (lambda ds: ds.drop_vars("cluster"), "variable 'cluster' is missing"),
        (lambda ds: ds.transpose("time", "site"), "variable 'ch4_flux' has wrong dimensions"),
        (
            lambda ds: ds.assign(ch4_flux=ds["ch4_flux"].assign_attrs(units="nmol m-2 s-1")),
            r"'ch4_flux' has wrong units.*Expected kg m-2 s-1.*Found nmol m-2 s-1",
        ),
        (lambda ds: ds.isel(time=slice(None, None, -1)), "time is not strictly increasing"),
        (
            lambda ds: ds.assign_coords(time=ds["time"] + np.timedelta64(14, "D")),
            "months are not labelled by their first day",
        ),
        (
            lambda ds: ds.assign_coords(site=["A"] * ds.sizes["site"]),
            r"site is not unique.*Found \['A'\]",
        ),
        (
            lambda ds: ds.assign_coords(ecosystem=("site", ["swamp"] * ds.sizes["site"])),
            r"unknown ecosystem class.*Found \['swamp'\]",
        ),
        (lambda ds: ds.drop_attrs(deep=False), "attribute 'step' is wrong.*Expected month or week"),
    ],
)
def test_what_is_wrong_with_sites_is_named(spoil, words: str) -> None:
    with pytest.raises(InputError, match=f"SITES: .*{words}"):
        check_sites(spoil(sites()), GAS)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda ds: ds.drop_vars(["tas", "pr"]), "predictors are missing.*no pr, tas"),
        (lambda ds: ds.drop_vars("driver_status"), "variable 'driver_status' is missing"),
        (
            lambda ds: ds.assign(tas=ds["tas"].assign_attrs(units="degC")),
            r"'tas' has wrong units.*Expected K.*Found degC",
        ),
        (
            lambda ds: ds.assign(tas=ds["tas"] - 273.15),
            r"'tas' holds values that air temperature at 2 m cannot have.*180 to 335 K",
        ),
        (lambda ds: ds.isel(latitude=slice(None, None, -1)), "latitude is not ascending"),
        (lambda ds: ds.roll(longitude=2, roll_coords=True), "longitude is not ascending"),
        (lambda ds: ds.transpose("latitude", ...), "has wrong dimensions"),
    ],
)
def test_what_is_wrong_with_drivers_is_named(spoil, words: str) -> None:
    with pytest.raises(InputError, match=f"DRIVERS: .*{words}"):
        check_drivers(spoil(drivers()), NAMES)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda ds: ds.drop_vars("quality_flag"), "variable 'quality_flag' is missing"),
        (lambda ds: ds.transpose("ecosystem", ...), "'ch4_flux_density' has wrong dimensions"),
        (
            lambda ds: ds.assign(ch4_flux_density=ds["ch4_flux_density"].drop_attrs()),
            "'ch4_flux_density' has wrong units",
        ),
        (lambda ds: ds.isel(latitude=slice(None, None, -1)), "latitude is not ascending"),
    ],
)
def test_what_is_wrong_with_a_flux_is_named(spoil, words: str) -> None:
    with pytest.raises(InputError, match=f"FLUX: .*{words}"):
        check_flux(spoil(flux()), GAS)


def test_a_budget_has_its_dimensions_in_order_and_teragrams() -> None:
    dims = ("member", "time", "ecosystem", "region")
    good = xr.DataArray(np.zeros((1, 1, 1, 1)), dims=dims, attrs={"units": "Tg"})
    assert check_budget(good) is good
    with pytest.raises(InputError, match="BUDGET: wrong dimensions"):
        check_budget(good.transpose(*dims[::-1]))
    with pytest.raises(InputError, match=r"Expected Tg\. Found kg"):
        check_budget(good.assign_attrs(units="kg"))


@given(name=st.sampled_from(sorted(VARIABLES)), share=st.floats(-1.0, 2.0, allow_subnormal=False))
def test_a_value_is_refused_exactly_outside_the_range(name: str, share: float) -> None:
    low, high = VARIABLES[name].valid_range
    value = low + share * (high - low)
    field = xr.DataArray([value, np.nan], dims="x", name=name)
    if low <= value <= high:
        check_range(field, "here")
    else:
        with pytest.raises(InputError, match=f"here: variable '{name}' holds values"):
            check_range(field, "here")


def test_a_field_without_any_value_is_no_reason_to_refuse() -> None:
    check_range(xr.DataArray([np.nan], dims="x", name="tas"), "here")
    check_range(xr.DataArray(np.zeros(0), dims="x", name="tas"), "here")
    check_range(xr.DataArray([1e9], dims="x", name="nobody-knows"), "here")

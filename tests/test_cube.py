"""The product as a reader finds it: identities, attributes, missing values, damage."""

import subprocess
import sys

import numpy as np
import pandas as pd
import planted_product as planted
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from planted_product import GRID, write_years

from ch4grid import cube, ledger
from ch4grid.cube.block import round_bits
from ch4grid.errors import InputError, RunError
from ch4grid.vocabulary import KG_PER_TG, QUALITY_FLAGS

TILE = GRID.tiles()[0]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_years(tmp_path_factory.mktemp("cube"), 2001, 2002)


@pytest.fixture(scope="module")
def product(store):
    with xr.open_zarr(store, chunks=None) as ds:
        yield ds.load()


def test_plain_xarray_opens_the_store_without_a_warning(store):
    code = (
        "import warnings; warnings.simplefilter('error'); import xarray as xr, sys;"
        f"ds = xr.open_zarr({str(store)!r}); ds.load();"
        "assert ds.sel(ecosystem='urban', region='globe').ch4_budget.sizes['time'] == 24;"
        "assert not [m for m in sys.modules if m.startswith('ch4grid')]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_density_times_fraction_adds_up_to_the_cell_flux(product):
    total = (product["ch4_flux_density"].astype(float) * product["ecosystem_fraction"]).sum(
        "ecosystem"
    )
    flux = product["ch4_flux"]
    valid = flux.notnull().values
    assert valid.any()
    np.testing.assert_allclose(total.values[valid], flux.values[valid], rtol=1e-6)


def test_the_budget_is_the_sum_of_stored_members_times_area_times_seconds(product):
    seconds = pd.DatetimeIndex(product["time"].values).days_in_month.values * 86400.0
    flux = product["ch4_flux_member"].values.astype(float)
    mass = np.nansum(flux * product["cell_area"].values, axis=(2, 3)) * seconds / KG_PER_TG
    table = product["ch4_budget"].sum("ecosystem").sel(region="globe").values
    np.testing.assert_allclose(table, mass, rtol=1e-9)


def test_the_mean_of_the_members_is_the_flux(product):
    mean = product["ch4_flux_member"].astype(float).mean("member")
    scale = float(abs(product["ch4_flux"]).max())
    np.testing.assert_allclose(mean, product["ch4_flux"], rtol=1e-5, atol=1e-7 * scale)


def test_every_missing_flux_has_a_reason(product):
    reasons = [QUALITY_FLAGS[r] for r in ("ocean", "no_ecosystem", "driver_missing")]
    missing = product["ch4_flux"].isnull()
    found = set(np.unique(product["quality_flag"].values[missing.values]).tolist())
    assert found == set(reasons)
    assert not np.isin(product["quality_flag"].values[~missing.values], reasons[:2]).any()


def test_quantiles_are_ordered_around_the_flux(product):
    assert not (product["ch4_flux_quantile"].diff("quantile") < 0).any()
    low, high = (product["ch4_flux_quantile"].sel(quantile=q) for q in (0.05, 0.95))
    valid = product["ch4_flux"].notnull()
    assert bool(
        ((low <= product["ch4_flux"]) & (product["ch4_flux"] <= high)).where(valid, True).all()
    )


def test_the_standard_error_of_one_class_is_its_calibrated_variance():
    flux = planted.flux_block(GRID, TILE, 2001)
    only = (flux["ecosystem"] == "urban").astype("float32") * 0.5
    flux["ecosystem_fraction"] = (flux["ecosystem_fraction"] * 0 + only).astype("float32")
    density = flux["ch4_flux_density"].fillna(1e-9)
    flux["ch4_flux_density"] = density.astype("float32").assign_attrs(units="kg m-2 s-1")
    total = density.var("member", ddof=1) + 1e-18
    flux["ch4_flux_density_variance"] = total.astype("float32")
    quantile = flux["ch4_flux_density_quantile"].fillna(0.0)
    flux["ch4_flux_density_quantile"] = quantile.assign_attrs(units="kg m-2 s-1")
    block = cube.cell_block(flux, GRID, TILE)
    expected = 0.5 * np.sqrt(total.sel(ecosystem="urban"))
    np.testing.assert_allclose(block["ch4_flux_standard_error"], expected, rtol=2.0**-11 + 1e-6)


@given(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=20))
def test_rounded_statistics_stay_within_the_stated_bound_and_in_order(numbers):
    values = np.sort(np.array(numbers, dtype=np.float32))
    values = values[(np.abs(values) > 1e-30) | (values == 0)]
    rounded = round_bits(values)
    assert (np.abs(rounded - values) <= np.abs(values) * 2.0**-11).all()
    assert (np.diff(rounded) >= 0).all()


@given(st.integers(0, 2**32 - 1))
def test_identities_hold_for_any_block(seed):
    flux = planted.flux_block(GRID, (slice(0, 5), slice(0, 6)), 2004, seed=seed)
    block = cube.cell_block(flux, GRID, (slice(0, 5), slice(0, 6)))
    assert cube.block.check_block(block) == []


def test_missing_values_survive_rounding():
    assert np.isnan(round_bits(np.array([np.nan, np.inf], dtype=np.float32))).all()


def test_every_variable_has_units_long_name_and_cell_methods(product):
    for name, variable in product.data_vars.items():
        if name == "crs" or str(name).endswith("_bnds"):
            continue
        assert {"units", "long_name", "cell_methods"} <= variable.attrs.keys(), name
        if "latitude" in variable.dims:
            assert variable.attrs["grid_mapping"] == "crs", name
    for name in ("latitude", "longitude"):
        assert product[name].attrs["bounds"] == f"{name}_bnds"
    assert product["time"].encoding["units"] == "days since 1970-01-01"
    assert product["time"].attrs["bounds"] == "time_bnds"
    assert "standard_name" not in product["ch4_flux"].attrs
    assert product["member"].attrs["standard_name"] == "realization"
    assert "4326" in product["crs"].attrs["crs_wkt"]
    assert product.attrs["Conventions"] == "CF-1.11, ACDD-1.3"


def test_no_array_carries_a_fill_value_attribute(store):
    for path in store.glob("*/zarr.json"):
        assert "_FillValue" not in path.read_text(), path


def test_time_bounds_are_the_months(product):
    bounds = product["time_bnds"].values
    np.testing.assert_array_equal(bounds[:, 0], product["time"].values)
    np.testing.assert_array_equal(bounds[1:, 0], bounds[:-1, 1])


def test_areas_add_up_to_the_ellipsoid(product):
    assert float(product["cell_area"].sum()) == pytest.approx(5.1006562e14, rel=1e-7)


def test_a_sound_store_verifies(store):
    assert cube.verify(store) == []


def damaged(store, damage) -> list[cube.Problem]:
    """Problems while a chunk is damaged; the chunk is put back."""
    kept = planted.tree(store)
    try:
        damage()
        return cube.verify(store)
    finally:
        for key, content in kept.items():
            (store / key).write_bytes(content)


def test_a_deleted_chunk_is_named(store):
    key = "ch4_flux/c/1/0/0"
    (problem,) = damaged(store, (store / key).unlink)
    assert (problem.kind, problem.key) == ("missing", key)
    assert "ch4_flux" in problem.what
    assert "2002" in problem.what


@given(st.integers(0, 10**6))
def test_a_flipped_bit_anywhere_is_named(store, place):
    rows = ledger.rows_of(store)
    key = rows[place % len(rows)].key

    def flip():
        content = bytearray((store / key).read_bytes())
        content[place % len(content)] ^= 1 << place % 8
        (store / key).write_bytes(content)

    kept = (store / key).read_bytes()
    try:
        flip()
        problems = cube.verify(store, identities=False)
    finally:
        (store / key).write_bytes(kept)
    assert [(p.kind, p.key) for p in problems] == [("changed", key)]


def test_swapped_chunks_are_named(store):
    keys = ["ch4_flux/c/0/0/0", "ch4_flux/c/1/0/0"]

    def swap():
        first, second = ((store / k).read_bytes() for k in keys)
        (store / keys[0]).write_bytes(second)
        (store / keys[1]).write_bytes(first)

    problems = damaged(store, swap)
    assert [(p.kind, p.key) for p in problems] == [("swapped", k) for k in keys]
    assert keys[1] in problems[0].what


def test_a_cut_chunk_and_changed_metadata_are_named(store):
    key = "quality_flag/c/0/0/0"
    (problem,) = damaged(store, lambda: (store / key).write_bytes(b"123"))
    assert (problem.kind, problem.key) == ("truncated", key)
    (problem,) = damaged(store, lambda: (store / "zarr.json").write_text("{}"))
    assert (problem.kind, problem.key) == ("metadata", "zarr.json")
    (problem,) = damaged(store, (store / "ch4_flux" / "zarr.json").unlink)
    assert (problem.kind, problem.key) == ("metadata", "ch4_flux/zarr.json")


def test_damage_is_repaired_bit_for_bit_and_only_there(tmp_path):
    store = write_years(tmp_path, 2001, 2002)
    kept = planted.tree(store)
    (store / "ch4_flux_member/c/0/1/0/0").unlink()
    (store / "ch4_flux/c/1/0/0").write_bytes(b"x")
    (store / "time/c/0").unlink()
    (store / "cell_area/c/0/0").unlink()
    (store / "ch4_flux/zarr.json").unlink()
    assert cube.mend_arrays(store) == ["ch4_flux/zarr.json"]
    assert cube.repair_statics(store, planted.spec(), GRID, planted.planes(GRID)) == [
        "cell_area/c/0/0"
    ]
    assert cube.damaged_regions(store) == [(2002, TILE)]
    flux = planted.flux_block(GRID, TILE, 2002)
    written = cube.repair_block(store, cube.cell_block(flux, GRID, TILE), year=2002, tile=TILE)
    assert written == ["ch4_flux/c/1/0/0", "ch4_flux_member/c/0/1/0/0"]
    assert cube.repair_calendar(store, 2001) == ["time/c/0"]
    assert planted.tree(store) == kept


def test_repair_refuses_other_values(tmp_path):
    store = write_years(tmp_path, 2001)
    (store / "ch4_flux/c/0/0/0").unlink()
    other = cube.cell_block(planted.flux_block(GRID, TILE, 2001, seed=9), GRID, TILE)
    with pytest.raises(RunError, match="not the published one"):
        cube.repair_block(store, other, year=2001, tile=TILE)


def test_verifying_nothing_says_so(tmp_path):
    with pytest.raises(InputError, match="no published product"):
        cube.verify(tmp_path / "none.zarr")


def test_a_static_fraction_is_written_once(tmp_path):
    flux = planted.flux_block(GRID, TILE, 2001)
    static = flux["ecosystem_fraction"].isel(time=0, drop=True)
    store = planted.store_path(tmp_path)
    spec = planted.spec(static_fraction=True)
    planes = planted.planes(GRID).assign(ecosystem_fraction=static)
    cube.create(store, spec, GRID, planes)
    cube.begin(store, spec, {2001: "i"})
    flux["ecosystem_fraction"] = static.expand_dims(time=flux["time"], axis=1)
    filled = flux["ch4_flux_density"].fillna(1e-9).assign_attrs(units="kg m-2 s-1")
    flux["ch4_flux_density"] = filled
    flux["ch4_flux_density_variance"] = flux["ch4_flux_density_variance"].fillna(1e-18)
    quantile = flux["ch4_flux_density_quantile"].fillna(1e-9)
    flux["ch4_flux_density_quantile"] = quantile.assign_attrs(units="kg m-2 s-1")
    from ch4grid import budgets

    block = cube.cell_block(flux, GRID, TILE)
    budget = budgets.budget(flux, block["ch4_flux_member"], planes["region_fraction"], GRID, TILE)
    cube.write_block(store, block, budget, year=2001, tile=TILE)
    cube.finish(store, 2001)
    assert cube.verify(store) == []
    with xr.open_zarr(store, chunks=None) as ds:
        assert ds["ecosystem_fraction"].dims == ("ecosystem", "latitude", "longitude")

import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ch4grid.ecosystems import MassLog, extents, fractions, mass_log
from ch4grid.errors import InputError, RecipeError
from ch4grid.grid import Grid
from ch4grid.vocabulary import AREA_LAYERS, ECOSYSTEMS, months

GRID = Grid(30.0)


def areas(seed=None, time=(), **values):
    rng = np.random.default_rng(seed)
    out = xr.Dataset(coords=GRID.coords | {"time": months(2001, 2001)})
    for name in ("land_fraction", *AREA_LAYERS):
        dims = ("time", "latitude", "longitude") if name in time else ("latitude", "longitude")
        shape = tuple(out.sizes[d] for d in dims)
        if seed is not None:
            out[name] = dims, rng.random(shape)
        elif name in values:
            out[name] = dims, np.full(shape, values[name])
    return out


@given(seed=st.integers(0, 10_000), time=st.lists(st.sampled_from(AREA_LAYERS), max_size=2))
@settings(max_examples=25, deadline=None)
def test_classes_are_disjoint_and_stay_within_the_land(seed, time):
    layers = areas(seed, tuple(time))
    out = fractions(layers)
    assert out.dims == ("ecosystem", *(("time",) if time else ()), "latitude", "longitude")
    assert out["ecosystem"].values.tolist() == list(ECOSYSTEMS)
    assert out.dtype == np.float32
    assert float(out.min()) >= 0
    water = np.minimum(layers["open_water_fraction"], layers["land_fraction"])
    total = (out.astype("float64").sum("ecosystem") + water).transpose(*out.dims[1:])
    expected = layers["land_fraction"].broadcast_like(total)
    np.testing.assert_allclose(total, expected, atol=1e-6)


def test_the_first_in_precedence_takes_its_area_and_the_rest_is_upland():
    out = fractions(
        areas(
            land_fraction=0.9,
            open_water_fraction=0.1,
            rice_fraction=0.2,
            coastal_fraction=0.1,
            wetland_fraction=0.3,
            urban_fraction=0.1,
        )
    ).sel(latitude=15.0)[:, 0]
    expected = {
        "rice-paddy": 0.2,
        "coastal": 0.1,
        "tropical-floodplain": 0.3,
        "urban": 0.1,
        "upland": 0.1,
    }
    for name in ECOSYSTEMS:
        assert float(out.sel(ecosystem=name)) == pytest.approx(expected.get(name, 0.0), abs=1e-6)


def test_what_a_layer_loses_is_reported_in_km2():
    out = fractions(areas(land_fraction=0.5, rice_fraction=0.4, wetland_fraction=0.3))
    clipped = json.loads(out.attrs["clipped_area_km2"])
    earth = GRID.cell_area.sum() / 1e6
    assert clipped["wetland_fraction"] == pytest.approx(0.2 * earth, rel=1e-6)
    assert clipped["rice_fraction"] == 0


def test_missing_layers_and_missing_values_count_as_zero():
    layers = areas(land_fraction=0.5, wetland_fraction=0.2)
    layers["wetland_fraction"][0, 0] = np.nan
    out = fractions(layers)
    assert float(out.sel(ecosystem="upland")[0, 0]) == pytest.approx(0.5)
    assert not bool(out.isnull().any())


def test_no_land_fraction_or_percent_is_refused():
    with pytest.raises(InputError, match="land fraction is missing"):
        fractions(areas(wetland_fraction=0.2))
    with pytest.raises(InputError, match="'rice_fraction' is not a fraction"):
        fractions(areas(land_fraction=0.5, rice_fraction=20.0))


@given(
    seed=st.integers(0, 10_000),
    time=st.lists(st.sampled_from(AREA_LAYERS), max_size=2),
    includes=st.lists(st.sampled_from(AREA_LAYERS[:3]), unique=True, max_size=3),
)
@settings(max_examples=25, deadline=None)
def test_the_mass_log_closes_for_every_layer_and_for_the_land(seed, time, includes):
    layers = areas(seed, tuple(time))
    layers["wetland_fraction"].attrs["includes"] = " ".join(includes)
    out = fractions(layers)
    log = mass_log(out)[""]
    area = xr.DataArray(GRID.cell_area / 1e6, dims=("latitude", "longitude"))
    for name, mass in log.layers.items():
        assert mass.wanted == pytest.approx(mass.taken + sum(mass.clipped.values()), rel=1e-9)
        own = (layers[name] * area).sum(("latitude", "longitude")).mean()
        assert mass.wanted == pytest.approx(float(own), rel=1e-9)
        earlier = AREA_LAYERS[: AREA_LAYERS.index(name)]
        assert set(mass.clipped) <= {"land_fraction", *earlier}
    assert sum(log.classes.values()) + log.water == pytest.approx(log.land, rel=1e-9)
    stored = (out * area).sum(("latitude", "longitude"))
    for name, total in log.classes.items():
        assert float(stored.sel(ecosystem=name).mean()) == pytest.approx(total, rel=1e-5, abs=1e-3)
    land = layers["land_fraction"].broadcast_like(out.isel(ecosystem=0))
    assert float((out.sum("ecosystem") - land).max()) <= 1e-6
    assert MassLog.parse(log.text()) == log


def test_the_log_names_who_had_the_area():
    out = fractions(
        areas(
            land_fraction=0.5,
            open_water_fraction=0.1,
            rice_fraction=0.3,
            wetland_fraction=0.6,
        )
    )
    earth = GRID.cell_area.sum() / 1e6
    lost = mass_log(out)[""].layers["wetland_fraction"].clipped
    # 0.1 above the land; of the other 0.4 that did not fit, one part in four went to water and three to rice
    expected = {"land_fraction": 0.1, "open_water_fraction": 0.1, "rice_fraction": 0.3}
    assert {n: v / earth for n, v in lost.items()} == pytest.approx(expected, rel=1e-6)


def test_a_map_that_others_were_taken_off_already_loses_nothing_twice():
    layers = areas(land_fraction=0.9, rice_fraction=0.2, wetland_fraction=0.3)
    net = fractions(layers).sel(ecosystem="tropical-floodplain", latitude=15.0)
    assert float(net[0]) == pytest.approx(0.3)
    layers["wetland_fraction"].attrs["includes"] = "rice_fraction"
    gross = fractions(layers)
    floodplain = gross.sel(ecosystem="tropical-floodplain", latitude=15.0)
    assert float(floodplain[0]) == pytest.approx(0.1)
    lost = mass_log(gross)[""].layers["wetland_fraction"].clipped
    assert lost == {"rice_fraction": pytest.approx(0.2 * GRID.cell_area.sum() / 1e6)}


def test_layers_with_and_without_months_mix():
    layers = areas(7, ("wetland_fraction",))
    still = layers.isel(time=3, drop=True)
    np.testing.assert_array_equal(fractions(layers).isel(time=3), fractions(still))


@pytest.mark.parametrize(("share", "warned"), [(0.016, False), (0.2, True), (0.001, True)])
def test_a_wetland_area_that_is_not_what_is_known_of_it_is_told(share, warned):
    log = mass_log(fractions(areas(land_fraction=0.5, wetland_fraction=share)))[""]
    assert log.wetland == pytest.approx(share * GRID.cell_area.sum() / 1e6)
    assert ("expected 8.0 +- 2.0 Mkm2" in log.warning) is warned


def test_one_map_gives_what_fractions_gives():
    layers = areas(3, ("wetland_fraction",))
    wetland = layers["wetland_fraction"].assign_attrs(includes="rice_fraction")
    alone = extents(layers.drop_vars("wetland_fraction"), {"wad2m": wetland})
    xr.testing.assert_identical(alone, fractions(layers.assign(wetland_fraction=wetland)))


@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_every_extent_is_the_fractions_of_its_map(seed):
    layers = areas(seed, ("rice_fraction",))
    rng = np.random.default_rng(seed)
    other = layers["wetland_fraction"] * rng.random()
    monthly = other.expand_dims(time=layers["time"]) * xr.DataArray(rng.random(12), dims="time")
    maps = {"b": layers["wetland_fraction"], "a": other, "monthly": monthly}
    out = extents(layers, maps)
    assert out.dims == ("extent", "ecosystem", "time", "latitude", "longitude")
    assert out["extent"].values.tolist() == ["b", "a", "monthly"]
    assert out.dtype == np.float32
    for name, wetland in maps.items():
        own = fractions(layers.assign(wetland_fraction=wetland))
        np.testing.assert_array_equal(out.sel(extent=name), own)
        assert mass_log(out)[name] == mass_log(own)[""]


def test_a_static_and_a_monthly_map_share_the_months():
    layers = areas(5)
    monthly = layers["wetland_fraction"].expand_dims(time=layers["time"])
    out = extents(layers, {"still": layers["wetland_fraction"], "monthly": monthly})
    np.testing.assert_array_equal(out.sel(extent="still"), out.sel(extent="monthly"))


def test_a_map_on_another_grid_or_none_is_refused():
    layers = areas(land_fraction=0.5, wetland_fraction=0.1)
    with pytest.raises(InputError, match="another grid or other months"):
        extents(layers, {"a": layers["wetland_fraction"].isel(latitude=slice(1, None))})
    with pytest.raises(RecipeError, match="no wetland map"):
        extents(layers, {})

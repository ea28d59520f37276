import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ch4grid.ecosystems import fractions
from ch4grid.errors import InputError
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

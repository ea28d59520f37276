import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_maps import area_of, pixel_area, write_tif
from pydantic import ValidationError

from ch4grid.drivers.areas.peat import MAPS, Peat
from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.stores import Workspace
from ch4grid.vocabulary import months

# two degrees in place of five arc-minutes
STEP = 2.0
SHAPE = (90, 180)
AREA = pixel_area(SHAPE[0], STEP)[:, None]


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path, tmp_path / "out")


def percents(seed=0):
    values = (np.random.default_rng(seed).random(SHAPE) * 100).astype(np.float32)
    values[:, :40] = np.nan
    return values


def plant(folder, values):
    known = MAPS["peat-ml"]
    ds = xr.Dataset(
        {known.variable: (("lat", "lon"), values, {"units": known.units})},
        coords={
            "lat": 90 - STEP / 2 - STEP * np.arange(SHAPE[0]),
            "lon": -180 + STEP / 2 + STEP * np.arange(SHAPE[1]),
        },
    )
    ds.to_netcdf(folder / known.file, encoding={known.variable: {"_FillValue": known.nodata}})
    return known.file


def of(path, **keys):
    return Peat.model_validate({"source": "peat", "path": path, **keys})


@given(seed=st.integers(0, 1000), resolution=st.sampled_from([10.0, 5.0, 2.0, 1.5]))
@settings(max_examples=6)
def test_percents_on_any_grid_keep_their_area(tmp_path_factory, seed, resolution):
    folder = tmp_path_factory.mktemp("peat")
    values, grid = percents(seed), Grid(resolution)
    out = of(plant(folder, values)).statics_on_grid(Workspace(folder, folder), grid)
    before = (np.nan_to_num(values) / 100 * AREA).sum()
    assert area_of(out.values["peat_fraction"], grid) == pytest.approx(before, rel=1e-6)


def test_netcdf_and_geotiff_agree(workspace):
    values = percents()
    known = MAPS["peat-ml-tif"]
    filled = np.where(np.isnan(values), np.float32(known.nodata), values)
    write_tif(workspace.data / known.file, filled, step=STEP, nodata=known.nodata)
    netcdf = of(plant(workspace.data, values)).statics_on_grid(workspace, Grid(4.0)).values
    geotiff = of(known.file).statics_on_grid(workspace, Grid(4.0)).values
    np.testing.assert_allclose(geotiff["peat_fraction"], netcdf["peat_fraction"], atol=1e-6)
    [held] = of(known.file).survey(workspace, months(2001, 2001))
    assert (held.state, held.variable) == ("final", "peat_fraction")
    with pytest.raises(InputError, match="read onto a grid"):
        of(known.file).statics(workspace)


def test_the_map_as_it_is_keeps_what_is_missing(workspace):
    values = percents()
    out = of(plant(workspace.data, values)).statics(workspace)["peat_fraction"]
    np.testing.assert_allclose(out, values / 100, rtol=1e-6)


def test_classes_count_by_their_share(workspace):
    known = MAPS["gpm"]
    values = np.random.default_rng(0).choice([0, 1, 2, 255], SHAPE).astype(known.dtype)
    write_tif(workspace.data / known.file, values, step=STEP, nodata=known.nodata)
    grid = Grid(10.0)
    for shares, expected in (
        ({}, {1: 1.0}),
        ({"shares": {1: 1.0, 2: 0.3}}, {1: 1.0, 2: 0.3}),
    ):
        source = of(known.file, units="classes", **shares)
        out = source.statics_on_grid(workspace, grid).values["peat_fraction"]
        before = sum((AREA * (values == c)).sum() * s for c, s in expected.items())
        assert area_of(out, grid) == pytest.approx(before, rel=1e-6)
    again = Peat.model_validate_json(of("a.tif", shares={2: 0.5}).model_dump_json())
    assert again.shares == {2: 0.5}
    with pytest.raises(ValidationError, match="0 to 1"):
        of(known.file, shares={1: 2.0})


def test_percents_taken_for_fractions_are_refused(workspace):
    with pytest.raises(InputError, match="not a fraction of the cell"):
        of(plant(workspace.data, percents()), units="fraction").statics_on_grid(
            workspace, Grid(10.0)
        )


def test_holdings_tell_missing_and_damaged(workspace):
    path = workspace.data / plant(workspace.data, percents())
    wanted = months(2001, 2001)
    assert [h.state for h in of(path.name).survey(workspace, wanted)] == ["final"]
    [held] = of(path.name, variable="peat").survey(workspace, wanted)
    assert held.state == "damaged"
    assert "Found PEATLAND_P" in held.reason
    assert [h.state for h in of("none.nc").survey(workspace, wanted)] == ["missing"]
    path.write_bytes(path.read_bytes()[:900])
    assert [h.state for h in of(path.name).survey(workspace, wanted)] == ["damaged"]

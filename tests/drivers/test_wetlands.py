import zipfile

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_maps import area_of, pixel_area
from pydantic import ValidationError

from ch4grid.drivers.areas.wetlands import SERIES, Wetlands
from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.stores import Workspace
from ch4grid.vocabulary import months

STEP = 15.0
LATITUDE = np.arange(-90 + STEP / 2, 90, STEP)
LONGITUDE = np.arange(-180 + STEP / 2, 180, STEP)
SHAPE = (LATITUDE.size, LONGITUDE.size)


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path, tmp_path / "out")


def write(folder, kind, values, first=2001, **changes):
    """A series in the documented layout, from January of its first year."""
    series = SERIES[kind]
    time = pd.date_range(f"{first}-01-01", periods=len(values), freq="MS")
    origin = pd.Timestamp(series.time_units.split("since ")[1])
    whole = (time.year - origin.year) * 12 + time.month - origin.month
    stamps = whole if series.time_units.startswith("months") else (time - origin).days
    _, y, x = series.dims
    ds = xr.Dataset(
        {series.variable: (series.dims, np.asarray(values, np.float32))},
        coords={"time": np.asarray(stamps, np.float64), y: LATITUDE, x: LONGITUDE},
    )
    ds["time"].attrs["units"] = series.time_units
    ds = changes.pop("alter", lambda d: d)(ds)
    path, [name] = folder / series.file, list(ds.data_vars)
    ds.to_netcdf(path, encoding={name: {"_FillValue": series.fill, "zlib": True}})
    return path


def fields(count, seed=0):
    return np.random.default_rng(seed).random((count, *SHAPE))


def of(path, **keys):
    return Wetlands.model_validate({"source": "wetlands", "path": str(path), **keys})


def states(source, workspace, wanted):
    return [h.state for h in source.survey(workspace, wanted)]


@pytest.mark.parametrize("kind", sorted(SERIES))
def test_every_documented_layout_gives_its_months(workspace, kind):
    values = fields(24).astype(np.float32)
    path = write(workspace.data, kind, values)
    source = of(path.name)
    wanted = months(2002, 2002)
    assert [(h.variable, h.state, h.files) for h in source.survey(workspace, wanted)] == [
        ("wetland_fraction", "final", (path,))
    ] * 12
    out = source.open(workspace, ["wetland_fraction"], wanted[3:5])["wetland_fraction"]
    np.testing.assert_array_equal(out, values[15:17])
    assert out.dims == ("time", "latitude", "longitude")
    assert out["time"].values.tolist() == wanted[3:5].values.tolist()
    assert out.attrs["units"] == "1"
    assert "beyond" not in out.attrs


@given(seed=st.integers(0, 10_000), resolution=st.sampled_from([30.0, 20.0, 12.0, 5.0, 4.0]))
@settings(max_examples=15)
def test_area_on_any_grid_is_the_area_of_the_map(tmp_path_factory, seed, resolution):
    folder = tmp_path_factory.mktemp("wad2m")
    values = fields(2, seed)
    values[:, np.random.default_rng(seed).random(SHAPE) < 0.3] = np.nan
    write(folder, "wad2m", values)
    source, grid = of(SERIES["wad2m"].file), Grid(resolution)
    out = source.on_grid(
        Workspace(folder, folder), ["wetland_fraction"], months(2001, 2001)[:2], grid
    )
    before = (np.nan_to_num(values).sum(axis=2) * pixel_area(SHAPE[0], STEP)[::-1]).sum(axis=1)
    np.testing.assert_allclose(area_of(out.values["wetland_fraction"], grid), before, rtol=1e-6)
    assert float(out.valid["wetland_fraction"].min()) == 1.0


def test_sentinels_of_ocean_snow_and_city_are_missing_and_hold_no_wetland(workspace):
    values = np.full((12, *SHAPE), 0.5)
    for column, sentinel in enumerate(SERIES["giems-mc"].sentinels):
        values[0, 0, column] = sentinel
    path = write(workspace.data, "giems-mc", values)
    wanted = months(2001, 2001)[:1]
    native = of(path.name).open(workspace, ["wetland_fraction"], wanted)["wetland_fraction"]
    assert np.isnan(native[0, 0, :3]).all()
    assert int(native.isnull().sum()) == 3
    out = of(path.name).on_grid(workspace, ["wetland_fraction"], wanted, Grid(STEP))
    assert out.values["wetland_fraction"][0, 0, :4].values.tolist() == [0.0, 0.0, 0.0, 0.5]


def test_months_outside_the_series_are_missing_unless_a_rule_is_stated(workspace):
    path = write(workspace.data, "wad2m", fields(24))
    wanted = months(2000, 2003)
    held = of(path.name).survey(workspace, wanted)
    assert [h.state for h in held] == ["missing"] * 12 + ["final"] * 24 + ["missing"] * 12
    assert "covers 2001-01 to 2002-12, not 2000-01" in held[0].reason
    with pytest.raises(InputError, match=r"does not reach.*2003-01.*beyond: climatology"):
        of(path.name).open(workspace, ["wetland_fraction"], wanted[-12:])


def test_the_climatology_is_the_mean_year_before_and_after_the_series(workspace):
    values = fields(36).astype(np.float32)
    path = write(workspace.data, "wad2m", values)
    source, wanted = of(path.name, beyond="climatology"), months(2000, 2004)
    held = source.survey(workspace, wanted)
    expected = ["climatology"] * 12 + ["final"] * 36 + ["climatology"] * 12
    assert [h.state for h in held] == expected
    assert "2001-01 to 2003-12 are the mean of the calendar month" in held[0].reason
    out = source.open(workspace, ["wetland_fraction"], wanted)["wetland_fraction"]
    mean = values.reshape(3, 12, *SHAPE).mean(axis=0)
    np.testing.assert_allclose(out[:12], mean, rtol=1e-5)
    np.testing.assert_array_equal(out[12:48], values)
    np.testing.assert_allclose(out[48:], mean, rtol=1e-5)
    assert out.attrs["beyond"] == held[0].reason
    coarse = source.on_grid(workspace, ["wetland_fraction"], wanted[:1], Grid(STEP))
    assert coarse.values["wetland_fraction"].attrs["beyond"] == held[0].reason


def test_snow_in_one_year_is_no_wetland_in_the_mean_year(workspace):
    values = np.full((24, *SHAPE), 0.4)
    values[0, 2, 3], values[:, 4, 5] = -998.0, -999.0
    path = write(workspace.data, "giems-mc", values)
    source = of(path.name, beyond="climatology")
    out = source.open(workspace, ["wetland_fraction"], months(2004, 2004)[:2])["wetland_fraction"]
    assert float(out[0, 2, 3]) == pytest.approx(0.2)
    assert float(out[1, 2, 3]) == pytest.approx(0.4)
    assert np.isnan(out[:, 4, 5]).all()


def test_the_last_year_is_the_nearest_at_either_end(workspace):
    values = fields(36).astype(np.float32)
    path = write(workspace.data, "wad2m", values)
    source = of(path.name, beyond="last-year")
    for year, steps in ((1999, slice(0, 12)), (2010, slice(24, 36))):
        wanted = months(year, year)
        out = source.open(workspace, ["wetland_fraction"], wanted)["wetland_fraction"]
        np.testing.assert_array_equal(out, values[steps])
        assert states(source, workspace, wanted) == ["climatology"] * 12


def test_a_gap_inside_the_series_stays_missing_whatever_the_rule(workspace):
    path = write(
        workspace.data, "wad2m", fields(24), alter=lambda d: d.isel(time=[*range(5), *range(6, 24)])
    )
    held = of(path.name, beyond="climatology").survey(workspace, months(2001, 2001))
    assert [h.month.month for h in held if h.state == "missing"] == [6]
    assert "has a gap at 2001-06" in held[5].reason


def test_percents_are_refused_unless_stated(workspace):
    path = write(workspace.data, "wad2m", fields(12) * 100)
    wanted = months(2001, 2001)[:1]
    with pytest.raises(InputError, match=r"not a fraction.*units: percent"):
        of(path.name).open(workspace, ["wetland_fraction"], wanted)
    out = of(path.name, units="percent").open(workspace, ["wetland_fraction"], wanted)
    assert 0.9 < float(out["wetland_fraction"].max()) <= 1.0


def test_percents_that_the_file_states_are_known(workspace):
    def told(ds):
        ds["Fw"].attrs["units"] = "%"
        return ds

    path = write(workspace.data, "wad2m", np.full((12, *SHAPE), 40.0), alter=told)
    out = of(path.name).open(workspace, ["wetland_fraction"], months(2001, 2001)[:1])
    np.testing.assert_allclose(out["wetland_fraction"], 0.4)


def test_the_archive_is_read_as_it_is_fetched(workspace):
    values = fields(12).astype(np.float32)
    path = write(workspace.data, "wad2m", values)
    with zipfile.ZipFile(f"{path}.zip", "w") as archive:
        archive.write(path, path.name)
    path.unlink()
    source = of(f"{path.name}.zip")
    out = source.open(workspace, ["wetland_fraction"], months(2001, 2001))["wetland_fraction"]
    np.testing.assert_array_equal(out, values)


def test_a_time_axis_without_units_needs_the_first_month(workspace):
    def bare(ds):
        return ds.assign_coords(time=np.arange(1.0, 13.0))

    path = write(workspace.data, "wad2m", fields(12), alter=bare)
    held = of(path.name).survey(workspace, months(2001, 2001))
    assert {h.state for h in held} == {"damaged"}
    assert "first: 2000-01" in held[0].reason
    assert states(of(path.name, first="2001-01"), workspace, months(2001, 2001)) == ["final"] * 12


@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
def test_a_damaged_file_is_told_and_not_raised(workspace, damage):
    path = write(workspace.data, "wad2m", fields(24))
    content = {"cut": path.read_bytes()[:2000], "empty": b"", "text": b"<html>not found</html>"}
    path.write_bytes(content[damage])
    held = of(path.name).survey(workspace, months(2001, 2001))
    assert [(h.state, h.files) for h in held] == [("damaged", (path,))] * 12
    assert "delete the file and fetch it again" in held[0].reason


def test_an_absent_file_is_missing(workspace):
    held = of("none.nc").survey(workspace, months(2001, 2001))
    assert [(h.state, h.files) for h in held] == [("missing", ())] * 12
    assert "no such file" in held[0].reason


def test_a_file_without_a_known_map_needs_the_name(workspace):
    path = write(workspace.data, "wad2m", fields(12), alter=lambda d: d.rename(Fw="flooded"))
    held = of(path.name).survey(workspace, months(2001, 2001)[:1])
    assert "Expected Fw or inund_sat_wetland_frac" in held[0].reason
    assert states(of(path.name, variable="flooded"), workspace, months(2001, 2001)[:1]) == ["final"]


def test_what_a_gross_map_includes_is_told_and_checked(workspace):
    path = write(workspace.data, "wad2m", fields(12))
    source = of(path.name, includes=["rice_fraction"])
    out = source.on_grid(workspace, ["wetland_fraction"], months(2001, 2001)[:1], Grid(30.0))
    assert out.values["wetland_fraction"].attrs["includes"] == "rice_fraction"
    with pytest.raises(ValidationError, match="cannot include urban_fraction, only open_water"):
        of(path.name, includes=["urban_fraction"])

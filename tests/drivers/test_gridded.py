import numpy as np
import pytest
import xarray as xr
from pydantic import TypeAdapter, ValidationError
from real_files import DATA, real

from ch4grid.drivers.gridded import Gridded
from ch4grid.drivers.units import TABLE, convert, normalised
from ch4grid.errors import InputError
from ch4grid.stores import Workspace
from ch4grid.vocabulary import VARIABLES, months

CLIMATOLOGY = "climatology/drivers_2p5deg_monthly_climatology.nc"
LAT, LON = np.arange(80.0, -81.0, -20.0), np.arange(-170.0, 180.0, 20.0)


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path, tmp_path / "out")


def cube(values, units, time=None, names=("time", "lat", "lon")):
    values = np.broadcast_to(np.asarray(values, "float64"), (len(time), LAT.size, LON.size))
    return xr.DataArray(
        values.copy(),
        dims=names,
        coords={names[0]: time, names[1]: LAT, names[2]: LON},
        attrs={"units": units},
    )


def gridded(path, variables, **more):
    return TypeAdapter(Gridded).validate_python(
        {"source": "gridded", "path": path, "variables": variables, **more}
    )


def opened(source, workspace, first, last=None):
    """All that changes with the months of the years, and all that lasts."""
    wanted = months(first, last or first)
    held = source.survey(workspace, wanted)
    names = list(dict.fromkeys(h.variable for h in held if h.month is not None))
    return source.open(workspace, names, wanted).merge(source.statics(workspace))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("m**3 m**-3", "m3/m3"),
        ("J m**-2", "J/m^2"),
        ("kg m**-2 s**-1", "kg m-2 s-1"),
        ("mm/day", "mm d-1"),
        ("C", "degC"),
        ("", "1"),
        ("(0 - 1)", "1"),
        ("m of water equivalent", "m"),
        ("kg kg-1 (mass fraction, as in the file)", "kg kg-1"),
        ("g C m-2 d-1", "gC m-2 day-1"),
        ("percent", "%"),
    ],
)
def test_spellings_of_a_unit_are_one(one, other):
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize("units", sorted(TABLE))
def test_a_unit_of_the_vocabulary_converts_to_itself_unchanged(units):
    variable = next(v for v in VARIABLES.values() if v.units == units)
    value = sum(variable.valid_range) / 2
    out = convert(xr.DataArray([value], dims="time"), variable, units, "test")
    np.testing.assert_allclose(out, value, rtol=1e-6)


def test_every_unit_of_the_vocabulary_is_in_the_table():
    assert {v.units for v in VARIABLES.values()} <= set(TABLE)


@pytest.mark.parametrize(
    ("name", "units", "value", "expected"),
    [
        ("tas", "degC", 10.0, 283.15),
        ("ps", "hPa", 1000.0, 1e5),
        ("ps", "kPa", 100.0, 1e5),
        ("pr", "mm day-1", 8.64, 1e-4),
        ("pr", "m day-1", 8.64e-3, 1e-4),
        ("rsds", "J m-2 day-1", 86400.0, 1.0),
        ("mrsos", "m3 m-3", 0.4, 28.0),
        ("npp", "gC m-2 day-1", 8.64, 1e-7),
        ("urban_fraction", "%", 50.0, 0.5),
        ("lai", "m2 m-2", 3.0, 3.0),
        ("snw", "m", 0.1, 100.0),
        ("dtr", "degC", 12.0, 12.0),
    ],
)
def test_units_are_converted(name, units, value, expected):
    out = convert(xr.DataArray([value], dims="time"), VARIABLES[name], units, "test")
    assert float(out[0]) == pytest.approx(expected, rel=1e-6)


def test_a_sum_per_month_knows_the_length_of_february(workspace):
    cube(29.0, "mm month-1", months(2004, 2004)).rename("rain").to_netcdf(workspace.data / "a.nc")
    pr = opened(gridded("a.nc", {"pr": "rain"}), workspace, 2004)["pr"]
    assert float(pr[1, 0, 0]) * 86400 == pytest.approx(1.0)
    assert float(pr[0, 0, 0]) * 86400 == pytest.approx(29 / 31)


def test_an_unknown_unit_is_refused_with_both(workspace):
    cube(1.0, "furlong", months(2004, 2004)).rename("t").to_netcdf(workspace.data / "a.nc")
    with pytest.raises(InputError, match=r"converted to 'K'.*one of K, degC. Found 'furlong'"):
        opened(gridded("a.nc", {"tas": "t"}), workspace, 2004)


def test_units_and_scale_of_the_recipe_serve_where_the_file_has_none(workspace):
    values = cube(5.0, "", months(2004, 2004)).rename("t")
    del values.attrs["units"]
    values.to_netcdf(workspace.data / "a.nc")
    with pytest.raises(InputError, match="'t' has no units"):
        opened(gridded("a.nc", {"tas": "t"}), workspace, 2004)
    native = {"name": "t", "units": "degC", "scale": 2, "offset": 1.0}
    tas = opened(gridded("a.nc", {"tas": native}), workspace, 2004)["tas"]
    np.testing.assert_allclose(tas, 2 * 5 + 1 + 273.15)


@pytest.mark.parametrize("store", ["netcdf", "zarr"])
@pytest.mark.parametrize(
    "names", [("time", "lat", "lon"), ("time", "y", "x"), ("valid_time", "latitude", "longitude")]
)
def test_months_and_statics_are_read_from_any_layout(workspace, store, names):
    middle = months(2003, 2005) + np.timedelta64(14, "D")
    ds = cube(np.arange(36.0)[:, None, None] / 36, "1", middle, names).rename("Fw").to_dataset()
    ds["soc"] = ds["Fw"][0].drop_vars(names[0]).assign_attrs(units="g kg-1") + 20.0
    ds["soc"].attrs["units"] = "g kg-1"
    ds.to_netcdf(workspace.data / "a") if store == "netcdf" else ds.to_zarr(
        workspace.data / "a", zarr_format=3, consolidated=False
    )
    source = gridded("a", {"wetland_fraction": "Fw", "soil_organic_carbon": "soc"})
    held = source.survey(workspace, months(2004, 2004))
    assert [h.month for h in held if h.variable == "soil_organic_carbon"] == [None]
    assert len([h for h in held if h.variable == "wetland_fraction"]) == 12
    out = opened(source, workspace, 2004)
    np.testing.assert_allclose(out["wetland_fraction"][:, 0, 0], np.arange(12, 24) / 36, rtol=1e-6)
    assert out["wetland_fraction"]["time"].values[0] == np.datetime64("2004-01-01")
    assert out["soil_organic_carbon"].dims == ("latitude", "longitude")
    np.testing.assert_allclose(out["soil_organic_carbon"], 0.02)


def test_an_area_layer_of_one_time_lasts_and_one_of_many_does_not(workspace):
    cube(0.5, "1", months(2001, 2001)[:1]).rename("Fw").to_netcdf(workspace.data / "one.nc")
    cube(0.5, "1", months(2001, 2001)).rename("Fw").to_netcdf(workspace.data / "many.nc")
    for name, lasts in (("one.nc", True), ("many.nc", False)):
        source = gridded(name, {"wetland_fraction": "Fw"})
        held = source.survey(workspace, months(2001, 2001)[:2])
        assert [h.month is None for h in held] == ([True] if lasts else [False, False])
        assert ("wetland_fraction" in source.statics(workspace)) is lasts


def test_a_field_without_time_serves_every_month_of_what_changes(workspace):
    fixed = cube(280.0, "K", months(2001, 2001)[:1])[0].drop_vars("time").rename("t")
    fixed.to_netcdf(workspace.data / "a.nc")
    tas = opened(gridded("a.nc", {"tas": "t"}), workspace, 2001)["tas"]
    assert tas.sizes["time"] == 12
    np.testing.assert_allclose(tas, 280.0)


def test_a_layer_that_ends_early_is_missing_or_continued_by_its_mean_year(workspace):
    month = np.tile(np.arange(12.0), 2)[:, None, None] / 24
    values = cube(month, "1", months(2001, 2002)).rename("Fw")
    values[12:] += 0.1
    values.to_netcdf(workspace.data / "a.nc")
    source = gridded("a.nc", {"wetland_fraction": "Fw"})
    held = source.survey(workspace, months(2002, 2003))
    assert [h.state for h in held] == ["final"] * 12 + ["missing"] * 12
    with pytest.raises(InputError, match="'wetland_fraction' of 2003-01 is missing"):
        opened(source, workspace, 2003)
    source = gridded("a.nc", {"wetland_fraction": "Fw"}, beyond="climatology")
    held = source.survey(workspace, months(2002, 2003))
    assert [h.state for h in held] == ["final"] * 12 + ["climatology"] * 12
    assert held[-1].reason == "mean of the same month of 2001 to 2002"
    out = opened(source, workspace, 2002, 2003)["wetland_fraction"]
    np.testing.assert_allclose(out[:12, 0, 0], np.arange(12) / 24 + 0.1, rtol=1e-6)
    np.testing.assert_allclose(out[12:, 0, 0], np.arange(12) / 24 + 0.05, rtol=1e-6)


def test_a_hole_inside_a_series_is_missing_whatever_the_rule_beyond_it(workspace):
    values = cube(0.5, "1", months(2001, 2003)).rename("Fw")
    values.isel(time=[*range(16), *range(17, 36)]).to_netcdf(workspace.data / "a.nc")
    source = gridded("a.nc", {"wetland_fraction": "Fw"}, beyond="climatology")
    held = source.survey(workspace, months(2002, 2002))
    assert [h.month.month for h in held if h.state == "missing"] == [5]


def test_a_cell_without_value_in_one_year_has_the_mean_of_the_others(workspace):
    values = cube(0.2, "1", months(2001, 2003)).rename("Fw")
    values[24:] = 0.4
    values[0, 0, 0] = np.nan
    values[[0, 12, 24], 0, 1] = np.nan
    values.to_netcdf(workspace.data / "a.nc")
    source = gridded("a.nc", {"wetland_fraction": "Fw"}, beyond="climatology")
    out = opened(source, workspace, 2004)["wetland_fraction"]
    assert float(out[0, 0, 0]) == pytest.approx(0.3)
    assert np.isnan(out[0, 0, 1])
    assert int(out.isnull().sum()) == 1


def test_a_damaged_file_is_damaged_for_its_year_and_does_not_become_a_climatology(workspace):
    cube(0.5, "1", months(2001, 2001)).rename("Fw").to_netcdf(workspace.data / "fw_2001.nc")
    (workspace.data / "fw_2002.nc").write_bytes(b"\x89HDF cut")
    source = gridded("fw_*.nc", {"wetland_fraction": "Fw"}, beyond="climatology")
    held = source.survey(workspace, months(2001, 2003))
    assert [h.state for h in held] == ["final"] * 12 + ["damaged"] * 12 + ["climatology"] * 12
    assert held[12].files == (workspace.data / "fw_2002.nc",)
    with pytest.raises(InputError, match="is damaged"):
        opened(source, workspace, 2002)


def test_undeclared_sentinels_become_missing(workspace):
    values = cube(0.5, "1", months(2001, 2001)).rename("Fw")
    values[0, 0, :2] = [-999.0, -998.0]
    values.to_netcdf(workspace.data / "a.nc")
    with pytest.raises(InputError, match="cannot have"):
        opened(gridded("a.nc", {"wetland_fraction": "Fw"}), workspace, 2001)
    native = {"name": "Fw", "missing_below": -900}
    out = opened(gridded("a.nc", {"wetland_fraction": native}), workspace, 2001)
    assert int(np.isnan(out["wetland_fraction"]).sum()) == 2


def test_an_absent_name_is_missing_with_what_is_there(workspace):
    cube(0.5, "1", months(2001, 2001)).rename("Fw").to_netcdf(workspace.data / "a.nc")
    (held, *_) = gridded("a.nc", {"tas": "fw"}).survey(workspace, months(2001, 2001))
    assert (held.state, held.reason) == ("missing", "no file holds 'fw'; they hold Fw")
    (held, *_) = gridded("b.nc", {"tas": "fw"}).survey(workspace, months(2001, 2001))
    assert held.reason == "no file at b.nc"


def test_humidity_is_made_from_temperature_and_dew_point(workspace):
    time = months(2001, 2001)
    ds = cube(20.0, "degC", time).rename("t").to_dataset()
    ds["d"] = cube(10.0, "degC", time)
    ds.to_netcdf(workspace.data / "a.nc")
    pair = {"temperature": "t", "dewpoint": "d"}
    out = opened(gridded("a.nc", {"vpd": pair, "hurs": pair}), workspace, 2001)
    # Buck (1981), table 2
    np.testing.assert_allclose(out["vpd"], 2338.8 - 1227.9, rtol=2e-3)
    np.testing.assert_allclose(out["hurs"], 1227.9 / 2338.8, rtol=2e-3)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"t2m": "t2m"}, "no variable t2m in the vocabulary"),
        ({"tas": {"temperature": "a", "dewpoint": "b"}}, "humidity makes vpd or hurs, not tas"),
        ({"tas": {"name": "a", "factor": 2}}, "factor"),
        ({}, "no variable"),
    ],
)
def test_a_wrong_mapping_is_refused(variables, message):
    with pytest.raises(ValidationError, match=message):
        gridded("a.nc", variables)


def test_a_real_mean_year_gives_every_variable_it_has(tmp_path):
    real(CLIMATOLOGY)
    lakes = {"name": ["glolak_frac", "loclak_frac", "reglak_frac", "locres_frac"]}
    variables = {
        "tas": "t2m",
        "pr": "tp",
        "ps": "sp",
        "tsl": "stl1",
        "mrsos": "swvl1",
        "rsds": "ssrd",
        "lai": "lai",
        "dtr": "dtr",
        "snw": "snow_kgm2",
        "npp": "npp",
        "elevation": "elevation",
        "soil_ph": "soil_pH",
        "vpd": {"temperature": "t2m", "dewpoint": "d2m"},
        "sfcWind": {"eastward": "u10", "northward": "v10"},
        "soil_organic_carbon": "soil_orgC",
        "urban_fraction": "builtup_frac",
        "open_water_fraction": lakes,
        "soil_water_capacity": "tawc",
        "soil_clay": "soil_clay",
        "land_fraction": "landfrac_05",
    }
    source = gridded(CLIMATOLOGY, variables)
    workspace = Workspace(DATA, tmp_path)
    held = source.survey(workspace, months(2001, 2002))
    assert {h.files for h in held} == {(DATA / CLIMATOLOGY,)}
    assert {h.state for h in held} == {"final"}
    assert "a mean year" in held[0].reason
    ds = opened(source, workspace, 2001, 2002)
    assert ds.sizes["time"] == 24
    np.testing.assert_array_equal(ds["tas"][:12], ds["tas"][12:])
    assert ds["open_water_fraction"].dims == ("latitude", "longitude")
    assert 0.5 < float(ds["open_water_fraction"].max()) <= 1.0

import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from pydantic import ValidationError

from ch4grid.drivers.era5 import ERA5
from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.regridding import conservative
from ch4grid.stores import Workspace
from ch4grid.vocabulary import VARIABLES, months

DATA = Path(os.environ.get("CH4GRID_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
UNITS = {
    "t2m": "K",
    "d2m": "K",
    "stl1": "K",
    "sp": "Pa",
    "tp": "m",
    "ssrd": "J m**-2",
    "swvl1": "m**3 m**-3",
    "sd": "m of water equivalent",
    "si10": "m s**-1",
    "u10": "m s**-1",
    "v10": "m s**-1",
    "lsm": "(0 - 1)",
    "z": "m**2 s**-2",
}
ALL = ("tas", "vpd", "hurs", "pr", "ps", "sfcWind", "rsds", "tsl", "mrsos", "snw")


def planet(year=2001, r=10.0, time="valid_time"):
    """A year of fields in the layout of the Climate Data Store, with seasons and a cold Antarctic."""
    latitude = np.arange(90.0, -90.0 - r / 2, -r)
    longitude = np.arange(0.0, 360.0, r)
    t = months(year, year)
    shape = (12, latitude.size, longitude.size)
    season = np.cos(2 * np.pi * (np.arange(12) - 6.5) / 12)[:, None]
    warm = 300 - 45 * np.sin(np.deg2rad(latitude)) ** 2 + 12 * season * np.sin(np.deg2rad(latitude))
    warm = warm - 15 * (latitude < -70)
    t2m = np.broadcast_to(warm[:, :, None], shape).astype("float32")
    constant = {
        "sp": 1e5,
        "tp": 0.002,
        "ssrd": 1.7e7,
        "swvl1": 0.3,
        "sd": 0.01,
        "si10": 5.0,
        "u10": 3.0,
        "v10": 4.0,
        "lsm": 0.5,
        "z": 0.0,
    }
    values = {n: np.full(shape, v, "float32") for n, v in constant.items()}
    values |= {"t2m": t2m, "d2m": t2m - 3, "stl1": t2m - 1}
    ds = xr.Dataset(
        {n: ((time, "latitude", "longitude"), v, {"units": UNITS[n]}) for n, v in values.items()},
        coords={time: t, "latitude": latitude, "longitude": longitude},
    )
    return ds.assign_coords(number=0, expver=(time, np.full(12, "0001")))


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path, tmp_path / "out")


def year(first=2001, last=None):
    return months(first, last or first)


def era5(path, *variables, **more):
    return ERA5(path=path, variables=variables, **more)


def opened(source, workspace, wanted=None):
    names = [n for n in source.variables if n != "land_fraction"]
    return source.open(workspace, names, year() if wanted is None else wanted)


def states(source, workspace, wanted=None):
    """State by variable and month."""
    held = source.survey(workspace, year() if wanted is None else wanted)
    return {(h.variable, h.month and f"{h.month:%Y-%m}"): h.state for h in held}


def reasons(source, workspace, wanted=None):
    held = source.survey(workspace, year() if wanted is None else wanted)
    return {f"{h.month:%Y-%m}": h.reason for h in held if h.month is not None}


def test_every_variable_arrives_in_our_units(workspace):
    planet().to_netcdf(workspace.data / "era5_2001.nc")
    source = era5("*.nc", *ALL, "land_fraction")
    ds = opened(source, workspace).merge(source.statics(workspace))
    expected = {
        "pr": 0.002 * 1000 / 86400,
        "rsds": 1.7e7 / 86400,
        "mrsos": 0.3 * 70,
        "snw": 10.0,
        "sfcWind": 5.0,
        "ps": 1e5,
        "land_fraction": 0.5,
    }
    for name, value in expected.items():
        np.testing.assert_allclose(ds[name], value, rtol=1e-6)
    for name in source.variables:
        assert ds[name].attrs == VARIABLES[name].attrs
        assert ds[name].dtype == np.float32
    assert ds["land_fraction"].dims == ("latitude", "longitude")
    assert ds["tas"].dims == ("time", "latitude", "longitude")
    assert set(ds.coords) == {"time", "latitude", "longitude"}


def test_only_the_variables_and_months_asked_for_come_in_their_order(workspace):
    planet().to_netcdf(workspace.data / "a.nc")
    wanted = pd.DatetimeIndex(["2001-03-01", "2001-11-01"])
    ds = era5("a.nc", *ALL).open(workspace, ["pr", "tas"], wanted)
    assert set(ds.data_vars) == {"pr", "tas"}
    np.testing.assert_array_equal(ds["time"], wanted.values)
    np.testing.assert_allclose(ds["tas"], planet()["t2m"][[2, 10]])


def test_the_vapour_pressure_deficit_is_that_of_the_table_of_buck(workspace):
    # Buck (1981), table 2: 2338.8 Pa at 20 degC and 1227.9 Pa at 10 degC over water
    ds = planet()
    ds["t2m"][:], ds["d2m"][:] = 293.15, 283.15
    ds.to_netcdf(workspace.data / "a.nc")
    ours = opened(era5("a.nc", "vpd", "hurs"), workspace)
    np.testing.assert_allclose(ours["vpd"], 2338.8 - 1227.9, rtol=2e-3)
    np.testing.assert_allclose(ours["hurs"], 1227.9 / 2338.8, rtol=2e-3)


def test_mean_wind_components_serve_where_the_speed_is_absent(workspace):
    planet().drop_vars("si10").to_netcdf(workspace.data / "a.nc")
    np.testing.assert_allclose(opened(era5("a.nc", "sfcWind"), workspace)["sfcWind"], 5.0)


def test_the_layouts_give_the_same_fields(workspace):
    source = era5("*.nc", "tas", "pr")
    planet().to_netcdf(workspace.data / "new.nc")
    expected = opened(source, workspace)
    folder = Workspace(workspace.data / "old", workspace.output)
    folder.data.mkdir()
    old = planet(time="time").drop_vars(["number", "expver"])
    packed = {"dtype": "int16", "scale_factor": 0.002, "add_offset": 260.0, "_FillValue": -32767}
    old[["t2m"]].to_netcdf(folder.data / "t.nc", format="NETCDF3_64BIT", encoding={"t2m": packed})
    for month in range(12):
        old[["tp"]].isel(time=[month]).to_netcdf(folder.data / f"tp_{month:02d}.nc")
    xr.testing.assert_allclose(opened(source, folder), expected, atol=2e-3)


def test_packed_files_with_different_scales_are_decoded_one_by_one(workspace):
    # 0 in one file is 250 K, 0 in the other 290 K
    for name, part, offset in (("a.nc", slice(0, 6), 250.0), ("b.nc", slice(6, 12), 290.0)):
        packed = {"dtype": "int16", "scale_factor": offset / 1e5, "add_offset": offset}
        planet(time="time")[["t2m"]].isel(time=part).drop_vars("expver").to_netcdf(
            workspace.data / name, encoding={"t2m": packed | {"_FillValue": -32767}}
        )
    tas = opened(era5("*.nc", "tas"), workspace)["tas"]
    np.testing.assert_allclose(tas, planet()["t2m"], atol=2e-3)


def test_the_units_of_ecmwf_are_understood(workspace):
    ds = planet()
    ds["tp"].attrs["units"] = "m of water equivalent"
    ds["swvl1"].attrs["units"] = "m3 m-3"
    ds.to_netcdf(workspace.data / "a.nc")
    ours = opened(era5("a.nc", "pr", "snw", "mrsos"), workspace)
    np.testing.assert_allclose(ours["pr"], 0.002 / 86.4, rtol=1e-6)
    np.testing.assert_allclose(ours["snw"], 10.0, rtol=1e-6)


def versions(final, early):
    """The layout with `expver` as a dimension, each slice missing where the other has data."""
    ds = planet()[["t2m", "tp"]].drop_vars("expver")
    number = ds["valid_time"].dt.month
    both = xr.concat([early(ds).where(number >= 11), final(ds).where(number < 11)], dim="expver")
    for name in ds:
        both[name].attrs = ds[name].attrs
    return both.assign_coords(expver=["0005", "0001"])


def test_versions_as_a_dimension_collapse_to_the_one_that_has_data(workspace):
    versions(final=lambda ds: ds, early=lambda ds: ds * 1.01).to_netcdf(workspace.data / "a.nc")
    source = era5("a.nc", "tas", "pr")
    ours, t2m = opened(source, workspace), planet()["t2m"]
    np.testing.assert_allclose(ours["tas"][:10], t2m[:10])
    np.testing.assert_allclose(ours["tas"][10:], t2m[10:] * 1.01, rtol=1e-6)
    # a sum over a slice of missing values would have given no rain
    np.testing.assert_allclose(ours["pr"][10:], 1.01 * 0.002 / 86.4, rtol=1e-6)
    held = states(source, workspace)
    assert held["tas", "2001-10"] == "final"
    assert held["tas", "2001-11"] == held["pr", "2001-12"] == "preliminary"


def test_versions_with_data_in_both_slices_are_final(workspace):
    both = versions(final=lambda ds: ds, early=lambda ds: ds)
    whole = planet()[["t2m", "tp"]].drop_vars("expver")
    both["t2m"][1] = whole["t2m"]
    both.to_netcdf(workspace.data / "a.nc")
    assert set(states(era5("a.nc", "tas"), workspace).values()) == {"final"}


@pytest.mark.parametrize("early", ["0005", b"0005", 5])
def test_the_version_along_time_marks_preliminary_months(workspace, early):
    final = {"0005": "0001", b"0005": b"0001", 5: 1}[early]
    ds = planet()[["t2m"]].drop_vars("expver")
    ds.assign(expver=("valid_time", np.array([final] * 9 + [early] * 3))).to_netcdf(
        workspace.data / "a.nc"
    )
    held = states(era5("a.nc", "tas"), workspace)
    assert [held["tas", f"2001-{m:02d}"] for m in (1, 9)] == ["final"] * 2
    assert [held["tas", f"2001-{m:02d}"] for m in (10, 12)] == ["preliminary"] * 2


def test_a_version_of_the_whole_file_marks_it_and_the_final_file_takes_over(workspace):
    early = planet().drop_vars("expver").assign_coords(expver="0005")
    early["t2m"] += 1.0
    early["t2m"].attrs["units"] = "K"
    early.isel(valid_time=slice(6, 12)).to_netcdf(workspace.data / "early.nc")
    planet().isel(valid_time=slice(0, 6)).to_netcdf(workspace.data / "first.nc")
    source = era5("*.nc", "tas")
    held = list(states(source, workspace).values())
    assert held == ["final"] * 6 + ["preliminary"] * 6
    np.testing.assert_allclose(opened(source, workspace)["tas"][7], planet()["t2m"][7] + 1)
    planet().isel(valid_time=[7]).to_netcdf(workspace.data / "zz_final.nc")
    held = list(states(source, workspace).values())
    assert held == ["final"] * 6 + ["preliminary", "final"] + ["preliminary"] * 4
    np.testing.assert_allclose(opened(source, workspace)["tas"][7], planet()["t2m"][7])


def archived(workspace, **parts):
    with zipfile.ZipFile(workspace.data / "download.nc", "w") as archive:
        for kind, ds in parts.items():
            ds.to_netcdf(workspace.data / "part.nc_")
            archive.write(workspace.data / "part.nc_", f"data_stream-moda_stepType-{kind}.nc")


def test_an_archive_is_read_whatever_its_extension(workspace):
    archived(workspace, avgua=planet()[["t2m", "d2m"]], avgad=planet()[["tp"]])
    ds = opened(era5("*.nc", "tas", "pr", "vpd"), workspace)
    np.testing.assert_allclose(ds["tas"], planet()["t2m"])
    np.testing.assert_allclose(ds["pr"], 0.002 / 86.4, rtol=1e-6)


def test_parts_of_an_archive_may_label_a_month_by_different_hours(workspace):
    rain = planet()[["tp"]].isel(valid_time=[3])
    rain = rain.assign_coords(valid_time=rain["valid_time"] + np.timedelta64(6, "h"))
    archived(workspace, avgua=planet()[["t2m"]].isel(valid_time=[3]), avgad=rain)
    wanted = year()[3:4]
    ds = opened(era5("*.nc", "tas", "pr"), workspace, wanted)
    np.testing.assert_array_equal(ds["time"], wanted.values)
    assert set(states(era5("*.nc", "tas", "pr"), workspace, wanted).values()) == {"final"}


def test_a_damaged_archive_is_damaged_and_one_without_netcdf_is_told(workspace):
    archived(workspace, avgua=planet()[["t2m"]])
    whole = (workspace.data / "download.nc").read_bytes()
    (workspace.data / "download.nc").write_bytes(whole[: len(whole) // 2])
    assert "cannot be read" in reasons(era5("download.nc", "tas"), workspace)["2001-01"]
    with zipfile.ZipFile(workspace.data / "other.nc", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    assert "holds no NetCDF" in reasons(era5("other.nc", "tas"), workspace)["2001-01"]


def test_a_survey_names_the_files_of_each_month(workspace):
    for y in (2001, 2002, 2003):
        planet(y).to_netcdf(workspace.data / f"era5_{y}.nc")
    source = era5("era5_*.nc", "tas")
    held = source.survey(workspace, months(2002, 2003))
    assert {h.month.year: h.files[0].name for h in held} == {
        2002: "era5_2002.nc",
        2003: "era5_2003.nc",
    }
    assert opened(source, workspace, months(2002, 2003)).sizes["time"] == 24


def test_missing_months_are_surveyed_and_refused(workspace):
    planet().isel(valid_time=[0, 1, 3, 4, 5, 6, 7, 8, 9, 10]).to_netcdf(workspace.data / "a.nc")
    source = era5("a.nc", "tas", "vpd")
    held = states(source, workspace)
    assert [m for (n, m), s in held.items() if s == "missing" and n == "tas"] == [
        "2001-03",
        "2001-12",
    ]
    assert held["vpd", "2001-03"] == "missing"
    with pytest.raises(InputError, match=r"'tas' of 2001-03 is missing"):
        opened(source, workspace)


def test_no_file_at_all_is_a_survey_of_missing_months(workspace):
    held = era5("*.nc", "tas", "land_fraction").survey(workspace, year())
    assert [h.state for h in held] == ["missing"] * 13
    assert "no file at *.nc" in held[0].reason
    assert held[-1].month is None


def test_a_month_without_values_counts_as_missing(workspace):
    ds = planet()
    ds["t2m"][4] = np.nan
    ds.to_netcdf(workspace.data / "a.nc")
    with pytest.raises(InputError, match="no 2001-05"):
        opened(era5("a.nc", "tas"), workspace)


def test_a_month_given_twice_is_refused(workspace):
    planet().to_netcdf(workspace.data / "a.nc")
    planet().to_netcdf(workspace.data / "b.nc")
    source = era5("*.nc", "tas")
    assert set(states(source, workspace).values()) == {"damaged"}
    with pytest.raises(InputError, match=r"more than one field of it, in a\.nc and b\.nc"):
        opened(source, workspace)


@pytest.mark.parametrize("form", ["NETCDF4", "NETCDF3_64BIT"])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.7, 0.98])
def test_a_file_cut_short_is_damaged_and_refused(workspace, form, part):
    path = workspace.data / "era5_2001.nc"
    planet().drop_vars("expver").to_netcdf(path, format=form)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    source = era5("*.nc", "tas", "land_fraction")
    held = source.survey(workspace, year())
    assert {h.state for h in held} == {"damaged"}
    assert {h.files for h in held} == {(path,)}
    with pytest.raises(InputError, match=r"'tas' of 2001-01 is damaged.*era5_2001\.nc"):
        opened(source, workspace)


def test_a_damaged_file_costs_only_the_month_of_its_name(workspace):
    for m in range(1, 13):
        planet().isel(valid_time=[m - 1]).to_netcdf(workspace.data / f"era5_2001-{m:02d}.nc")
    (workspace.data / "era5_2001-05.nc").write_bytes(b"")
    held = states(era5("*.nc", "tas"), workspace)
    assert [m for (_, m), s in held.items() if s != "final"] == ["2001-05"]
    assert held["tas", "2001-05"] == "damaged"
    assert "no bytes" in reasons(era5("*.nc", "tas"), workspace)["2001-05"]


def test_a_damaged_file_without_a_date_is_named_where_months_are_missing(workspace):
    planet().isel(valid_time=slice(0, 6)).to_netcdf(workspace.data / "a.nc")
    (workspace.data / "b.nc").write_bytes(b"\x89HDF\r\n\x1a\nbroken")
    source = era5("*.nc", "tas")
    assert list(states(source, workspace).values()) == ["final"] * 6 + ["missing"] * 6
    assert "b.nc cannot be read" in reasons(source, workspace)["2001-07"]
    assert reasons(source, workspace)["2001-06"] == ""


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"<html>log in first</html>", "a web page or a message"),
        (b'{"title": "licence not accepted"}', "a web page or a message"),
        (b"GRIB but not really", "cannot read this GRIB file"),
        (b"garbage", "no NetCDF, GRIB, ZIP or Zarr"),
        (b"", "no bytes"),
    ],
)
@pytest.mark.parametrize("name", ["era5_200105.nc", "era5_200105.grib"])
def test_what_is_not_data_is_told_by_its_first_bytes(workspace, content, told, name):
    (workspace.data / name).write_bytes(content)
    (held,) = era5("era5_*", "tas").survey(workspace, year()[4:5])
    assert held.state == "damaged"
    assert told in held.reason


def test_flipped_bytes_in_a_compressed_field_are_refused(workspace):
    path = workspace.data / "a.nc"
    rng = np.random.default_rng(0)
    ds = planet()[["t2m"]]
    ds["t2m"] += rng.normal(0, 1, ds["t2m"].shape).astype("float32")
    ds["t2m"].attrs["units"] = "K"
    ds.to_netcdf(path, encoding={"t2m": {"zlib": True, "fletcher32": True}})
    content = bytearray(path.read_bytes())
    for at in range(len(content) // 2, len(content) // 2 + 64):
        content[at] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(InputError):
        opened(era5("a.nc", "tas"), workspace)


def test_wrong_units_are_refused_with_both(workspace):
    ds = planet()
    ds["t2m"].attrs["units"] = "degC"
    ds.to_netcdf(workspace.data / "a.nc")
    with pytest.raises(InputError, match=r"'t2m' has wrong units. Expected 'K'. Found 'degC'"):
        opened(era5("a.nc", "tas"), workspace)


def test_values_no_climate_has_are_refused(workspace):
    ds = planet()
    ds["t2m"] = (ds["t2m"] - 273.15).assign_attrs(units="K")
    ds.to_netcdf(workspace.data / "a.nc")
    with pytest.raises(InputError, match="air temperature at 2 m cannot have"):
        opened(era5("a.nc", "tas"), workspace)


@pytest.mark.parametrize("wanted", [year(), year()[6:7], year()[[0, 6]]])
@pytest.mark.parametrize("name", ["tas", "tsl"])
def test_latitude_labels_against_the_data_are_refused(workspace, name, wanted):
    ds = planet()
    ds.assign_coords(latitude=ds["latitude"].values[::-1]).to_netcdf(workspace.data / "a.nc")
    with pytest.raises(InputError, match="latitude is swapped"):
        opened(era5("a.nc", name), workspace, wanted)


@pytest.mark.parametrize("month", [6, 12])
def test_sunshine_at_the_wrong_pole_is_refused_by_a_single_month(workspace, month):
    ds = planet()
    sign = 1 if month == 6 else -1
    ds["ssrd"] = ds["ssrd"] * (0.5 + 0.4 * sign * ds["latitude"] / 90)
    ds["ssrd"].attrs["units"] = "J m**-2"
    wanted = year()[month - 1 : month]
    ds.to_netcdf(workspace.data / "right.nc")
    opened(era5("right.nc", "rsds"), workspace, wanted)
    ds.assign_coords(latitude=ds["latitude"].values[::-1]).to_netcdf(workspace.data / "wrong.nc")
    with pytest.raises(InputError, match="latitude is swapped"):
        opened(era5("wrong.nc", "rsds"), workspace, wanted)


def test_ascending_latitude_is_as_good_as_descending(workspace):
    planet().sortby("latitude").to_netcdf(workspace.data / "a.nc")
    planet().to_netcdf(workspace.data / "b.nc")
    up, down = (opened(era5(f"{n}.nc", "tas"), workspace)["tas"] for n in "ab")
    assert up["latitude"].values[0] == -90.0
    assert down["latitude"].values[0] == 90.0
    xr.testing.assert_equal(up.sortby("latitude"), down.sortby("latitude"))


@pytest.mark.parametrize("order", ["descending", "ascending"])
@pytest.mark.parametrize("west", [0.0, -180.0])
def test_nodes_land_on_cells_half_a_step_away_without_a_shift(workspace, order, west):
    # a field linear in latitude, and one of the longitude, keep their values at the cells' centres
    r = 2.0
    latitude, longitude = np.arange(90.0, -91.0, -r), np.arange(west, west + 360.0, r)
    east = np.cos(np.deg2rad(longitude))[None, :]
    values = 250.0 + latitude[:, None] / 10 + 5 * east
    ds = xr.Dataset(
        {"t2m": (("valid_time", "latitude", "longitude"), values[None], {"units": "K"})},
        coords={"valid_time": year()[6:7], "latitude": latitude, "longitude": longitude},
    )
    ds.sortby("latitude", ascending=order == "ascending").to_netcdf(workspace.data / "a.nc")
    tas = opened(era5("a.nc", "tas"), workspace, year()[6:7])["tas"]
    mean, valid = conservative(tas, Grid(r), 0.5)
    expected = 250.0 + mean["latitude"] / 10 + 5 * np.cos(np.deg2rad(mean["longitude"]))
    inner = slice(1, -1)
    error = (mean[0] - expected).isel(latitude=inner)
    # half a cell of shift would be 0.1 K; what is left is the area's centre, south of the middle near the pole
    assert float(abs(error).max()) < 0.02
    assert float(abs(error.sel(latitude=slice(-60, 60))).max()) < 0.004
    np.testing.assert_allclose(valid, 1.0, atol=1e-6)


def test_a_regional_file_is_read_as_it_is(workspace):
    part = planet().sel(latitude=slice(50, 10), longitude=slice(60, 120))
    part.to_netcdf(workspace.data / "a.nc")
    tas = opened(era5("a.nc", "tas"), workspace)["tas"]
    np.testing.assert_allclose(tas, part["t2m"])
    np.testing.assert_array_equal(tas["longitude"], part["longitude"])


def test_exchanged_axes_are_damaged(workspace):
    ds = planet().rename(latitude="longitude", longitude="latitude")
    ds.to_netcdf(workspace.data / "era5_2001.nc")
    assert "beyond a pole" in reasons(era5("*.nc", "tas"), workspace)["2001-01"]
    assert set(states(era5("*.nc", "tas"), workspace).values()) == {"damaged"}


def test_an_absent_field_is_named_with_what_is_there(workspace):
    planet()[["t2m"]].to_netcdf(workspace.data / "a.nc")
    assert reasons(era5("a.nc", "vpd"), workspace)["2001-01"] == (
        "no file holds t2m and d2m; they hold t2m"
    )
    with pytest.raises(InputError, match=r"'vpd' of 2001-01 is missing"):
        opened(era5("a.nc", "vpd"), workspace)


def test_an_unknown_variable_is_refused_with_the_choice():
    with pytest.raises(ValidationError, match="era5 has no variable evi; it has tas"):
        era5("a.nc", "evi")


def test_a_url_with_a_password_is_refused_and_the_password_not_repeated():
    with pytest.raises(ValidationError, match="netrc") as error:
        era5("https://edh:hunter2@example.org/a.zarr", "tas")
    assert "hunter2" not in str(
        error.value.errors(include_input=False, include_url=False)[0]["msg"]
    )


def test_each_file_is_opened_once_for_all_that_is_made_from_it(workspace, monkeypatch):
    from ch4grid.drivers.files import netcdf

    planet().to_netcdf(workspace.data / "a.nc")
    source = era5("a.nc", *ALL)
    source.survey(workspace, year())
    seen = []
    whole = netcdf.opened

    def counted(path, part=""):
        seen.append(path)
        return whole(path, part)

    monkeypatch.setattr(netcdf, "opened", counted)
    opened(source, workspace)
    assert len(seen) == 1


def test_headers_are_remembered_until_a_file_changes(workspace, monkeypatch):
    from ch4grid.drivers.files import netcdf

    path = workspace.data / "a.nc"
    planet().isel(valid_time=slice(0, 6)).to_netcdf(path)
    source = era5("a.nc", "tas")
    first = source.survey(workspace, year())
    whole = netcdf.read_headers
    monkeypatch.setattr(netcdf, "read_headers", lambda path: pytest.fail("read again"))
    assert source.survey(workspace, year()) == first
    monkeypatch.setattr(netcdf, "read_headers", whole)
    planet().to_netcdf(path)
    assert set(states(source, workspace).values()) == {"final"}


def test_a_lost_or_broken_memory_of_headers_costs_nothing_but_time(workspace):
    planet().to_netcdf(workspace.data / "a.nc")
    source = era5("a.nc", "tas")
    first = source.survey(workspace, year())
    (workspace.cache / "headers.json").write_text("{half a docu")
    assert source.survey(workspace, year()) == first
    shutil.rmtree(workspace.cache)
    assert source.survey(workspace, year()) == first

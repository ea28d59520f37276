import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from pydantic import ValidationError

from ch4grid.drivers.era5 import ERA5
from ch4grid.errors import InputError
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
}


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


def test_every_variable_arrives_in_our_units(workspace):
    planet().to_netcdf(workspace.data / "era5_2001.nc")
    source = ERA5(
        path="*.nc",
        variables=(
            "tas",
            "vpd",
            "pr",
            "ps",
            "sfcWind",
            "rsds",
            "tsl",
            "mrsos",
            "snw",
            "land_fraction",
        ),
    )
    ds = source.open(workspace, 2001, 2001)
    expected = {
        "pr": 0.002 * 1000 / 86400,
        "rsds": 1.7e7 / 86400,
        "mrsos": 0.3 * 70,
        "snw": 10.0,
        "sfcWind": 5.0,
        "ps": 1e5,
    }
    for name, value in expected.items():
        np.testing.assert_allclose(ds[name], value, rtol=1e-6)
    for name in source.variables:
        assert ds[name].attrs["units"] == VARIABLES[name].units
        assert ds[name].dtype == np.float32
    assert ds["land_fraction"].dims == ("latitude", "longitude")
    assert ds["tas"].dims == ("time", "latitude", "longitude")
    assert set(ds.coords) == {"time", "latitude", "longitude"}


def test_the_vapour_pressure_deficit_is_that_of_the_table_of_buck(workspace):
    # Buck (1981), table 2: 2338.8 Pa at 20 degC and 1227.9 Pa at 10 degC over water
    ds = planet()
    ds["t2m"][:], ds["d2m"][:] = 293.15, 283.15
    ds.to_netcdf(workspace.data / "a.nc")
    vpd = ERA5(path="a.nc", variables=("vpd",)).open(workspace, 2001, 2001)["vpd"]
    np.testing.assert_allclose(vpd, 2338.8 - 1227.9, rtol=2e-3)


def test_mean_wind_components_serve_where_the_speed_is_absent(workspace):
    planet().drop_vars("si10").to_netcdf(workspace.data / "a.nc")
    ds = ERA5(path="a.nc", variables=("sfcWind",)).open(workspace, 2001, 2001)
    np.testing.assert_allclose(ds["sfcWind"], 5.0)


def test_the_layouts_give_the_same_fields(workspace):
    source = ERA5(path="*.nc", variables=("tas", "pr"))
    planet().to_netcdf(workspace.data / "new.nc")
    expected = source.open(workspace, 2001, 2001)
    folder = Workspace(workspace.data / "old", workspace.output)
    folder.data.mkdir()
    old = planet(time="time").drop_vars(["number", "expver"])
    packed = {"dtype": "int16", "scale_factor": 0.002, "add_offset": 260.0, "_FillValue": -32767}
    old[["t2m"]].to_netcdf(folder.data / "t.nc", format="NETCDF3_64BIT", encoding={"t2m": packed})
    for month in range(12):
        old[["tp"]].isel(time=[month]).to_netcdf(folder.data / f"tp_{month:02d}.nc")
    xr.testing.assert_allclose(source.open(folder, 2001, 2001), expected, atol=2e-3)


def test_versions_as_a_dimension_collapse_to_the_final_one(workspace):
    ds = planet()[["t2m"]].drop_vars("expver")
    final = ds.where(ds["valid_time"].dt.month < 11)
    early = (ds + 1).where(ds["valid_time"].dt.month >= 10)
    both = xr.concat([early, final], dim="expver").assign_coords(expver=["0005", "0001"])
    both["t2m"].attrs = ds["t2m"].attrs
    both.to_netcdf(workspace.data / "a.nc")
    tas = ERA5(path="a.nc", variables=("tas",)).open(workspace, 2001, 2001)["tas"]
    np.testing.assert_allclose(tas[:10], ds["t2m"][:10])
    np.testing.assert_allclose(tas[10:], ds["t2m"][10:] + 1)


def test_an_archive_is_read_whatever_its_extension(workspace):
    planet()[["t2m"]].to_netcdf(workspace.data / "avgua.nc_")
    planet()[["tp"]].to_netcdf(workspace.data / "avgad.nc_")
    with zipfile.ZipFile(workspace.data / "download.nc", "w") as archive:
        for part in ("avgua", "avgad"):
            archive.write(workspace.data / f"{part}.nc_", f"data_stream-moda_stepType-{part}.nc")
    ds = ERA5(path="*.nc", variables=("tas", "pr")).open(workspace, 2001, 2001)
    assert set(ds.data_vars) == {"tas", "pr"}


def test_inputs_are_the_files_of_the_years(workspace):
    for year in (2001, 2002, 2003):
        planet(year).to_netcdf(workspace.data / f"era5_{year}.nc")
    source = ERA5(path="era5_*.nc", variables=("tas",))
    assert [p.name for p in source.inputs(workspace, 2002, 2003)] == [
        "era5_2002.nc",
        "era5_2003.nc",
    ]
    assert source.open(workspace, 2002, 2003).sizes["time"] == 24


@pytest.mark.parametrize("call", ["inputs", "open"])
def test_missing_months_are_named(workspace, call):
    planet().isel(valid_time=[0, 1, 3, 4, 5, 6, 7, 8, 9, 10]).to_netcdf(workspace.data / "a.nc")
    with pytest.raises(InputError, match=r"'t2m'.*no 2001-03, 2001-12"):
        getattr(ERA5(path="a.nc", variables=("tas",)), call)(workspace, 2001, 2001)


def test_a_month_without_values_counts_as_missing(workspace):
    ds = planet()
    ds["t2m"][4] = np.nan
    ds.to_netcdf(workspace.data / "a.nc")
    with pytest.raises(InputError, match="no 2001-05"):
        ERA5(path="a.nc", variables=("tas",)).open(workspace, 2001, 2001)


def test_a_month_given_twice_is_refused(workspace):
    planet().to_netcdf(workspace.data / "a.nc")
    planet().to_netcdf(workspace.data / "b.nc")
    with pytest.raises(InputError, match="more than one field"):
        ERA5(path="*.nc", variables=("tas",)).open(workspace, 2001, 2001)


@pytest.mark.parametrize("form", ["NETCDF4", "NETCDF3_64BIT"])
@pytest.mark.parametrize("part", [0.3, 0.7, 0.98])
def test_a_file_cut_short_is_refused(workspace, form, part):
    path = workspace.data / "a.nc"
    planet().drop_vars("expver").to_netcdf(path, format=form)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.raises(InputError, match=r"a\.nc: cannot read this file"):
        ERA5(path="a.nc", variables=("tas", "land_fraction")).open(workspace, 2001, 2001)


def test_a_file_that_is_no_netcdf_is_refused(workspace):
    (workspace.data / "a.nc").write_text("<html>log in first</html>")
    with pytest.raises(InputError, match="cannot read this file"):
        ERA5(path="a.nc", variables=("tas",)).inputs(workspace, 2001, 2001)


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
        ERA5(path="a.nc", variables=("tas",)).open(workspace, 2001, 2001)


def test_wrong_units_are_refused_with_both(workspace):
    ds = planet()
    ds["t2m"].attrs["units"] = "degC"
    ds.to_netcdf(workspace.data / "a.nc")
    with pytest.raises(InputError, match=r"'t2m' has wrong units. Expected 'K'. Found 'degC'"):
        ERA5(path="a.nc", variables=("tas",)).open(workspace, 2001, 2001)


def test_values_no_climate_has_are_refused(workspace):
    ds = planet()
    ds["t2m"] = (ds["t2m"] - 273.15).assign_attrs(units="K")
    ds.to_netcdf(workspace.data / "a.nc")
    with pytest.raises(InputError, match="air temperature at 2 m cannot have"):
        ERA5(path="a.nc", variables=("tas",)).open(workspace, 2001, 2001)


@pytest.mark.parametrize("name", ["tas", "tsl"])
def test_latitude_labels_against_the_data_are_refused(workspace, name):
    ds = planet()
    ds.assign_coords(latitude=ds["latitude"].values[::-1]).to_netcdf(workspace.data / "a.nc")
    with pytest.raises(InputError, match="latitude is swapped"):
        ERA5(path="a.nc", variables=(name,)).open(workspace, 2001, 2001)


def test_ascending_latitude_is_as_good_as_descending(workspace):
    planet().sortby("latitude").to_netcdf(workspace.data / "a.nc")
    ds = ERA5(path="a.nc", variables=("tas",)).open(workspace, 2001, 2001)
    assert ds["latitude"].values[0] == -90.0


def test_exchanged_axes_are_refused(workspace):
    ds = planet().rename(latitude="longitude", longitude="latitude")
    ds.to_netcdf(workspace.data / "a.nc")
    with pytest.raises(InputError, match="latitude lies beyond a pole"):
        ERA5(path="a.nc", variables=("tas",)).open(workspace, 2001, 2001)


def test_an_absent_field_is_named_with_what_is_there(workspace):
    planet()[["t2m"]].to_netcdf(workspace.data / "a.nc")
    with pytest.raises(InputError, match=r"'vpd' is made from. Expected t2m and d2m. Found t2m"):
        ERA5(path="a.nc", variables=("vpd",)).open(workspace, 2001, 2001)


def test_an_unknown_variable_is_refused_with_the_choice():
    with pytest.raises(ValidationError, match="era5 has no variable evi; it has tas"):
        ERA5(path="a.nc", variables=("evi",))


def real(name):
    if not (DATA / "era5" / name).exists():
        pytest.skip(f"no file {name} in {DATA / 'era5'}")
    return Workspace(DATA / "era5", DATA)


def test_a_real_download_of_the_present_store_is_read():
    name = "ERA5Land_moda_CDS2024_5x6_Jan2025.nc"
    workspace = real(name)
    with pytest.raises(InputError, match="no 2025-02, 2025-03"):
        ERA5(path=name, variables=("tas",)).inputs(workspace, 2025, 2025)


def test_a_real_global_year_of_precipitation_has_the_known_global_mean():
    # the global mean of ERA5 precipitation is 2.9 to 3.0 mm per day
    name = "ERA5_tp_monthly_2020_global_2.2deg_remapcon.nc"
    workspace = real(name)
    pr = ERA5(path=name, variables=("pr",)).open(workspace, 2020, 2020)["pr"]
    weight = np.cos(np.deg2rad(pr["latitude"]))
    assert 2.7 < float(pr.weighted(weight).mean()) * 86400 < 3.1

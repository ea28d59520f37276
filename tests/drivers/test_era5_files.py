"""Every real ERA5, ERA5-Land and related file: opened by the reader meant for it, or refused with the right reason.

The second reading is raw: packed integers of netCDF4 with scale and offset applied here.
"""

import netCDF4
import numpy as np
import pandas as pd
import pytest
from real_files import DATA, real

from ch4grid.drivers.era5 import ERA5
from ch4grid.drivers.files.reader import Reader, survey
from ch4grid.drivers.gridded import Gridded
from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.regridding import conservative
from ch4grid.stores import Workspace

MONTHLY_LAND = "ERA5Land_moda_CDS2024_5x6_Jan2025.nc"
INSTANT = "ERA5_1995-07-14T12_u10v10d2mt2msp.nc"
DEWPOINT = "ERA5_d2m_monthly_2000JanFeb_NEAsia_0.17deg.nc"
LEGACY = "ERA5_t2m_CDSlegacy_2023-01-01T12_0.25deg.nc"
RAIN = "ERA5_tp_monthly_2020_global_2.2deg_remapcon.nc"
MASK = "ERAInterim_tropAmerica_landseamask.nc"
INTERIM = "ERAInterim_tropAmerica_t2m_mon_2011-2015.nc"
GHCN = "GHCN_CAMS_air_monthly_2018JanAug_0.5deg_global.nc"
GRIB = ("ERA5Land_daily_Jan2020_allvars_1cell.grib", "ERA5_t2m_hourly_2019-03_UK.grib")


@pytest.fixture
def workspace(tmp_path):
    return Workspace(real("era5"), tmp_path)


def raw(name, variable):
    """The values of a file, unpacked by hand, missing where they are the fill value."""
    with netCDF4.Dataset(DATA / "era5" / name) as ds:
        ds.set_auto_maskandscale(False)
        field = ds[variable]
        packed = field[:]
        values = packed.astype(np.float64)
        if packed.dtype.kind == "i":
            values = values * field.scale_factor + field.add_offset
        fill = getattr(field, "_FillValue", None)
        return values if fill is None or fill != fill else np.where(packed == fill, np.nan, values)


def months(first, last=None):
    return pd.date_range(first, last or first, freq="MS")


def era5(path, *variables):
    return ERA5(path=path, variables=variables)


def states(source, workspace, wanted):
    return [h.state for h in source.survey(workspace, wanted)]


def test_every_file_of_the_folder_has_a_test_here_or_with_grib(workspace):
    files = {p.name for p in workspace.data.iterdir() if p.suffix != ".idx"}
    assert files == {MONTHLY_LAND, INSTANT, DEWPOINT, LEGACY, RAIN, MASK, INTERIM, GHCN, *GRIB}


def test_monthly_means_of_era5_land_from_the_present_store(workspace):
    source = era5(MONTHLY_LAND, "tas", "pr")
    wanted = months("2025-01-01")
    assert states(source, workspace, wanted) == ["final", "final"]
    assert states(source, workspace, months("2025-02-01")) == ["missing", "missing"]
    ds = source.open(workspace, ["tas", "pr"], wanted)
    np.testing.assert_allclose(ds["tas"], raw(MONTHLY_LAND, "t2m"), rtol=1e-6)
    # metres per day
    np.testing.assert_allclose(ds["pr"], raw(MONTHLY_LAND, "tp") * 1000 / 86400, rtol=1e-5)
    (header,) = survey(workspace, MONTHLY_LAND)
    assert "land" in header.traits
    np.testing.assert_allclose(ds["latitude"], [-1.8, -1.9, -2.0, -2.1, -2.2])


def test_a_single_instant_is_refused_as_a_month(workspace):
    for name, month in ((INSTANT, "1995-07-01"), (LEGACY, "2023-01-01")):
        source = era5(name, "tas")
        (held,) = source.survey(workspace, months(month))
        assert held.state == "missing"
        assert "held only at the instant" in held.reason
        with pytest.raises(InputError, match="held only at the instant"):
            source.open(workspace, ["tas"], months(month))
        frequency = ERA5(path=name, variables=("tas",), frequency="hourly")
        assert states(frequency, workspace, months(month)) == ["missing"]


def test_the_fields_of_the_single_instants_are_those_of_the_file(workspace):
    with Reader() as reader:
        (old,) = survey(workspace, LEGACY)
        field = reader.fields(old, "t2m", np.array([0]))
        np.testing.assert_allclose(field, raw(LEGACY, "t2m"), atol=1e-4)
        (one,) = survey(workspace, INSTANT)
        for name in ("u10", "v10", "d2m", "t2m", "sp"):
            np.testing.assert_allclose(
                reader.static(one, name), raw(INSTANT, name), rtol=2e-6, atol=1e-5
            )


def test_a_regional_file_of_dew_points_is_read_and_no_humidity_made_without_temperature(workspace):
    (header,) = survey(workspace, DEWPOINT)
    with Reader() as reader:
        field = reader.fields(header, "d2m", np.array([1]))
    np.testing.assert_allclose(field[0], raw(DEWPOINT, "d2m")[1], rtol=1e-6)
    assert field.attrs["units"] == "K"
    (held,) = era5(DEWPOINT, "vpd").survey(workspace, months("2000-01-01"))
    assert held.reason == "no file holds t2m and d2m; they hold d2m"


def test_a_global_year_of_precipitation_per_day(workspace):
    source, wanted = era5(RAIN, "pr"), months("2020-01-01", "2020-12-01")
    assert states(source, workspace, wanted) == ["final"] * 12
    pr = source.open(workspace, ["pr"], wanted)["pr"]
    np.testing.assert_allclose(
        pr, np.clip(raw(RAIN, "tp"), 0, None) * 1000 / 86400, rtol=1e-5, atol=1e-11
    )
    # the global mean of ERA5 precipitation is 2.9 to 3.0 mm per day
    weight = np.cos(np.deg2rad(pr["latitude"]))
    assert 2.7 < float(pr.weighted(weight).mean()) * 86400 < 3.1
    # 164 columns of 2.2 degrees are more than a circle: the file opens, and no grid is made from it
    with pytest.raises(InputError, match="overlap"):
        conservative(pr, Grid(5.0), 0.5)


def test_five_packed_years_of_era_interim(workspace):
    source, wanted = era5(INTERIM, "tas"), months("2013-02-01", "2014-01-01")
    assert states(source, workspace, wanted) == ["final"] * 12
    tas = source.open(workspace, ["tas"], wanted)["tas"]
    np.testing.assert_allclose(tas, raw(INTERIM, "t2m")[25:37], atol=1e-4)
    assert states(source, workspace, months("2016-01-01")) == ["missing"]


def test_the_land_mask_of_era_interim_lasts(workspace):
    source = era5(MASK, "land_fraction")
    (held,) = source.survey(workspace, months("2020-01-01"))
    assert (held.state, held.month) == ("final", None)
    mask = source.statics(workspace)["land_fraction"]
    np.testing.assert_array_equal(mask, raw(MASK, "lsm")[0])
    assert 0.2 < float(mask.mean()) < 0.6


def test_another_archive_is_read_as_a_gridded_source(workspace):
    source = Gridded.model_validate({"path": GHCN, "variables": {"tas": "air"}})
    wanted = months("2018-07-01", "2018-09-01")
    assert states(source, workspace, wanted) == ["final", "final", "missing"]
    tas = source.open(workspace, ["tas"], wanted[:2])["tas"]
    np.testing.assert_array_equal(tas, raw(GHCN, "air")[6:8])
    assert tas.attrs["units"] == "K"


def test_a_second_survey_reads_no_file(workspace, monkeypatch):
    wanted = months("2020-01-01")
    source = era5("*", "tas", "pr")
    first = source.survey(workspace, wanted)
    for reader in ("netcdf", "grib", "archive"):
        monkeypatch.setattr(
            f"ch4grid.drivers.files.{reader}.read_headers", lambda path: pytest.fail(f"{path}")
        )
    assert source.survey(workspace, wanted) == first

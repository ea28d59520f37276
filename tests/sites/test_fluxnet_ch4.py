import numpy as np
import pandas as pd
import pytest
from real_files import DATA, real

from ch4grid.errors import InputError
from ch4grid.schema import check_range
from ch4grid.sites import FluxnetCH4, TowerTable, assemble
from ch4grid.stores import Workspace
from ch4grid.vocabulary import GASES, VARIABLES

CH4 = GASES["ch4"]
NMOL = CH4.kg_per_nmol


@pytest.fixture
def workspace(tmp_path):
    text = "SITE_ID,LAT,LON,SITE_CLASSIFICATION,UPLAND_CLASS,IGBP\nFI-Aaa,62,24,Bog,,WET\n"
    (tmp_path / "sites.csv").write_text("\ufeff" + text, encoding="utf-8")
    return Workspace(tmp_path, tmp_path / "out")


def daily(folder, site="FI-Aaa", days=59, **columns):
    time = pd.date_range("2001-01-01", periods=days)
    frame = pd.DataFrame(
        {"TIMESTAMP": time.strftime("%Y%m%d"), "FCH4": 10.0, "FCH4_F": 99.0} | columns, range(days)
    )
    frame.to_csv(folder / f"FLX_{site}_FLUXNET-CH4_DD_2001-2001_1-1.csv", index=False)
    return frame


def source(**more):
    return FluxnetCH4(path=".", sites="sites.csv", **more)


def test_the_target_is_the_mean_of_what_was_measured(workspace):
    flux = np.full(59, -9999.0)
    flux[:10] = np.arange(10)
    flux[31:35] = 5.0
    daily(workspace.data, FCH4=flux)
    sites = assemble([source()], workspace, CH4)
    np.testing.assert_allclose(sites["ch4_flux_coverage"][0], [10 / 31])
    np.testing.assert_allclose(sites["ch4_flux"][0], [4.5 * NMOL])
    loose = source(min_coverage=0.1).open(workspace, CH4)
    np.testing.assert_allclose(loose["ch4_flux"][0], [4.5 * NMOL, 5.0 * NMOL])
    np.testing.assert_allclose(loose["ch4_flux_coverage"][0], [10 / 31, 4 / 28])


def test_a_gap_filled_flux_is_never_read(workspace):
    daily(workspace.data, FCH4_F_ANNOPTLM=77.0)
    first = source().open(workspace, CH4)
    daily(workspace.data, FCH4_F=-1.0, FCH4_F_ANNOPTLM=1.0)
    assert source().open(workspace, CH4).identical(first)


def test_tower_meteorology_arrives_in_our_units_measured_before_filled(workspace):
    warm = np.where(np.arange(59) < 31, 10.0, -9999.0)
    daily(
        workspace.data,
        TA=warm,
        TA_F=20.0,
        VPD=5.0,
        PA=100.0,
        P_F=8.64,
        WS=3.0,
        SW_IN=150.0,
        TS_1=4.0,
        SWC_1=50.0,
    )
    sites = source().open(workspace, CH4)
    np.testing.assert_allclose(sites["tas"][0], [283.15, 293.15])
    expected = {
        "vpd": 500.0,
        "ps": 1e5,
        "pr": 1e-4,
        "sfcWind": 3.0,
        "rsds": 150.0,
        "tsl": 277.15,
        "mrsos": 35.0,
    }
    for name, value in expected.items():
        np.testing.assert_allclose(sites[name], value)
        assert sites[name].attrs["units"] == VARIABLES[name].units


def test_weeks_are_seven_days_from_a_monday(workspace):
    flux = np.arange(59.0)
    daily(workspace.data, FCH4=flux)
    sites = source(step="week").open(workspace, CH4)
    time = pd.DatetimeIndex(sites["time"].values)
    assert set(time.day_name()) == {"Monday"}
    assert sites.attrs["step"] == "week"
    # 1 January 2001 was a Monday
    np.testing.assert_allclose(sites["ch4_flux"][0, :2], [3.0 * NMOL, 10.0 * NMOL])
    np.testing.assert_allclose(sites["ch4_flux_coverage"][0, -1], 3 / 7)


def test_half_hours_count_half_hours_and_add_rain_over_them(workspace):
    time = pd.date_range("2001-01-01", periods=48 * 31, freq="30min")
    flux = np.where(np.arange(time.size) % 2 == 0, 6.0, -9999.0)
    frame = pd.DataFrame({"TIMESTAMP_START": time.strftime("%Y%m%d%H%M"), "FCH4": flux, "P": 0.18})
    frame.to_csv(workspace.data / "FLX_FI-Aaa_FLUXNET-CH4_HH_2001-2001_1-1.csv", index=False)
    sites = source(frequency="half-hourly").open(workspace, CH4)
    np.testing.assert_allclose(sites["ch4_flux_coverage"][0], [0.5])
    np.testing.assert_allclose(sites["ch4_flux"][0], [6.0 * NMOL])
    np.testing.assert_allclose(sites["pr"][0], [1e-4])


@pytest.mark.parametrize("path", [".", "*.csv", "FLX_FI-Aaa_*_DD_*.csv"])
def test_a_folder_or_a_glob_names_the_files(workspace, path):
    daily(workspace.data)
    files = FluxnetCH4(path=path, sites="sites.csv").inputs(workspace)
    assert [p.name for p in files] == ["FLX_FI-Aaa_FLUXNET-CH4_DD_2001-2001_1-1.csv", "sites.csv"]


def test_a_tower_of_no_table_a_column_or_a_form_that_is_not_there_is_named(workspace):
    with pytest.raises(InputError, match="no such file"):
        source().inputs(workspace)
    daily(workspace.data)
    with pytest.raises(InputError, match="no half-hourly site files"):
        FluxnetCH4(path="*.csv", sites="sites.csv", frequency="half-hourly").inputs(workspace)
    daily(workspace.data, site="XX-Zzz")
    with pytest.raises(InputError, match="XX-Zzz"):
        source().open(workspace, CH4)
    path = workspace.data / "FLX_XX-Zzz_FLUXNET-CH4_DD_2001-2001_1-1.csv"
    path.write_text("TIMESTAMP,NEE\n20010101,1\n")
    with pytest.raises(InputError, match="column FCH4 is missing"):
        source().open(workspace, CH4)


def test_doubled_or_broken_time_stamps_are_refused(workspace):
    daily(workspace.data, TIMESTAMP="20010101")
    with pytest.raises(InputError, match="stands twice"):
        source().open(workspace, CH4)
    daily(workspace.data, TIMESTAMP="2001-13-01")
    with pytest.raises(InputError, match="time stamp cannot be read"):
        source().open(workspace, CH4)


def real_sites(step="month"):
    real("fluxnet_ch4/daily")
    towers = FluxnetCH4(path="fluxnet_ch4/daily", sites="fluxnet_ch4/sites.csv", step=step)
    return assemble([towers], Workspace(DATA, DATA), CH4)


@pytest.mark.parametrize("step", ["month", "week"])
def test_the_real_site_files_are_read_within_plausible_ranges(step):
    sites = real_sites(step)
    assert sites.sizes["site"] == 14
    for name in (n for n in sites.data_vars if n in VARIABLES):
        check_range(sites[name], "towers")
    assert 250 < float(sites["tas"].mean()) < 300


def test_months_of_the_site_files_agree_with_the_compiled_table():
    # the compiled table was made elsewhere from the half-hours of the same towers
    sites = real_sites()
    other = TowerTable(path="fluxnet_ch4/monthly.csv.gz", sites="fluxnet_ch4/sites.csv")
    table = other.open(Workspace(DATA, DATA), CH4)
    common = sorted(set(sites["site"].values) & set(table["site"].values))
    time = np.intersect1d(sites["time"], table["time"])
    a = sites["ch4_flux"].sel(site=common, time=time).values / NMOL
    b = table["ch4_flux"].sel(site=common, time=time).values / NMOL
    both = np.isfinite(a) & np.isfinite(b)
    assert both.sum() > 300
    assert np.corrcoef(a[both], b[both])[0, 1] > 0.98

"""Every export is what its contract says, read as its consumer reads it, and gives the product back."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import netCDF4
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import ch4grid
from ch4grid import budgets
from ch4grid.exports import EXPORTS, coards
from ch4grid.exports.sectors import SECTORS

# CSV is no NetCDF
NETCDF = tuple(n for n in EXPORTS if n != "csv-inventory")
STEM = "planted_v1_historical"
FIRST = {
    "cf-netcdf": f"{STEM}_2001.nc",
    "geoschem": f"{STEM}_geoschem_2001.nc",
    "imi": f"{STEM}_imi_4x5_2001.nc",
    "icos": "CH4_2001_1000_monthly.nc",
    "openghg": "ch4-planted-v1-historical_GLOBAL_2001.nc",
}
UNCERTAIN = ("ch4_flux_standard_error", "ch4_flux_quantile")


@pytest.fixture(scope="module")
def product(store):
    return ch4grid.open(store).sel(time="2001").load()


def first(exported, name: str) -> Path:
    return exported.folder / name / FIRST[name]


@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_lists_exactly_its_files_and_their_digests(exported, name):
    made, folder = exported.made[name], exported.folder / name
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        [*(f.name for f in made.files), made.manifest]
    )
    manifest = json.loads((folder / made.manifest).read_text())
    from ch4grid.stores import sha256_file

    assert {n: f["sha256"] for n, f in manifest["files"].items()} == {
        p.name: sha256_file(p) for p in folder.iterdir() if p.name != made.manifest
    }
    assert manifest["years"] == [2001, 2002]
    assert made.departure < 1e-7


@pytest.mark.parametrize("name", NETCDF)
def test_a_file_is_netcdf_4_of_the_classic_model_without_endless_dimensions(exported, name):
    with netCDF4.Dataset(first(exported, name)) as file:
        assert file.data_model == "NETCDF4_CLASSIC"
        assert not any(d.isunlimited() for d in file.dimensions.values())
        assert file["time"].units.split(" since ")[0] in ("days", "hours")


@pytest.mark.parametrize("name", NETCDF)
def test_a_file_says_where_it_comes_from_and_not_when_or_where_it_was_made(exported, name, store):
    with netCDF4.Dataset(first(exported, name)) as file:
        told = {k: str(file.getncattr(k)) for k in file.ncattrs()}
    assert told["history"] == (
        f"exported by ch4grid {ch4grid.__version__} for {name} from planted/v1/historical"
    )
    assert told["license"] == "CC-BY-4.0"
    assert told["citation"] == f"ch4grid {ch4grid.__version__}: A made-up product, version 1."
    assert re.fullmatch(r"[0-9a-f]{64}", told["source_store_sha256"])
    assert not any(str(store.parent) in text or "date_created" in text for text in told.values())


def test_the_digest_of_the_source_is_that_of_the_ledger(exported, store):
    import hashlib

    from ch4grid import ledger

    rows = [r for r in ledger.rows_of(store) if r.year in (None, 2001)]
    text = "".join(sorted(f"{r.key} {r.sha256}\n" for r in rows))
    with xr.open_dataset(first(exported, "icos")) as read:
        assert read.attrs["source_store_sha256"] == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("name", NETCDF)
def test_time_is_the_first_day_of_every_month(exported, name):
    with xr.open_dataset(first(exported, name)) as read:
        expected = pd.date_range("2001-01-01", periods=12, freq="MS")
        assert (pd.DatetimeIndex(read["time"].values) == expected).all()
        south_to_north = read["latitude" if name == "cf-netcdf" else "lat"].values
        assert (np.diff(south_to_north) > 0).all()


def test_cf_netcdf_holds_every_variable_bit_for_bit(exported, product):
    with xr.open_dataset(first(exported, "cf-netcdf"), mask_and_scale=False) as read:
        for name in ("ch4_flux", *UNCERTAIN, "ch4_flux_density", "ecosystem_fraction"):
            assert read[name].dims == product[name].dims
            assert read[name].dtype == np.float32
            np.testing.assert_array_equal(read[name].values, product[name].values)
        for name in ("dissimilarity_index", "cell_area", "land_fraction", "ch4_budget"):
            stored = product[name].transpose(*read[name].dims)
            np.testing.assert_array_equal(read[name].values, stored.values)
        flags = read["quality_flag"].values.view(np.uint8)
        np.testing.assert_array_equal(flags, product["quality_flag"].values)
        assert read["quality_flag"].attrs["flag_meanings"].split()[0] == "valid"
        assert list(read["ecosystem_name"].values) == list(product["ecosystem"].values)
        assert list(read["region_name"].values) == list(product["region"].values)


def test_cf_netcdf_decodes_bounds_coordinates_and_missing_values(exported, product):
    with xr.open_dataset(first(exported, "cf-netcdf"), decode_coords="all") as read:
        ends = pd.DatetimeIndex(read["time_bnds"].values[:, 1])
        assert (ends == pd.date_range("2001-02-01", periods=12, freq="MS")).all()
        assert {"crs", "ecosystem_name", "time_bnds"} <= set(read.coords)
        assert read["crs"].attrs["grid_mapping_name"] == "latitude_longitude"
        assert read["ch4_flux"].encoding["grid_mapping"] == "crs"
        assert int(read["ch4_flux"].isnull().sum()) == int(product["ch4_flux"].isnull().sum())
        assert read["quality_flag"].attrs["flag_values"].dtype == np.int8


def test_years_of_cf_netcdf_open_as_one_dataset(exported, store):
    files = sorted((exported.folder / "cf-netcdf").glob("*.nc"))
    with xr.open_mfdataset(files, data_vars="minimal", coords="minimal", compat="override") as read:
        whole = ch4grid.open(store)["ch4_flux"].values
        np.testing.assert_array_equal(read["ch4_flux"].values, whole)


@pytest.mark.parametrize("name", ["cf-netcdf", "icos"])
def test_the_compliance_checker_of_the_field_finds_no_error(exported, name):
    done = subprocess.run(
        [
            Path(sys.executable).parent / "compliance-checker",
            "--test=cf:1.11",
            "--criteria=strict",
            str(first(exported, name)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_icos_holds_the_flux_and_its_error_bit_for_bit(exported, product):
    with xr.open_dataset(first(exported, "icos")) as read:
        assert read["CH4"].dims == ("time", "lat", "lon")
        np.testing.assert_array_equal(read["CH4"].values, product["ch4_flux"].values)
        error = product["ch4_flux_standard_error"].values
        np.testing.assert_array_equal(read["CH4_standard_error"].values, error)
        np.testing.assert_array_equal(read["cell_area"].values, product["cell_area"].values)
        assert read["CH4"].attrs["units"] == "kg m-2 s-1"


def test_geoschem_holds_the_flux_bit_for_bit_and_zero_where_there_is_none(exported, product):
    with netCDF4.Dataset(first(exported, "geoschem")) as file:
        flux = product["ch4_flux"].values
        expected = np.where(np.isfinite(flux), flux, np.float32(0))
        found = file["emi_ch4"][:]
        assert not np.ma.is_masked(found)
        np.testing.assert_array_equal(np.asarray(found), expected)
        assert file["emi_ch4"].dimensions == ("time", "lat", "lon")
        assert file["emi_ch4"].units == "kg/m2/s"
        assert file["time"].units == "hours since 2001-01-01 00:00:00"
        assert list(file["time"][:3]) == [0.0, 31 * 24.0, 59 * 24.0]
        classes = [n for n in file.variables if n.startswith("emi_ch4_")]
        assert len(classes) == product.sizes["ecosystem"]
        total = sum(np.asarray(file[n][:], np.float64) for n in classes)
        np.testing.assert_allclose(total, expected, rtol=1e-5, atol=1e-15)


def test_the_lines_of_hemco_read_the_files_that_are_there(exported):
    folder = exported.folder / "geoschem"
    lines = (folder / f"{STEM}_geoschem_HEMCO_Config.rc").read_text().splitlines()
    active = [line.split() for line in lines if line.startswith("0 ")]
    assert [a[-2:] for a in active] == [["10", "10"]] * 4  # wetlands only, above every other map
    for number, name, source, variable, period, cycle, dims, units, species, _, _, _ in active:
        assert (number, cycle, dims, units, species) == ("0", "C", "xy", "kg/m2/s", "CH4")
        assert name.startswith("CH4GRID_")
        assert period == "2001-2002/1-12/1/0"
        for year in ("2001", "2002"):
            with netCDF4.Dataset(folder / Path(source).name.replace("$YYYY", year)) as file:
                assert variable in file.variables
    commented = [line.split()[1] for line in lines if line.startswith("#0 ")]
    assert commented == ["CH4GRID_RICE_PADDY", "CH4GRID_UPLAND"]


@pytest.mark.parametrize("name", ["geoschem", "imi"])
def test_files_for_hemco_follow_coards(exported, name):
    assert coards.departures(first(exported, name)) == []


def _reversed(file):
    file["lat"][:] = file["lat"][:][::-1]


def _late(file):
    file["time"][:] = file["time"][:] + 1


def _beyond(file):
    file["lon"][:] = file["lon"][:] + 180


def _lost(file):
    file["emi_ch4"][3, 4, 5] = np.nan


def _months(file):
    file["time"].units = "months since 2001-01-01 00:00:00"


def _nameless(file):
    file["emi_ch4"].delncattr("long_name")


def _calendar(file):
    file["time"].calendar = "noleap"


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (_reversed, "lat does not rise"),
        (_late, "time does not begin at 0"),
        (_beyond, "lon leaves -180 to 180"),
        (_lost, "emi_ch4 has missing values"),
        (_months, "time counts 'months since"),
        (_nameless, "emi_ch4 has no long_name"),
        (_calendar, "another calendar"),
    ],
)
def test_a_file_that_geos_chem_would_misread_is_told(exported, tmp_path, harm, words):
    path = shutil.copy(first(exported, "geoschem"), tmp_path / "harmed.nc")
    with netCDF4.Dataset(path, "a") as file:
        file.set_auto_mask(False)
        harm(file)
    assert words in "; ".join(coards.departures(path))


def test_a_file_with_another_model_dimension_or_type_is_told(tmp_path):
    path = tmp_path / "other.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", None)
        for name, values in (("lat", [-1.0, 1.0]), ("lon", [0.0, 2.0])):
            file.createDimension(name, 2)
            file.createVariable(name, "f8", (name,))[:] = values
        file.createVariable("time", "i8", ("time",))[:] = [0, 744]
        file.createVariable("emi", "i4", ("time", "lon", "lat"))[:] = 0
    words = "; ".join(coards.departures(path))
    for told in (
        "time is unlimited",
        "NETCDF4",
        "time is int64",
        "emi has dimensions",
        "lat is not",
    ):
        assert told in words


def test_imi_holds_wetlands_on_its_grid_with_their_deviation(exported, product):
    with netCDF4.Dataset(first(exported, "imi")) as file:
        assert file["emis_ch4"].shape == (12, 46, 72)
        assert file["emis_ch4"].dtype == np.float32
        assert list(file["lon"][:2]) == [-180.0, -175.0]
        assert file.ecosystems.split() == [
            e for e in product["ecosystem"].values if SECTORS[str(e)].hemco == 10
        ]
        deviation = np.asarray(file["emis_ch4_standard_deviation"][:])
        assert (deviation >= 0).all()
        there = np.asarray(file["emis_ch4"][:]) != 0
        assert (deviation[there] > 0).mean() > 0.99


def test_openghg_accepts_the_file_where_it_is_installed(exported):
    flux = pytest.importorskip("openghg.store", reason="openghg is not installed").Flux
    with xr.open_dataset(first(exported, "openghg")) as read:
        flux.validate_data(read)


def test_openghg_has_the_schema_that_its_flux_asks_for(exported):
    """Variables, dimensions and types of openghg 0.19, `Flux.schema`."""
    with xr.open_dataset(first(exported, "openghg")) as read:
        assert list(read.data_vars) == ["flux"]
        assert read["flux"].dims == ("time", "lat", "lon")
        for name in ("flux", "lat", "lon"):
            assert np.issubdtype(read[name].dtype, np.floating)
        assert np.issubdtype(read["time"].dtype, np.datetime64)
        assert not read["flux"].isnull().any()
        assert read.attrs["species"] == "ch4"


def test_the_inventory_is_the_budget_of_the_product(exported, store):
    folder = exported.folder / "csv-inventory"
    monthly = pd.read_csv(folder / f"{STEM}_inventory_2001-2002_monthly.csv")
    ds = ch4grid.open(store)
    table = ds["ch4_budget"].load()
    low, mean, high = budgets.interval(table, 0.9, 1.0)
    keys = ["year", "month", "region", "ecosystem"]
    rows = monthly[monthly["ecosystem"] != "all"].set_index(keys)
    assert len(rows) == mean.size
    for (year, month, region, ecosystem), row in rows.iloc[::17].iterrows():
        at = {"time": f"{year}-{month:02d}", "region": region, "ecosystem": ecosystem}
        for column, values in (("lower_tg", low), ("mean_tg", mean), ("upper_tg", high)):
            assert row[column] == pytest.approx(float(values.sel(at).item()), rel=1e-15)


def test_annual_rows_are_the_interval_of_sums_and_classes_add_up(exported, store):
    folder = exported.folder / "csv-inventory"
    annual = pd.read_csv(folder / f"{STEM}_inventory_2001-2002_annual.csv")
    found = ch4grid.budget(ch4grid.open(store), region="tropics", years=2002)
    row = annual[
        (annual["year"] == 2002) & (annual["region"] == "tropics") & (annual["ecosystem"] == "all")
    ].iloc[0]
    ends = [float(v.item()) for v in found]
    np.testing.assert_allclose(row[["lower_tg", "mean_tg", "upper_tg"]].tolist(), ends, rtol=1e-12)
    by_class = annual[annual["ecosystem"] != "all"].groupby(["year", "region"])["mean_tg"].sum()
    total = annual[annual["ecosystem"] == "all"].set_index(["year", "region"])["mean_tg"]
    np.testing.assert_allclose(by_class.loc[total.index], total, rtol=1e-12)


def test_only_rice_has_a_category_of_the_ipcc_and_every_other_class_says_why(exported):
    folder = exported.folder / "csv-inventory"
    annual = pd.read_csv(
        folder / f"{STEM}_inventory_2001-2002_annual.csv", keep_default_na=False
    ).drop_duplicates("ecosystem")
    categories = dict(zip(annual["ecosystem"], annual["ipcc_category"], strict=True))
    assert {e: c for e, c in categories.items() if c} == {"rice-paddy": "3.C.7"}
    assert all(annual[annual["ipcc_category"] == ""]["note"])


def test_the_metadata_of_a_table_explain_its_columns(exported):
    folder = exported.folder / "csv-inventory"
    for path in folder.glob("*.csv"):
        told = json.loads((folder / f"{path.name}-metadata.json").read_text())
        header = path.read_text().splitlines()[0].split(",")
        assert [c["name"] for c in told["tableSchema"]["columns"]] == header
        assert told["url"] == path.name
        assert told["dc:license"] == "CC-BY-4.0"

"""Series with one column per tower: composites to months by their days, units, names without case, what cannot be."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from real_files import DATA, real

from ch4grid.errors import InputError
from ch4grid.sites import TowerTable, assemble
from ch4grid.sites.wide import WideSeries, _by_month
from ch4grid.stores import Workspace, sha256_file
from ch4grid.vocabulary import GASES

MODIS = "fluxnet_ch4/modis"
CH4 = GASES["ch4"]


def monthly(
    folder: Path, rows: list[str], variable: str = "evi", header: str = "Date,FI-Aaa", **settings
) -> pd.DataFrame:
    (folder / "w.csv").write_text("\n".join([header, *rows]) + "\n")
    return WideSeries(path="w.csv", **settings).monthly(variable, Workspace(folder, folder))


def test_a_composite_counts_in_each_month_with_its_days(tmp_path: Path) -> None:
    # 25 January to 1 February: seven days and one; 2 to 9 February: eight; 10 to 17 February: not seen.
    found = monthly(tmp_path, ["1/17/2001,0.2", "1/25/2001,0.4", "2/2/2001,0.8", "2/10/2001,NA"])
    assert found.index.tolist() == [pd.Timestamp("2001-01-01"), pd.Timestamp("2001-02-01")]
    np.testing.assert_allclose(found["FI-AAA"], [(8 * 0.2 + 7 * 0.4) / 15, (1 * 0.4 + 8 * 0.8) / 9])


def test_a_composite_ends_where_the_next_begins(tmp_path: Path) -> None:
    # The last composite of a year has five days: 27 to 31 December.
    found = monthly(tmp_path, ["12/27/2001,0.1", "1/1/2002,0.7"])
    np.testing.assert_allclose(found["FI-AAA"], [0.1, 0.7])


def test_daily_values_are_a_mean_of_days(tmp_path: Path) -> None:
    rows = [f"{d},0.{d[-1]}" for d in ("2001-01-30", "2001-01-31", "2001-02-01")]
    found = monthly(tmp_path, rows, date_format="%Y-%m-%d", days=1)
    np.testing.assert_allclose(found["FI-AAA"], [(0.0 + 0.1) / 2, 0.1])


def test_a_month_without_any_value_has_none_and_rows_may_stand_in_any_order(tmp_path: Path) -> None:
    found = monthly(
        tmp_path,
        ["3/6/2001,0.5,NA", "1/9/2001,0.3,0.1"],
        header="Date,FI-Aaa,us-bbb",
    )
    assert found.index.month.tolist() == [1, 3]
    assert found["US-BBB"].isna().tolist() == [False, True]
    np.testing.assert_allclose(found["FI-AAA"], [0.3, 0.5])


@given(
    st.integers(1, 12),
    st.lists(st.floats(-1, 1) | st.none(), min_size=3, max_size=30),
    st.integers(1, 16),
)
def test_a_month_is_the_mean_of_its_days(first: int, values: list[float | None], days: int) -> None:
    begins = pd.date_range(f"2001-{first:02d}-05", periods=len(values), freq=f"{days}D")
    frame = pd.DataFrame({"A": np.array(values, dtype=float)}, index=begins)
    by_day = frame.reindex(pd.date_range(begins[0], periods=days * len(values)), method="ffill")
    expected = by_day["A"].groupby(by_day.index.to_period("M")).mean()
    found = _by_month(frame, days)["A"]
    assert found.index.to_period("M").tolist() == expected.index.tolist()
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("units", "variable", "written", "expected"),
    [
        ("degC", "lst_day", "10", 283.15),
        ("K", "lst_day", "283.15", 283.15),
        ("percent", "evi", "50", 0.5),
        ("1", "evi", "0.5", 0.5),
    ],
)
def test_units_are_converted(
    tmp_path: Path, units: str, variable: str, written: str, expected: float
) -> None:
    found = monthly(tmp_path, [f"1/1/2001,{written}"], variable, units=units)
    np.testing.assert_allclose(found["FI-AAA"], [expected])


def test_a_few_impossible_values_are_missing(tmp_path: Path) -> None:
    rows = [f"{d:%m/%d/%Y},0.5" for d in pd.date_range("2001-01-01", periods=30, freq="8D")]
    rows[3] = rows[3].replace("0.5", "9.0")
    found = monthly(tmp_path, rows)
    np.testing.assert_allclose(found["FI-AAA"], 0.5)


def test_many_impossible_values_are_a_wrong_unit(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"lst_day.*180 to 360 K.*2 others, such as 10 at FI-AAA.*units"
    ):
        monthly(tmp_path, ["1/1/2001,10", "1/9/2001,11"], "lst_day")


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        (["2001-01-01,0.5"], "Date,FI-Aaa", r"a date cannot be read\. Expected %m/%d/%Y"),
        (["13/1/2001,0.5"], "Date,FI-Aaa", "a date cannot be read"),
        (["1/1/2001,0.5", ",0.5"], "Date,FI-Aaa", "a date is missing"),
        (["1/1/2001,0.5", "1/1/2001,0.6"], "Date,FI-Aaa", "stands twice"),
        (["1/1/2001,0.5"], "day,FI-Aaa", "column Date is missing"),
        (["1/1/2001,0.5,0.6"], "Date,FI-Aaa,fi-aaa", r"stands twice.*FI-AAA"),
        ([], "Date,FI-Aaa", "no rows"),
    ],
)
def test_a_bad_table_is_refused(tmp_path: Path, rows: list[str], header: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        monthly(tmp_path, rows, header=header)


@pytest.mark.parametrize("wrong", [{"days": 0}, {"days": 32}, {"units": "degF"}, {"colour": "red"}])
def test_settings_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        WideSeries.model_validate({"path": "w.csv"} | wrong)


STATIONS = """site_id,LAT,LON,SITE_CLASSIFICATION,UPLAND_CLASS,IGBP
FI-Aaa,62.0,24.0,Bog,,WET
US-Bbb,38.0,-121.0,Rice,,CRO
SE-Lak,60.0,17.0,Lake,,WAT
BR-Lak,-3.0,-60.0,Lake,,WAT
"""


def towers(folder: Path, **more: object) -> TowerTable:
    (folder / "sites.csv").write_text(STATIONS)
    rows = [
        f"{s},2001-{m:02d}-01,{m}" for s in ("FI-Aaa", "US-Bbb", "SE-Lak", "BR-Lak") for m in (3, 4)
    ]
    (folder / "t.csv").write_text("\n".join(["site_id,time,FCH4_nmol", *rows]) + "\n")
    return TowerTable.model_validate({"path": "t.csv", "sites": "sites.csv"} | more)


def test_what_is_seen_from_space_is_joined_by_tower_and_month(tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_text(
        "Date,fi-AAA,XX-Not\n12/1/2000,0.1,1\n2/2/2001,0.2,1\n3/1/2001,0.6,1\n"
    )
    source = towers(tmp_path, wide={"evi": {"path": "w.csv"}})
    sites = assemble([source], Workspace(tmp_path, tmp_path), CH4)
    months = sites["time"].values.astype("datetime64[M]").astype(str).tolist()
    assert (months[0], months[-1]) == ("2000-12", "2001-04")
    evi = sites["evi"].sel(site="FI-Aaa")
    np.testing.assert_allclose(evi.dropna("time"), [0.1, 0.2, 0.6])
    assert sites["evi"].sel(site="US-Bbb").isnull().all()
    assert sites["evi"].attrs["units"] == "1"
    # months that only the satellite has seen are not measured
    assert sites["ch4_flux"].notnull().sum("time").values.tolist() == [2, 2]
    assert (sites["ch4_flux_coverage"].sel(time="2000-12") == 0).all()
    assert [p.name for p in source.inputs(Workspace(tmp_path, tmp_path))] == [
        "sites.csv",
        "t.csv",
        "w.csv",
    ]


def test_a_tower_without_a_class_may_count_as_a_wetland_of_its_latitude(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, tmp_path)
    left = assemble([towers(tmp_path)], workspace, CH4)
    assert left["site"].values.tolist() == ["FI-Aaa", "US-Bbb"]
    kept = assemble([towers(tmp_path, unclassified="wetland")], workspace, CH4)
    assert dict(zip(kept["site"].values, kept["ecosystem"].values, strict=True)) == {
        "BR-Lak": "tropical-floodplain",
        "FI-Aaa": "boreal-peatland",
        "SE-Lak": "boreal-peatland",
        "US-Bbb": "rice-paddy",
    }
    assert kept.attrs["left_out"] == ""


@pytest.mark.parametrize("key", ["wide", "statics"])
def test_a_variable_that_is_in_no_vocabulary_is_refused(tmp_path: Path, key: str) -> None:
    what = {"path": "w.csv"} if key == "wide" else {"column": "x"}
    with pytest.raises(ValidationError, match="no variable greenness in the vocabulary"):
        towers(tmp_path, **{key: {"greenness": what}})


def test_the_night_file_of_the_archive_is_the_day_file() -> None:
    day, night = (real(f"{MODIS}/MODIS_{name}_LST_8day_QC.csv") for name in ("Day", "Night"))
    first, second = pd.read_csv(day), pd.read_csv(night)
    assert sha256_file(day) == sha256_file(night) or first.equals(second)


def test_the_day_file_of_the_archive_is_colder_than_the_air_as_nights_are() -> None:
    series = WideSeries(path=str(real(f"{MODIS}/MODIS_Day_LST_8day_QC.csv")), units="degC")
    surface = series.monthly("lst_day", Workspace(DATA, DATA)).mean()
    table = pd.read_csv(DATA / "fluxnet_ch4" / "sites.csv")
    air = table.set_index(table["site_id"].str.upper())["WorldClim MAT"] + 273.15
    warmer = (surface - air).dropna()
    assert len(warmer) >= 60
    assert warmer.max() < -2.0


@pytest.mark.parametrize(
    ("variable", "file", "units", "low", "high"),
    [
        ("lst_day", "MODIS_Day_LST_8day_QC.csv", "degC", 255.0, 300.0),
        ("evi", "MODIS_EVI_8day_QC.csv", "1", 0.05, 0.6),
        ("lswi", "MODIS_LSWI_8day_QC.csv", "1", -0.5, 0.8),
    ],
)
def test_real_series_are_read(
    variable: str, file: str, units: str, low: float, high: float
) -> None:
    series = WideSeries(path=str(real(f"{MODIS}/{file}")), units=units).monthly(
        variable, Workspace(DATA, DATA)
    )
    assert series.shape[1] >= 60
    assert (series.index[0].year, series.index.is_monotonic_increasing) == (2000, True)
    assert not series.index.duplicated().any()
    means = series.mean()
    assert means.quantile(0.1) > low
    assert means.quantile(0.9) < high
    assert series.notna().mean().mean() > 0.5

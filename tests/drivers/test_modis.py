import numpy as np
import pandas as pd
import pytest
from hdfeos import write
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ch4grid.drivers.modis import MODIS
from ch4grid.drivers.modis.composites import Cycle
from ch4grid.drivers.modis.layers import CMG, packing
from ch4grid.drivers.modis.quality import accepted
from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.stores import Workspace
from ch4grid.vocabulary import months

EVI, RANK = "CMG 0.05 Deg Monthly EVI", "CMG 0.05 Deg Monthly pixel reliability"
SHAPE = (18, 36)
YEAR = months(2001, 2001)
JANUARY = YEAR[:1]


def evi_granule(path, stored, rank=None, factor=10000.0):
    rank = np.zeros(SHAPE, "int8") if rank is None else rank
    attributes = {
        "scale_factor": factor,
        "add_offset": 0.0,
        "_FillValue": -3000,
        "valid_range": (-2000, 10000),
    }
    fields = {
        name: (stored.astype("int16"), attributes) for name in (EVI, EVI.replace("EVI", "NDVI"))
    }
    return write(path, fields | {RANK: (rank.astype("int8"), {})})


def lst_granule(path, stored, quality):
    attributes = {
        "scale_factor": 0.02,
        "add_offset": 0.0,
        "_FillValue": 0,
        "valid_range": (7500, 65535),
    }
    fields = {f"LST_{n}_CMG": (stored.astype("uint16"), attributes) for n in ("Day", "Night")}
    fields |= {f"QC_{n}": (quality.astype("uint8"), {}) for n in ("Day", "Night")}
    return write(path, fields)


def year_of(folder, year=2001, skip=()):
    for i, t in enumerate(months(year, year)):
        if t.month not in skip:
            name = f"MOD13C2.A{year}{t.day_of_year:03d}.061.hdf"
            evi_granule(folder / name, np.full(SHAPE, 1000 + i))


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path, tmp_path / "out")


def source(*names, **settings):
    return MODIS(path="*.hdf", variables=names or ("evi",), **settings)


@given(
    st.sampled_from([Cycle(1), Cycle(8), Cycle(16), Cycle(16, 9)]),
    st.dates(pd.Timestamp("2000-02-01").date(), pd.Timestamp("2030-12-31").date()),
)
def test_every_day_of_a_month_belongs_to_one_composite(cycle, day):
    month = pd.Timestamp(day).replace(day=1)
    starts = cycle.starts(month)
    assert all(cycle.begins(s) for s in starts)
    assert sum(cycle.weights(s)[month] for s in starts) == month.days_in_month
    assert sum(s <= day < cycle.end(s) for s in starts) == 1


def test_the_last_composite_of_a_year_is_cut():
    date = pd.Timestamp("2019-12-27").date()
    assert Cycle(8).days(date) == 5
    assert Cycle(8).days(pd.Timestamp("2020-12-26").date()) == 6
    # those of Aqua run into January, to the day before its own first
    assert Cycle(16, 9).weights(date) == {
        pd.Timestamp("2019-12-01"): 5,
        pd.Timestamp("2020-01-01"): 8,
    }
    assert Cycle(16).weights(pd.Timestamp("2016-06-25").date()) == {
        pd.Timestamp("2016-06-01"): 6,
        pd.Timestamp("2016-07-01"): 10,
    }


def test_quality_bits_are_those_of_the_user_guides():
    lst, fpar = accepted("lst_bits"), accepted("fpar_bits")
    assert [bool(lst[c]) for c in (0, 1, 2, 3, 0b11000001, 0b10000001)] == [
        *(True, True, False, False),
        *(False, True),
    ]
    good = {"main": 0, "saturated": 0b00100000, "mixed cloud": 0b00010000, "aqua": 0b00000010}
    poor = {
        "cloud": 0b00001000,
        "back-up": 0b01000000,
        "not produced": 0b10000000,
        "detector": 0b00000100,
        "fill": 255,
    }
    assert all(fpar[c] for c in good.values())
    assert not any(fpar[c] for c in poor.values())
    assert np.flatnonzero(accepted("reliability", (0, 1))).tolist() == [0, 1]


def test_a_factor_above_one_divides_and_one_below_multiplies():
    layer = CMG["13C2"].layers["evi"]
    assert packing(layer, {"scale_factor": 10000.0}, integers=True).factor == 1e-4
    assert packing(layer, {"scale_factor": 0.0001}, integers=True).factor == 1e-4
    assert packing(layer, {}, integers=True).factor == 1e-4
    assert packing(layer, {}, integers=False).factor == 1.0
    assert packing(layer, {"valid_range": "0, 10000"}, integers=True).low == 0.0


def test_months_and_rows_are_where_the_names_and_the_layout_say(workspace):
    year_of(workspace.data)
    ds = source("evi", "ndvi").open(workspace, ("evi",), YEAR[[1, 4]])
    assert list(ds.data_vars) == ["evi"]
    np.testing.assert_allclose(ds["evi"][:, 3, 4], (0.1001, 0.1004), rtol=1e-6)
    assert ds["latitude"].values[[0, -1]].tolist() == [85.0, -85.0]
    assert ds["longitude"].values[[0, -1]].tolist() == [-175.0, 175.0]
    assert ds["time"].values[0] == np.datetime64("2001-02-01")
    assert ds["evi"].dtype == np.float32


def test_fills_and_poor_pixels_are_missing_before_any_mean(workspace):
    stored = np.full(SHAPE, 5000)
    rank = np.zeros(SHAPE, "int8")
    stored[0, 0], stored[0, 1], rank[0, 2], rank[0, 3], rank[0, 4] = -3000, 12000, 3, -1, 2
    evi_granule(workspace.data / "MOD13C2.A2001001.061.hdf", stored, rank)
    first = source().open(workspace, ("evi",), JANUARY)["evi"][0].values
    assert np.isnan(first[0, :5]).tolist() == [True, True, True, True, False]
    assert np.nanmax(first) == pytest.approx(0.5)
    strict = source(reliability=(0,)).open(workspace, ("evi",), JANUARY)["evi"]
    assert np.isnan(strict[0].values[0, 4])


def test_temperature_bits_reject_what_was_not_produced_or_errs_by_more_than_3_k(workspace):
    quality = np.zeros(SHAPE)
    quality[0, :5] = [0b01, 0b10, 0b11, 0b11000001, 0b10000001]
    stored = np.full(SHAPE, 15000)
    stored[1, 0], stored[1, 1] = 0, 100
    lst_granule(workspace.data / "MYD11C3.A2001001.061.hdf", stored, quality)
    names = ("lst_day", "lst_night")
    ds = source(*names).open(workspace, names, JANUARY)
    for name in names:
        field = ds[name][0].values
        assert np.isnan(field[0, :5]).tolist() == [False, True, True, True, False]
        assert np.isnan(field[1, :2]).all()
        assert np.nanmax(field) == pytest.approx(300.0)


def test_missing_months_are_named(workspace):
    year_of(workspace.data, skip=(3, 12))
    held = source().survey(workspace, YEAR)
    assert [h.month.month for h in held if h.state == "missing"] == [3, 12]
    assert "no M?D13C2 of the month at" in held[2].reason
    assert held[0].files == (workspace.data / "MOD13C2.A2001001.061.hdf",)
    with pytest.raises(InputError, match=r"no 2001-03, 2001-12"):
        source().open(workspace, ("evi",), YEAR)


def test_nothing_on_hand_is_missing_and_no_error(workspace):
    assert {h.state for h in source("evi", "lst_day").survey(workspace, YEAR)} == {"missing"}


def test_two_platforms_are_refused_or_averaged_where_both_are_good(workspace):
    evi_granule(workspace.data / "MOD13C2.A2001001.061.hdf", np.full(SHAPE, 2000))
    stored = np.full(SHAPE, 4000)
    stored[0, 0] = -3000
    evi_granule(workspace.data / "MYD13C2.A2001001.061.hdf", stored)
    with pytest.raises(InputError, match=r"more than one platform.*MOD \(Terra\), MYD \(Aqua\)"):
        source().survey(workspace, JANUARY)
    both = source(platform="both").open(workspace, ("evi",), JANUARY)["evi"][0].values
    assert both[0, 0] == pytest.approx(0.2)
    assert both[1, 1] == pytest.approx(0.3)
    aqua = source(platform="aqua").open(workspace, ("evi",), JANUARY)["evi"][0].values
    assert aqua[1, 1] == pytest.approx(0.4)


def test_the_newer_collection_is_taken_and_the_choice_stated(workspace):
    evi_granule(workspace.data / "MOD13C2.A2001001.006.2015140081234.hdf", np.full(SHAPE, 1000))
    evi_granule(workspace.data / "MOD13C2.A2001001.061.2020140081234.hdf", np.full(SHAPE, 3000))
    (held,) = source().survey(workspace, JANUARY)
    assert held.state == "final"
    assert "061.2020140081234.hdf is taken" in held.reason
    assert float(source().open(workspace, ("evi",), JANUARY)["evi"].max()) == pytest.approx(0.3)


def test_near_real_time_is_preliminary_until_the_final_granule_comes(workspace):
    evi_granule(workspace.data / "MOD13C2.A2001001.061.2001035081234.NRT.hdf", np.full(SHAPE, 1000))
    (held,) = source().survey(workspace, JANUARY)
    assert held.state == "preliminary"
    assert "near-real-time" in held.reason
    evi_granule(workspace.data / "MOD13C2.A2001001.061.2001055081234.hdf", np.full(SHAPE, 1100))
    (held,) = source().survey(workspace, JANUARY)
    assert held.state == "final"


def test_a_granule_that_is_not_monthly_is_named_as_none(workspace):
    evi_granule(workspace.data / "MOD13C2.A2001009.061.hdf", np.full(SHAPE, 1))
    (held,) = source().survey(workspace, JANUARY)
    assert held.state == "missing"
    assert "not it: MOD13C2.A2001009.061.hdf" in held.reason


@pytest.mark.parametrize("part", [0.0, 0.2, 0.6, 0.9, 0.999])
def test_a_granule_cut_short_is_damaged(workspace, part):
    path = workspace.data / "MOD13C2.A2001001.061.hdf"
    evi_granule(path, np.random.default_rng(1).integers(0, 9000, SHAPE))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    (held,) = source().survey(workspace, JANUARY)
    assert held.state == "damaged"
    assert held.files == (path,)
    assert "MOD13C2.A2001001.061.hdf" in held.reason
    with pytest.raises(InputError, match="A2001001"):
        source().open(workspace, ("evi",), JANUARY)


def test_a_login_page_is_damaged_and_a_whole_older_version_replaces_it(workspace):
    (workspace.data / "MOD13C2.A2001001.061.hdf").write_text("<!DOCTYPE html>Earthdata Login")
    (held,) = source().survey(workspace, JANUARY)
    assert held.state == "damaged"
    assert "which is not HDF4" in held.reason
    evi_granule(workspace.data / "MOD13C2.A2001001.006.hdf", np.full(SHAPE, 1000))
    (held,) = source().survey(workspace, JANUARY)
    assert held.state == "final"
    assert "is not HDF4" in held.reason


def test_a_granule_without_its_quality_is_refused(workspace):
    path = workspace.data / "MOD13C2.A2001001.061.hdf"
    write(path, {EVI: (np.ones(SHAPE, "int16"), {"scale_factor": 10000.0})})
    with pytest.raises(InputError, match="pixel reliability' is missing"):
        source().open(workspace, ("evi",), JANUARY).load()


def test_tiles_and_daily_products_are_named_as_none(workspace):
    (workspace.data / "MOD11A1.A2019305.h14v09.006.2019306084028.hdf").write_bytes(b"")
    (held,) = source("lst_day").survey(workspace, JANUARY)
    assert held.state == "missing"
    assert "not it: MOD11A1.A2019305" in held.reason


def test_a_month_on_the_product_grid_is_the_area_mean_of_its_good_pixels(workspace):
    stored, rank = np.full(SHAPE, 2000), np.zeros(SHAPE, "int8")
    stored[::2], rank[::2] = 8000, 3
    evi_granule(workspace.data / "MOD13C2.A2001001.061.hdf", stored, rank)
    on_grid = source().on_grid(workspace, ("evi",), JANUARY, Grid(20.0))
    np.testing.assert_allclose(on_grid.values["evi"][0], 0.2, rtol=1e-6)
    share = on_grid.valid["evi"][0].mean("longitude").values
    # the northern row of each pair of rows is poor
    row = Grid(10.0).cell_area[:, 0]
    np.testing.assert_allclose(share, row[::2] / (row[::2] + row[1::2]), rtol=1e-5)


def test_an_unknown_variable_is_refused_with_the_choice():
    with pytest.raises(ValidationError, match="modis has no variable tas; it has evi"):
        source("tas")

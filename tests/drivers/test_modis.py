import numpy as np
import pytest
from pydantic import ValidationError
from pyhdf.SD import SD, SDC

from ch4grid.drivers import assemble
from ch4grid.drivers.modis import MODIS, scaled
from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.stores import Workspace
from ch4grid.vocabulary import months

EVI, RANK = "CMG 0.05 Deg Monthly EVI", "CMG 0.05 Deg Monthly pixel reliability"
SHAPE = (18, 36)


def write(path, fields):
    """A granule with fields given as name: (values, HDF4 type, attributes)."""
    granule = SD(str(path), SDC.WRITE | SDC.CREATE | SDC.TRUNC)
    for name, (values, kind, attributes) in fields.items():
        data = granule.create(name, kind, values.shape)
        for key, value in attributes.items():
            if key == "_FillValue":
                data.setfillvalue(value)
            elif key == "valid_range":
                data.setrange(*value)
            else:
                setattr(data, key, value)
        data[:] = values
        data.endaccess()
    granule.end()


def evi_granule(path, stored, rank=None):
    rank = np.zeros(SHAPE, "int8") if rank is None else rank
    attributes = {
        "scale_factor": 10000.0,
        "add_offset": 0.0,
        "_FillValue": -3000,
        "valid_range": (-2000, 10000),
    }
    write(path, {EVI: (stored.astype("int16"), SDC.INT16, attributes), RANK: (rank, SDC.INT8, {})})


def lst_granule(path, stored, quality):
    attributes = {
        "scale_factor": 0.02,
        "add_offset": 0.0,
        "_FillValue": 0,
        "valid_range": (7500, 65535),
    }
    fields = {
        f"LST_{n}_CMG": (stored.astype("uint16"), SDC.UINT16, attributes) for n in ("Day", "Night")
    }
    fields |= {f"QC_{n}": (quality.astype("uint8"), SDC.UINT8, {}) for n in ("Day", "Night")}
    write(path, fields)


def year_of(folder, year=2001, skip=()):
    for i, t in enumerate(months(year, year)):
        if t.month not in skip:
            evi_granule(
                folder / f"MOD13C2.A{year}{t.day_of_year:03d}.061.hdf", np.full(SHAPE, 1000 + i)
            )


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path, tmp_path / "out")


def test_a_factor_above_one_divides_and_one_below_multiplies():
    stored = np.array([5000])
    assert scaled(stored, {"scale_factor": 10000.0}) == pytest.approx(0.5)
    assert scaled(stored, {"scale_factor": 0.02}) == pytest.approx(100.0)


def test_months_and_rows_are_where_the_names_and_the_layout_say(workspace):
    year_of(workspace.data)
    evi = MODIS(path="*.hdf", variables=("evi",)).open(workspace, 2001, 2001)["evi"]
    np.testing.assert_allclose(evi[:, 3, 4], (1000 + np.arange(12)) / 1e4, rtol=1e-6)
    assert evi["latitude"].values[[0, -1]].tolist() == [85.0, -85.0]
    assert evi["longitude"].values[[0, -1]].tolist() == [-175.0, 175.0]
    assert evi["time"].values[1] == np.datetime64("2001-02-01")
    assert evi.dtype == np.float32


def test_fills_and_poor_pixels_are_missing_before_any_mean(workspace):
    year_of(workspace.data)
    stored = np.full(SHAPE, 5000)
    rank = np.zeros(SHAPE, "int8")
    stored[0, 0], stored[0, 1], rank[0, 2], rank[0, 3], rank[0, 4] = -3000, 12000, 3, -1, 2
    evi_granule(workspace.data / "MOD13C2.A2001001.061.hdf", stored, rank)
    source = MODIS(path="*.hdf", variables=("evi",))
    first = source.open(workspace, 2001, 2001)["evi"][0].values
    assert np.isnan(first[0, :5]).tolist() == [True, True, True, True, False]
    assert np.nanmax(first) == pytest.approx(0.5)
    strict = source.model_copy(update={"reliability": (0,)}).open(workspace, 2001, 2001)["evi"]
    assert np.isnan(strict[0].values[0, 4])


def test_temperature_bits_reject_what_was_not_produced_or_errs_by_more_than_3_k(workspace):
    quality = np.zeros(SHAPE)
    quality[0, :5] = [0b01, 0b10, 0b11, 0b11000001, 0b10000001]
    stored = np.full(SHAPE, 15000)
    stored[1, 0], stored[1, 1] = 0, 100
    for t in months(2001, 2001):
        lst_granule(workspace.data / f"MYD11C3.A2001{t.day_of_year:03d}.061.hdf", stored, quality)
    ds = MODIS(path="*.hdf", variables=("lst_day", "lst_night")).open(workspace, 2001, 2001)
    for name in ("lst_day", "lst_night"):
        field = ds[name][0].values
        assert np.isnan(field[0, :5]).tolist() == [False, True, True, True, False]
        assert np.isnan(field[1, :2]).all()
        assert np.nanmax(field) == pytest.approx(300.0)


def test_missing_months_are_named(workspace):
    year_of(workspace.data, skip=(3, 12))
    source = MODIS(path="*.hdf", variables=("evi",))
    with pytest.raises(InputError, match=r"no 2001-03, 2001-12"):
        source.inputs(workspace, 2001, 2001)
    with pytest.raises(InputError, match=r"no 2001-03, 2001-12"):
        source.open(workspace, 2001, 2001)


def test_inputs_are_the_granules_of_the_years(workspace):
    year_of(workspace.data, 2001)
    year_of(workspace.data, 2002)
    paths = MODIS(path="*.hdf", variables=("evi",)).inputs(workspace, 2002, 2002)
    assert len(paths) == 12
    assert all("A2002" in p.name for p in paths)


def test_two_granules_of_a_month_are_refused(workspace):
    year_of(workspace.data)
    evi_granule(workspace.data / "MYD13C2.A2001001.061.hdf", np.full(SHAPE, 1))
    with pytest.raises(InputError, match=r"MOD13C2.A2001001.061.hdf, MYD13C2"):
        MODIS(path="*.hdf", variables=("evi",)).inputs(workspace, 2001, 2001)


def test_a_granule_that_is_not_monthly_is_refused(workspace):
    evi_granule(workspace.data / "MOD13C2.A2001009.061.hdf", np.full(SHAPE, 1))
    with pytest.raises(InputError, match="does not start with a month"):
        MODIS(path="*.hdf", variables=("evi",)).inputs(workspace, 2001, 2001)


@pytest.mark.parametrize("part", [0.0, 0.2, 0.6, 0.9])
def test_a_granule_cut_short_is_refused(workspace, part):
    year_of(workspace.data)
    path = workspace.data / "MOD13C2.A2001001.061.hdf"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.raises(InputError, match="A2001001"):
        MODIS(path="*.hdf", variables=("evi",)).open(workspace, 2001, 2001).load(
            scheduler="synchronous"
        )


def test_a_granule_without_its_quality_is_refused(workspace):
    year_of(workspace.data)
    path = workspace.data / "MOD13C2.A2001001.061.hdf"
    write(path, {EVI: (np.ones(SHAPE, "int16"), SDC.INT16, {"scale_factor": 10000.0})})
    with pytest.raises(InputError, match="pixel reliability' is missing"):
        MODIS(path="*.hdf", variables=("evi",)).open(workspace, 2001, 2001).load()


def test_tiles_and_daily_products_are_refused(workspace):
    (workspace.data / "MOD11A1.A2019305.h14v09.006.2019306084028.hdf").write_bytes(b"")
    with pytest.raises(InputError, match=r"no monthly CMG granule.*Found MOD11A1"):
        MODIS(path="*.hdf", variables=("lst_day",)).inputs(workspace, 2019, 2019)


def test_a_year_on_the_product_grid_is_the_area_mean_of_its_good_pixels(workspace):
    year_of(workspace.data)
    stored, rank = np.full(SHAPE, 2000), np.zeros(SHAPE, "int8")
    stored[::2], rank[::2] = 8000, 3
    evi_granule(workspace.data / "MOD13C2.A2001001.061.hdf", stored, rank)
    source = MODIS(path="*.hdf", variables=("evi",))
    ds = assemble([source], Grid(20.0), 2001, 2001, workspace)
    np.testing.assert_allclose(ds["evi"][0], 0.2, rtol=1e-6)
    share = ds["valid_fraction"][0].mean("longitude").values
    assert share[0] < 0.5 < share[-1]
    assert set(ds["driver_status"][0].values.ravel().tolist()) == {0, 1}


def test_an_unknown_variable_is_refused_with_the_choice():
    with pytest.raises(ValidationError, match="modis has no variable tas; it has evi"):
        MODIS(path="*.hdf", variables=("tas",))

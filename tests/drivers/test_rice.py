import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_maps import area_of, pixel_area, write_tif

from ch4grid.drivers.areas.rice import GAEZ_2015, MIRCA_OS, Rice
from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.stores import Workspace
from ch4grid.vocabulary import months

# five degrees in place of five arc-minutes
STEP = 5.0
SHAPE = (36, 72)
CELL = pixel_area(SHAPE[0], STEP) / 1e4
CROPS = ("1", "2", "3")


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path, tmp_path / "out")


def hectares(seed):
    """Growing area of one crop and system by month, together within the cells."""
    share = np.random.default_rng(seed).random((12, *SHAPE)) / 6
    share[:, :, :5] = 0.0
    return share * CELL[:, None]


def plant(folder, *, year=2015, corner=False, crops=CROPS, order=slice(None)):
    """All files of a year; cells labelled by their centre or their south-east corner."""
    shift = STEP / 2 if corner else 0.0
    total = 0.0
    for number, crop in enumerate(crops):
        for system, code in (("irrigated", "ir"), ("rainfed", "rf")):
            values = hectares(10 * number + len(system)).astype(MIRCA_OS.dtype)
            values[0, 0, 0] = np.nan
            total = total + np.nan_to_num(values.astype(float))
            ds = xr.Dataset(
                {MIRCA_OS.variable: (MIRCA_OS.dims, values)},
                coords={
                    "month": np.arange(1, 13),
                    "latitude": 90 - STEP / 2 - STEP * np.arange(SHAPE[0]) - shift,
                    "longitude": -180 + STEP / 2 + STEP * np.arange(SHAPE[1]) + shift,
                },
                attrs=dict(zip(MIRCA_OS.attrs, (f"Rice{crop}", year, system), strict=True)),
            ).isel(month=order)
            path = folder / MIRCA_OS.files[0].format(year=year, crop=crop, system=code)
            path.parent.mkdir(parents=True, exist_ok=True)
            ds.to_netcdf(path, encoding={MIRCA_OS.variable: {"zlib": True}})
    return total


def of(path=".", **keys):
    return Rice.model_validate({"source": "rice", "path": path, **keys})


@given(resolution=st.sampled_from([30.0, 12.0, 5.0, 4.0, 2.5]), corner=st.booleans())
@settings(max_examples=6)
def test_hectares_on_any_grid_are_those_of_the_maps(tmp_path_factory, resolution, corner):
    folder = tmp_path_factory.mktemp("rice")
    total, grid = plant(folder, corner=corner), Grid(resolution)
    out = of().on_grid(Workspace(folder, folder), ["rice_fraction"], months(2015, 2015), grid)
    np.testing.assert_allclose(
        area_of(out.values["rice_fraction"], grid) / 1e4, total.sum(axis=(1, 2)), rtol=1e-6
    )


@pytest.mark.parametrize("corner", [False, True])
def test_a_cell_is_where_its_hectares_are_whichever_corner_labels_it(workspace, corner):
    total = plant(workspace.data, corner=corner)
    out = of().on_grid(workspace, ["rice_fraction"], months(2015, 2015)[6:7], Grid(STEP))
    expected = total[6] / CELL[:, None]
    np.testing.assert_allclose(out.values["rice_fraction"][0, ::-1], expected, rtol=1e-5)
    native = of().open(workspace, ["rice_fraction"], months(2015, 2015)[6:7])["rice_fraction"]
    np.testing.assert_allclose(native[0], expected, rtol=1e-5)
    assert native["latitude"].values[[0, -1]].tolist() == [87.5, -87.5]
    assert native["longitude"].values[[0, -1]].tolist() == [-177.5, 177.5]


def test_months_are_found_by_their_number_and_stand_for_every_year(workspace):
    total = plant(workspace.data, order=[*range(11, -1, -1)])
    wanted = months(2014, 2015)[11:14]
    held = of().survey(workspace, wanted)
    assert [h.state for h in held] == ["climatology", "final", "final"]
    assert held[0].reason == "the months of 2015 stand for every year"
    assert len(held[1].files) == 6
    out = of().on_grid(workspace, ["rice_fraction"], wanted, Grid(STEP)).values["rice_fraction"]
    for position, month in enumerate((12, 1, 2)):
        expected = total[month - 1] / CELL[:, None]
        np.testing.assert_allclose(out[position, ::-1], expected, rtol=1e-5)
    assert out.attrs["beyond"] == held[0].reason


def test_irrigated_without_rainfed_and_other_years_are_missing(workspace):
    plant(workspace.data)
    [held] = of(year=2010).survey(workspace, months(2010, 2010)[:1])
    assert held.state == "missing"
    assert "none of that year" in held.reason
    (workspace.data / "2015" / "MIRCA-OS_Rice2_2015_rf.nc").unlink()
    [held] = of().survey(workspace, months(2015, 2015)[:1])
    assert held.state == "missing"
    assert "Expected MIRCA-OS_Rice2_2015_rf.nc" in held.reason
    with pytest.raises(InputError, match="rice maps of 2015 are missing"):
        of().on_grid(workspace, ["rice_fraction"], months(2015, 2015), Grid(30.0))


def test_a_truncated_map_is_damaged(workspace):
    plant(workspace.data, crops=("1",))
    path = workspace.data / "2015" / "MIRCA-OS_Rice1_2015_rf.nc"
    path.write_bytes(path.read_bytes()[:3000])
    [held] = of().survey(workspace, months(2015, 2015)[:1])
    assert held.state == "damaged"


def test_more_rice_than_cell_is_refused(workspace):
    plant(workspace.data, crops=("1",))
    path = workspace.data / "2015" / "MIRCA-OS_Rice1_2015_rf.nc"
    ds = xr.load_dataset(path) * 20
    path.unlink()
    ds.to_netcdf(path)
    with pytest.raises(InputError, match="more rice grows in a cell"):
        of().on_grid(workspace, ["rice_fraction"], months(2015, 2015), Grid(30.0))


@pytest.mark.parametrize("split", [False, True])
def test_the_harvested_area_of_gaez_is_in_thousands_of_hectares(workspace, split):
    area = hectares(3)[0] / 1000
    parts = {"Irrigated": area * 0.25, "Rainfed": area * 0.75} if split else {"Total": area}
    for kind, values in parts.items():
        values = values.astype(GAEZ_2015.dtype)
        values[0, 0] = -9.0
        name = GAEZ_2015.files[0].replace("Total", kind)
        write_tif(workspace.data / "gaez" / name, values, step=STEP, nodata=-9.0)
    source, grid = of("gaez", product="gaez-2015"), Grid(10.0)
    [held] = source.survey(workspace, months(2015, 2015))
    assert (held.state, held.month) == ("final", None)
    out = source.statics_on_grid(workspace, grid).values["rice_fraction"]
    assert area_of(out, grid) / 1e7 == pytest.approx(area.sum(), rel=1e-6)
    assert "once per harvest" in out.attrs["comment"]


def test_land_cropped_twice_fills_the_cell_and_no_more(workspace):
    values = (np.full(SHAPE, 1.7) * CELL[:, None] / 1000).astype(GAEZ_2015.dtype)
    write_tif(workspace.data / GAEZ_2015.files[0], values, step=STEP)
    out = of(GAEZ_2015.files[0], product="gaez-2015").statics_on_grid(workspace, Grid(10.0))
    np.testing.assert_array_equal(out.values["rice_fraction"], 1.0)


def test_only_one_half_of_gaez_is_missing(workspace):
    name = GAEZ_2015.files[0].replace("Total", "Rainfed")
    write_tif(workspace.data / name, np.zeros(SHAPE, np.float32), step=STEP)
    [held] = of(name, product="gaez-2015").survey(workspace, months(2015, 2015))
    assert held.state == "missing"
    assert "Irrigated and Rainfed" in held.reason

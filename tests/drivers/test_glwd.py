import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_maps import area_of, pixel_area, write_tif, zipped
from pydantic import ValidationError

from ch4grid.drivers.areas import glwd, rasters
from ch4grid.drivers.areas.glwd import CLASSES, GLWD, LAYERS, MAPS
from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.stores import Workspace
from ch4grid.vocabulary import VARIABLES, months

# a degree of the globe in place of 15 arc-seconds, between the same parallels
STEP = 1.0
WEST, SOUTH, EAST, NORTH = MAPS["pct"].bounds
SHAPE = (NORTH - SOUTH, EAST - WEST)
ALL = tuple(LAYERS)


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path, tmp_path / "out")


def percents(seed=0, classes=CLASSES):
    """Whole percents by class that sum to 100 at most, with ocean."""
    rng = np.random.default_rng(seed)
    cuts = np.sort(rng.integers(0, 101, (len(classes), *SHAPE)), axis=0)
    shares = np.diff(cuts, axis=0, prepend=0)
    sea = rng.random(SHAPE) < 0.4
    return {
        number: np.where(sea, MAPS["pct"].nodata, share).astype(MAPS["pct"].dtype)
        for number, share in zip(classes, shares, strict=True)
    }


def plant(folder, maps, *, kind="pct", archive=True):
    layout = MAPS[kind]
    members = {}
    for number, values in maps.items():
        name = layout.member.format(number)
        members[name] = write_tif(
            folder / "glwd" / name,
            values,
            west=WEST,
            north=NORTH,
            step=STEP,
            nodata=layout.nodata,
            compress=layout.compress,
            tiled=True,
            blockxsize=64,
            blockysize=64,
        )
    if not archive:
        return "glwd"
    zipped(folder / layout.archive, members)
    for path in members.values():
        path.unlink()
    return layout.archive


def of(path, **keys):
    return GLWD.model_validate({"source": "glwd", "path": path, **keys})


def known(values):
    return np.where(values == MAPS["pct"].nodata, 0, values).astype(float) / 100


def test_every_class_has_a_name_and_every_layer_is_one_of_the_vocabulary():
    assert list(CLASSES) == list(range(1, 34))
    assert set(LAYERS) <= set(VARIABLES)
    assert set(LAYERS["peat_fraction"]) < set(LAYERS["wetland_fraction"])
    disjoint = [c for n in LAYERS if n != "peat_fraction" for c in LAYERS[n]]
    assert len(disjoint) == len(set(disjoint))


@given(seed=st.integers(0, 1000), resolution=st.sampled_from([20.0, 10.0, 4.0, 2.5]))
@settings(max_examples=4)
def test_every_layer_keeps_the_area_of_its_classes(tmp_path_factory, seed, resolution):
    folder = tmp_path_factory.mktemp("glwd")
    maps = percents(seed)
    source, grid = of(plant(folder, maps), variables=ALL), Grid(resolution)
    out = source.statics_on_grid(Workspace(folder, folder), grid).values
    area = pixel_area(SHAPE[0], STEP, NORTH)[:, None]
    for name, classes in LAYERS.items():
        before = sum((known(maps[c]) * area).sum() for c in classes)
        assert area_of(out[name], grid) == pytest.approx(before, rel=1e-6)


def test_a_cell_is_the_area_mean_of_its_pixels(workspace):
    maps = percents(1)
    grid = Grid(2.0)
    source = of(plant(workspace.data, maps), variables=["wetland_fraction", "rice_fraction"])
    out = source.statics_on_grid(workspace, grid).values
    area = pixel_area(SHAPE[0], STEP, NORTH)
    # the cell from 10 to 12 degrees north, 20 to 22 east
    rows, columns = slice(NORTH - 12, NORTH - 10), slice(200, 202)
    weight = area[rows, None] / (2 * area[rows].sum())
    wet = sum((known(maps[c])[rows, columns] * weight).sum() for c in range(8, 28))
    cell = out.sel(latitude=11.0, longitude=21.0)
    assert float(cell["wetland_fraction"]) == pytest.approx(wet, abs=1e-6)
    rice = (known(maps[33])[rows, columns] * weight).sum()
    assert float(cell["rice_fraction"]) == pytest.approx(rice, abs=1e-6)
    assert out["wetland_fraction"].attrs["classes"].split() == [str(c) for c in range(8, 28)]
    # the map ends at 56 degrees south
    assert float(out["wetland_fraction"].sel(latitude=-61.0).max()) == 0.0


def test_folder_archive_and_hectares_agree(workspace):
    maps = percents(2)
    grid = Grid(5.0)
    archive = of(plant(workspace.data, maps), variables=ALL)
    expected = archive.statics_on_grid(workspace, grid).values
    folder = of(plant(workspace.data, maps, archive=False), variables=ALL)
    given_as_files = folder.statics_on_grid(workspace, grid).values
    tenths = pixel_area(SHAPE[0], STEP, NORTH)[:, None] / 1e4 * 10
    hectares = {
        c: np.where(v == MAPS["pct"].nodata, -1, np.rint(known(v) * tenths)).astype(np.int32)
        for c, v in maps.items()
    }
    by_area = of(plant(workspace.data, hectares, kind="ha_x10"), variables=ALL)
    in_hectares = by_area.statics_on_grid(workspace, grid).values
    for name in ALL:
        np.testing.assert_array_equal(given_as_files[name], expected[name])
        np.testing.assert_allclose(in_hectares[name], expected[name], atol=1e-6)


def test_the_result_does_not_depend_on_the_strips_it_is_read_in(workspace, monkeypatch):
    source = of(plant(workspace.data, percents(3)))
    whole = source.statics_on_grid(workspace, Grid(2.5)).values
    monkeypatch.setattr(rasters, "STRIP_PIXELS", 64 * SHAPE[1])
    elsewhere = Workspace(workspace.data, workspace.data / "other")
    strips = source.statics_on_grid(elsewhere, Grid(2.5)).values
    for name in whole:
        np.testing.assert_allclose(strips[name], whole[name], atol=1e-7)


def test_the_maps_are_read_again_only_when_they_have_changed(workspace, monkeypatch):
    path = plant(workspace.data, percents(5))
    source = of(path)
    first = source.statics_on_grid(workspace, Grid(10.0))
    with monkeypatch.context() as patched:
        patched.setattr(glwd, "class_fraction", lambda *_: pytest.fail("read again"))
        xr.testing.assert_identical(
            source.statics_on_grid(workspace, Grid(10.0)).values, first.values
        )
    plant(workspace.data, percents(6))
    second = source.statics_on_grid(workspace, Grid(10.0))
    assert not second.values.equals(first.values)
    finer = source.statics_on_grid(workspace, Grid(5.0))
    assert finer.values.sizes["latitude"] == 36


def test_other_classes_for_a_layer_are_taken_from_the_recipe(workspace):
    maps = percents(4)
    path = plant(workspace.data, maps)
    keys = {"classes": {"coastal_fraction": [28, 29]}, "variables": ["coastal_fraction"]}
    out = of(path, **keys).statics_on_grid(workspace, Grid(4.0)).values["coastal_fraction"]
    area = pixel_area(SHAPE[0], STEP, NORTH)[:, None]
    before = sum((known(maps[c]) * area).sum() for c in (28, 29))
    assert area_of(out, Grid(4.0)) == pytest.approx(before, rel=1e-6)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"classes": {"coastal_fraction": [28, 8]}}, r"count twice: 8 \(lacustrine, forested\)"),
        ({"classes": {"coastal_fraction": [34]}}, r"class \[34\]"),
        ({"variables": ["urban_fraction"]}, "not urban_fraction"),
        ({"variables": []}, "not nothing"),
    ],
)
def test_a_wrong_table_is_refused(keys, message):
    with pytest.raises(ValidationError, match=message):
        of("a.zip", **keys)


def test_holdings_tell_final_missing_and_damaged(workspace):
    maps = {1: percents(0)[1]}
    archive = workspace.data / plant(workspace.data, maps)
    lakes = {"variables": ["open_water_fraction"], "classes": {"open_water_fraction": [1]}}
    only = of(archive.name, **lakes)
    [held] = only.survey(workspace, months(2001, 2001))
    assert (held.state, held.month, held.files) == ("final", None, (archive,))
    [held] = of(archive.name, variables=["rice_fraction"]).survey(workspace, months(2001, 2001))
    assert held.state == "missing"
    assert "GLWD_v2_0_class_33_pct.tif" in held.reason
    archive.write_bytes(archive.read_bytes()[:-40])
    [held] = only.survey(workspace, months(2001, 2001))
    assert held.state in ("missing", "damaged")
    assert "cut short" in held.reason
    [held] = of("none.zip", **lakes).survey(workspace, months(2001, 2001))
    assert held.state == "missing"


def test_a_truncated_class_map_is_damaged(workspace):
    plant(workspace.data, {1: percents(0)[1]}, archive=False)
    [path] = workspace.data.rglob("*.tif")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = of("glwd", variables=["open_water_fraction"], classes={"open_water_fraction": [1]})
    [held] = source.survey(workspace, months(2001, 2001))
    assert held.state == "damaged"
    with pytest.raises(InputError, match="fetch it again"):
        source.statics_on_grid(workspace, Grid(10.0))


def test_values_above_a_hundred_percent_are_refused(workspace):
    values = np.full(SHAPE, 101, np.uint8)
    source = of(
        plant(workspace.data, {1: values}),
        variables=["open_water_fraction"],
        classes={"open_water_fraction": [1]},
    )
    with pytest.raises(InputError, match=r"no share.*0 to 100, nodata 255.*101"):
        source.statics_on_grid(workspace, Grid(10.0))


def test_the_map_is_not_opened_as_it_is(workspace):
    with pytest.raises(InputError, match="read onto a grid"):
        of("a.zip").statics(workspace)
    assert not of("a.zip").open(workspace, ["wetland_fraction"], months(2001, 2001))

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_maps import area_of, pixel_area, write_tif, zipped
from pydantic import ValidationError

from ch4grid.drivers.areas.coastal import TILES, Coastal
from ch4grid.drivers.areas.glwd import MAPS
from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.stores import Workspace
from ch4grid.vocabulary import months

# pixels of a fiftieth of a degree in place of 25 m
PIXELS = 50
STEP = 1 / PIXELS


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path, tmp_path / "out")


def tile(folder, north, west, present, kind="mangrove"):
    """A tile by its north-west corner."""
    layout = TILES[kind]
    name = (
        layout.file.format(
            NS="N" if north >= 0 else "S",
            lat=abs(north),
            EW="E" if west >= 0 else "W",
            lon=abs(west),
        )
        if kind == "mangrove"
        else layout.file.format(tile=f"{north}_{west}")
    )
    values = present.astype(layout.dtype)
    return write_tif(
        folder / kind / name, values, west=west, north=north, step=STEP, nodata=layout.nodata
    )


def area(present, north):
    return (present * pixel_area(PIXELS, STEP, north)[:, None]).sum()


def of(**keys):
    return Coastal.model_validate({"source": "coastal", **keys})


def glwd(folder, classes):
    layout = MAPS["pct"]
    members = {}
    for number, value in classes.items():
        name = layout.member.format(number)
        values = np.full((140, 360), value, np.uint8)
        members[name] = write_tif(
            folder / name, values, west=-180, north=84, step=1.0, nodata=layout.nodata
        )
    return zipped(folder / layout.archive, members).name


@given(seed=st.integers(0, 1000), resolution=st.sampled_from([0.5, 0.75, 2.0, 2.5]))
@settings(max_examples=5)
def test_tiles_on_any_grid_keep_their_area(tmp_path_factory, seed, resolution):
    folder = tmp_path_factory.mktemp("gmw")
    rng = np.random.default_rng(seed)
    before = 0.0
    for north, west in ((1, 109), (0, 109), (27, -83), (-17, 179)):
        present = rng.random((PIXELS, PIXELS)) < 0.3
        tile(folder, north, west, present)
        before += area(present, north)
        marsh = ~present & (rng.random((PIXELS, PIXELS)) < 0.2)
        tile(folder, north, west, marsh, "tidal_marsh")
        before += area(marsh, north)
    source, grid = of(mangrove="mangrove", tidal_marsh="tidal_marsh/*.tif"), Grid(resolution)
    out = source.statics_on_grid(Workspace(folder, folder), grid).values["coastal_fraction"]
    assert area_of(out, grid) == pytest.approx(before, rel=1e-6)


def test_a_tile_lies_in_its_own_cell(workspace):
    path = tile(workspace.data, -17, 179, np.ones((PIXELS, PIXELS)))
    assert path.name == "GMW_S17E179_2020_v3.tif"
    out = of(mangrove="mangrove").statics_on_grid(workspace, Grid(0.5)).values["coastal_fraction"]
    box = out.where(out > 0, drop=True)
    assert box["latitude"].values.tolist() == [-17.75, -17.25]
    assert box["longitude"].values.tolist() == [179.25, 179.75]
    np.testing.assert_allclose(box, 1.0, rtol=1e-6)


def test_the_classes_of_glwd_serve_instead(workspace):
    archive = glwd(workspace.data, {28: 30, 29: 20})
    both = of(mangrove=archive, tidal_marsh=archive)
    out = both.statics_on_grid(workspace, Grid(2.0)).values["coastal_fraction"]
    assert float(out.sel(latitude=11.0, longitude=21.0)) == pytest.approx(0.5, rel=1e-6)
    [held] = both.survey(workspace, months(2001, 2001))
    assert (held.state, held.month) == ("final", None)
    one = of(mangrove=archive).statics_on_grid(workspace, Grid(2.0)).values["coastal_fraction"]
    assert float(one.sel(latitude=11.0, longitude=21.0)) == pytest.approx(0.3, rel=1e-6)


def test_mangrove_of_glwd_with_marsh_of_another_map_counts_nothing_twice(workspace):
    archive = glwd(workspace.data, {28: 30})
    tile(workspace.data, 11, 20, np.ones((PIXELS, PIXELS)), "tidal_marsh")
    source = of(mangrove=archive, tidal_marsh="tidal_marsh")
    out = source.statics_on_grid(workspace, Grid(2.0)).values["coastal_fraction"]
    share = pixel_area(1, 1.0, 11)[0] / (2 * pixel_area(2, 1.0, 12).sum())
    assert float(out.sel(latitude=11.0, longitude=21.0)) == pytest.approx(0.3 + share, rel=1e-6)


def test_one_kind_from_two_maps_is_refused_with_the_reason(workspace):
    archive = glwd(workspace.data, {28: 30})
    tile(workspace.data, 1, 109, np.ones((PIXELS, PIXELS)))
    source = of(mangrove=["mangrove", archive])
    with pytest.raises(InputError, match=r"counted twice.*class 28 of GLWD v2, which contains"):
        source.statics_on_grid(workspace, Grid(2.0))
    [held] = source.survey(workspace, months(2001, 2001))
    assert held.state == "missing"
    assert "counted twice" in held.reason


def test_a_tile_given_twice_is_refused(workspace):
    tile(workspace.data, 1, 109, np.ones((PIXELS, PIXELS)))
    tile(workspace.data / "copy", 1, 109, np.ones((PIXELS, PIXELS)))
    with pytest.raises(InputError, match=r"every tile once. Found GMW_N01E109_2020_v3.tif"):
        of(mangrove="**/*.tif").statics_on_grid(workspace, Grid(2.0))


def test_an_archive_without_the_class_is_missing(workspace):
    archive = glwd(workspace.data, {29: 30})
    [held] = of(mangrove=archive).survey(workspace, months(2001, 2001))
    assert held.state == "missing"
    assert "class 28" in held.reason


def test_no_map_at_all_is_refused():
    with pytest.raises(ValidationError, match="needs the maps"):
        of()

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_maps import area_of, pixel_area, write_tif, zipped
from pydantic import ValidationError
from rasterio.warp import transform as project

from ch4grid.drivers.areas import rasters
from ch4grid.drivers.areas.rasters import Raster, latitude_of, layout
from ch4grid.drivers.areas.settlement import MAPS, SMOD_CODES, URBAN, Settlement
from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.stores import Workspace
from ch4grid.vocabulary import months

CODES = np.array([-200, *SMOD_CODES], np.int16)
# Square of the eccentricity of WGS84.
SQUARED = 0.00669437999014


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path, tmp_path / "out")


def of(path, **keys):
    return Settlement.model_validate({"source": "ghsl", "path": path, **keys})


def plant(folder, kind, values, factor):
    """A map in the documented layout with pixels `factor` times as large; its name."""
    known = MAPS[kind]
    west, north = known.origin
    write_tif(
        folder / known.file,
        values.astype(known.dtype),
        west=west,
        north=north,
        step=known.step * factor,
        crs=known.crs,
        nodata=known.nodata,
        tiled=True,
        blockxsize=64,
        blockysize=64,
    )
    return known.file


def shape(kind, factor):
    rows, columns = MAPS[kind].shape
    return -(-rows // factor), -(-columns // factor)


def codes(kind, factor, seed=0):
    return np.random.default_rng(seed).choice(CODES, shape(kind, factor))


def inside(kind, factor):
    """Whether the pixels of a Mollweide map lie on the globe as a whole, by PROJ."""
    known = MAPS[kind]
    rows, columns = shape(kind, factor)
    step = known.step * factor
    x = known.origin[0] + step * np.arange(columns + 1)
    y = known.origin[1] - step * np.arange(rows + 1)
    ellipse = (x[None, :] / 18040095.6) ** 2 + (y[:, None] / 9020047.8) ** 2 < 1
    return ellipse[1:, 1:] & ellipse[:-1, 1:] & ellipse[1:, :-1] & ellipse[:-1, :-1]


def mollweide_pixel_area(kind, factor):
    """Area of the pixels on the ellipsoid (rows,) [m2]: the sphere's times the ratio of the surface elements."""
    known = MAPS[kind]
    step = known.step * factor
    y = known.origin[1] - step * (np.arange(shape(kind, factor)[0]) + 0.5)
    _, latitude = project(known.crs, "EPSG:4326", np.zeros(y.size).tolist(), y.tolist())
    ratio = (1 - SQUARED) / (1 - SQUARED * np.sin(np.deg2rad(latitude)) ** 2) ** 2
    return step**2 * ratio


def test_rows_of_mollweide_lie_where_proj_puts_them(workspace):
    name = plant(workspace.data, "smod-mollweide", codes("smod-mollweide", 200), 200)
    where = layout(Raster(workspace.data / name))
    assert where.mollweide
    edges = MAPS["smod-mollweide"].origin[1] - 200e3 * np.arange(where.shape[0] + 1)
    _, expected = project("ESRI:54009", "EPSG:4326", np.zeros(edges.size).tolist(), edges.tolist())
    np.testing.assert_allclose(latitude_of(where), expected, atol=1e-6)


def test_pixels_of_mollweide_fall_into_the_cells_that_proj_puts_them_in(workspace):
    factor = 50
    values = np.full(shape("smod-mollweide", factor), 10)
    known = MAPS["smod-mollweide"]
    places = {
        "London": (51.5, -0.1),
        "Sydney": (-33.9, 151.2),
        "Lima": (-12.0, -77.0),
        "Fiji": (-17.5, 178.5),
    }
    for latitude, longitude in places.values():
        [x], [y] = project("EPSG:4326", known.crs, [longitude], [latitude])
        row, column = int((known.origin[1] - y) / 50e3), int((x - known.origin[0]) / 50e3)
        values[row, column] = 30
    name = plant(workspace.data, "smod-mollweide", values, factor)
    out = of(name).statics_on_grid(workspace, Grid(1.0)).values["urban_fraction"]
    for latitude, longitude in places.values():
        assert float(out.sel(latitude=latitude, longitude=longitude, method="nearest")) > 0.02
    assert int((out > 1e-6).sum()) <= 9 * len(places)


@given(seed=st.integers(0, 1000), resolution=st.sampled_from([10.0, 4.0, 2.5, 1.0]))
@settings(max_examples=5)
def test_mollweide_maps_keep_their_area_on_the_ellipsoid(tmp_path_factory, seed, resolution):
    folder, factor, kind = tmp_path_factory.mktemp("smod"), 50, "smod-mollweide"
    values = np.where(inside(kind, factor), codes(kind, factor, seed), 10)
    # the poles' rows span many degrees of latitude each, where the middle of a row is no measure of its width
    values[:20], values[-20:] = 10, 10
    name, grid = plant(folder, kind, values, factor), Grid(resolution)
    out = of(name).statics_on_grid(Workspace(folder, folder), grid).values["urban_fraction"]
    urban = np.isin(values, URBAN)
    before = (urban * mollweide_pixel_area(kind, factor)[:, None]).sum()
    # pixels of 50 km stand for 1 km: the error of the row's middle falls with the square of their size
    assert area_of(out, grid) == pytest.approx(before, rel=2e-5)


def test_the_area_of_a_kilometre_of_mollweide_is_exact(workspace):
    known = MAPS["smod-mollweide"]
    rows, columns, north = 100, 400, 5e6
    values = np.full((rows, columns), 30, known.dtype)
    profile = {"step": known.step, "crs": known.crs, "nodata": known.nodata}
    write_tif(workspace.data / known.file, values, west=1e6, north=north, **profile)
    out = of(known.file).statics_on_grid(workspace, Grid(0.5)).values["urban_fraction"]
    y = north - known.step * (np.arange(rows) + 0.5)
    _, latitude = project(known.crs, "EPSG:4326", np.full(rows, 1e6).tolist(), y.tolist())
    ratio = (1 - SQUARED) / (1 - SQUARED * np.sin(np.deg2rad(latitude)) ** 2) ** 2
    expected = (ratio * known.step**2).sum() * columns
    assert area_of(out, Grid(0.5)) == pytest.approx(expected, rel=1e-6)


def test_maps_on_degrees_count_the_pixels_that_reach_around_the_globe_once(workspace):
    factor, kind = 120, "smod-degrees"
    values = np.full(shape(kind, factor), 23)
    name, grid = plant(workspace.data, kind, values, factor), Grid(2.0)
    assert shape(kind, factor)[1] * factor / 120 > 360
    out = of(name).statics_on_grid(workspace, grid).values["urban_fraction"]
    np.testing.assert_allclose(out.sel(latitude=slice(-88, 88)), 1.0, rtol=1e-6)
    # the map begins at 89.0996 degrees north
    cap = 1 - ((90 - MAPS[kind].origin[1]) / 2) ** 2
    np.testing.assert_allclose(out[-1], cap, rtol=1e-3)


@given(seed=st.integers(0, 1000), resolution=st.sampled_from([10.0, 4.0, 2.5]))
@settings(max_examples=5)
def test_maps_on_degrees_keep_their_area(tmp_path_factory, seed, resolution):
    folder, factor, kind = tmp_path_factory.mktemp("smod"), 120, "smod-degrees"
    values = codes(kind, factor, seed)
    values[:, [0, -2, -1]] = 10
    name, grid = plant(folder, kind, values, factor), Grid(resolution)
    out = of(name).statics_on_grid(Workspace(folder, folder), grid).values["urban_fraction"]
    area = pixel_area(len(values), MAPS[kind].step * factor, MAPS[kind].origin[1])
    before = (np.isin(values, URBAN) * area[:, None]).sum()
    assert area_of(out, grid) == pytest.approx(before, rel=1e-6)


def test_built_up_square_metres_are_counted_on_degrees(workspace):
    factor, kind = 120, "built-degrees"
    step, north = MAPS[kind].step * factor, MAPS[kind].origin[1]
    area = pixel_area(shape(kind, factor)[0], step, north)
    values = np.floor(np.random.default_rng(1).random(shape(kind, factor)) * area[:, None] * 0.3)
    values[:, [0, -2, -1]] = 0
    values[100:110, 100:110] = 0
    before = values.sum()
    values[100:110, 100:110] = MAPS[kind].nodata
    name, grid = plant(workspace.data, kind, values, factor), Grid(4.0)
    out = of(name).statics_on_grid(workspace, grid).values["urban_fraction"]
    assert area_of(out, grid) == pytest.approx(before, rel=1e-6)
    assert out.attrs["comment"] == "BUILT_S"


def test_built_up_square_metres_of_mollweide_are_parts_of_the_pixel(workspace):
    kind, factor = "built-mollweide", 50
    nominal = (MAPS[kind].step * factor) ** 2
    values = np.where(inside(kind, factor), nominal * 0.25, 0)
    name, grid = plant(workspace.data, kind, values, factor), Grid(2.0)
    out = of(name).statics_on_grid(workspace, grid).values["urban_fraction"]
    middle = out.sel(latitude=slice(-60, 60), longitude=slice(-120, 120))
    np.testing.assert_allclose(middle, 0.25, rtol=1e-3)


def test_a_pixel_fuller_than_full_is_refused(workspace):
    kind, factor = "built-mollweide", 200
    values = np.full(shape(kind, factor), 2 * (MAPS[kind].step * factor) ** 2)
    values = np.minimum(values, 4e9)
    name = plant(workspace.data, kind, values, 20)
    with pytest.raises(InputError, match="more built-up surface than it has area"):
        of(name).statics_on_grid(workspace, Grid(10.0))


def test_the_codes_of_the_recipe_count(workspace):
    values = codes("smod-degrees", 120)
    name = plant(workspace.data, "smod-degrees", values, 120)
    every = of(name, codes=[c for c in SMOD_CODES if c > 10])
    out = every.statics_on_grid(workspace, Grid(10.0)).values["urban_fraction"]
    centres = of(name, codes=[30]).statics_on_grid(workspace, Grid(10.0)).values["urban_fraction"]
    assert float(out.mean()) > 5 * float(centres.mean()) > 0
    assert centres.attrs["comment"] == "SMOD codes 30"
    with pytest.raises(ValidationError, match=r"no code \[31\]"):
        of(name, codes=[31])


def test_codes_that_smod_does_not_have_are_refused(workspace):
    name = plant(workspace.data, "smod-degrees", np.full(shape("smod-degrees", 120), 99), 120)
    with pytest.raises(InputError, match=r"codes that SMOD does not have.*Found 99"):
        of(name).statics_on_grid(workspace, Grid(10.0))


def test_strips_and_archives_change_nothing(workspace, monkeypatch):
    name = plant(workspace.data, "smod-mollweide", codes("smod-mollweide", 100), 100)
    whole = of(name).statics_on_grid(workspace, Grid(5.0)).values["urban_fraction"]
    archive = zipped(workspace.data / "smod.zip", {f"GHS/{name}": workspace.data / name})
    monkeypatch.setattr(rasters, "STRIP_PIXELS", 1)
    strips = of(archive.name).statics_on_grid(workspace, Grid(5.0)).values["urban_fraction"]
    np.testing.assert_allclose(strips, whole, atol=1e-7)


def test_smod_and_built_surface_together_are_refused(workspace):
    plant(workspace.data, "smod-degrees", codes("smod-degrees", 120), 120)
    plant(workspace.data, "built-degrees", np.zeros(shape("built-degrees", 120)), 120)
    [held] = of("*.tif").survey(workspace, months(2001, 2001))
    assert held.state == "missing"
    assert "one product" in held.reason


def test_a_projection_that_is_neither_is_damaged(workspace):
    path = workspace.data / MAPS["smod-degrees"].file
    write_tif(path, np.full((10, 10), 30, np.int16), west=0, north=5e6, step=1e5, crs="EPSG:3857")
    [held] = of(path.name).survey(workspace, months(2001, 2001))
    assert held.state == "damaged"
    assert "neither on latitude and longitude nor in the Mollweide" in held.reason

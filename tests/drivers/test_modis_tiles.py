from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import rasterio
from hdfeos import TILE, window, write_tile
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pyhdf.SD import SD

from ch4grid.drivers.modis import ModisTiles, geotiff, hdf4
from ch4grid.drivers.modis.sinusoidal import (
    RADIUS,
    Cells,
    Days,
    Window,
    add_cells,
    class_fractions,
    means,
)
from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.stores import Workspace
from ch4grid.vocabulary import months

SIZE = 240
VEGETATION = {
    "scale_factor": 10000.0,
    "add_offset": 0.0,
    "_FillValue": -3000,
    "valid_range": (-2000, 10000),
}
CORNER = ("h18v04", "h19v04", "h18v03")
JULY = months(2016, 2016)[6:7]
SNOW = {
    "missing": (0, 1, 11, 50, 254, 255),
    "no snow": (25,),
    "water": (37, 39),
    "ice": (100,),
    "snow": (200,),
}


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path, tmp_path / "out")


@pytest.fixture
def real(real_data, tmp_path):
    return Workspace(real_data / "modis_tiles", tmp_path / "out")


def tiles(*names, path="*.hdf", **settings):
    return ModisTiles(path=path, variables=names, **settings)


def name(product, start, tile, rest="061.2020001000000.hdf"):
    day = pd.Timestamp(start)
    return f"{product}.A{day.year}{day.day_of_year:03d}.{tile}.{rest}"


def evi_tile(folder, start, tile, evi, rank=0, product="MOD13A1", rest="061.2020001000000.hdf"):
    stored = np.broadcast_to(evi, (SIZE, SIZE)).astype("int16")
    fields = {
        "500m 16 days EVI": (stored, VEGETATION),
        "500m 16 days NDVI": (stored, VEGETATION),
        "500m 16 days pixel reliability": (np.full((SIZE, SIZE), rank, "int8"), {}),
    }
    return write_tile(folder / name(product, start, tile, rest), fields, tile)


def july(folder, tile, evi, rank=0, product="MOD13A1"):
    for start in ("2016-06-25", "2016-07-11", "2016-07-27"):
        evi_tile(folder, start, tile, evi, rank, product)


def lai_tile(folder, start, tile, stored, quality=0, product="MOD15A2H"):
    attributes = {
        "scale_factor": 0.1,
        "add_offset": 0.0,
        "_FillValue": 255,
        "valid_range": (0, 100),
    }
    judged = np.broadcast_to(quality, stored.shape).astype("uint8")
    fields = {"Lai_500m": (stored.astype("uint8"), attributes), "FparLai_QC": (judged, {})}
    return write_tile(folder / name(product, start, tile), fields, tile)


def gpp_tile(folder, start, tile, stored, quality=0, product="MOD17A2H"):
    attributes = {"scale_factor": 0.0001, "_FillValue": 32767, "valid_range": (0, 30000)}
    judged = np.broadcast_to(quality, stored.shape).astype("uint8")
    fields = {"Gpp_500m": (stored.astype("int16"), attributes), "Psn_QC_500m": (judged, {})}
    return write_tile(folder / name(product, start, tile), fields, tile)


def lst_tile(folder, start, tile, stored, quality, product="MOD11A2"):
    attributes = {"scale_factor": 0.02, "_FillValue": 0, "valid_range": (7500, 65535)}
    fields = {}
    for part in ("Day", "Night"):
        fields[f"LST_{part}_1km"] = stored.astype("uint16"), attributes
        fields[f"QC_{part}"] = quality.astype("uint8"), {}
    return write_tile(folder / name(product, start, tile), fields, tile)


def on_grid(source, workspace, wanted, resolution=0.25):
    grid = Grid(resolution)
    (variable,) = source.variables
    out = source.on_grid(workspace, (variable,), wanted, grid)
    return out.values[variable], out.valid[variable]


def exact(field, place, grid, parts=16):
    """Sums of area times value, and of area, per cell: running sums along thin strips of each row, interpolated."""
    total, area = np.zeros(grid.shape), np.zeros(grid.shape)
    edges = np.append(grid.longitude_bounds[:, 0], 180.0)
    x = place.left + place.width * np.arange(place.shape[1] + 1)
    valid = np.isfinite(field)
    for r in range(place.shape[0]):
        sums = np.concatenate([[0.0], np.cumsum(np.where(valid[r], field[r], 0.0))])
        counts = np.concatenate([[0.0], np.cumsum(valid[r])])
        for p in range(parts):
            latitude = (place.top - place.height * (r + (p + 0.5) / parts)) / RADIUS
            row = int(np.floor((np.rad2deg(latitude) + 90.0) / grid.resolution))
            at = np.deg2rad(edges) * RADIUS * np.cos(latitude)
            strip = place.width * place.height / parts
            total[row] += strip * np.diff(np.interp(at, x, sums))
            area[row] += strip * np.diff(np.interp(at, x, counts))
    return total, area


@pytest.mark.parametrize("resolution", [0.25, 0.5])
def test_a_constant_field_has_no_seam_between_tiles(workspace, resolution):
    for tile in CORNER:
        july(workspace.data, tile, 4321)
    evi, valid = on_grid(tiles("evi"), workspace, JULY, resolution)
    held = evi.values[np.isfinite(evi.values)]
    np.testing.assert_allclose(held, 0.4321, rtol=1e-6)
    # cells that the edge of a tile cuts (0 to 10 degrees of longitude at 50 N, the meridian at 10) are whole
    for latitude, longitude in ((50.1, 5.1), (49.9, 5.1), (45.1, 14.0), (45.1, 14.4)):
        share = float(valid[0].sel(latitude=latitude, longitude=longitude, method="nearest"))
        assert share == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("tile", ["h18v04", "h11v02", "h21v08", "h00v09", "h18v00"])
@pytest.mark.parametrize(("resolution", "tolerance"), [(0.25, 3e-4), (1.0, 3e-5), (0.05, 5e-3)])
def test_means_and_areas_are_those_of_exact_overlaps(tile, resolution, tolerance):
    whole, grid = window(tile, 1200), Grid(resolution)
    place = replace(whole, top=whole.top - 600 * whole.height, shape=(120, 1200))
    rng = np.random.default_rng(3)
    field = 0.5 + 0.2 * rng.normal(size=place.shape)
    _, longitude = place.centres()
    field[(np.abs(longitude) > 180.0) | (rng.random(place.shape) < 0.15)] = np.nan
    cells = Cells.empty(grid)
    span = np.isfinite(field).astype("float32")
    add_cells(cells, Days(np.nan_to_num(field).astype("float32"), span), place, grid)
    total, area = exact(field, place, grid)
    pixel = place.width * place.height
    np.testing.assert_allclose(cells.area, area, atol=0.1 * pixel)
    assert cells.area.sum() == pytest.approx(pixel * span.sum(), rel=2e-4)
    held = (
        area
        > 0.5 * np.deg2rad(resolution) ** 2 * RADIUS**2 * np.cos(np.deg2rad(grid.latitude))[:, None]
    )
    assert held.any()
    ours = cells.total[held] / cells.area[held]
    np.testing.assert_allclose(ours, total[held] / area[held], atol=tolerance)


@settings(max_examples=10)
@given(st.sampled_from(["h18v04", "h11v02", "h25v14"]), st.sampled_from([0.25, 0.5, 2.5, 4.0]))
def test_area_and_value_are_conserved_over_a_tile(tile, resolution):
    place, grid = window(tile, 60), Grid(resolution)
    field = np.random.default_rng(7).random(place.shape).astype("float32")
    cells = Cells.empty(grid)
    add_cells(cells, Days(field, np.ones_like(field)), place, grid)
    pixel = place.width * place.height
    on_globe = np.abs(place.centres()[1]) < 179.0
    if on_globe.all():
        assert cells.area.sum() == pytest.approx(field.size * pixel, rel=1e-9)
        assert cells.total.sum() == pytest.approx(field.sum(dtype=float) * pixel, rel=1e-6)


def test_a_whole_cell_is_valid_to_a_millionth():
    place, grid = window("h18v04", 2400), Grid(0.25)
    cells = Cells.empty(grid)
    one = np.ones(place.shape, "float32")
    add_cells(cells, Days(one, one), place, grid)
    mean, fraction = means(cells, grid, 0.05)
    rows = slice(*np.searchsorted(grid.latitude, (40.0, 50.0)))
    columns = slice(*np.searchsorted(grid.longitude, (0.0, 12.5)))
    np.testing.assert_allclose(fraction[rows, columns], 1.0, atol=1e-6)
    np.testing.assert_allclose(mean[np.isfinite(mean)], 1.0, rtol=1e-6)


def test_codes_are_masked_before_anything_is_averaged(workspace):
    """The wrong order, an average over stored numbers, is wrong by a factor of three."""
    rng = np.random.default_rng(12)
    lai = rng.gamma(4.0, 7.4, (SIZE, SIZE)).clip(0, 100)
    lost = rng.random(lai.shape)
    stored = np.rint(lai)
    stored[lost < 0.28] = rng.integers(249, 256, (lost < 0.28).sum())
    for start in ("2016-07-03", "2016-07-11", "2016-07-19", "2016-07-27", "2016-06-25"):
        lai_tile(workspace.data, start, "h12v09", stored)
    mean, valid = on_grid(tiles("lai"), workspace, JULY, 0.5)
    truth = 0.1 * stored[lost >= 0.28].mean()
    assert 2.9 < truth < 3.0
    area = np.cos(np.deg2rad(mean["latitude"])) * valid
    assert float((mean * area).sum() / area.sum()) == pytest.approx(truth, rel=1e-3)
    assert 0.1 * stored.mean() > 2.9 * truth
    assert 0.1 * stored[stored != 255].mean() > 2 * truth
    assert float(mean.max()) < 5.0


def test_wetlands_without_leaf_area_lower_the_valid_fraction_and_nothing_else(workspace):
    stored = np.full((SIZE, SIZE), 30)
    stored[:, ::2] = 251
    production = np.full((SIZE, SIZE), 500)
    production[:, ::2] = 32763
    production[: SIZE // 2] = 32763
    for start in ("2016-06-25", "2016-07-03", "2016-07-11", "2016-07-19", "2016-07-27"):
        lai_tile(workspace.data, start, "h20v08", stored)
        gpp_tile(workspace.data, start, "h20v08", production)
    lai, valid = on_grid(tiles("lai"), workspace, JULY, 1.0)
    gpp, _ = on_grid(tiles("gpp"), workspace, JULY, 1.0)
    inside = {"latitude": slice(1.0, 9.0), "longitude": slice(22.0, 29.0)}
    np.testing.assert_allclose(lai.sel(inside), 3.0, rtol=1e-6)
    np.testing.assert_allclose(valid.sel(inside), 0.5, atol=1e-2)
    assert "permanent wetlands" in lai.attrs["comment"]
    assert "evi" in gpp.attrs["comment"]
    # a cell of wetland alone has no production
    assert np.isnan(gpp.sel(latitude=slice(6.0, 9.0), longitude=slice(22.0, 29.0))).all()
    evi = tiles("evi")
    july(workspace.data, "h20v08", 5000)
    assert "comment" not in on_grid(evi, workspace, JULY, 1.0)[0].attrs


def test_barren_ground_is_missing_or_zero_as_asked_and_wetland_is_never_zero(workspace):
    stored, quality = np.full((SIZE, SIZE), 30), np.zeros((SIZE, SIZE))
    stored[:, ::4], stored[:, 1::4], quality[:, ::2] = 253, 251, 255
    for start in ("2016-06-25", "2016-07-03", "2016-07-11", "2016-07-19", "2016-07-27"):
        lai_tile(workspace.data, start, "h20v08", stored, quality)
    at = {"latitude": slice(1.0, 9.0), "longitude": slice(22.0, 29.0)}
    # a quarter of the pixels is good, a quarter bare, a quarter wetland, a quarter of poor quality
    lai, valid = (field.sel(at) for field in on_grid(tiles("lai"), workspace, JULY, 1.0))
    np.testing.assert_allclose(lai, 3.0, rtol=1e-6)
    np.testing.assert_allclose(valid, 0.25, atol=0.03)
    zero = tiles("lai", barren="zero")
    lai, valid = (field.sel(at) for field in on_grid(zero, workspace, JULY, 1.0))
    np.testing.assert_allclose(lai, 1.5, atol=0.15)
    np.testing.assert_allclose(valid, 0.5, atol=0.03)


def test_production_is_per_second_of_the_days_of_its_composite(workspace):
    december = months(2019, 2019)[11:]
    for start in pd.date_range("2019-11-25", "2019-12-19", freq="8D"):
        gpp_tile(workspace.data, start, "h18v08", np.full((SIZE, SIZE), 800))
    gpp_tile(workspace.data, "2019-12-27", "h18v08", np.full((SIZE, SIZE), 500))
    gpp, _ = on_grid(tiles("gpp"), workspace, december, 1.0)
    # 0.08 kg in 8 days and 0.05 kg in the 5 days to the end of the year are one rate
    np.testing.assert_allclose(gpp.values[np.isfinite(gpp.values)], 0.01 / 86400, rtol=1e-6)
    assert gpp.attrs["units"] == "kg m-2 s-1"


def test_gap_filled_production_is_not_judged_by_the_inputs_it_replaced(workspace):
    for product, quality in (("MOD17A2H", 0b01000000), ("MOD17A2HGF", 0b01000000)):
        folder = workspace.data / product
        folder.mkdir()
        for start in ("2016-06-25", "2016-07-03", "2016-07-11", "2016-07-19", "2016-07-27"):
            stored = np.full((SIZE, SIZE), 800)
            gpp_tile(folder, start, "h18v08", stored, quality, product)
    judged, _ = on_grid(tiles("gpp", path="MOD17A2H/*"), workspace, JULY, 1.0)
    filled, _ = on_grid(tiles("gpp", path="MOD17A2HGF/*"), workspace, JULY, 1.0)
    assert np.isnan(judged).all()
    assert float(filled.max()) == pytest.approx(0.01 / 86400)
    with pytest.raises(InputError, match="more than one product holds 'gpp'"):
        tiles("gpp", path="*/*").survey(workspace, JULY)


def test_a_composite_gives_each_month_its_days(workspace):
    evi_tile(workspace.data, "2016-06-25", "h18v04", 2000)
    evi_tile(workspace.data, "2016-07-11", "h18v04", 5000)
    evi_tile(workspace.data, "2016-07-27", "h18v04", 8000)
    evi, _ = on_grid(tiles("evi"), workspace, JULY)
    expected = (10 * 0.2 + 16 * 0.5 + 5 * 0.8) / 31
    np.testing.assert_allclose(evi.values[np.isfinite(evi.values)], expected, rtol=1e-6)


def test_a_pixel_good_at_any_time_counts_once_in_its_month(workspace):
    evi_tile(workspace.data, "2016-06-25", "h18v04", 2000, rank=3)
    evi_tile(workspace.data, "2016-07-11", "h18v04", 5000, rank=0)
    evi_tile(workspace.data, "2016-07-27", "h18v04", 8000, rank=-1)
    evi, valid = on_grid(tiles("evi"), workspace, JULY)
    np.testing.assert_allclose(evi.values[np.isfinite(evi.values)], 0.5, rtol=1e-6)
    assert float(valid[0].sel(latitude=45.1, longitude=5.1, method="nearest")) == pytest.approx(1.0)


def test_two_variables_of_a_granule_are_read_together_and_every_granule_once(
    workspace, monkeypatch
):
    starts = pd.date_range("2016-01-01", periods=7, freq="16D")
    for start in starts:
        evi_tile(workspace.data, start, "h18v04", 3000)
    reads = []
    read = hdf4.read
    monkeypatch.setattr(hdf4, "read", lambda *a: reads.append(a) or read(*a))
    wanted = months(2016, 2016)[:3]
    out = tiles("evi", "ndvi").on_grid(workspace, ("evi", "ndvi"), wanted, Grid(1.0))
    assert len(reads) == 6
    assert len({a[0] for a in reads}) == 6
    assert all(len(a[1]) == 3 for a in reads)
    assert out.values["ndvi"].shape == (3, 180, 360)


def test_months_asked_for_together_and_one_by_one_are_the_same(workspace):
    rng = np.random.default_rng(4)
    for start in pd.date_range("2016-01-01", periods=6, freq="16D"):
        for tile in ("h18v04", "h19v04"):
            evi_tile(workspace.data, start, tile, rng.integers(0, 9000, (SIZE, SIZE)))
    wanted = months(2016, 2016)[:3]
    together, valid = on_grid(tiles("evi"), workspace, wanted, 1.0)
    for i, month in enumerate(wanted):
        alone, share = on_grid(tiles("evi"), workspace, pd.DatetimeIndex([month]), 1.0)
        np.testing.assert_array_equal(together[i], alone[0])
        np.testing.assert_array_equal(valid[i], share[0])


def test_terra_and_aqua_are_averaged_when_asked(workspace):
    july(workspace.data, "h18v04", 2000)
    for start in ("2016-07-03", "2016-07-19"):
        evi_tile(workspace.data, start, "h18v04", 6000, product="MYD13A1")
    with pytest.raises(InputError, match="more than one platform"):
        tiles("evi").survey(workspace, JULY)
    (held,) = tiles("evi", platform="both").survey(workspace, JULY)
    assert held.state == "missing"
    assert "no MYD13A1 of 2016-06-17 h18v04" in held.reason
    evi_tile(workspace.data, "2016-06-17", "h18v04", 6000, product="MYD13A1")
    evi, _ = on_grid(tiles("evi", platform="both"), workspace, JULY)
    np.testing.assert_allclose(evi.values[np.isfinite(evi.values)], 0.4, rtol=1e-6)
    evi, _ = on_grid(tiles("evi", platform="terra"), workspace, JULY)
    np.testing.assert_allclose(evi.values[np.isfinite(evi.values)], 0.2, rtol=1e-6)


def test_missing_tiles_and_composites_are_named(workspace):
    july(workspace.data, "h18v04", 2000)
    july(workspace.data, "h19v04", 2000)
    (workspace.data / name("MOD13A1", "2016-07-11", "h19v04")).unlink()
    source = tiles("evi")
    held = source.survey(workspace, months(2016, 2016)[5:8])
    assert [h.state for h in held] == ["missing"] * 3
    assert held[1].reason == "no MOD13A1 of 2016-07-11 h19v04"
    with pytest.raises(InputError, match=r"2016-07 of 'evi' is missing.*2016-07-11 h19v04"):
        source.on_grid(workspace, ("evi",), JULY, Grid(1.0))
    (held,) = tiles("evi", least_coverage=0.7).survey(workspace, JULY)
    assert (held.state, held.reason) == ("final", "no MOD13A1 of 2016-07-11 h19v04")


@pytest.mark.parametrize("part", [0.0, 0.3, 0.97])
def test_a_tile_cut_short_is_damaged(workspace, part):
    july(workspace.data, "h18v04", np.random.default_rng(2).integers(0, 9000, (SIZE, SIZE)))
    path = workspace.data / name("MOD13A1", "2016-07-11", "h18v04")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    (held,) = tiles("evi").survey(workspace, JULY)
    assert (held.state, held.files) == ("damaged", (path,))
    assert path.name in held.reason


def test_near_real_time_tiles_are_preliminary_until_replaced(workspace):
    july(workspace.data, "h18v04", 2000)
    final = workspace.data / name("MOD13A1", "2016-07-11", "h18v04")
    early = final.rename(final.with_name(final.name.replace(".hdf", ".NRT.hdf")))
    (held,) = tiles("evi").survey(workspace, JULY)
    assert held.state == "preliminary"
    assert f"near-real-time: {early.name}" in held.reason
    evi_tile(workspace.data, "2016-07-11", "h18v04", 2000)
    (held,) = tiles("evi").survey(workspace, JULY)
    assert held.state == "final"
    assert early not in held.files


def test_the_georeference_is_that_of_the_file_and_not_of_its_name(workspace):
    for start in ("2016-06-25", "2016-07-11", "2016-07-27"):
        path = evi_tile(workspace.data, start, "h20v08", 2000)
        path.rename(workspace.data / name("MOD13A1", start, "h01v08"))
    evi, _ = on_grid(tiles("evi"), workspace, JULY, 1.0)
    held = evi.isel(time=0).stack(cell=("latitude", "longitude")).dropna("cell")
    assert 19.0 < float(held["longitude"].min()) < float(held["longitude"].max()) < 31.0


def test_another_projection_or_sphere_is_refused(workspace):
    fields = {"field": (np.zeros((4, 4), "uint8"), {})}
    path = write_tile(workspace.data / "a.hdf", fields, "h18v04", projection="GCTP_GEO")
    with pytest.raises(InputError, match="not sinusoidal"):
        hdf4.window(path, "field")
    with pytest.raises(InputError, match="no grid is described for field 'other'"):
        hdf4.window(path, "other")
    with pytest.raises(InputError, match="radius 6378137"):
        Window(0.0, 0.0, 1.0, 1.0, (1, 1), 6378137.0)


def test_latitude_and_longitude_are_not_on_offer(workspace):
    with pytest.raises(InputError, match="Use on_grid"):
        tiles("evi").open(workspace, ("evi",), JULY)
    assert not tiles("evi").statics(workspace).data_vars
    with pytest.raises(ValidationError, match="no variable snow; it has lst_day"):
        tiles("snow")


def raster(path, values, place, **settings):
    crs = f"+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R={RADIUS} +units=m +no_defs"
    transform = rasterio.Affine(place.width, 0, place.left, 0, -place.height, place.top)
    profile = {"driver": "GTiff", "count": 1, "dtype": values.dtype, "crs": crs} | settings
    rows, columns = values.shape
    with rasterio.open(
        path, "w", height=rows, width=columns, transform=transform, **profile
    ) as out:
        out.write(values, 1)
    return path


def asset(start, field, tile="h12v09"):
    return name("MOD11A2", start, tile, f"061.2020001000000_{field}.tif")


def test_cloud_optimised_rasters_without_tags_are_unpacked_by_the_table(workspace):
    place, rng = window("h12v09", SIZE), np.random.default_rng(5)
    stored = rng.integers(14000, 15500, (SIZE, SIZE)).astype("uint16")
    quality = np.where(rng.random(stored.shape) < 0.3, 0b10, 0).astype("uint8")
    stored[quality > 0] = 0
    tiled = {"tiled": True, "blockxsize": 128, "blockysize": 128, "compress": "deflate"}
    for start in ("2016-06-25", "2016-07-03", "2016-07-11", "2016-07-19", "2016-07-27"):
        raster(workspace.data / asset(start, "LST_Day_1km"), stored, place, **tiled)
        raster(workspace.data / asset(start, "QC_Day"), quality, place, **tiled)
        lst_tile(workspace.data, start, "h12v09", stored, quality)
    ours, valid = on_grid(tiles("lst_day", path="*.tif"), workspace, JULY)
    twin, same = on_grid(tiles("lst_day", path="*.hdf"), workspace, JULY)
    np.testing.assert_allclose(ours, twin, rtol=1e-6)
    np.testing.assert_allclose(valid, same, atol=1e-6)
    whole = float(valid[0].sel(latitude=-5.1, longitude=-60.1, method="nearest"))
    assert whole == pytest.approx(0.7, abs=0.15)
    path = workspace.data / asset("2016-07-11", "QC_Day")
    path.write_bytes(path.read_bytes()[:-200])
    (held,) = tiles("lst_day", path="*.tif").survey(workspace, JULY)
    assert held.state == "damaged"
    path.unlink()
    (held,) = tiles("lst_day", path="*.tif").survey(workspace, JULY)
    assert held.state == "missing"
    assert "comes without its quality, 'QC_Day'" in held.reason


def test_a_raster_in_degrees_is_refused(workspace):
    path = raster(
        workspace.data / "a.tif", np.zeros((4, 4), "uint8"), window("h18v04", 4), crs="EPSG:4326"
    )
    with pytest.raises(InputError, match=r"not on the sinusoidal grid.*longlat"):
        geotiff.read(path)


def test_a_real_temperature_tile_has_the_values_of_an_independent_read(real):
    wanted = months(2019, 2019)[10:11]
    source = tiles("lst_day", path="MOD11A1*.hdf", least_coverage=0.01)
    lst, valid = on_grid(source, real, wanted)
    file = SD(str(next(real.data.glob("MOD11A1*.hdf"))))
    stored, code = file.select("LST_Day_1km").get(), file.select("QC_Day").get()
    kept = (stored > 0) & ((code & 3) <= 1) & ((code >> 6) < 3)
    kelvin = np.where(kept, stored * 0.02, np.nan)
    total, area = exact(kelvin, window("h14v09", 1200), Grid(0.25), parts=1)
    held = np.isfinite(lst.values[0])
    np.testing.assert_allclose(
        lst.values[0][held], (total / np.where(held, area, 1))[held], rtol=2e-6
    )
    zone = np.deg2rad(0.25) * np.diff(np.sin(np.deg2rad(np.linspace(-90, 90, 721))))
    share = area / (RADIUS**2 * zone[:, None])
    np.testing.assert_allclose(valid.values[0], share, atol=1e-5)
    assert held.sum() == (share >= 0.05).sum() > 450
    (strict,) = tiles("lst_day", path="MOD11A1*.hdf").survey(real, wanted)
    assert strict.state == "missing"
    assert "no MOD11A1 of 2019-11-02 h14v09" in strict.reason


def test_real_rasters_in_an_archive_are_read_whatever_each_is_packed_as(real):
    path = "MOD13A1_NDVI_2016_MODIStsp.zip"
    (held,) = tiles("ndvi", path=path).survey(real, JULY)
    assert held.state == "missing"
    assert "comes without its quality" in held.reason
    source = tiles("ndvi", path=path, screened=False)
    wanted = months(2016, 2016)
    assert {h.state for h in source.survey(real, wanted)} == {"final"}
    ndvi, _ = on_grid(source, real, wanted)
    total, days = np.zeros((122, 65)), np.zeros((122, 65))
    # December: four days of integers from 321, then two files of real numbers that are scaled already
    for start, weight, factor in ((321, 1, 1e-4), (337, 16, 1.0), (353, 14, 1.0)):
        with rasterio.open(f"zip://{real.data / path}!/NDVI/MOD13A1_NDVI_2016_{start}.tif") as file:
            values = file.read(1).astype(float)
            transform = file.transform
        kept = values != 32767
        total += np.where(kept, weight * factor * values, 0.0)
        days += weight * kept
    place = Window(transform.c, transform.f, transform.a, -transform.e, (122, 65))
    mean = np.where(days > 0, total / np.maximum(days, 1), np.nan)
    sums, area = exact(mean, place, Grid(0.25), parts=1)
    held = np.isfinite(ndvi.values[11])
    assert held.sum() >= 6
    np.testing.assert_allclose(ndvi.values[11][held], sums[held] / area[held], rtol=1e-5)


@pytest.mark.parametrize(
    ("path", "variable", "month", "band"),
    [
        ("MOD11A1.A2022103*", "lst_day", "2022-04-01", "day clear-sky coverage"),
        ("MOD13A1.A2022081*", "evi", "2022-03-01", "500m 16 days blue reflectance"),
        ("MOD10A2*", "evi", "2022-02-01", "snow extent"),
    ],
)
def test_real_files_without_a_predictor_are_named_with_what_they_hold(
    real, path, variable, month, band
):
    wanted = pd.DatetimeIndex([month])
    (held,) = tiles(variable, path=path).survey(real, wanted)
    assert held.state == "missing"
    assert path[:7] in held.reason
    assert band in held.reason
    with pytest.raises(InputError, match=band):
        tiles(variable, path=path).on_grid(real, (variable,), wanted, Grid(1.0))


def test_real_crops_lie_where_their_tags_say(real):
    stored, place = geotiff.read(next(real.data.glob("MOD13A1*.TIF")))
    latitude, longitude = place.centres()
    assert stored.values.shape == (4, 4)
    assert stored.attributes["scale_factor"] == "10000"
    assert 34.9 < latitude.min() < latitude.max() < 35.1
    assert -104.0 < longitude.min() < longitude.max() < -103.7


def test_a_real_snow_tile_opens_and_its_classes_are_area_fractions(real):
    path = next(real.data.glob("MOD10A2*.hdf"))
    stored = hdf4.read(path, ("Maximum_Snow_Extent",))["Maximum_Snow_Extent"]
    snow = (stored.values == 200).sum() * stored.attributes["Cell_area (km^2)"]
    assert snow == pytest.approx(stored.attributes["Max_snow_area (km^2)"], rel=1e-6)
    place, grid = hdf4.window(path, "Maximum_Snow_Extent"), Grid(0.25)
    assert place.same_as(window("h09v05", 2400))
    shares, whole = class_fractions(stored.values, SNOW, place, grid)
    total = np.sum(list(shares.values()), axis=0)
    np.testing.assert_allclose(total[np.isfinite(total)], 1.0, atol=1e-6)
    area = np.diff(np.sin(np.deg2rad(np.linspace(-90, 90, 721))))[:, None] * np.deg2rad(0.25)
    km2 = np.nansum(shares["snow"] * whole * area) * (RADIUS / 1000) ** 2
    assert km2 == pytest.approx(snow, rel=1e-4)
    assert place.width * 2400 == pytest.approx(TILE, rel=1e-9)

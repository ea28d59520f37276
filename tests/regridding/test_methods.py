"""Laws of the methods of regridding: bilinear, nearest, class fractions, laziness, threads and figures of the Earth."""

import importlib.util

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ch4grid.errors import InputError
from ch4grid.grid import Grid, zone_area
from ch4grid.regridding import (
    Cells,
    bilinear,
    class_fractions,
    conservative,
    exact_weights,
    nearest,
)
from ch4grid.regridding import fields as applied
from ch4grid.regridding.fields import separable_means
from ch4grid.regridding.methods import Rule, separable_weights
from ch4grid.regridding.streaming import zarr_to_zarr

NODES = np.linspace(90.0, -90.0, 37), np.arange(72) * 5.0
CENTRES = np.arange(-87.5, 90.0, 5.0), np.arange(-177.5, 180.0, 5.0)


def series(values, latitude, longitude):
    return xr.DataArray(
        values,
        coords={"time": np.arange(len(values)), "latitude": latitude, "longitude": longitude},
        dims=("time", "latitude", "longitude"),
        attrs={"units": "K"},
    )


def with_gaps(shape, seed=0, share=0.3, dtype="float32"):
    rng = np.random.default_rng(seed)
    values = rng.normal(280.0, 10.0, shape)
    values[rng.random(shape) < share] = np.nan
    # whole rows without gaps as well, which take another way through the loops
    values[:, shape[1] // 2 :] = np.nan_to_num(values[:, shape[1] // 2 :], nan=280.0)
    return values.astype(dtype)


@pytest.mark.parametrize("method", [conservative, bilinear, nearest])
@pytest.mark.parametrize("axes", [NODES, CENTRES])
@given(resolution=st.sampled_from([1.5, 2.5, 5.0, 6.0, 10.0]), value=st.floats(-1e5, 1e5))
@settings(max_examples=10)
def test_every_method_keeps_a_constant_up_to_the_poles(method, axes, resolution, value):
    shape = (1, axes[0].size, axes[1].size)
    found, valid = method(series(np.full(shape, value), *axes), Grid(resolution))
    np.testing.assert_allclose(found, value, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(valid, 1.0, rtol=1e-6)


@pytest.mark.parametrize("method", [conservative, bilinear, nearest])
def test_every_method_ignores_direction_and_longitude_convention(method):
    data = series(with_gaps((2, 37, 72), dtype="float64"), *NODES)
    expected = method(data, Grid(7.5))
    for other in (
        data[:, ::-1],
        data[:, :, ::-1],
        data.assign_coords(longitude=(NODES[1] + 180.0) % 360.0 - 180.0).sortby("longitude"),
        data.roll(longitude=31, roll_coords=True),
    ):
        for a, b in zip(expected, method(other, Grid(7.5)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_bilinear_is_exact_for_a_plane_and_ends_at_the_mean_of_the_last_row():
    latitude, longitude = np.arange(-80.0, 81.0, 10.0), np.arange(0.0, 360.0, 10.0)
    values = np.broadcast_to(latitude[:, None], (17, 36)) + 0.0
    found, _ = bilinear(series(values[None], latitude, longitude), Grid(2.0))
    inside = np.abs(found.latitude) < 80
    np.testing.assert_allclose(
        found[0][inside], found.latitude.values[inside][:, None] + np.zeros(180)
    )
    assert np.isnan(found[0][~inside]).all()
    rows = np.arange(-85.0, 86.0, 10.0)
    wave = np.cos(np.deg2rad(longitude)) + np.zeros((18, 1))
    closed, _ = bilinear(series(wave[None], rows, longitude), Grid(2.0))
    share = (90.0 - 89.0) / 5.0
    np.testing.assert_allclose(closed[0, -1], share * np.interp(closed.longitude % 360,
        [*longitude, 360.0], [*wave[0], wave[0, 0]]), atol=1e-12)  # fmt: skip


def test_a_gap_in_the_last_row_lowers_the_pole_and_nothing_else():
    rows, longitude = np.arange(-85.0, 86.0, 10.0), np.arange(0.0, 360.0, 10.0)
    values = np.ones((1, 18, 36))
    values[0, -1, 3] = np.nan
    found, valid = bilinear(series(values, rows, longitude), Grid(2.0))
    np.testing.assert_allclose(found.values[np.isfinite(found.values)], 1.0, rtol=1e-12)
    far = valid.sel(latitude=89.0, longitude=-91.0)
    assert float(far[0]) == pytest.approx(1 - (4 / 5) / 36)
    assert float(valid.sel(latitude=slice(None, 74.0)).min()) == pytest.approx(1.0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("steps", [1, 7])
def test_the_number_of_threads_changes_no_bit(monkeypatch, dtype, steps):
    monkeypatch.setattr(applied, "SMALL", 0)
    weights = exact_weights(series(np.zeros((1, 37, 72)), *NODES)[0], Grid(7.5))
    values = with_gaps((steps, 37, 72), dtype=dtype)
    alone = separable_means(values, weights, threads=1)
    for threads in (2, 3, 8):
        for a, b in zip(alone, separable_means(values, weights, threads=threads), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("ratio", [1, 2, 4, 5, 6])
@pytest.mark.parametrize("nodes", [False, True])
def test_the_path_for_integer_ratios_agrees_with_the_general_one(monkeypatch, ratio, nodes):
    size = 5.0 / ratio
    latitude = np.arange(-90.0, 90.1, size) if nodes else np.arange(-90.0 + size / 2, 90.0, size)
    longitude = np.arange(-180.0 if nodes else -180.0 + size / 2, 180.0 - 1e-9, size)
    weights = separable_weights(Cells.from_centres(latitude, longitude), Cells.of_grid(Grid(5.0)))
    values = with_gaps((2, latitude.size, longitude.size))
    assert applied._column_tables(weights.columns, values.dtype)[1] == ratio
    fast, _ = separable_means(values, weights)
    table = applied._column_tables
    monkeypatch.setattr(applied, "_column_tables", lambda *a: (table(*a)[0], 0, *table(*a)[2:]))
    slow, _ = separable_means(values, weights)
    np.testing.assert_allclose(fast, slow, rtol=1e-6)


@pytest.mark.parametrize("figure", ["sphere", "wgs84"])
def test_column_sums_give_away_the_area_of_every_source_row(figure):
    weights = exact_weights(series(np.zeros((1, 37, 72)), *NODES)[0], Grid(7.5), figure)
    edges = Cells.from_centres(*NODES).latitude_edges
    bounds = np.stack([edges[:-1], edges[1:]], axis=1)
    if figure == "wgs84":
        held, wanted = zone_area(bounds), zone_area(Grid(7.5).latitude_bounds)
    else:
        height = [np.sin(np.deg2rad(b)) for b in (bounds, Grid(7.5).latitude_bounds)]
        held, wanted = (np.abs(np.diff(h, axis=1))[:, 0] for h in height)
    np.testing.assert_allclose(weights.rows.matrix.T @ wanted, held, rtol=1e-12)


def test_the_figure_and_the_threshold_are_recorded_and_extreme_thresholds_clipped():
    data = series(with_gaps((1, 37, 72)), *NODES)
    found, _ = conservative(data, Grid(10.0), 0.0, figure="wgs84")
    assert found.attrs["regrid_figure"] == "wgs84"
    assert found.attrs["regrid_min_valid"] == 0.01
    assert found.attrs["units"] == "K"


@given(seed=st.integers(0, 100), least=st.floats(0.05, 0.95))
@settings(max_examples=15)
def test_a_value_is_given_exactly_where_enough_of_the_cell_is_valid(seed, least):
    data = series(with_gaps((1, 37, 72), seed, 0.5), *NODES)
    found, valid = conservative(data, Grid(7.5), least)
    clear = np.abs(valid.values - least) > 1e-5
    np.testing.assert_array_equal(np.isfinite(found.values)[clear], (valid.values > least)[clear])


def test_class_fractions_sum_to_one_and_equal_the_means_of_masks():
    rng = np.random.default_rng(0)
    codes = xr.DataArray(
        rng.choice([0, 3, 7, 255], (36, 72)),
        coords=dict(zip(("latitude", "longitude"), CENTRES, strict=True)),
        dims=("latitude", "longitude"),
    )
    found = class_fractions(codes[::-1], Grid(12.0), [7, 0, 3], 0.2)
    total = found.sum("class", skipna=False)
    assert np.isfinite(total).any()
    np.testing.assert_allclose(total.values[np.isfinite(total)], 1.0, rtol=1e-6)
    for code in (7, 0, 3):
        mask = (codes == code).astype(float).where(codes != 255)
        mean, valid = conservative(mask, Grid(12.0), 0.2)
        np.testing.assert_allclose(found.sel({"class": code}), mean, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(found["valid_fraction"], valid, rtol=1e-6)
    with pytest.raises(InputError, match="named once"):
        class_fractions(codes, Grid(12.0), [1, 1])


def test_dask_stays_lazy_and_equals_memory():
    data = series(with_gaps((7, 37, 72)), *NODES)
    lazy, valid = conservative(data.chunk(time=3, latitude=10), Grid(7.5))
    assert lazy.chunks is not None
    assert valid.chunks is not None
    expected, share = conservative(data, Grid(7.5))
    xr.testing.assert_identical(lazy.compute(), expected)
    xr.testing.assert_identical(valid.compute(), share)


def test_a_store_is_streamed_to_a_store(tmp_path):
    data = series(with_gaps((7, 37, 72)), *NODES).rename("tas")
    data.chunk(time=3).to_dataset().to_zarr(tmp_path / "in.zarr", consolidated=False)
    zarr_to_zarr(tmp_path / "in.zarr", tmp_path / "out.zarr", Grid(7.5))
    expected, share = conservative(data, Grid(7.5))
    with xr.open_zarr(tmp_path / "out.zarr", consolidated=False) as found:
        np.testing.assert_array_equal(found["tas"], expected)
        np.testing.assert_array_equal(found["tas_valid_fraction"], share)
        assert found["tas"].encoding["chunks"][0] == 3
        assert found["tas"].attrs["regrid_method"] == "conservative"
    with pytest.raises(InputError, match="exists"):
        zarr_to_zarr(tmp_path / "in.zarr", tmp_path / "out.zarr", Grid(7.5))
    with pytest.raises(InputError, match="no such variable"):
        zarr_to_zarr(tmp_path / "in.zarr", tmp_path / "b.zarr", Grid(7.5), variables=["pr"])


def test_packed_values_are_not_streamed(tmp_path):
    data = series(np.ones((2, 37, 72), "float32"), *NODES).rename("tas")
    packing = {"tas": {"scale_factor": 0.1, "dtype": "int16", "_FillValue": -1}}
    data.to_dataset().to_zarr(tmp_path / "in.zarr", encoding=packing, consolidated=False)
    with pytest.raises(InputError, match="packed"):
        zarr_to_zarr(tmp_path / "in.zarr", tmp_path / "out.zarr", Grid(7.5))


def test_float32_centres_snap_to_the_target_and_a_repeated_band_is_refused():
    size = 0.5
    latitude = (np.arange(-90 + size / 2, 90, size)).astype("float32")
    longitude = (np.arange(-180, 180, size) + size / 2).astype("float32")
    weights = separable_weights(Cells.from_centres(latitude, longitude), Cells.of_grid(Grid(2.5)))
    assert weights.columns.weights.shape[1] == 5
    doubled = Cells.from_centres(np.array([-45.0, 45.0]), np.arange(0.0, 500.0, 10.0))
    with pytest.raises(InputError, match="cells of the source overlap"):
        separable_weights(doubled, Cells.of_grid(Grid(30.0)))


@pytest.mark.skipif(importlib.util.find_spec("xarray_regrid") is None, reason="no xarray-regrid")
@pytest.mark.filterwarnings("ignore")
def test_xarray_regrid_loses_the_pole_rows_that_are_kept_here():
    import xarray_regrid  # noqa: F401

    grid = Grid(10.0)
    values = np.zeros((1, 37, 72))
    values[:, [0, -1]] = 1.0
    data = series(values, *NODES)
    held = (values[0] * zone(NODES[0])[:, None]).sum() / 72
    target = xr.Dataset(coords={"latitude": grid.latitude, "longitude": grid.longitude})
    shifted = data.assign_coords(longitude=(NODES[1] + 180.0) % 360.0 - 180.0).sortby("longitude")
    theirs = shifted.regrid.conservative(target, latitude_coord="latitude")
    theirs = theirs.copy(data=getattr(theirs.data, "todense", lambda: theirs.data)())
    ours, _ = conservative(data, grid)
    integral = [
        float((f[0].values * zone(grid.latitude)[:, None]).sum()) / 36 for f in (ours, theirs)
    ]
    assert integral[0] == pytest.approx(held, rel=1e-12)
    assert abs(integral[1] / held - 1) > 0.01


def zone(latitude):
    return np.abs(
        np.diff(np.sin(np.deg2rad(Cells.from_centres(latitude, [0.0, 9.0]).latitude_edges)))
    )


def test_the_rule_names_the_engine_and_the_method():
    assert Rule("bilinear").attrs["regrid_method"] == "bilinear"
    assert Rule().attrs["regrid_engine"] == "separable"


def test_the_loops_compile_where_nothing_can_be_kept_on_disk(monkeypatch):
    from ch4grid.regridding import kernels

    real = kernels.numba.njit

    def refusing(*, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr(kernels.numba, "njit", refusing)
    assert kernels.compiled(lambda x: x + 1)(1) == 2

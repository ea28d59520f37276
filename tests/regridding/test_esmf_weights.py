"""Weights of ESMF read, applied and written, and the methods of this package against ESMF's own results."""

import json
import sys

import netCDF4
import numpy as np
import pytest
import xarray as xr
from real_files import real
from scipy import sparse

from ch4grid.errors import InputError, RunError
from ch4grid.grid import Grid
from ch4grid.regridding import (
    Cells,
    SparseWeights,
    conservative,
    read_weights,
    regrid_with_weights,
    write_weights,
)
from ch4grid.regridding.engine import MEMORY_LIMIT, esmf_weights, grid_hash, rectilinear
from ch4grid.regridding.fields import separable_means
from ch4grid.regridding.methods import Rule, separable_weights
from ch4grid.regridding.weights import bilinear_weights


@pytest.fixture
def reference():
    return real("esmf_reference")


def label_of(output):
    return output.split("__")[1].split("_skipna")[0].split("_noskip")[0]


def as_steps(values):
    return np.asarray(values, np.float64).reshape(-1, *values.shape[-2:])


def test_weights_of_esmf_applied_here_give_its_outputs_to_twelve_digits(reference):
    checked = 0
    for path in sorted(reference.glob("c*.nc")):
        with xr.open_dataset(path, decode_times=False) as case:
            for name in [n for n in case.data_vars if str(n).startswith("out_")]:
                file = reference / f"weights_{path.stem}_{label_of(name)}.nc"
                source = f"in_{name[4:].split('__')[0]}"
                if not file.exists() or source not in case:
                    continue
                expected, field = case[name].values, case[source].values
                call = json.loads(case[name].attrs["call_kwargs"])
                weights = read_weights(
                    file, source_shape=field.shape[-2:], shape=expected.shape[-2:]
                )
                found, _ = weights.means(
                    as_steps(field),
                    1.0 - call.get("na_thres", 1.0),
                    skip_missing=call.get("skipna", False),
                )
                np.testing.assert_allclose(
                    found.reshape(expected.shape), expected, rtol=1e-12, atol=1e-12, err_msg=name
                )
                checked += 1
    assert checked > 80


def test_float32_weights_agree_to_six_digits_and_threads_change_nothing(reference):
    weights = read_weights(
        reference / "weights_c1_global_2to5_conservative.nc", source_shape=(90, 180), shape=(36, 72)
    )
    values = np.random.default_rng(0).normal(280.0, 10.0, (18, 90, 180))
    values[values < 275.0] = np.nan
    exact, _ = weights.means(values)
    one, _ = weights.means(values.astype(np.float32), threads=1)
    many, _ = weights.means(values.astype(np.float32), threads=3)
    assert one.dtype == np.float32
    np.testing.assert_array_equal(one, many)
    np.testing.assert_allclose(one, exact, rtol=1e-6)


# Largest differences that the reference states, twice; bilinear: of case 1, scaled with the weights elsewhere.
CONSERVATIVE = {
    "c1_global_2to5": (3.1e-4, 1.3e-3),
    "c2_regional_025to05": (2.3e-6, 1.1e-5),
    "c3a_pole_to_cells": (3.9e-5, 1.8e-4),
    "c3b_cells_to_pole": (9.2e-5, 4.2e-4),
    "c6a_0_360_to_pm180": (5.2e-5, 2.4e-4),
    "c7_descending": (3.1e-4, 1.3e-3),
    "c7b_both_descending": (3.1e-4, 1.3e-3),
    "c8_upsample_5to2": (9.5e-4, 4.0e-3),
    "c6b_pm180_to_dateline_box": (5.2e-5, 2.4e-4),
}
BILINEAR = (5.7e-5, 2.6e-4)


def own(case, label, field):
    source = Cells.from_centres(case["lat_in"].values, case["lon_in"].values)
    edges = (case["lat_b_out"].values, case["lon_b_out"].values)
    target = Cells(case["lat_out"].values, case["lon_out"].values, *edges)
    if label.startswith("bilinear"):
        periodic = None if label == "bilinear" else False
        weights = bilinear_weights(source, target, periodic=periodic)
    else:
        method = "nearest" if label.startswith("nearest") else "conservative"
        weights = separable_weights(source, target, Rule(method))
    values, valid = separable_means(as_steps(field), weights, 0.01)
    return values[0], valid[0]


def outputs(reference, name, prefix):
    """Field, label, own values, own valid fraction and ESMF's values of the plain outputs of a case."""
    with xr.open_dataset(reference / f"{name}.nc", decode_times=False) as case:
        for output in [str(n) for n in case.data_vars if str(n).startswith("out_")]:
            field, label = output[4:].split("__")
            if label.startswith(prefix) and "skip" not in label and "extrap" not in label:
                yield (
                    field,
                    label,
                    *own(case, label, case[f"in_{field}"].values),
                    case[output].values,
                )


@pytest.mark.parametrize("name", CONSERVATIVE)
def test_conservative_means_agree_with_esmf_within_its_cell_shape(reference, name):
    for field, label, values, valid, expected in outputs(reference, name, "conservative"):
        smooth, rough = CONSERVATIVE[name]
        if "normed" not in label:
            # ESMF scales with the covered fraction, which its own cell shape shifts at an edge
            values = np.where(valid > 0, np.nan_to_num(values) * valid, 0.0)
            smooth, rough = (
                max(smooth, 6.9e-4 * (name[1] == "2")),
                max(rough, 7.5e-4 * (name[1] == "2")),
            )
        tolerance = 2 * {"smooth": smooth, "rough": rough, "one": 1e-13}[field]
        assert np.nanmax(np.abs(values - np.nan_to_num(expected))) < tolerance, label


@pytest.mark.parametrize("name", [*CONSERVATIVE, "c9_extrap"])
def test_bilinear_values_and_poles_agree_with_esmf(reference, name):
    step = {"c8_upsample_5to2": 5.0}.get(name, 2.0)
    for field, label, values, valid, expected in outputs(reference, name, "bilinear"):
        # ESMF interpolates along great circles: the difference grows with the square of the step
        tolerance = 2 * (step / 2) ** 2 * {"smooth": 5.7e-5, "rough": 2.6e-4, "one": 1e-13}[field]
        mapped = np.nan_to_num(expected) != 0
        np.testing.assert_array_equal(valid > 0, mapped, err_msg=label)
        assert np.abs(values - expected)[mapped].max() < tolerance, label


@pytest.mark.parametrize(
    "name", ["c1_global_2to5", "c3b_cells_to_pole", "c6a_0_360_to_pm180", "c8_upsample_5to2"]
)
def test_no_source_is_nearer_along_both_axes_than_the_nearest(reference, name):
    with xr.open_dataset(reference / f"{name}.nc") as case:
        source = Cells.from_centres(case["lat_in"].values, case["lon_in"].values)
        target = Cells.from_centres(case["lat_out"].values, case["lon_out"].values)
    weights = separable_weights(source, target, Rule("nearest"))
    esmf = read_weights(reference / f"weights_{name}_nearest_s2d.nc").matrix.tocsr()
    # at a pole every longitude is as near as any other
    middle = target.shape[0] // 2
    row, column = np.divmod(esmf.indices, source.longitude.size)
    for start, chosen, centres, points, turn in (
        (
            weights.rows.start[1:-1],
            row.reshape(target.shape)[1:-1, 0],
            source.latitude,
            target.latitude[1:-1],
            1e9,
        ),
        (
            weights.columns.start,
            column.reshape(target.shape)[middle],
            source.longitude,
            target.longitude,
            360,
        ),
    ):

        def distance(cells, centres=centres, points=points, turn=turn):
            apart = np.abs(centres[cells] - points) % turn
            return np.minimum(apart, turn - apart)

        # half way between two sources either is right
        np.testing.assert_allclose(distance(start), distance(chosen), atol=1e-9)


@pytest.mark.parametrize("threshold", [25, 50, 75])
def test_bilinear_with_gaps_has_the_mask_of_esmf(reference, threshold):
    with xr.open_dataset(reference / "c5a_nan_skipna.nc", decode_times=False) as case:
        source = Cells.from_centres(case["lat_in"].values, case["lon_in"].values)
        target = Cells.from_centres(case["lat_out"].values, case["lon_out"].values)
        weights = separable_weights(source, target, Rule("bilinear"))
        found, valid = separable_means(case["in_v"].values, weights, 1 - threshold / 100)
        expected = case[f"out_v__bilinear_skipna{threshold:03d}"].values
    # the weights differ by up to 1.3e-3, so a sum that near to the threshold may fall on either side
    clear = np.abs(valid - (1 - threshold / 100)) > 4 * 1.3e-3
    assert clear.mean() > 0.5
    np.testing.assert_array_equal(np.isnan(found)[clear], np.isnan(expected)[clear])
    assert np.nanmax(np.abs(found - expected)) < 2 * 5.7e-3


def test_one_gap_makes_its_targets_missing_where_gaps_are_not_skipped(reference):
    with xr.open_dataset(reference / "c5a_nan_skipna.nc", decode_times=False) as case:
        source = Cells.from_centres(case["lat_in"].values, case["lon_in"].values)
        target = Cells.from_centres(case["lat_out"].values, case["lon_out"].values)
        weights = separable_weights(source, target, Rule("bilinear"))
        found, _ = separable_means(case["in_v"].values, weights, skip_missing=False)
        expected = case["out_v__bilinear_noskip"].values
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))


def small_weights():
    matrix = sparse.csr_array(np.array([[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, np.nan, 0.0]]))
    return SparseWeights(matrix, (2, 2), (1, 2), {"method": "bilinear"}, frac_b(), frac_b())


def frac_b():
    return np.array([1.0, 0.0])


def test_weights_written_and_read_are_the_same(tmp_path):
    write_weights(tmp_path / "w.nc", small_weights())
    found = read_weights(tmp_path / "w.nc")
    np.testing.assert_array_equal(found.matrix.toarray(), small_weights().matrix.toarray())
    assert (found.source_shape, found.shape, dict(found.attrs)) == (
        (2, 2),
        (1, 2),
        {"method": "bilinear"},
    )
    np.testing.assert_array_equal(found.target_fraction, frac_b())


def test_an_unmapped_target_is_missing_and_a_gap_takes_no_part():
    values = np.array([[[1.0, np.nan], [3.0, 4.0]]])
    found, valid = small_weights().means(values)
    np.testing.assert_array_equal(found, [[[1.0, np.nan]]])
    np.testing.assert_array_equal(valid, [[[0.5, 0.0]]])
    plain, _ = small_weights().means(values, skip_missing=False)
    assert np.isnan(plain).all()


def test_the_names_of_scrip_are_understood(tmp_path):
    with netCDF4.Dataset(tmp_path / "cdo.nc", "w") as file:
        for name, size in (("num_links", 2), ("num_wgts", 3), ("rank", 2)):
            file.createDimension(name, size)
        for name, values in (("src_address", [1, 4]), ("dst_address", [1, 1])):
            file.createVariable(name, "i4", ("num_links",))[:] = values
        file.createVariable("remap_matrix", "f8", ("num_links", "num_wgts"))[:] = [[0.5, 9, 9]] * 2
        file.createVariable("src_grid_dims", "i4", ("rank",))[:] = [2, 2]
        file.createVariable("dst_grid_dims", "i4", ("rank",))[:] = [2, 1]
    weights = read_weights(tmp_path / "cdo.nc")
    np.testing.assert_array_equal(weights.matrix.toarray(), [[0.5, 0, 0, 0.5], [0, 0, 0, 0]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"row": [0, 1]}, "row points outside its grid"),
        ({"col": [1, 5]}, "col points outside its grid"),
        ({"S": [np.inf, 1.0]}, "a weight is infinite"),
        ({"S": [np.nan, 1.0]}, "beside one that is not a number"),
    ],
)
def test_impossible_entries_are_refused(tmp_path, change, message):
    entries = {"row": [1, 1], "col": [1, 4], "S": [0.5, 0.5]} | change
    with netCDF4.Dataset(tmp_path / "w.nc", "w") as file:
        for name, size in (("n_s", 2), ("n_a", 4), ("n_b", 2)):
            file.createDimension(name, size)
        for name, values in entries.items():
            file.createVariable(name, "f8" if name == "S" else "i4", ("n_s",))[:] = values
    with pytest.raises(InputError, match=message):
        read_weights(tmp_path / "w.nc")


def test_a_file_without_weights_and_weights_of_another_grid_are_refused(tmp_path):
    xr.Dataset({"tas": ("x", [1.0])}).to_netcdf(tmp_path / "no.nc")
    with pytest.raises(InputError, match="is no weight file"):
        read_weights(tmp_path / "no.nc")
    write_weights(tmp_path / "w.nc", small_weights())
    with pytest.raises(InputError, match="belong to another grid"):
        read_weights(tmp_path / "w.nc", source_shape=(3, 3))


def test_a_curvilinear_field_is_regridded_by_weights_of_a_file_and_refused_without():
    grid = Grid(90.0)
    corner = sparse.csr_array((np.ones(8), (np.arange(8), np.arange(8) % 6)), shape=(8, 6))
    data = xr.DataArray(
        np.arange(12.0).reshape(2, 2, 3),
        coords={
            "latitude": (("y", "x"), np.ones((2, 3))),
            "longitude": (("y", "x"), np.ones((2, 3))),
        },
        dims=("time", "y", "x"),
    )
    found, _ = regrid_with_weights(data, grid, SparseWeights(corner, (2, 3), (2, 4)))
    np.testing.assert_array_equal(found[1].values.ravel(), np.arange(8) % 6 + 6.0)
    assert found.attrs["regrid_engine"] == "file"
    with pytest.raises(InputError, match="regrid_with_weights"):
        conservative(data, grid)
    with pytest.raises(InputError, match="belong to other grids"):
        regrid_with_weights(data, Grid(30.0), SparseWeights(corner, (2, 3), (2, 4)))


def test_weights_kept_in_a_folder_are_used_without_esmf(tmp_path):
    grid = Grid(90.0)
    latitude, longitude = np.array([-45.0, 45.0]), np.arange(4) * 90.0 - 135.0
    one, two = rectilinear(latitude, longitude), rectilinear(grid.latitude, grid.longitude)
    name = f"weights-conservative-{grid_hash(one, two, 'conservative')[:16]}.nc"
    identity = SparseWeights(sparse.csr_array(np.eye(8) * 1.0), (2, 4), (2, 4))
    write_weights(tmp_path / name, identity)
    data = xr.DataArray(
        np.arange(8.0).reshape(2, 4),
        coords={"latitude": latitude, "longitude": longitude},
        dims=("latitude", "longitude"),
    )
    found, _ = conservative(data, grid, engine="xesmf", folder=tmp_path)
    np.testing.assert_array_equal(found, data)


def test_grids_too_large_for_esmf_are_refused_before_it_is_needed():
    edge = int(np.sqrt(MEMORY_LIMIT / 1800)) + 1
    large = rectilinear(np.linspace(-89, 89, edge), np.linspace(0, 359, edge))
    with pytest.raises(InputError, match="too large"):
        esmf_weights(large, large, "bilinear")


def test_the_engine_xesmf_names_both_ways_where_it_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "xesmf", None)  # an import of it fails, installed or not
    small = rectilinear(np.array([-45.0, 45.0]), np.array([0.0, 180.0]))
    with pytest.raises(RunError, match=r"conda.*weight file"):
        esmf_weights(small, small, "bilinear")

"""Weights of ESMF read, applied and written, and the methods of this package against ESMF's own results."""

import json

import netCDF4
import numpy as np
import pytest
import xarray as xr
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
def reference(real_data):
    folder = real_data / "esmf_reference"
    if not folder.is_dir():
        pytest.skip(f"no ESMF reference data at {folder}")
    return folder


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
                weights = read_weights(file, source_shape=field.shape[-2:], shape=expected.shape[-2:])
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

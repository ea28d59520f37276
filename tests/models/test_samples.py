import numpy as np
import pytest
import xarray as xr

from ch4grid.errors import InputError
from ch4grid.models.samples import Points, Scaler, Targets, predictor_names
from ch4grid.testing import samples
from ch4grid.vocabulary import GASES

GAS = GASES["ch4"]


def scaled(towers):
    drivers, statics = predictor_names(towers, GAS)
    points = Points.of(towers, drivers, statics)
    return points, Scaler.fit(points, drivers, statics)


def test_predictors_are_found_by_their_dimensions():
    drivers, statics = predictor_names(samples(), GAS)
    assert drivers == ("mrsos", "pr", "ps", "tas")
    assert "elevation" in statics
    assert "ch4_flux" not in drivers


def test_scores_have_mean_zero_and_spread_one():
    points, scaler = scaled(samples(sites=20))
    inputs = scaler.inputs(points)
    tas = inputs[scaler.drivers.index("tas"), 0]
    assert abs(tas.mean()) < 0.01
    assert tas.std() == pytest.approx(1.0, abs=0.02)


def test_a_missing_value_is_zero_with_mask_zero_and_touches_no_other():
    towers = samples()
    points, scaler = scaled(towers)
    values = towers["tas"].values.copy()
    values[3, 10] = np.nan
    gap = Points.of(towers.assign(tas=(("site", "time"), values)), scaler.drivers, scaler.statics)
    before, after = scaler.inputs(points), scaler.inputs(gap)
    at = scaler.drivers.index("tas")
    assert (after[at, :, 3, 10] == 0).all()
    before[at, :, 3, 10] = 0
    np.testing.assert_array_equal(before, after)


def test_pressure_enters_as_departure_from_its_mean_only():
    towers = samples()
    points, scaler = scaled(towers)
    higher = towers.assign(ps=towers["ps"] + 5000, ps_mean=towers["ps_mean"] + 5000)
    moved = scaler.inputs(Points.of(higher, scaler.drivers, scaler.statics))
    at = scaler.drivers.index("ps")
    np.testing.assert_allclose(moved[at], scaler.inputs(points)[at], atol=1e-3)
    assert (moved[at, 0] == 0).all()


def test_the_scaler_survives_json():
    _, scaler = scaled(samples())
    assert Scaler.from_json(scaler.to_json()) == scaler


def test_poorly_covered_months_are_no_targets():
    towers = samples()
    targets = Targets.of(towers, GAS)
    coverage = towers["ch4_flux_coverage"].values
    assert (targets.weight[coverage < 0.2] == 0).all()
    assert (targets.weight[coverage >= 0.6] == 1).all()


def test_towers_without_a_measured_month_are_an_error_that_says_so():
    towers = samples()
    empty = towers.assign(ch4_flux=xr.full_like(towers["ch4_flux"], np.nan))
    with pytest.raises(InputError, match="no month is measured well enough"):
        Targets.of(empty, GAS)


def test_missing_predictors_are_named():
    towers = samples()
    drivers, statics = predictor_names(towers, GAS)
    with pytest.raises(InputError, match="no tas"):
        Points.of(towers.drop_vars("tas"), drivers, statics)

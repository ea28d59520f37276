"""Preparation takes place, trend and season away and nothing else."""

from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ch4grid.causal.preparation import MAX_ANOMALY, Panel, prepare
from ch4grid.errors import InputError
from ch4grid.vocabulary import ECOSYSTEMS


def _prepare(series: xr.Dataset, *drivers: str, **changed: Any) -> Panel:
    settings = {"step": "month", "harmonics": 2, "min_coverage": 0.2, "min_years": 1.0}
    return prepare(series, flux="ch4_flux", drivers=drivers or ("tas", "pr"), **settings | changed)


@settings(max_examples=10, deadline=None)
@given(offset=st.floats(-50, 50), trend=st.floats(-1, 1), season=st.floats(-20, 20))
def test_offset_trend_and_season_of_a_driver_leave_no_trace(
    planet: Any, offset: float, trend: float, season: float
) -> None:
    series = planet.towers(sites=4)
    phase = 2 * np.pi * series["time"].dt.dayofyear / 365.25
    months = xr.DataArray(np.arange(48.0), dims="time")
    moved = series.assign(tas=series["tas"] + offset + trend * months + season * np.cos(phase))
    expected, found = _prepare(series).values, _prepare(moved).values
    # months are not exactly equally long, so the linear trend leaves a trace of days
    np.testing.assert_allclose(found, expected, atol=0.03)


def test_units_of_a_driver_do_not_matter(planet: Any) -> None:
    series = planet.towers(sites=4)
    scaled = series.assign(tas=series["tas"] * 100.0)
    np.testing.assert_allclose(_prepare(scaled).values, _prepare(series).values, atol=1e-9)


def test_anomalies_have_unit_spread_per_site_and_gaps_stay_gaps(planet: Any) -> None:
    series = planet.towers(sites=4)
    panel = _prepare(series)
    np.testing.assert_allclose(np.nanstd(panel.values, axis=1), 1.0, atol=0.02)
    missing = np.isnan(series["ch4_flux"].values)
    np.testing.assert_array_equal(np.isnan(panel.values[..., -1]), missing)
    assert panel.variables == ("tas", "pr", "ch4_flux")


def test_a_wild_month_is_clipped(planet: Any) -> None:
    series = planet.towers(sites=2)
    series["tas"][0, 7] += 1e4
    assert np.nanmax(_prepare(series).values) <= MAX_ANOMALY


def test_barely_measured_months_are_not_used(planet: Any) -> None:
    series = planet.towers(sites=2)
    series["ch4_flux_coverage"][:, :10] = 0.1
    assert np.isnan(_prepare(series).values[:, :10, -1]).all()


def test_short_records_are_left_out(planet: Any) -> None:
    series = planet.towers(sites=3)
    series["ch4_flux"][1, 8:] = np.nan
    assert _prepare(series).sites == ("XX-000", "XX-002")


def test_a_driver_that_repeats_every_year_is_not_tested(planet: Any) -> None:
    series = planet.towers(sites=3)
    year = series["tas"].isel(time=slice(0, 12)).values
    series["lai"] = (("site", "time"), np.tile(year, 4))
    series["elevation"] = ("site", np.arange(3.0))
    panel = _prepare(series, "tas", "lai", "elevation", "snw")
    assert panel.variables == ("tas", "ch4_flux")
    assert panel.untested == {
        "lai": "no variation around its mean year",
        "elevation": "static",
        "snw": "absent from the series",
    }


def test_class_indices_of_samples_mean_the_same_as_names(planet: Any) -> None:
    series = planet.towers(sites=3)
    codes = np.array([ECOSYSTEMS.index(n) for n in series["ecosystem"].values], dtype=np.int8)
    coded = series.assign_coords(ecosystem=("site", codes))
    assert _prepare(coded).ecosystems == _prepare(series).ecosystems


def test_a_series_of_another_step_is_refused(planet: Any) -> None:
    with pytest.raises(InputError, match=r"Expected week\. Found month"):
        _prepare(planet.towers(sites=2), step="week")


def test_a_series_without_flux_is_refused(planet: Any) -> None:
    with pytest.raises(InputError, match="no flux 'ch4_flux'"):
        _prepare(planet.towers(sites=2).drop_vars("ch4_flux"))


def test_growing_and_frozen_steps_share_the_flux_and_leave_the_drivers_whole(planet: Any) -> None:
    series = planet.towers(sites=4)
    series["tas"] = series["tas"] + 273.15
    whole = np.isfinite(_prepare(series, min_years=0.5).values)
    warm, cold = (
        np.isfinite(_prepare(series, regime=regime, min_years=0.5).values)
        for regime in ("growing", "frozen")
    )
    np.testing.assert_array_equal(warm[..., -1] | cold[..., -1], whole[..., -1])
    assert not (warm[..., -1] & cold[..., -1]).any()
    np.testing.assert_array_equal(warm[..., :-1], whole[..., :-1])
    above = series["tas"].values > 273.15
    assert not warm[..., -1][~above].any()


def test_a_season_without_a_temperature_is_refused(planet: Any) -> None:
    with pytest.raises(InputError, match="growing season cannot be told"):
        _prepare(planet.towers(sites=2).drop_vars("tas"), "pr", regime="growing")


def test_humidity_beside_temperature_and_deficit_is_not_tested(planet: Any) -> None:
    series = planet.towers(sites=3)
    series["hurs"] = series["vpd"] * -0.5
    panel = _prepare(series, "tas", "vpd", "hurs")
    assert panel.variables == ("tas", "vpd", "ch4_flux")
    assert panel.untested == {"hurs": "follows from tas and vpd"}
    assert _prepare(series, "tas", "hurs").variables == ("tas", "hurs", "ch4_flux")

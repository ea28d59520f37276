"""Trends and seasons: laws of slopes, tests of known size, truth planted in budgets, and a real ensemble mean."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from real_files import real

from ch4grid.errors import InputError
from ch4grid.trends import cell_trends, report_seasons, report_trends, seasons, trends
from ch4grid.trends.series import (
    block_slopes,
    false_discovery_rates,
    mann_kendall,
    rank_interval,
    theil_sen,
)
from ch4grid.trends.years import STATUS
from ch4grid.vocabulary import months

Floats = NDArray[np.float64]

CLASSES = ("upland", "rice-paddy")
REGIONS = ("globe", "tropics")


def product(
    first: int, last: int, *, rate: float = 0.0, members: int = 4, shift: float = 0.0, seed: int = 0
) -> xr.Dataset:
    """Budgets of about 10 Tg a month; rice grows by `rate` Tg per month and year, its season shifts by `shift`."""
    rng = np.random.default_rng(seed)
    time = months(first, last)
    year = time.year.to_numpy() - first
    peak = 6 + shift * (year >= (last - first + 1) / 2)
    season = np.cos(2 * np.pi * (time.month.to_numpy() - 1 - peak) / 12)
    budget = np.zeros((members, len(time), 2, 2))
    for k in range(2):
        noise = rng.normal(0, 0.1, (1, len(time), 1)) + rng.normal(0, 0.05, (members, len(time), 2))
        line = (10 + 3 * season + rate * year * (k == 1))[None, :, None]
        budget[:, :, k] = (line + noise) * [1.0, 0.5]
    dims = ("member", "time", "ecosystem", "region")
    coords = {"time": time, "ecosystem": list(CLASSES), "region": list(REGIONS)}
    return xr.Dataset({"ch4_budget": (dims, budget, {"units": "Tg"})}, coords=coords)


def autoregressive(series: int, steps: int, memory: float, seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    shock = rng.normal(size=(series, steps))
    out = np.zeros((series, steps))
    out[:, 0] = shock[:, 0] / np.sqrt(1 - memory**2)
    for t in range(1, steps):
        out[:, t] = memory * out[:, t - 1] + shock[:, t]
    return out


numbers = st.lists(st.floats(-100, 100), min_size=3, max_size=25)


@settings(max_examples=60, deadline=None)
@given(numbers, st.floats(0.1, 10), st.floats(-50, 50))
def test_the_slope_follows_scale_shift_and_the_direction_of_time(values, scale, shift) -> None:
    row, time = np.array([values]), np.arange(len(values), dtype=float)
    slope = theil_sen(row, time)
    assert theil_sen(scale * row + shift, time) == pytest.approx(scale * slope, abs=1e-9)
    assert theil_sen(row[:, ::-1], time) == pytest.approx(-slope, abs=1e-9)
    assert theil_sen(row + 3 * time, time) == pytest.approx(slope + 3, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(numbers, st.sets(st.integers(0, 24), max_size=5))
def test_slopes_are_those_of_scipy_with_gaps_left_out(values, gaps) -> None:
    from scipy.stats import theilslopes

    row, time = np.array(values), np.arange(len(values), dtype=float)
    kept = np.array([i not in gaps for i in range(len(row))])
    if kept.sum() < 3:
        return
    expected = theilslopes(row[kept], time[kept]).slope
    assert theil_sen(np.where(kept, row, np.nan)[None], time)[0] == pytest.approx(expected)


def test_without_memory_the_test_is_kendalls_and_the_interval_that_of_scipy() -> None:
    from scipy.stats import kendalltau, theilslopes

    values, time = autoregressive(20, 40, 0.0, seed=3), np.arange(40.0)
    tested = mann_kendall(values, time, corrected=False)
    expected = [kendalltau(time, row, method="asymptotic").pvalue for row in values]
    # Mann and Kendall take one from |S| for continuity, which scipy does not
    assert tested.p == pytest.approx(expected, abs=0.02)
    bounds = rank_interval(values, time, tested.spread, 0.9)
    theirs = np.array([theilslopes(row, time, alpha=0.9)[2:] for row in values])
    assert bounds == pytest.approx(theirs, abs=0.01)


def test_constant_and_missing_series_have_no_trend() -> None:
    values = np.array([[5.0] * 12, [np.nan] * 12])
    tested = mann_kendall(values, np.arange(12.0))
    assert tested.slope[0] == 0
    assert tested.p[0] == 1
    assert np.isnan(tested.slope[1])
    assert np.isnan(tested.p[1])


@pytest.mark.parametrize(("steps", "memory"), [(20, 0.3), (20, 0.5), (60, 0.3), (60, 0.5)])
def test_chance_trends_of_persistent_series_are_as_rare_as_stated(
    steps: int, memory: float
) -> None:
    values, time = autoregressive(3000, steps, memory, seed=7), np.arange(float(steps))
    false = np.mean(mann_kendall(values, time).p < 0.05)
    plain = np.mean(mann_kendall(values, time, corrected=False).p < 0.05)
    assert 0.03 <= false <= 0.08
    assert plain > 0.10


def test_a_real_trend_is_still_found_in_persistent_series() -> None:
    time = np.arange(30.0)
    values = autoregressive(500, 30, 0.3, seed=8) + 0.12 * time
    assert np.mean(mann_kendall(values, time).p < 0.05) > 0.7


def test_block_intervals_hold_the_true_slope_about_as_often_as_stated() -> None:
    time = np.arange(30.0)
    values = autoregressive(150, 30, 0.2, seed=9) + 0.05 * time
    drawn = block_slopes(values, time, block=2, draws=200, rng=np.random.default_rng(1))
    lower, upper = np.quantile(drawn, [0.05, 0.95], axis=0)
    assert 0.75 <= np.mean((lower <= 0.05) & (upper >= 0.05)) <= 0.97


def test_false_discovery_rates_are_those_of_statsmodels() -> None:
    from statsmodels.stats.multitest import multipletests

    p = np.random.default_rng(4).random((6, 5)) ** 2
    p[2, 3] = np.nan
    q = false_discovery_rates(p)
    assert np.isnan(q[2, 3])
    known = np.isfinite(p)
    assert q[known] == pytest.approx(multipletests(p[known], method="fdr_bh")[1])


def test_a_planted_trend_is_found_in_its_class_alone() -> None:
    result = trends(product(2001, 2016, rate=0.05), draws=100)
    rice = result.sel(ecosystem="rice-paddy", region="globe")
    assert float(rice["trend"]) == pytest.approx(12 * 0.05, rel=0.1)
    assert float(rice["trend_lower"]) < 12 * 0.05 < float(rice["trend_upper"])
    assert bool(rice["significant"])
    assert not result["significant"].sel(ecosystem="upland").any()
    assert bool(result["significant"].sel(ecosystem="all", region="globe"))


def test_the_interval_holds_the_spread_of_the_members() -> None:
    same = product(2001, 2016, rate=0.05, members=1)
    fan = xr.concat(
        [same.assign(ch4_budget=same["ch4_budget"] * f) for f in (0.5, 1.0, 1.5)], dim="member"
    )
    narrow, wide = trends(same, draws=100), trends(fan, draws=100)
    width = [
        float((r["trend_upper"] - r["trend_lower"]).sel(ecosystem="rice-paddy", region="globe"))
        for r in (narrow, wide)
    ]
    assert width[1] > 3 * width[0]


def test_a_short_series_has_a_slope_and_no_significance() -> None:
    result = trends(product(2001, 2007, rate=0.5), draws=20)
    assert bool((result["status"] == STATUS["too short for a trend"]).all())
    assert bool(np.isfinite(result["trend"]).all())
    assert not result["significant"].any()
    assert "too short for a trend" in report_trends(result).answers[0]


def test_a_change_of_slope_between_decades_is_found_with_its_interval() -> None:
    ds = product(2001, 2020)
    year = ds["time"].dt.year
    ds["ch4_budget"] = ds["ch4_budget"] + 0.1 * (year - 2010).clip(min=0)
    result = trends(ds, draws=100).sel(ecosystem="upland", region="globe")
    assert list(result["decade"].values) == ["2001-2010", "2011-2020"]
    assert float(result["acceleration"]) == pytest.approx(1.2, rel=0.2)
    assert float(result["acceleration_lower"]) > 0


def test_a_trend_beyond_the_tower_record_is_called_driver_propagated() -> None:
    ds = product(2001, 2016, rate=0.05)
    for record in (None, (2006, 2018)):
        finding = report_trends(trends(ds, record=record, draws=20))
        assert set(finding.table["label"]) == {"driver-propagated"}
        assert "driver-propagated" in finding.answers[0]
        assert any("fixed-driver" in limit for limit in finding.limits)
    seen = report_trends(trends(ds, record=(2000, 2018), draws=20))
    assert set(seen.table["label"]) == {"within the tower record"}


def test_members_that_disagree_fail_the_check() -> None:
    ds = product(2001, 2016, rate=0.05, members=30)
    sign = xr.DataArray(np.r_[-3.0, np.zeros(29)], dims="member")
    line = 0.05 * (ds["time"].dt.year - 2001) * sign * (ds["ecosystem"] == "rice-paddy")
    check = report_trends(trends(ds.assign(ch4_budget=ds["ch4_budget"] + line), draws=20)).checks[0]
    assert check.passed is False


def test_totals_double_with_the_budget() -> None:
    ds = product(2001, 2012, rate=0.02)
    one, two = trends(ds, draws=20), trends(ds.assign(ch4_budget=2 * ds["ch4_budget"]), draws=20)
    for name in ("trend", "trend_lower", "mean"):
        assert two[name].values == pytest.approx(2 * one[name].values)
    assert two["p"].values == pytest.approx(one["p"].values)


def test_the_season_peaks_where_it_was_planted_and_moves_as_it_was_moved() -> None:
    still, moved = (seasons(product(2001, 2020, shift=s), draws=50) for s in (0.0, 1.0))
    upland = {"ecosystem": "upland", "region": "globe"}
    assert int(still["peak_month"].sel(upland)) == 7
    assert float(still["amplitude"].sel(upland)) == pytest.approx(6, rel=0.05)
    assert float(still["phase"].sel(upland)) == pytest.approx(6, abs=0.05)
    assert float(still["phase_change_lower"].sel(upland)) < 0
    assert float(still["phase_change_upper"].sel(upland)) > 0
    assert float(moved["phase_change"].sel(upland)) == pytest.approx(1, abs=0.1)
    assert float(moved["phase_change_lower"].sel(upland)) > 0
    assert "moved" in " ".join(report_seasons(moved).answers)


def test_a_class_without_flux_has_no_season() -> None:
    ds = product(2001, 2009)
    ds["ch4_budget"] = ds["ch4_budget"].where(ds["ecosystem"] != "upland", 0.0)
    result = seasons(ds, draws=10).sel(ecosystem="upland")
    assert (result["peak_month"] == 0).all()
    assert result["phase"].isnull().all()
    trend = trends(ds, draws=10).sel(ecosystem="upland")
    assert (trend["status"] == STATUS["constant"]).all()


def _cells(rate: Floats, years: int = 12, seed: int = 2) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    time = months(2001, 2000 + years)
    year = time.year.to_numpy() - 2001
    values = rng.normal(1e-10, 1e-11, (len(time), *rate.shape)) + year[:, None, None] * rate
    return xr.Dataset({"ch4_flux": (("time", "latitude", "longitude"), values)}, {"time": time})


def test_cells_with_a_trend_stand_out_and_missing_ones_say_so() -> None:
    rate = np.zeros((10, 20))
    rate[:3] = 5e-12
    ds = _cells(rate)
    ds["ch4_flux"][:, 5, 5] = np.nan
    ds["ch4_flux"][:60, 6, 6] = np.nan
    found = cell_trends(ds)
    assert found["significant"][:3].mean() > 0.95
    assert found["significant"][3:].mean() < 0.03
    assert int(found["status"][5, 5]) == STATUS["missing"]
    assert np.isnan(found["trend"][5, 5])
    assert int(found["status"][6, 6]) == STATUS["too short for a trend"]
    assert not found["significant"][6, 6]
    inside = (found["trend_lower"] <= rate) & (found["trend_upper"] >= rate)
    assert 0.8 <= float(inside.values[found["status"].values == 0].mean()) <= 0.97


def test_a_map_without_trends_has_none() -> None:
    assert not cell_trends(_cells(np.zeros((20, 30)), years=15))["significant"].any()


def test_a_year_without_december_is_left_out() -> None:
    ds = product(2001, 2012)
    result = trends(ds.isel(time=slice(0, -1)), draws=10)
    assert result.attrs["last_year"] == 2011


def test_a_product_without_budget_or_years_is_named() -> None:
    with pytest.raises(InputError, match="no budget"):
        trends(xr.Dataset())
    with pytest.raises(InputError, match="complete years"):
        trends(product(2001, 2001).isel(time=slice(0, 6)))


def test_importing_trends_loads_no_heavy_library() -> None:
    code = "import sys, ch4grid.trends; print([m for m in ('scipy.stats', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def wetcharts() -> xr.Dataset:
    """WetCHARTs' zonal ensemble mean of 2001-2015 as a product with one class, one member and latitude bands."""
    path = real("gridded_ch4/WetCHARTs_v1_zonal_monthly_2001-2015.nc")
    with xr.open_dataset(path, decode_times=False) as raw:
        zonal, latitude = raw["wetland_emissions"].values / 1e12, raw["lat"].values
    bands = {"globe": (-90, 90), "tropics": (-30, 30), "northern-extratropics": (30, 90)}
    mass = np.stack(
        [zonal[:, (latitude > s) & (latitude < n)].sum(axis=1) for s, n in bands.values()], axis=1
    )
    return xr.Dataset(
        {"ch4_budget": (("member", "time", "ecosystem", "region"), mass[None, :, None])},
        coords={
            "time": pd.date_range("2001-01-01", periods=180, freq="MS", unit="s"),
            "ecosystem": ["temperate-wetland"],
            "region": list(bands),
        },
    )


def test_real_wetlands_emit_most_in_the_northern_summer() -> None:
    ds = wetcharts()
    result = seasons(ds, draws=100).sel(ecosystem="all")
    assert int(result["peak_month"].sel(region="northern-extratropics")) in (7, 8)
    assert int(result["peak_month"].sel(region="globe")) in (7, 8)
    total = trends(ds, draws=100)
    assert float(total["mean"].sel(ecosystem="all", region="globe")) == pytest.approx(165, rel=0.15)
    assert (total["status"] == STATUS["tested"]).all()
    assert report_trends(total).table["label"].eq("driver-propagated").all()

"""Null controls cut what couples flux and drivers and nothing else; what they find decides what the prior may keep."""

import json
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from ch4grid.causal import Discovery, discover, preparation
from ch4grid.causal.anomalies import anomalies, design_matrix
from ch4grid.causal.expert import expert_flux
from ch4grid.causal.nulls import (
    ALL,
    NullControl,
    NullRate,
    gated,
    nulls,
    report_nulls,
    share_interval,
    trust,
)
from ch4grid.causal.surrogates import KINDS, phase_randomised, surrogate
from ch4grid.errors import InputError
from ch4grid.vocabulary import ECOSYSTEMS

CONFIG = Discovery(bootstraps=5, driver_bootstraps=1)
DRIVERS = ("rsds", "tas", "mrsos", "evi", "ps")


def _null(series: xr.Dataset, kind: str, seed: int = 0) -> xr.Dataset:
    return surrogate(series, kind, flux="ch4_flux", drivers=DRIVERS, harmonics=2, seed=seed)


def _numbered(step: str, years: int, sites: int = 3) -> xr.Dataset:
    """Flux and drivers that say which step they are of, so that one sees where a value came from."""
    steps = 12 * years if step == "month" else round(365.25 / 7 * years)
    time = pd.date_range("2001-01-01", periods=steps, freq="MS" if step == "month" else "7D")
    number = np.tile(np.arange(steps, dtype=float), (sites, 1))
    names = ("ch4_flux", "ch4_flux_coverage", *DRIVERS)
    return xr.Dataset(
        {name: (("site", "time"), number.copy()) for name in names},
        coords={"time": time, "cluster": ("site", np.arange(sites) // 2)},
        attrs={"step": step},
    )


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), steps=st.integers(8, 60), lost=st.floats(0, 0.5))
def test_random_phases_deal_the_same_values_to_the_same_steps(
    seed: int, steps: int, lost: float
) -> None:
    random = np.random.default_rng(seed)
    values = random.gamma(2.0, size=steps)
    values[random.random(steps) < lost] = np.nan
    values[:2] = random.random(2)
    dealt = phase_randomised(values, random)
    np.testing.assert_array_equal(np.sort(dealt), np.sort(values[np.isfinite(values)]))


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("memory", [0.0, 0.6])
def test_random_phases_keep_the_memory_of_a_series(gaps: bool, memory: float) -> None:
    random = np.random.default_rng(3)
    values = np.zeros((200, 120))
    for t in range(1, 120):
        values[:, t] = memory * values[:, t - 1] + random.normal(size=200)
    if gaps:
        values[:, 30:34] = np.nan
        values[random.random(values.shape) < 0.15] = np.nan
    null = np.full_like(values, np.nan)
    for row, out in zip(values, null, strict=True):
        out[np.isfinite(row)] = phase_randomised(row, random)
    for lag in (1, 2, 4):
        assert _memory(null, lag) == pytest.approx(_memory(values, lag), abs=0.1)
    assert abs(np.nanmean(null * values)) < 0.05 * np.nanvar(values)


def _memory(values: np.ndarray, lag: int) -> float:
    return float(np.nanmean(values[:, lag:] * values[:, :-lag]) / np.nanvar(values))


def test_random_phases_keep_gaps_and_the_season_of_the_flux(planet: Any) -> None:
    series = planet.towers(sites=12, steps=72)
    null = _null(series, "phases")
    xr.testing.assert_identical(null.drop_vars("ch4_flux"), series.drop_vars("ch4_flux"))
    before, after = (np.arcsinh(s["ch4_flux"] / 16.0425e-11) for s in (series, null))
    np.testing.assert_array_equal(np.isfinite(after), np.isfinite(before))
    gap = np.abs(after.groupby("time.month").mean() - before.groupby("time.month").mean())
    # the season of the fit stays exactly; a monthly mean of six other anomalies moves by their scatter
    assert float(gap.mean()) < 0.35 * float(before.groupby("time.month").mean().std("month").mean())
    assert float(np.abs(after - before).mean()) > 0.2


@pytest.mark.parametrize("step", ["month", "week"])
@pytest.mark.parametrize("seed", range(4))
def test_no_year_of_flux_stays_at_its_place_and_every_season_does(step: str, seed: int) -> None:
    series = _numbered(step, years=5)
    null = _null(series, "years", seed)
    xr.testing.assert_identical(null[list(DRIVERS)], series[list(DRIVERS)])
    _assert_other_years_of_the_same_season(series, null, "ch4_flux", step)
    np.testing.assert_array_equal(null["ch4_flux_coverage"], null["ch4_flux"])


@pytest.mark.parametrize("step", ["month", "week"])
@pytest.mark.parametrize("seed", range(4))
def test_shifted_drivers_move_together_by_whole_years(step: str, seed: int) -> None:
    series = _numbered(step, years=5)
    null = _null(series, "shifted", seed)
    xr.testing.assert_identical(null["ch4_flux"], series["ch4_flux"])
    _assert_other_years_of_the_same_season(series, null, "tas", step)
    for name in DRIVERS:
        np.testing.assert_array_equal(null[name], null["tas"])


def _assert_other_years_of_the_same_season(
    series: xr.Dataset, null: xr.Dataset, name: str, step: str
) -> None:
    moved = null[name].values - series[name].values
    kept = np.isfinite(moved)
    assert kept.mean() > 0.98
    per_year = 12 if step == "month" else 365.25 / 7
    years = np.round(moved[kept] / per_year)
    assert (years != 0).all()
    assert np.abs(moved[kept] - years * per_year).max() < (1e-9 if step == "month" else 1.1)
    # sites 0 and 1 are neighbours
    np.testing.assert_array_equal(moved[0], moved[1])


@pytest.mark.parametrize("kind", ["years", "shifted"])
def test_records_of_different_length_are_dealt_within_themselves(kind: str) -> None:
    series = _numbered("month", years=6)
    series["ch4_flux"][0, :36] = np.nan
    series["ch4_flux"][2, 12:] = np.nan
    null = _null(series, kind)
    name = "ch4_flux" if kind == "years" else "tas"
    late = null[name].values[0, 36:]
    assert late.min() >= 36
    assert np.isfinite(late).all()
    # a single year has no other one to swap with
    assert np.isnan(null[name].values[2, :12]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_coupling_is_gone_and_seeds_decide(kind: str, planet: Any) -> None:
    series = planet.towers(sites=40, steps=72)
    same, again, other = (_null(series, kind, seed) for seed in (1, 1, 2))
    xr.testing.assert_identical(same, again)
    assert not same.identical(other)
    assert _coupling(series) > 0.3
    assert abs(_coupling(same)) < 0.06


def _coupling(series: xr.Dataset) -> float:
    """Correlation of anomalies of temperature and flux of the same month."""
    both = anomalies(series, flux="ch4_flux", drivers=("tas",))
    flux, tas = both["ch4_flux"].values, both["tas"].values
    ok = np.isfinite(flux) & np.isfinite(tas)
    return float(np.corrcoef(flux[ok], tas[ok])[0, 1])


def test_unknown_controls_and_short_series_are_refused() -> None:
    with pytest.raises(InputError, match="unknown null control") as unknown:
        _null(_numbered("month", 5), "shuffled")
    assert "phases" in str(unknown.value)
    with pytest.raises(InputError, match="at least two years"):
        _null(_numbered("month", 1), "shifted")


def _control(series: xr.Dataset, **how: Any) -> NullControl:
    asked: dict[str, Any] = {"config": CONFIG, "seed": 0, "replicates": 3} | how
    return nulls(series, flux="ch4_flux", drivers=DRIVERS, ecosystems=ECOSYSTEMS, **asked)


def test_few_links_are_found_where_nothing_is_coupled(planet: Any) -> None:
    control = _control(planet.towers(steps=84), replicates=4)
    assert {rate.kind for rate in control.rates} == set(KINDS)
    total = {rate.kind: rate for rate in control.rates if rate.ecosystem == ALL}
    for kind in KINDS:
        assert total[kind].tests == 4 * 4 * len(DRIVERS) * 4
        assert total[kind].reported <= 0.05
        assert total[kind].linked <= 0.05
    assert set(control.trust) == {"pool", "boreal-peatland", "temperate-wetland", "rice-paddy"}
    assert set(control.trust.values()) == {1.0}
    assert all(check.passed for check in report_nulls(control).checks)


def test_a_method_that_leaves_the_season_in_is_caught_and_loses_trust(
    planet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trend_alone(calendar: pd.DatetimeIndex, harmonics: int) -> np.ndarray:
        return design_matrix(calendar, harmonics)[:, :2]

    series = planet.towers()
    monkeypatch.setattr(preparation, "design_matrix", trend_alone)
    control = _control(series, kinds=("shifted",))
    assert control.worst("pool").lower > 0.05
    assert control.trust["pool"] < 1.0
    finding = report_nulls(control)
    assert not finding.sound
    assert any("drawn to the expert" in answer for answer in finding.answers)
    graph = discover(
        series, flux="ch4_flux", drivers=DRIVERS, ecosystems=ECOSYSTEMS, config=CONFIG, seed=0
    )
    expert = expert_flux(DRIVERS, ECOSYSTEMS, 3)
    far, near = (
        np.abs(g.probability[:, -1] - expert).mean() for g in (graph, gated(graph, control))
    )
    assert near < far


def test_a_parallel_map_gives_the_same_numbers(planet: Any) -> None:
    def elsewhere(run: Any, jobs: Any) -> list[Any]:
        there = pickle.loads(pickle.dumps(run))
        return [there(job) for job in reversed(jobs)][::-1]

    series = planet.towers(sites=12)
    here, there = (_control(series, replicates=2, mapper=m) for m in (map, elsewhere))
    assert here.rates == there.rates


@given(st.floats(0, 1), st.floats(0, 1))
def test_trust_falls_with_the_rate_from_one_to_nothing(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert 0.0 <= trust(high) <= trust(low) <= 1.0
    assert trust(0.05 * low) == 1.0
    assert trust(0.25 + 0.75 * high) == 0.0
    assert trust(0.15) == pytest.approx(0.5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 200))
def test_the_interval_of_independent_tests_is_the_exact_one(hits: int) -> None:
    dealt = (np.arange(200) < hits).reshape(40, 5).T
    exact = binomtest(hits, 200).proportion_ci(0.9, method="exact")
    lower, upper = share_interval(dealt)
    assert lower == pytest.approx(exact.low, abs=0.02)
    assert upper == pytest.approx(exact.high, abs=0.02)


def test_hits_that_come_in_clumps_widen_the_interval() -> None:
    even, clumped = np.zeros((10, 100), dtype=bool), np.zeros((10, 100), dtype=bool)
    even[:, :5] = True
    clumped[0, :50] = True
    narrow, wide = share_interval(even), share_interval(clumped)
    assert wide[0] < narrow[0]
    assert wide[1] > 2 * narrow[1]


def _rated(**rates: float) -> NullControl:
    rows = [NullRate("years", name, 5, 1000, *(r,) * 11) for name, r in rates.items()]
    total = rows[0]._replace(ecosystem=ALL)
    return NullControl((*rows, total), {"replicates": 5, "config": {"alpha": 0.01}})


def test_the_gate_leaves_a_sound_graph_and_returns_a_hopeless_one_to_the_expert(
    planet: Any,
) -> None:
    graph = discover(
        planet.towers(sites=12),
        flux="ch4_flux",
        drivers=DRIVERS,
        ecosystems=ECOSYSTEMS,
        config=CONFIG,
        seed=0,
    )
    expert = expert_flux(DRIVERS, ECOSYSTEMS, 3)
    sound, hopeless = gated(graph, _rated(pool=0.04)), gated(graph, _rated(pool=0.3))
    np.testing.assert_array_equal(sound.probability, graph.probability)
    np.testing.assert_array_equal(hopeless.probability[:, -1], expert)
    np.testing.assert_array_equal(hopeless.probability[:, :-1], graph.probability[:, :-1])
    np.testing.assert_allclose(hopeless.provenance["pooled"], expert.mean(axis=0))
    rice = ECOSYSTEMS.index("rice-paddy")
    one = gated(graph, _rated(**{"pool": 0.0, "rice-paddy": 0.15})).probability[:, -1]
    np.testing.assert_allclose(one[rice], (graph.probability[rice, -1] + expert[rice]) / 2)
    np.testing.assert_array_equal(one[:rice], graph.probability[:rice, -1])
    assert json.loads(sound.to_json())["provenance"]["nulls"]["trust"] == {"pool": 1.0}


def test_the_finding_says_what_failed_where() -> None:
    finding = report_nulls(_rated(**{"pool": 0.01, "urban": 0.12}))
    failed = [check for check in finding.checks if not check.passed]
    assert [check.name for check in failed] == ["false-link rate, years"]
    assert "urban" in failed[0].told
    assert "12.00%" in failed[0].told
    assert any("urban (0.65)" in answer for answer in finding.answers)
    assert len(finding.table) == 3


def test_series_without_enough_data_end_in_a_finding_that_says_so(planet: Any) -> None:
    series = planet.towers(sites=3, steps=24)
    few = Discovery(bootstraps=1, driver_bootstraps=1, min_years=10.0)
    finding = report_nulls(_control(series, config=few, replicates=1))
    assert finding.answers == ("No class had enough data to be tested.",)
    assert finding.table.empty


def test_a_worse_control_decides() -> None:
    control = _rated(pool=0.01)
    shifted = replace(
        control, rates=(*control.rates, control.rates[0]._replace(kind="shifted", lower=0.15))
    )
    assert shifted.trust == {"pool": pytest.approx(0.5)}

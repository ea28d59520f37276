"""Effects of planted causes are found, doubtful ones are associations, and missing ones are rows with a reason."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from effect_truth import responses
from hypothesis import given, settings
from hypothesis import strategies as st

from ch4grid.causal import EffectSettings, effects, report_effects
from ch4grid.causal import forest as forests
from ch4grid.causal.adjustment import Lagged
from ch4grid.causal.anomalies import anomalies
from ch4grid.causal.effects import Effects
from ch4grid.causal.treatments import Sample, monthly, sample, shuffled
from ch4grid.errors import InputError
from ch4grid.graph import CausalGraph
from ch4grid.twin import Twin, laboratory, true_graph
from ch4grid.vocabulary import ECOSYSTEMS

FLUX = "ch4_flux"
QUICK = EffectSettings(forests=0)
# A small change of a driver in standard deviations.
SMALL = 1e-3


def _sample(n: int = 400, seed: int = 0, effect: float = 0.5, blocks: int = 20) -> Sample:
    """Months with one confounder: the treatment takes on half of it, the outcome all of it."""
    rng = np.random.default_rng(seed)
    held = rng.normal(size=(n, 1))
    treatment = 0.5 * held[:, 0] + rng.normal(size=n)
    outcome = effect * treatment + held[:, 0] + rng.normal(size=n)
    site = np.sort(np.arange(n) % blocks)
    return Sample(outcome, treatment, held, site, site, np.arange(n) % (n // blocks))


def _average(data: Sample) -> forests.Estimate:
    return forests.average(
        forests.residuals(data, folds=5, seed=0), data.cluster, data.month + 1000 * data.site
    )


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 1000), factor=st.floats(0.1, 10.0))
def test_an_effect_is_per_unit_of_the_treatment(seed: int, factor: float) -> None:
    data = _sample(seed=seed)
    stretched = Sample(**(vars(data) | {"treatment": data.treatment * factor}))
    first, second = _average(data), _average(stretched)
    assert second.value == pytest.approx(first.value / factor, rel=1e-6)
    assert second.lower == pytest.approx(first.lower / factor, rel=1e-6, abs=1e-9)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 1000))
def test_an_effect_does_not_depend_on_the_order_of_months(seed: int) -> None:
    data = _sample(seed=seed)
    mixed = data.at(np.random.default_rng(seed).permutation(len(data)))
    assert _average(mixed).value == pytest.approx(_average(data).value, rel=0.02)


def test_intervals_hold_the_planted_effect_nine_times_in_ten() -> None:
    found = [_average(_sample(seed=s)) for s in range(100)]
    held = np.mean([e.lower <= 0.5 <= e.upper for e in found])
    assert 0.82 <= held <= 0.97
    assert np.mean([e.value for e in found]) == pytest.approx(0.5, abs=0.02)


def test_without_adjustment_the_confounder_is_in_the_effect() -> None:
    data = _sample(2000)
    naive = Sample(**(vars(data) | {"held": data.held[:, :0]}))
    assert _average(naive).value > 0.8


def test_what_moves_all_blocks_in_a_month_widens_the_interval() -> None:
    rng = np.random.default_rng(0)
    block, month = (part.ravel() for part in np.indices((12, 30)))
    weather, noise = rng.normal(size=(2, 30))
    found = forests.Residuals(
        noise[month] + 0.3 * rng.normal(size=360), weather[month] + 0.3 * rng.normal(size=360)
    )
    both = forests.average(found, block, month)
    alone = forests.average(found, block, np.arange(360))
    assert both.upper - both.lower > 1.5 * (alone.upper - alone.lower)


def test_a_binary_treatment_has_a_propensity_and_its_overlap_is_counted() -> None:
    data = _sample(1000)
    binary = Sample(**(vars(data) | {"treatment": (data.treatment > 0).astype(float)}))
    found = forests.residuals(binary, folds=5, seed=0, binary=True)
    assert found.propensity is not None
    assert found.propensity.min() >= 0
    assert found.propensity.max() <= 1
    certain = forests.Residuals(found.outcome, found.treatment, np.full(1000, 0.99))
    assert forests.overlap(found, binary) > 0.8
    assert forests.overlap(certain, binary) == 0.0


def test_persistent_months_count_for_less() -> None:
    rng = np.random.default_rng(1)
    walk = np.zeros((2, 2000))
    for t in range(1, 2000):
        walk[:, t] = 0.8 * walk[:, t - 1] + rng.normal(size=2)
    site = np.zeros(2000, dtype=int)
    data = Sample(walk[0], walk[1], np.zeros((2000, 0)), site, site, np.arange(2000))
    size = forests.effective_size(forests.Residuals(walk[0], walk[1]), data)
    assert size == pytest.approx(2000 * (1 - 0.64) / (1 + 0.64), rel=0.15)


def test_a_forest_finds_where_the_effect_is_larger() -> None:
    rng = np.random.default_rng(2)
    x = rng.uniform(size=(60, 1))
    site = np.repeat(np.arange(60), 40)
    treatment = rng.normal(size=2400)
    outcome = (x[site, 0] - 0.5) * treatment + 0.3 * rng.normal(size=2400)
    data = Sample(
        outcome, treatment, np.zeros((2400, 0)), site, site // 2, np.tile(np.arange(40), 60)
    )
    modifiers = np.column_stack([np.ones(60), x])
    how = {"classes": 1, "trees": 40, "min_leaf": 20, "folds": 3, "seed": 0}
    found = forests.forest(data, modifiers, **how, memory_limit=1.0)
    assert np.corrcoef(found.effect, x[:, 0])[0, 1] > 0.95
    assert found.calibration.lower > 0.7
    assert found.quarters[0].upper < 0 < found.quarters[3].lower
    assert found.gain > 0.1
    again = forests.forest(data, modifiers, **how, memory_limit=1.0)
    np.testing.assert_array_equal(found.effect, again.effect)


def test_a_forest_that_does_not_fit_in_memory_is_refused_with_figures() -> None:
    with pytest.raises(InputError, match=r"at most 0\.5 GiB.*about \d"):
        forests.check_memory(1_000_000, 10, 200, 0.5)
    forests.check_memory(7000, 20, 200, 0.5)


def test_a_cycle_fitted_to_other_months_is_taken_out_again(planet) -> None:
    series = planet.towers(sites=4, steps=60)
    departures = anomalies(series, flux=FLUX, drivers=planet.drivers)
    data = sample(departures, FLUX, Lagged("tas", 0), [Lagged("rsds", 0)])
    calendar = pd.DatetimeIndex(series["time"].values)
    phase = 2 * np.pi * np.asarray(calendar.day_of_year)[data.month] / 365.25
    for site in range(4):
        at = data.site == site
        for column in (data.outcome, data.treatment, data.held[:, 0]):
            assert abs((column[at] * np.cos(phase[at])).sum()) < 1e-8


def test_the_future_of_a_driver_is_read_from_the_next_month(planet) -> None:
    series = planet.towers(sites=2, steps=60)
    departures = anomalies(series, flux=FLUX, drivers=planet.drivers)
    ahead = departures.assign(tas=departures["tas"].shift(time=-1))
    first = sample(departures, FLUX, Lagged("tas", -1), [])
    second = sample(ahead, FLUX, Lagged("tas", 0), [])
    np.testing.assert_allclose(first.treatment, second.treatment)


def test_dealing_signs_anew_moves_no_month_and_keeps_every_size(planet) -> None:
    departures = anomalies(planet.towers(sites=30), flux=FLUX, drivers=planet.drivers)
    mixed = shuffled(departures, "tas", 0)
    np.testing.assert_array_equal(np.abs(mixed["tas"]), np.abs(departures["tas"]))
    both = np.corrcoef(mixed["tas"].values.ravel(), departures["tas"].values.ravel())[0, 1]
    assert abs(both) < 0.2


def test_weeks_become_months_weighted_by_what_was_measured() -> None:
    time = pd.date_range("2001-01-01", periods=8, freq="7D", unit="s")
    flux = np.array([[1.0, 3.0, np.nan, 5.0, 5.0, 2.0, 2.0, 2.0]])
    series = xr.Dataset(
        {
            FLUX: (("site", "time"), flux),
            f"{FLUX}_coverage": (("site", "time"), [[0.2, 0.6, 0, 1, 1, 1, 1, 1]]),
            "tas": (("site", "time"), np.arange(8.0)[None]),
        },
        coords={"site": ["a"], "time": time},
        attrs={"step": "week"},
    )
    found = monthly(series, FLUX)
    assert found.attrs["step"] == "month"
    expected = (0.2 * 1 + 0.6 * 3 + 5 + 5) / (0.2 + 0.6 + 1 + 1)
    np.testing.assert_allclose(found[FLUX].values[0], [expected, 2.0])
    np.testing.assert_allclose(found["tas"].values[0], [2.0, 6.0])


@pytest.fixture(scope="module")
def twin_effects() -> tuple[Twin, xr.Dataset, Effects]:
    twin = Twin(seed=21)
    series = laboratory(twin, ecosystems=("coastal", "rice-paddy"), towers=10)
    config = EffectSettings(forests=1, trees=40)
    found = effects(
        series,
        true_graph(),
        flux=FLUX,
        ecosystems=("coastal", "rice-paddy", "upland"),
        config=config,
        seed=0,
    )
    return twin, series, found


def test_effects_of_the_twin_are_those_of_its_equations(twin_effects) -> None:
    twin, series, found = twin_effects
    rows = found.table
    rows = rows[(rows["contrast"] == "per unit") & (rows["ecosystem"] != "upland")]
    inside = []
    for row in rows.to_dict("records"):
        towers = series.isel(site=np.flatnonzero(series["ecosystem"].values == row["ecosystem"]))
        step = np.full((10, series.sizes["time"]), SMALL * row["spread"])
        answer = responses(
            twin, towers, row["ecosystem"], row["driver"], row["lag"], row["kind"], step
        )
        true = np.nanmean(answer) / (SMALL * row["spread"])
        assert row["effect"] == pytest.approx(true, rel=0.25), (row["driver"], row["kind"])
        inside.append(row["lower"] <= true <= row["upper"])
    assert np.mean(inside) >= 0.7


def test_a_class_without_towers_is_a_row_with_the_reason(twin_effects) -> None:
    rows = twin_effects[2].table
    empty = rows[rows["ecosystem"] == "upland"]
    assert len(empty) > 0
    assert empty["effect"].isna().all()
    assert (empty["status"] == "too little data: no tower").all()


def test_effects_run_in_parallel_and_again_are_the_same(twin_effects) -> None:
    _, series, _ = twin_effects
    how = {"flux": FLUX, "ecosystems": ("coastal",), "treatments": [("tas", 0)], "seed": 3}
    part = series.isel(site=slice(0, 10))
    first = effects(part, true_graph(), config=QUICK, **how)
    second = effects(
        part, true_graph(), config=QUICK, mapper=lambda f, jobs: [f(j) for j in list(jobs)], **how
    )
    pd.testing.assert_frame_equal(first.table, second.table)


def _linked(links: dict[tuple[str, str], float]) -> CausalGraph:
    drivers = ("tas", "rsds", "evi")
    probability = np.zeros((len(ECOSYSTEMS), 4, 3, 2))
    for (to, source), value in links.items():
        probability[:, (*drivers, FLUX).index(to), drivers.index(source), 0] = value
    return CausalGraph(drivers, FLUX, ECOSYSTEMS, probability)


def _status(planet, graph: CausalGraph, series: xr.Dataset | None = None) -> set[str]:
    towers = planet.towers(sites=30) if series is None else series
    found = effects(
        towers,
        graph,
        flux=FLUX,
        ecosystems=("rice-paddy",),
        treatments=[("tas", 0)],
        config=QUICK,
        seed=0,
    )
    return set(found.table["status"])


def test_an_open_direction_makes_an_association(planet) -> None:
    graph = _linked({("tas", "evi"): 1.0, ("evi", "tas"): 1.0, (FLUX, "tas"): 1.0})
    assert all(status.startswith("association: the graph") for status in _status(planet, graph))


def test_a_driver_that_should_be_held_but_is_absent_makes_an_association(planet) -> None:
    series = planet.towers(sites=30).drop_vars("rsds")
    found = _status(planet, _linked({("tas", "rsds"): 1.0, (FLUX, "tas"): 1.0}), series)
    assert found == {"association: rsds(t) should be held but is not measured"}


def test_a_treatment_that_what_is_held_explains_has_no_overlap(planet) -> None:
    series = planet.towers(sites=30)
    rng = np.random.default_rng(0)
    series["evi"] = series["tas"] + 0.2 * rng.normal(size=series["tas"].shape)
    found = _status(planet, _linked({("tas", "evi"): 1.0, (FLUX, "tas"): 1.0}), series)
    assert any("overlap" in status for status in found)


def test_the_finding_says_no_more_than_consistent_with(twin_effects, planet) -> None:
    finding = report_effects(
        planet.towers(sites=30),
        _linked({("tas", "rsds"): 1.0, (FLUX, "tas"): 1.0}),
        flux=FLUX,
        ecosystems=("rice-paddy", "urban"),
        config=EffectSettings(forests=1, trees=8),
        seed=0,
    )
    words = " ".join(finding.answers)
    assert "consistent with an effect" in words
    assert "urban" in words
    assert "no estimate" in words
    assert "caused" not in words
    assert {check.passed for check in finding.checks} <= {True, False, None}
    assert len(finding.checks) >= 3


def test_a_series_without_any_driver_of_the_graph_is_an_input_error(planet) -> None:
    series = planet.towers(sites=3)[[FLUX, f"{FLUX}_coverage"]]
    with pytest.raises(InputError, match="no driver of the graph"):
        effects(series, true_graph(), flux=FLUX, ecosystems=("urban",), config=QUICK, seed=0)

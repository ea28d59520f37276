"""Shrinkage, months from weeks, false discovery rates and the expert table."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from ch4grid.causal.expert import LIKELY, POSSIBLE, RARE, admissible, expert_drivers, expert_flux
from ch4grid.causal.preparation import Panel
from ch4grid.causal.prior import Evidence, benjamini_hochberg, calibrated, shrink, to_months
from ch4grid.graph import CausalGraph
from ch4grid.vocabulary import DYNAMIC, ECOSYSTEMS

DRIVERS = ("tas", "evi", "lai")
TESTED = ("tas", "evi")


def _panel() -> Panel:
    return Panel(
        values=np.zeros((1, 1, 3)),
        variables=(*TESTED, "ch4_flux"),
        sites=("XX-001",),
        ecosystems=("boreal-peatland",),
        clusters=(4,),
        years=np.array([3.0]),
        freedom=1.0,
        step="month",
        untested={"lai": "absent from the series"},
    )


def _graph(
    frequency: float,
    years: float = 10.0,
    *,
    pooled: float = 0.0,
    alone: float | None = None,
    trust: float = 1.0,
) -> CausalGraph:
    found = np.full((2, 4), frequency)
    evidence = Evidence(
        among=np.full((2, 2, 4), frequency),
        into={"pool": np.full((2, 4), pooled), "boreal-peatland": found},
        p={"pool": np.full((2, 4), 0.5), "boreal-peatland": np.full((2, 4), 1e-9)},
        years={"pool": 99.0, "boreal-peatland": years},
        into_sites={} if alone is None else {"XX-001": np.full((2, 4), alone)},
        p_sites={} if alone is None else {"XX-001": np.full((2, 4), 0.5)},
    )
    return shrink(
        evidence,
        _panel(),
        drivers=DRIVERS,
        ecosystems=ECOSYSTEMS,
        max_lag=3,
        shrink_class=5.0,
        shrink_expert=0.5,
        provenance={},
        shrink_site=6.0,
        trust=trust,
    )


@settings(max_examples=20, deadline=None)
@given(frequency=st.floats(0, 1), years=st.floats(0.1, 100))
def test_a_class_lies_between_its_frequency_and_the_pool(frequency: float, years: float) -> None:
    graph = _graph(frequency, years)
    expert = expert_flux(DRIVERS, ECOSYSTEMS, 3)[1, 0, 0]
    pooled = 0.5 * expert / 1.5
    expected = (years * frequency + 5 * pooled) / (years + 5)
    assert graph.probability[1, -1, 0, 0] == pytest.approx(expected)


def test_a_class_without_data_takes_the_pool_and_an_untested_driver_the_expert() -> None:
    graph = _graph(1.0, pooled=1.0)
    expert = expert_flux(DRIVERS, ECOSYSTEMS, 3)
    np.testing.assert_allclose(graph.probability[0, -1, :2], (1 + 0.5 * expert[0, :2]) / 1.5)
    np.testing.assert_allclose(graph.probability[:, -1, 2], expert[:, 2])
    assert graph.provenance["untested"] == {"lai": "absent from the series"}


@settings(max_examples=20, deadline=None)
@given(frequency=st.floats(0, 1), alone=st.floats(0, 1))
def test_a_site_alone_pulls_its_class_by_its_years(frequency: float, alone: float) -> None:
    # three years of its own against six of the class
    mean = (3 * alone + 6 * frequency) / 9
    expected = _graph(mean).probability[1, -1, :2]
    np.testing.assert_allclose(_graph(frequency, alone=alone).probability[1, -1, :2], expected)


@settings(max_examples=20, deadline=None)
@given(frequency=st.floats(0, 1), trust=st.floats(0, 1))
def test_trust_draws_evidence_towards_the_expert(frequency: float, trust: float) -> None:
    expert = expert_flux(DRIVERS, ECOSYSTEMS, 3)
    found = _graph(frequency, pooled=frequency, trust=trust).probability[:, -1, :2]
    full = _graph(frequency, pooled=frequency).probability[:, -1, :2]
    far, near = np.abs(full - expert[:, :2]), np.abs(found - expert[:, :2])
    assert (near <= far + 1e-9).all()
    if trust == 0:
        np.testing.assert_allclose(found, expert[:, :2])


def test_sites_alone_belong_to_the_family_of_tests() -> None:
    with_site = _graph(1.0, alone=1.0).provenance["q"]["boreal-peatland"][0][0]
    assert with_site == pytest.approx(3e-9)


def test_a_calibrated_frequency_grows_with_the_frequency_and_is_never_certain() -> None:
    chance = calibrated(np.linspace(0, 1, 31), 30)
    assert (np.diff(chance) > 0).all()
    assert 0 < chance[0] < 0.01
    assert 0.99 < chance[-1] < 1
    assert chance[15] > 0.5


def test_impossible_links_stay_impossible_whatever_was_found() -> None:
    graph = _graph(1.0)
    assert graph.probability[0, 0, 1].max() == 0.0
    assert graph.probability[0, 1, 1, 0] == 0.0
    assert graph.probability[0, 1, 0, 0] > 0.0


def test_months_are_months_and_weeks_combine_as_independent_chances() -> None:
    weekly = np.random.default_rng(0).random((2, 9))
    monthly = to_months(weekly, "week", 3)
    np.testing.assert_allclose(monthly[:, 0], 1 - np.prod(1 - weekly[:, :5], axis=1))
    np.testing.assert_allclose(monthly[:, 1], 1 - np.prod(1 - weekly[:, 5:9], axis=1))
    assert np.isnan(monthly[:, 2:]).all()
    np.testing.assert_allclose(to_months(weekly[:, :4], "month", 3), weekly[:, :4])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 500), size=st.integers(1, 60))
def test_false_discovery_rates_are_those_of_scipy(seed: int, size: int) -> None:
    p = np.random.default_rng(seed).random(size) ** 3
    np.testing.assert_allclose(benjamini_hochberg(p), false_discovery_control(p))


def test_significance_is_recorded_for_one_family() -> None:
    provenance = _graph(1.0).provenance
    assert provenance["q"]["boreal-peatland"][0][0] == pytest.approx(2e-9)
    assert provenance["sites"] == ["XX-001"]
    assert provenance["clusters"] == [4]


@pytest.mark.parametrize("max_lag", [0, 3, 6])
def test_the_expert_knows_three_grades_for_every_driver_and_class(max_lag: int) -> None:
    table = expert_flux(tuple(DYNAMIC), ECOSYSTEMS, max_lag)
    assert table.shape == (7, len(DYNAMIC), max_lag + 1)
    assert set(np.unique(table)) <= {RARE, POSSIBLE, LIKELY}


def test_nothing_causes_the_sun_and_plants_cause_no_weather() -> None:
    names = tuple(DYNAMIC)
    prior = expert_drivers(names, 3)
    for i, to in enumerate(names):
        for j, source in enumerate(names):
            assert (prior[i, j].max() > 0) == admissible(source, to)
        assert prior[i, i, 0] == 0.0
    assert not admissible("tas", "rsds")
    assert not admissible("evi", "tas")
    assert not admissible("sfcWind", "ps")
    assert not admissible("lst_day", "tas")
    assert admissible("lst_day", "evi")
    assert admissible("tas", "evi")

"""Strength and sign of a link are those of its partial correlation given what was found."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ch4grid.causal.independence import LaggedRows, PartialCorrelation
from ch4grid.causal.strength import effective_size, into_flux, persistence


def _system(seed: int, effect: float) -> np.ndarray:
    """Cause, its copy with noise, and a flux that follows the cause a step later (site, time, variable)."""
    rng = np.random.default_rng(seed)
    cause = rng.normal(size=(3, 200))
    flux = rng.normal(size=(3, 200))
    flux[:, 1:] += effect * cause[:, :-1]
    copy = cause + 0.3 * rng.normal(size=(3, 200))
    return np.stack([cause, copy, flux], axis=-1)


@pytest.mark.parametrize("effect", [0.8, -0.8])
def test_a_cause_has_its_sign_and_what_copies_it_has_no_strength(effect: float) -> None:
    rows = LaggedRows(_system(3, effect), max_lag=2)
    test = PartialCorrelation(rows, np.ones(len(rows.site)))
    found = into_flux(test, [(0, -1)], {}, drivers=2, reach=2)
    assert np.sign(found.value[0, 1]) == np.sign(effect)
    # of independent parts: effect / sqrt(1 + effect^2)
    assert abs(found.value[0, 1]) == pytest.approx(0.8 / np.sqrt(1.64), abs=0.06)
    assert found.p[0, 1] < 1e-10
    assert abs(found.value[1, 1]) < 0.12
    assert found.p[1, 1] > 0.001


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), flip=st.booleans())
def test_turning_the_flux_over_turns_every_sign_over(seed: int, flip: bool) -> None:
    values = _system(seed, 0.5)
    turned = values * np.array([1.0, 1.0, -1.0 if flip else 1.0])
    tests = [LaggedRows(v, max_lag=1) for v in (values, turned)]
    first, second = (
        into_flux(PartialCorrelation(rows, np.ones(len(rows.site))), [(0, -1)], {}, 2, 1)
        for rows in tests
    )
    np.testing.assert_allclose(second.value, -first.value if flip else first.value, atol=1e-9)
    np.testing.assert_allclose(second.p, first.p, atol=1e-9)


def test_p_values_of_links_that_are_none_are_uniform() -> None:
    p = []
    for seed in range(30):
        rows = LaggedRows(_system(seed, 0.0), max_lag=2)
        test = PartialCorrelation(rows, np.ones(len(rows.site)))
        p.append(into_flux(test, [], {}, 2, 2).p[0])
    assert np.mean(np.array(p) < 0.1) == pytest.approx(0.1, abs=0.06)


def test_memory_in_both_series_costs_effective_samples() -> None:
    rng = np.random.default_rng(0)
    white = rng.normal(size=(2, 4000))
    slow = np.zeros_like(white)
    for t in range(1, white.shape[1]):
        slow[:, t] = 0.8 * slow[:, t - 1] + white[:, t]
    assert persistence(slow) == pytest.approx(0.8, abs=0.03)
    assert effective_size(slow, slow) == pytest.approx(8000 * (1 - 0.64) / (1 + 0.64), rel=0.1)
    assert effective_size(white, slow) == pytest.approx(8000, rel=0.06)

"""Another method for place and another form of dependence say the same where they should, and more where they can."""

import numpy as np
import pytest

from ch4grid.causal.independence import LaggedRows, PartialCorrelation
from ch4grid.causal.sensitivity import PlaceTest, joint_links, nonlinear_test
from ch4grid.causal.settings import Discovery


def _values(seed: int, *, curved: bool = False, offset: float = 0.0) -> np.ndarray:
    """Driver, bystander and flux (site, time, variable); the flux follows the driver of the step before."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(6, 90, 3))
    before = values[:, :-1, 0]
    values[:, 1:, 2] += 0.9 * (before**2 - 1 if curved else before)
    return values + offset * rng.normal(size=(6, 1, 3))


def _rows(values: np.ndarray) -> LaggedRows:
    return LaggedRows(values, max_lag=2)


def test_given_the_place_a_difference_between_places_is_no_dependence() -> None:
    rows = _rows(_values(0, offset=5.0))
    ones = np.ones(len(rows.site))
    test, place = PlaceTest(rows, ones), (rows.variables, 0)
    raw = PartialCorrelation(rows, ones).run_test([(1, 0)], [(2, 0)], [])
    within = test.run_test([(1, 0)], [(2, 0)], [place])
    assert raw[1] < 1e-6
    assert abs(within[0]) < 0.1
    assert test.run_test([place], [(2, 0)], [])[1] < 1e-10
    assert PlaceTest(_rows(_values(0)), ones).run_test([place], [(1, 0)], [])[1] > 0.01


def test_within_places_it_is_the_partial_correlation_of_centred_columns() -> None:
    values = _values(1, offset=3.0)
    rows = _rows(values)
    found = PlaceTest(rows, np.ones(len(rows.site))).run_test(
        [(0, -1)], [(2, 0)], [(1, 0), (rows.variables, 0)]
    )
    parts = [values[:, 3:-1, 0], values[:, 4:, 2], values[:, 4:, 1]]
    x, y, z = ((v - v.mean(axis=1, keepdims=True)).ravel() for v in parts)
    inverse = np.linalg.inv(np.corrcoef([x, y, z]))
    expected = -inverse[0, 1] / np.sqrt(inverse[0, 0] * inverse[1, 1])
    assert found[0] == pytest.approx(expected, abs=1e-6)


def test_joint_discovery_finds_the_planted_link_whatever_the_level_of_a_place() -> None:
    config = Discovery(max_lag=2)
    lagged: dict[int, list[tuple[int, int]]] = {0: [], 1: []}
    for offset in (0.0, 1.0):
        found = joint_links(_rows(_values(2, offset=offset)), range(6), lagged, config)
        assert found.shape == (2, 3)
        assert {tuple(at) for at in np.argwhere(found).tolist()} == {(0, 1)}


def test_a_curved_effect_is_seen_by_neighbours_and_not_by_a_line() -> None:
    rows = _rows(_values(3, curved=True))
    line = PartialCorrelation(rows, np.ones(len(rows.site))).run_test([(0, -1)], [(2, 0)], [])
    assert line[1] > 0.01
    assert nonlinear_test(rows, range(6), (0, 1), [], seed=0).p <= 0.02
    other = nonlinear_test(rows, range(6), (1, 1), [(0, -1)], seed=0)
    assert other.p > 0.02
    assert other == nonlinear_test(rows, range(6), (1, 1), [(0, -1)], seed=0)


def test_too_few_rows_are_not_tested() -> None:
    assert nonlinear_test(_rows(_values(3)[:1, :12]), [0], (0, 1), [], seed=0).p == 1.0

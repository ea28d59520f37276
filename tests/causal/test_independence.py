"""Partial correlation from lagged moments gives the numbers of tigramite's own ParCorr."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ch4grid.causal.independence import LaggedRows, PartialCorrelation

MISSING = 999.0


def _values(gaps: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(4, 40, 4)).cumsum(axis=2)
    values[..., 3] = np.where(rng.random((4, 40)) < gaps, np.nan, values[..., 3])
    values[2, 10:14, 1] = np.nan if gaps else values[2, 10:14, 1]
    return values


def _test(values: np.ndarray, weights: np.ndarray | None = None) -> PartialCorrelation:
    rows = LaggedRows(values, max_lag=2)
    return PartialCorrelation(rows, np.ones(len(rows.site)) if weights is None else weights)


CASES = [
    ([(0, -1)], [(3, 0)], []),
    ([(0, 0)], [(3, 0)], [(1, 0), (2, -2)]),
    ([(1, -2)], [(3, 0)], [(0, -4), (3, -1), (2, 0), (2, -1)]),
    ([(0, -1)], [(1, 0)], [(2, 0), (1, -1)]),
]


@pytest.mark.parametrize("gaps", [0.0, 0.25])
@pytest.mark.parametrize(("x", "y", "z"), CASES)
def test_it_equals_tigramites_parcorr_with_gaps_and_without(
    x: list[tuple[int, int]], y: list[tuple[int, int]], z: list[tuple[int, int]], gaps: float
) -> None:
    from tigramite.data_processing import DataFrame
    from tigramite.independence_tests.parcorr import ParCorr

    values = _values(gaps)
    filled = {i: np.nan_to_num(site, nan=MISSING) for i, site in enumerate(values)}
    theirs = ParCorr(significance="analytic")
    theirs.set_dataframe(
        DataFrame(
            filled,
            analysis_mode="multiple",
            missing_flag=MISSING,
            vector_vars={i: [(i, 0)] for i in range(4)},
        )
    )
    expected = theirs.run_test(X=x, Y=y, Z=z, tau_max=2)
    found = _test(values).run_test(X=x, Y=y, Z=z, tau_max=2)
    assert found == pytest.approx(expected, rel=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_integer_weights_equal_repeated_rows(seed: int) -> None:
    values = _values(0.2, seed)
    counts = np.random.default_rng(seed).integers(
        0, 3, size=len(LaggedRows(values, max_lag=2).site)
    )
    once = _test(values)
    repeated = LaggedRows(values, max_lag=2)
    repeated.table = np.repeat(repeated.table, counts, axis=0)
    repeated.present = np.repeat(repeated.present, counts, axis=0)
    again = PartialCorrelation(repeated, np.ones(counts.sum()))
    weighted = PartialCorrelation(once.rows, counts.astype(float))
    x, y, z = CASES[2]
    assert weighted.run_test(x, y, z) == pytest.approx(again.run_test(x, y, z), rel=1e-9)


def test_the_order_of_conditions_does_not_matter() -> None:
    test = _test(_values(0.1))
    x, y, z = CASES[2]
    assert test.run_test(x, y, z) == test.run_test(x, y, z[::-1])


def test_a_condition_that_copies_the_cause_leaves_nothing() -> None:
    values = _values(0.0)
    values[..., 1] = values[..., 0]
    assert _test(values).run_test([(0, 0)], [(3, 0)], [(1, 0)]) == (0.0, 1.0)


def test_too_few_rows_find_no_link() -> None:
    assert _test(_values(0.0)[:, :4]).run_test([(0, 0)], [(3, 0)], []) == (0.0, 1.0)

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ch4grid.models.samples import Points, predictor_names
from ch4grid.models.windows import LONGEST, SPIN_UP, TARGETS, Windows
from ch4grid.testing import samples
from ch4grid.vocabulary import GASES


@given(months=st.integers(30, 300), seed=st.integers(0, 100))
def test_every_target_stands_in_exactly_one_row(months, seed):
    weight = np.random.default_rng(seed).random((4, months))
    weight[weight < 0.9] = 0.0
    windows = Windows.of(weight)
    rows = windows.weights(weight)
    assert np.isclose(rows.sum(), weight.sum())
    for tower in range(4):
        assert np.isclose(rows[windows.owner == tower].sum(), weight[tower].sum())
    later = windows.start > 0
    assert (rows[later, :SPIN_UP] == 0).all()


def test_a_row_is_the_part_of_the_record_that_it_says():
    towers = samples(sites=4, months=150)
    points = Points.of(towers, *predictor_names(towers, GASES["ch4"]))
    weight = np.zeros((4, 150))
    weight[1, 100] = weight[2, 5] = weight[2, 149] = 1.0
    windows = Windows.of(weight)
    assert windows.owner.tolist() == [1, 2, 2]
    assert windows.start.tolist() == [72, 0, 120]
    rows = windows.points(points)
    assert rows.dynamic.shape[1] == windows.months == SPIN_UP + TARGETS[-1]
    np.testing.assert_array_equal(rows.dynamic[0], points.dynamic[1, 72:108])
    np.testing.assert_array_equal(rows.dynamic[2, :30], points.dynamic[2, 120:])
    assert np.isnan(rows.dynamic[2, 30:]).all()


def test_a_record_full_of_targets_is_cut_into_the_longest_rows():
    windows = Windows.of(np.ones((2, SPIN_UP + 4 * TARGETS[0])))
    assert windows.months == LONGEST
    assert windows.start.tolist() == [0, 48, 96, 144] * 2


def test_a_short_record_is_kept_whole():
    windows = Windows.of(np.ones((3, 60)))
    assert windows.months == 60
    assert windows.owner.tolist() == [0, 1, 2]

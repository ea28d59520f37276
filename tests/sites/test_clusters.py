import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ch4grid.grid import great_circle_km
from ch4grid.sites import clusters

places = st.lists(st.tuples(st.floats(-80, 80), st.floats(-180, 180)), min_size=1, max_size=25)


@given(points=places)
@settings(max_examples=40, deadline=None)
def test_towers_of_a_cluster_lie_within_the_distance(points):
    latitude, longitude = np.array(points).T
    label = clusters(latitude, longitude, 300.0)
    distance = great_circle_km(latitude[:, None], longitude[:, None], latitude, longitude)
    assert distance[label[:, None] == label].max() <= 300.0 + 1e-6


@given(points=places)
@settings(max_examples=40, deadline=None)
def test_numbers_start_at_zero_and_appear_in_order(points):
    label = clusters(*np.array(points).T)
    firsts = [int(label[i]) for i in sorted(np.unique(label, return_index=True)[1])]
    assert firsts == list(range(len(firsts)))


def test_neighbours_over_the_date_line_are_one_cluster():
    label = clusters(np.array([65.0, 65.0, -40.0]), np.array([179.5, -179.5, 175.0]))
    assert label.tolist() == [0, 0, 1]


def test_a_degree_of_the_equator_is_111_km():
    assert great_circle_km(0.0, 0.0, 0.0, 1.0) == pytest.approx(111.195, abs=1e-3)

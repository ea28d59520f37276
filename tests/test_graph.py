import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ch4grid.graph import CausalGraph


def graph(seed: int = 0) -> CausalGraph:
    rng = np.random.default_rng(seed)
    probability = rng.uniform(0, 1, (2, 4, 3, 2)).round(6)
    return CausalGraph(
        ("tas", "pr", "evi"), "ch4_flux", ("urban", "upland"), probability, {"sites": ["A"]}
    )


@given(st.integers(0, 1000))
def test_json_gives_the_graph_back(seed: int) -> None:
    again = CausalGraph.from_json(graph(seed).to_json())
    np.testing.assert_array_equal(again.probability, graph(seed).probability)
    assert (again.nodes, again.ecosystems, again.provenance) == (
        ("tas", "pr", "evi", "ch4_flux"),
        ("urban", "upland"),
        {"sites": ["A"]},
    )


@given(st.integers(0, 1000), st.integers(1, 10), st.floats(0, 1))
def test_parents_are_the_most_probable_links_above_the_floor(
    seed: int, top: int, floor: float
) -> None:
    found = graph(seed).parents("upland", "ch4_flux", top=top, floor=floor)
    table = graph(seed).probability[1, 3]
    admissible = np.sort(table[table >= floor])[::-1]
    np.testing.assert_array_equal([p.probability for p in found], admissible[:top])


@given(st.integers(0, 1000))
def test_the_random_control_has_the_same_link_probabilities_in_other_places(seed: int) -> None:
    control = graph().randomised(seed).probability
    np.testing.assert_array_equal(
        np.sort(control.reshape(2, 4, -1)), np.sort(graph().probability.reshape(2, 4, -1))
    )


def test_a_graph_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(1, 2, 2, 1\), expected \(1, 3, 2, lags\)"):
        CausalGraph(("a", "b"), "flux", ("urban",), np.zeros((1, 2, 2, 1)))


def test_json_of_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="format is 'other'"):
        CausalGraph.from_json('{"format": "other"}')

"""An adjustment set blocks every back door, holds nothing after the treatment, and says when there is none."""

from itertools import product

import networkx as nx
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ch4grid.causal.adjustment import Adjustment, Lagged, adjustment
from ch4grid.errors import InputError
from ch4grid.graph import CausalGraph
from ch4grid.twin import true_graph

NAMES = ("a", "b", "c", "d")
LAGS = 2
# Months unrolled behind the flux: the treatment's lag, its causes, their causes and memory.
HORIZON = 8


def _graph(
    links: dict[str, list[tuple[str, int]]], drivers: tuple[str, ...] = NAMES
) -> CausalGraph:
    probability = np.zeros((1, len(drivers) + 1, len(drivers), LAGS + 1))
    for to, causes in links.items():
        for name, lag in causes:
            probability[0, (*drivers, "flux").index(to), drivers.index(name), lag] = 1.0
    return CausalGraph(drivers, "flux", ("urban",), probability)


def _random(seed: int, density: float) -> CausalGraph:
    rng = np.random.default_rng(seed)
    table = (rng.random((1, len(NAMES) + 1, len(NAMES), LAGS + 1)) < density).astype(float)
    for to, source in product(range(len(NAMES)), repeat=2):
        if source >= to:
            table[0, to, source, 0] = 0.0
    return CausalGraph(NAMES, "flux", ("urban",), table)


def _unrolled(graph: CausalGraph) -> nx.DiGraph:
    """The graph in time, months counted back from the flux; "flux" stands for the flux itself."""
    out = nx.DiGraph()
    for to, source, lag in np.argwhere(graph.probability[0] > 0):
        cause = graph.drivers[source]
        if to == len(graph.drivers):
            out.add_edge((cause, int(lag)), "flux")
            continue
        for month in range(HORIZON - lag):
            out.add_edge((cause, int(month + lag)), (graph.drivers[to], month))
    return out


def _blocks_every_back_door(graph: CausalGraph, sets: Adjustment, *, direct: bool) -> bool:
    """Whether treatment and flux are d-separated once the effect in question is cut out of the graph."""
    dag = _unrolled(graph)
    treatment = tuple(sets.treatment)
    dag.add_nodes_from([treatment, "flux"])
    held = {tuple(node) for node in (sets.direct if direct else sets.total)}
    # controlled direct effect: only the link into the flux is the effect; total: all that leaves the treatment
    leaving = [(treatment, "flux")] if direct else list(dag.out_edges(treatment))
    dag.remove_edges_from([edge for edge in leaving if dag.has_edge(*edge)])
    return nx.is_d_separator(dag, {treatment}, {"flux"}, held & set(dag))


graphs = st.builds(_random, st.integers(0, 10_000), st.floats(0.05, 0.35))
treatments = st.builds(Lagged, st.sampled_from(NAMES), st.integers(0, LAGS))


@settings(max_examples=60, deadline=None)
@given(graph=graphs, treatment=treatments)
def test_nothing_in_the_total_set_follows_from_the_treatment(
    graph: CausalGraph, treatment: Lagged
) -> None:
    sets = adjustment(graph, "urban", *treatment)
    dag = _unrolled(graph)
    assume(tuple(treatment) in dag)
    assert not {tuple(node) for node in sets.total} & nx.descendants(dag, tuple(treatment))
    assert treatment not in sets.total + sets.direct


@settings(max_examples=60, deadline=None)
@given(graph=graphs, treatment=treatments, direct=st.booleans())
def test_every_back_door_is_blocked(graph: CausalGraph, treatment: Lagged, direct: bool) -> None:
    sets = adjustment(graph, "urban", *treatment)
    assert sets.exists
    assert _blocks_every_back_door(graph, sets, direct=direct)


@settings(max_examples=40, deadline=None)
@given(graph=graphs, driver=st.sampled_from(NAMES))
def test_the_future_of_a_driver_is_separated_from_the_flux(graph: CausalGraph, driver: str) -> None:
    sets = adjustment(graph, "urban", driver, 0)
    later = {(to, source, lag) for to, source, lag in np.argwhere(graph.probability[0] > 0)}
    dag = nx.DiGraph()
    for to, source, lag in later:
        cause = graph.drivers[source]
        if to == len(NAMES):
            dag.add_edge((cause, int(lag)), "flux")
            continue
        for month in range(-1, HORIZON - lag):
            dag.add_edge((cause, int(month + lag)), (graph.drivers[to], month))
    dag.add_nodes_from([(driver, -1), "flux"])
    held = {tuple(node) for node in sets.placebo} & set(dag)
    assert nx.is_d_separator(dag, {(driver, -1)}, {"flux"}, held)


def test_a_confounder_is_held_and_a_mediator_is_not() -> None:
    graph = _graph({"b": [("a", 0)], "c": [("b", 0)], "flux": [("a", 0), ("b", 0), ("c", 0)]})
    sets = adjustment(graph, "urban", "b", 0)
    assert sets.total == (Lagged("a", 0),)
    assert sets.mediators == (Lagged("c", 0),)
    assert sets.direct == (Lagged("a", 0), Lagged("c", 0))


def test_a_collider_of_treatment_and_flux_cause_is_left_alone() -> None:
    graph = _graph({"c": [("a", 0), ("b", 0)], "flux": [("a", 0), ("b", 0)]})
    assert adjustment(graph, "urban", "a", 0).total == (Lagged("b", 0),)


def test_the_later_values_of_a_lagged_treatment_are_mediators() -> None:
    graph = _graph({"a": [("a", 1)], "flux": [("a", 0), ("a", 1)]})
    sets = adjustment(graph, "urban", "a", 1)
    assert sets.total == (Lagged("a", 2),)
    assert sets.mediators == (Lagged("a", 0),)


def test_a_link_below_the_threshold_does_not_count() -> None:
    graph = _graph({"b": [("a", 0)], "flux": [("a", 0), ("b", 0)]})
    assert adjustment(graph, "urban", "b", 0, threshold=0.5).total == (Lagged("a", 0),)
    graph.probability[0, 1, 0, 0] = graph.probability[0, 4, 0, 0] = 0.4
    assert adjustment(graph, "urban", "b", 0, threshold=0.5).total == ()


def test_an_undecided_direction_leaves_no_set_and_says_why() -> None:
    graph = _graph({"a": [("b", 0)], "b": [("a", 0)], "flux": [("a", 0)]})
    sets = adjustment(graph, "urban", "a", 0)
    assert not sets.exists
    assert "a and b" in sets.reason
    assert adjustment(graph, "urban", "c", 0).exists


def test_the_sets_of_the_twin_are_those_of_its_equations() -> None:
    graph = true_graph()
    soil = adjustment(graph, "boreal-peatland", "tsl", 0)
    assert soil.parents == (Lagged("tas", 0), Lagged("tsl", 1))
    assert set(soil.total) == {*soil.parents, Lagged("mrsos", 2), Lagged("evi", 1)}
    air = adjustment(graph, "boreal-peatland", "tas", 0)
    assert air.mediators == (Lagged("tsl", 0),)
    assert not air.is_parent
    assert air.total == tuple(
        sorted([Lagged("rsds", 0), Lagged("tas", 1), Lagged("mrsos", 2), Lagged("evi", 1)])
    )


def test_tigramite_finds_the_same_mediators() -> None:
    from tigramite.causal_effects import CausalEffects

    truth = true_graph()
    e = truth.ecosystems.index("temperate-wetland")
    size = len(truth.nodes)
    links = np.full((size, size, truth.max_lag + 1), "", dtype="<U3")
    for to, source, lag in np.argwhere(truth.probability[e] > 0):
        links[source, to, lag] = "-->"
    ours = adjustment(truth, "temperate-wetland", "tas", 1)
    theirs = CausalEffects(
        graph=links,
        graph_type="stationary_dag",
        X=[(truth.drivers.index("tas"), -1)],
        Y=[(size - 1, 0)],
        verbosity=0,
    )
    between = {Lagged(truth.nodes[i], -lag) for i, lag in theirs.M if i != size - 1}
    assert set(ours.mediators) <= between
    assert not set(ours.total) & between
    # its set of least variance also holds causes of mediators; like ours, it exists
    assert set(theirs.get_optimal_set())


def test_a_driver_that_the_graph_does_not_know_is_an_input_error() -> None:
    with pytest.raises(InputError, match="snow"):
        adjustment(_graph({}), "urban", "snow", 0)

"""How well a graph matches a known truth, and the control that a graph must beat."""

from collections.abc import Set
from typing import NamedTuple

import numpy as np

from ch4grid.causal.prior import POOL
from ch4grid.graph import CausalGraph


class Scores(NamedTuple):
    """Precision, recall and F1 of links into the flux [1], counted by driver and by driver and lag."""

    precision: float
    recall: float
    f1: float
    lag_precision: float
    lag_recall: float
    lag_f1: float


def score(
    graph: CausalGraph,
    truth: Set[tuple[str, int]],
    *,
    threshold: float = 0.5,
    ecosystem: str | None = None,
) -> Scores:
    """Scores of the links into the flux with at least `threshold` probability against the true (driver, lag) pairs.

    Args:
        graph: A discovered graph.
        truth: True parents of the flux, lags in months.
        threshold: Probability from which a link counts as found.
        ecosystem: Class to score, "pool" for all sites pooled, or None for links in any class. Effects of opposite
            sign in different classes cancel in the pool, not in the classes.
    """
    if ecosystem is None:
        table = graph.probability[:, -1].max(axis=0)
    elif ecosystem == POOL:
        table = np.asarray(graph.provenance["pooled"])
    else:
        table = graph.probability[graph.ecosystems.index(ecosystem), -1]
    found = {(graph.drivers[i], int(lag)) for i, lag in np.argwhere(table >= threshold)}
    return Scores(*_f1({d for d, _ in found}, {d for d, _ in truth}), *_f1(found, set(truth)))


def reported_links(graph: CausalGraph, ecosystem: str) -> set[tuple[str, int]]:
    """Drivers and lags [steps] of the links into the flux of a class that are reported: often found and significant.

    Empty for a class that was not tested alone. The limits are those of the graph's own configuration.
    """
    found, config = graph.provenance, graph.provenance["config"]
    if ecosystem not in found["frequency"]:
        return set()
    frequency, q = (np.asarray(found[key][ecosystem]) for key in ("frequency", "q"))
    held = (frequency >= config["report_frequency"]) & (q < config["report_rate"])
    return {(found["tested"][i], int(lag)) for i, lag in np.argwhere(held)}


def orientation_errors(
    graph: CausalGraph, truth: CausalGraph, *, threshold: float = 0.6
) -> tuple[int, int]:
    """Links among drivers at lag 0 whose direction is wrong, and those that are truly linked and were found.

    Args:
        graph: A discovered graph.
        truth: The true graph, links being 1 and 0.
        threshold: Frequency, both ways together, from which two drivers count as linked.
    """
    tested = list(graph.provenance["tested"])
    at = [truth.drivers.index(name) for name in tested]
    true = truth.probability[0][np.ix_(at, at)][:, :, 0] > 0
    found = np.asarray(graph.provenance["frequency_among_drivers"])[:, :, 0]
    linked = (found + found.T >= threshold) & (true | true.T)
    # A tie tells no direction; here it counts as an error.
    wrong = linked & true & (found <= found.T)
    return int(wrong.sum()), int(np.triu(linked, 1).sum())


def random_control(graph: CausalGraph, seed: int) -> CausalGraph:
    """A graph of equal density with links dealt at random: what the discovered one must beat (methods 14, item 27)."""
    return graph.randomised(seed)


def _f1(found: Set[object], truth: Set[object]) -> tuple[float, float, float]:
    """Precision, recall and F1; each is 1 where it has nothing to be wrong about."""
    hits = len(found & truth)
    precision = hits / len(found) if found else 1.0
    recall = hits / len(truth) if truth else 1.0
    return precision, recall, 2 * hits / (len(found) + len(truth)) if found or truth else 1.0

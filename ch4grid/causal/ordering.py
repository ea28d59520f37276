"""From link probabilities to equations: which links are taken, and in which order drivers act within a month."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ch4grid.causal.expert import expert_drivers
from ch4grid.graph import CausalGraph

Floats = NDArray[np.float64]


class Term(NamedTuple):
    """A cause in an equation: a driver and its lag [months]."""

    driver: int
    lag: int


def causes(graph: CausalGraph, threshold: float) -> tuple[NDArray[np.bool_], list[dict[str, Any]]]:
    """Links taken as causes (E + 1, P + 1, P, L + 1), pool last, and what was left out to break cycles.

    A link counts from the threshold on. The pool takes links whose mean probability over the classes does. Where links
    at lag 0 form a cycle, its least probable one is left out, of equal ones that which the expert prior doubts most.
    """
    pooled = graph.probability.mean(axis=0, keepdims=True)
    probability = np.concatenate([graph.probability, pooled])
    taken = probability >= threshold
    p = len(graph.drivers)
    taken[:, range(p), range(p), 0] = False
    prior = expert_drivers(graph.drivers, graph.max_lag)[..., 0]
    broken = []
    for e, name in enumerate((*graph.ecosystems, "pool")):
        now = taken[e, :p, :, 0]
        while cycle := _cycle(now):
            links = list(zip(cycle, (*cycle[1:], cycle[0]), strict=True))
            source, to = min(
                links, key=lambda k: (probability[e, k[1], k[0], 0], prior[k[1], k[0]])
            )
            now[to, source] = False
            broken.append(
                {
                    "ecosystem": name,
                    "from": graph.drivers[source],
                    "to": graph.drivers[to],
                    "probability": round(float(probability[e, to, source, 0]), 6),
                    "cycle": [graph.drivers[i] for i in cycle],
                }
            )
    return taken, broken


def terms(taken: NDArray[np.bool_]) -> tuple[Term, ...]:
    """Causes of one node, from its table (from, lag)."""
    return tuple(Term(int(i), int(lag)) for i, lag in np.argwhere(taken))


def forced(graph: CausalGraph, links: Sequence[tuple[str, str]], threshold: float) -> CausalGraph:
    """The graph with a link at lag 0 from and to each pair of nodes that has none at any lag."""
    probability = graph.probability.copy()
    for source, to in links:
        table = probability[:, graph.nodes.index(to), graph.drivers.index(source)]
        table[(table < threshold).all(axis=-1), 0] = 1.0
    return CausalGraph(
        graph.drivers, graph.target, graph.ecosystems, probability, dict(graph.provenance)
    )


def _cycle(now: NDArray[np.bool_]) -> list[int]:
    """Nodes of one cycle of the links (to, from), each the cause of the next; empty when there is none."""
    left = np.ones(len(now), dtype=np.bool_)
    while True:
        caused = np.asarray((now & left[:, None] & left).any(axis=1), dtype=np.bool_)
        if (caused == left).all():
            break
        left = caused
    if not left.any():
        return []
    path = [int(np.flatnonzero(left)[0])]
    while True:
        before = int(np.flatnonzero(now[path[-1]] & left)[0])
        if before in path:
            return path[path.index(before) :][::-1]
        path.append(before)

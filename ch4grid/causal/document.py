"""The prior as a document: what every key of its JSON means, and the prior of a place that has several classes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ch4grid.graph import FORMAT, CausalGraph

Floats = NDArray[np.float64]

# Keys of the provenance that `discover` writes; a graph from elsewhere may have others.
PROVENANCE: dict[str, str] = {
    "method": "how links were found",
    "tigramite": "version of tigramite",
    "config": "settings of `Discovery`",
    "seed": "seed of the bootstrap",
    "checks": "stationarity and density: name, passed and told; null is a check that could not be run",
    "sites": "towers used; a tower that was held out is not among them",
    "clusters": "their clusters",
    "untested": "drivers that keep the expert prior, each with the reason",
    "tested": "drivers that were tested, the order of all tables below",
    "step": "step of the series and of the lags in the tables below: month or week",
    "site_years": "measured site years of the pool and every class",
    "pooled": "prior of the pool [driver of the graph][lag in months]",
    "frequency": "bootstrap frequency of links into the flux by class [driver][lag in steps]",
    "chance": "share of links of such a frequency that were true on synthetic planets, by class [driver][lag in steps]",
    "frequency_among_drivers": "bootstrap frequency of links among drivers [to][from][lag in steps]",
    "frequency_of_sites": "bootstrap frequency of links into the flux by tower looked at alone [driver][lag in steps]",
    "p": "p value of the strength by class [driver][lag in steps]",
    "q": "false discovery rate over drivers, lags, classes and towers looked at alone, by class [driver][lag in steps]",
    "strength": "partial correlation given the other parents by class [driver][lag in steps]",
    "strength_among_drivers": "partial correlation of links among drivers [to][from][lag in steps]",
    "effective_size": "independent pairs of steps by class [driver]",
}


def describe() -> dict[str, Any]:
    """JSON Schema (2020-12) of the document that `CausalGraph.to_json` writes, with the meaning of every key."""
    names = {"type": "array", "items": {"type": "string"}}
    number: dict[str, Any] = {"type": "number", "minimum": 0, "maximum": 1}
    for _ in range(4):
        number = {"type": "array", "items": number}
    keys: dict[str, dict[str, Any]] = {
        "format": {"const": FORMAT, "description": "version of this document"},
        "drivers": names | {"description": "drivers in order"},
        "target": {"type": "string", "description": "the flux, the node after the drivers"},
        "ecosystems": names | {"description": "classes in order"},
        "dims": {
            "const": ["ecosystem", "to", "from", "lag"],
            "description": "dimensions of probability; to counts drivers and flux, lag counts months from 0",
        },
        "probability": number | {"description": "shrunk probability of every link [1]"},
        "provenance": {
            "type": "object",
            "description": "what was done and found",
            "properties": {k: {"description": told} for k, told in PROVENANCE.items()},
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Causal graph of a flux and its drivers",
        "type": "object",
        "properties": keys,
        "required": list(keys),
        "additionalProperties": False,
    }


def mixture(graph: CausalGraph, membership: Floats) -> Floats:
    """Link probabilities of places that belong to classes in part: pi = sum_e P(e) pi_e (methods 3.4).

    Args:
        graph: The prior.
        membership: Share of every class of the graph at each place (place, ecosystem) [1]; rows sum to 1.

    Returns:
        Probabilities (place, to, from, lag).

    Raises:
        ValueError: Shares are negative, do not sum to 1 or are not of the graph's classes.
    """
    fits = membership.ndim == 2 and membership.shape[1] == len(graph.ecosystems)
    if not fits or (membership < 0).any() or not np.allclose(membership.sum(axis=1), 1.0):
        raise ValueError(
            f"mixture: membership of shape {membership.shape} must hold shares of the {len(graph.ecosystems)} classes"
            " that are not negative and sum to 1 at every place"
        )
    return np.asarray(np.einsum("ne,etfl->ntfl", membership, graph.probability), dtype=np.float64)

"""The links of a graph's provenance as a table, built by another way than the package does."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from ch4grid.causal.prior import POOL
from ch4grid.graph import CausalGraph

COLUMNS = ("ecosystem", "source", "target", "lag", "frequency", "strength", "p", "q")


def links_of(graph: CausalGraph) -> pd.DataFrame:
    """All links that were tested: ecosystem, source, target, lag [steps of the series], frequency, strength, p, q.

    Links among drivers were tested on all towers together and stand under `pool`, without p and q.
    """
    found = graph.provenance
    tested = list(found.get("tested", ()))
    rows = [
        row
        for name, frequency in found["frequency"].items()
        for row in _into(name, tested, graph.target, frequency, found)
    ]
    if tested:
        rows += list(_among(tested, found))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _into(
    name: str, tested: list[str], target: str, frequency: Any, found: dict[str, Any]
) -> Iterator[tuple[Any, ...]]:
    """Rows of the links into the flux of one class."""
    table = np.asarray(frequency)
    p, q = (np.asarray(found[k][name]) for k in ("p", "q"))
    strength = np.asarray(found.get("strength", {}).get(name, np.full(table.shape, np.nan)))
    for i, driver in enumerate(tested):
        for lag in range(table.shape[1]):
            at = (i, lag)
            yield (name, driver, target, lag, *(float(a[at]) for a in (table, strength, p, q)))


def _among(tested: list[str], found: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Rows of the links among drivers."""
    table = np.asarray(found["frequency_among_drivers"])
    strength = np.asarray(found.get("strength_among_drivers", np.full(table.shape, np.nan)))
    for j, to in enumerate(tested):
        for i, source in enumerate(tested):
            for lag in range(table.shape[2]):
                if i != j or lag:
                    at = (j, i, lag)
                    yield (
                        POOL,
                        source,
                        to,
                        lag,
                        float(table[at]),
                        float(strength[at]),
                        np.nan,
                        np.nan,
                    )

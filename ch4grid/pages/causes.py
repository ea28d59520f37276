"""The causal graph as a table: drivers by class, how likely each is a cause of the flux, and at which lag."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ch4grid.graph import CausalGraph
from ch4grid.pages.figures import words
from ch4grid.vocabulary import VARIABLES

# Links that are less likely than this are not named.
LEAST = 0.1


class Likely(NamedTuple):
    """How likely a driver is a cause: percentage as text (empty below `LEAST`), share of 1, lag [months]."""

    text: str
    share: float
    lag: int


class CausesTable(NamedTuple):
    """Classes as columns, a row of cells per driver, and the least percentage that is named."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Likely, ...]], ...]
    least: int


def causes_table(graph: CausalGraph | None) -> CausesTable | None:
    """The table of a graph, drivers as they stand there; None without one."""
    if graph is None:
        return None
    into = graph.probability[:, graph.nodes.index(graph.target)]
    rows = tuple(
        (_long(driver), tuple(_likely(into[e, i]) for e in range(len(graph.ecosystems))))
        for i, driver in enumerate(graph.drivers)
    )
    return CausesTable(tuple(words(e) for e in graph.ecosystems), rows, round(100 * LEAST))


def _likely(chances: NDArray[np.float64]) -> Likely:
    lag = int(chances.argmax())
    best = float(chances[lag])
    return Likely(f"{100 * best:.0f}\u00a0%" if best >= LEAST else "", round(best, 2), lag)


def _long(driver: str) -> str:
    return VARIABLES[driver].long_name if driver in VARIABLES else words(driver)

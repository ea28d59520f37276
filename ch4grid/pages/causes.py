"""The causal graph of a product's model: pictures by class, and a table of likeliest lags by driver and class."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ch4grid.graph import CausalGraph
from ch4grid.pages.figures import words
from ch4grid.pages.network import FAINT, STRONG, Link, Network, network
from ch4grid.vocabulary import VARIABLES

# Links that are less likely than this are not named in the table.
LEAST = 0.1


class Likely(NamedTuple):
    """How likely a driver is a cause: percentage as text (empty below `LEAST`), share of 1, lag [months]."""

    text: str
    share: float
    lag: int


class Causes(NamedTuple):
    """A picture per class; a table with classes as columns and a row of cells per driver.

    Args:
        networks: Pictures, by class.
        columns: Classes.
        rows: Drivers and their cells.
        strong, faint, least: Percentages from which a link is drawn strong, drawn faint and named in the table.
    """

    networks: tuple[Network, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Likely, ...]], ...]
    strong: str = f"{STRONG:.0%}"
    faint: str = f"{FAINT:.0%}"
    least: str = f"{LEAST:.0%}"


def causes_of(graph: CausalGraph | None) -> Causes | None:
    """Pictures and table of a graph, drivers as they stand there; None without one."""
    if graph is None:
        return None
    into = graph.probability[:, graph.nodes.index(graph.target)]
    rows = tuple(
        (_long(driver), tuple(_likely(into[e, i]) for e in range(len(graph.ecosystems))))
        for i, driver in enumerate(graph.drivers)
    )
    classes = tuple(words(e) for e in graph.ecosystems)
    pictures = tuple(_picture(graph, name, into[e]) for e, name in enumerate(classes))
    return Causes(pictures, classes, rows)


def _picture(graph: CausalGraph, name: str, chances: NDArray[np.float64]) -> Network:
    """The links into the flux of a class from their probabilities (driver, lag); a prior knows no signs."""
    links = [
        Link(driver, graph.target, lag, float(chances[i, lag]), np.nan)
        for i, driver in enumerate(graph.drivers)
        for lag in range(graph.max_lag + 1)
    ]
    return network(
        links, graph.drivers, target=graph.target, flux="flux", title=name, step="months"
    )


def _likely(chances: NDArray[np.float64]) -> Likely:
    lag = int(chances.argmax())
    best = float(chances[lag])
    return Likely(f"{100 * best:.0f}\u00a0%" if best >= LEAST else "", round(best, 2), lag)


def _long(driver: str) -> str:
    return VARIABLES[driver].long_name if driver in VARIABLES else words(driver)

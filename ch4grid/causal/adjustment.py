"""Adjustment: which drivers at which lags must be held so that a treatment's effect on the flux can be read off.

The graph is unrolled in time. For the total effect the causes of the treatment block every back door (Pearl 2009,
theorem 3.3.2), and any cause of the flux that does not follow from the treatment may be added for precision. For the
controlled direct effect all other causes of the flux are held as well. Both need every common cause to be measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ch4grid.errors import InputError
from ch4grid.graph import CausalGraph


class Lagged(NamedTuple):
    """A driver, `lag` months before the flux."""

    driver: str
    lag: int

    def __str__(self) -> str:
        return f"{self.driver}(t-{self.lag})" if self.lag else f"{self.driver}(t)"


@dataclass(frozen=True)
class Adjustment:
    """What to hold when the effect of one treatment is estimated.

    Args:
        treatment: The treatment.
        parents: Its causes.
        follows: Drivers that follow from it until the month of the flux.
        mediators: Those of them that cause the flux.
        total: Set for the total effect; none of it follows from the treatment.
        direct: Set for the effect that no other cause of the flux passes on.
        placebo: Set for the treatment one month after the flux, which can have no effect on it.
        is_parent: Whether the graph has the link from the treatment to the flux.
        exists: Whether the graph decides what the sets are.
        reason: Why not; empty when it does.
    """

    treatment: Lagged
    parents: tuple[Lagged, ...]
    follows: tuple[Lagged, ...]
    mediators: tuple[Lagged, ...]
    total: tuple[Lagged, ...]
    direct: tuple[Lagged, ...]
    placebo: tuple[Lagged, ...]
    is_parent: bool
    exists: bool
    reason: str


def adjustment(
    graph: CausalGraph, ecosystem: str, driver: str, lag: int, *, threshold: float = 0.5
) -> Adjustment:
    """The adjustment sets of `driver`, `lag` months before the flux of a class.

    Args:
        graph: Link probabilities.
        ecosystem: Class name.
        driver: The treatment.
        lag: Its lag [months].
        threshold: Probability from which a link counts.

    Raises:
        InputError: The class or the driver is not in the graph.
    """
    for name, known in ((ecosystem, graph.ecosystems), (driver, graph.drivers)):
        if name not in known:
            raise InputError("unknown to the graph", where=name, expected=", ".join(known))
    links = _Links(graph, ecosystem, threshold)
    treatment = Lagged(driver, lag)
    into_flux = links.causes(graph.target, 0)
    parents = links.causes(driver, lag)
    effects = links.effects(treatment)
    blocked = {treatment, *effects}
    causes = tuple(sorted(cause for cause in into_flux if cause not in blocked))
    others = tuple(cause for cause in into_flux if cause != treatment)
    circle = links.circle(driver)
    reason = f"the graph leaves open which of {' and '.join(circle)} acts first" if circle else ""
    return Adjustment(
        treatment=treatment,
        parents=parents,
        follows=tuple(sorted(effects)),
        mediators=tuple(sorted(cause for cause in into_flux if cause in effects)),
        total=_union(tuple(p for p in parents if p not in blocked), causes),
        direct=_union(others, tuple(p for p in parents if p != treatment)),
        placebo=_union(into_flux, (Lagged(driver, 0),), links.past_causes(driver)),
        is_parent=treatment in into_flux,
        exists=not reason,
        reason=reason,
    )


@dataclass(frozen=True, eq=False)
class _Links:
    """Links of one class that are likely enough, as nodes unrolled in time."""

    graph: CausalGraph
    ecosystem: str
    threshold: float

    def causes(self, node: str, lag: int) -> tuple[Lagged, ...]:
        """Causes of a node `lag` months before the flux."""
        table = self._table[self.graph.nodes.index(node)]
        return tuple(
            sorted(
                Lagged(self.graph.drivers[i], lag + int(back))
                for i, back in np.argwhere(table >= self.threshold)
                if (self.graph.drivers[i], back) != (node, 0)
            )
        )

    def past_causes(self, node: str) -> tuple[Lagged, ...]:
        """Causes of a node one month after the flux that are there with the flux or before."""
        return tuple(Lagged(d, back - 1) for d, back in self.causes(node, 0) if back > 0)

    def effects(self, treatment: Lagged) -> set[Lagged]:
        """Drivers that follow from a treatment until the month of the flux."""
        found: set[Lagged] = set()
        waiting = [treatment]
        while waiting:
            driver, lag = waiting.pop()
            table = self._table[:-1, self.graph.drivers.index(driver)]
            for to, after in np.argwhere(table >= self.threshold):
                node = Lagged(self.graph.drivers[to], lag - int(after))
                if node.lag >= 0 and node not in found and node != treatment:
                    found.add(node)
                    waiting.append(node)
        return found

    def circle(self, driver: str) -> tuple[str, ...]:
        """The drivers on a circle of links within one month that `driver` lies on; empty when there is none."""
        now = self._table[:-1, :, 0] >= self.threshold
        reach = now | np.eye(len(now), dtype=bool)
        for _ in range(len(now)):
            reach = reach @ reach
        at = self.graph.drivers.index(driver)
        same = np.flatnonzero(reach[at] & reach[:, at])
        return tuple(self.graph.drivers[i] for i in same) if len(same) > 1 else ()

    @property
    def _table(self) -> NDArray[np.float64]:
        """Probabilities (to, from, lag) of the class, without what a driver would do to itself at once."""
        at = self.graph.ecosystems.index(self.ecosystem)
        table: NDArray[np.float64] = self.graph.probability[at].copy()
        itself = np.arange(len(self.graph.drivers))
        table[itself, itself, 0] = 0.0
        return table


def _union(*parts: Sequence[Lagged]) -> tuple[Lagged, ...]:
    return tuple(sorted({node for part in parts for node in part}))

"""A random forest that sees only the causes of the flux in a graph, statics and class.

Runge et al. (2019), Sci. Adv. 5, eaau4996, select predictors by causal discovery; Breiman (2001) fits them:

    f(x) = 1/B sum_b T_b(x_P),    P = {(driver, lag): Pr(driver(t - lag) -> flux(t)) >= 0.5 in some class present}

Comparable to `RandomForest`, which sees every driver at every lag. Different from Runge et al.: parents are pooled over
classes, and where a class has none its three likeliest count. Season and latitude are no columns, because neither is a
cause. The graph is that of the training set and of nothing else.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

from pydantic import Field

from ch4grid.errors import InputError
from ch4grid.graph import CausalGraph
from ch4grid.models.learner import Learner, Regressor, TrainingSet
from ch4grid.models.samples import class_codes, predictor_names
from ch4grid.models.tabular.random_forest import RandomForest
from ch4grid.models.tabular.regressor import choices
from ch4grid.models.tabular.table import Cause, PredictorTable
from ch4grid.vocabulary import ECOSYSTEMS

# Links at least as likely as this count; where a class has none, its most likely ones do.
THRESHOLD = 0.5
FALLBACK = 3


class CausalParents(Learner):
    """Settings of the forest on causes.

    Args:
        architecture: Discriminator.
        trees: Number of trees B.
        min_leaf: Fewest months in a leaf.
    """

    architecture: Literal["causal-parents-rf"] = "causal-parents-rf"
    trees: int = Field(default=300, ge=1)
    min_leaf: int = Field(default=5, ge=1)
    needs_graph: ClassVar[bool] = True

    def candidates(self) -> tuple[Self, ...]:
        """These settings, and larger leaves."""
        return choices(self, "min_leaf", (5, 20, 50))

    def fit(self, training: TrainingSet) -> Regressor:
        """The forest of the measured months on the causes in the graph of the training set."""
        drivers, statics = predictor_names(training.samples, training.gas)
        present = sorted({ECOSYSTEMS[c] for c in class_codes(training.samples).tolist()})
        causes = flux_causes(training.graph(), present, drivers)
        table = PredictorTable(causes, statics, calendar=False)
        forest = RandomForest(trees=self.trees, min_leaf=self.min_leaf)
        return forest.fit_columns(training, table)


def flux_causes(
    graph: CausalGraph, ecosystems: Sequence[str], drivers: Sequence[str]
) -> tuple[Cause, ...]:
    """Drivers and lags [months] that cause the flux of any of the classes, of those that there are.

    Raises:
        InputError: The graph knows none of the drivers.
    """
    found: set[Cause] = set()
    for name in ecosystems:
        if name not in graph.ecosystems:
            continue
        every = graph.parents(name, graph.target, top=len(graph.drivers) * 13, floor=0.0)
        there = [link for link in every if link.driver in drivers]
        likely = [link for link in there if link.probability >= THRESHOLD] or there[:FALLBACK]
        found |= {(link.driver, link.lag) for link in likely}
    if not found:
        raise InputError(
            "the graph names no cause of the flux that is among the drivers",
            where="causal parents",
            expected=", ".join(graph.drivers),
            found=", ".join(drivers),
        )
    return tuple(sorted(found))

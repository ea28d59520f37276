"""`CausalParentsForest`: a random forest that sees only the causes of the flux in a graph, statics and class.

It predicts levels and is comparable to `RandomForest`, which sees every driver at every lag.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid.errors import InputError
from ch4grid.graph import CausalGraph
from ch4grid.models.samples import Targets, class_codes, predictor_names
from ch4grid.vocabulary import ECOSYSTEMS, Gas

Floats = NDArray[np.float64]
Cause = tuple[str, int]

# Links at least as likely as this count; where a class has none, its most likely ones do.
THRESHOLD = 0.5
FALLBACK = 3


@dataclass
class CausalParentsForest:
    """Random forest of the transformed flux on the causes of the flux of any class, statics and class.

    Missing values go down the branch that fits them better (scikit-learn); the months before the record are missing.

    Args:
        graph: What causes the flux; lags in months.
        trees: Number of trees.
        min_leaf: Fewest months in a leaf.
        seed: Seed of the forest.
    """

    graph: CausalGraph
    trees: int = 100
    min_leaf: int = 5
    seed: int = 0
    statics: tuple[str, ...] = ()
    causes: tuple[Cause, ...] = ()
    forest: Any = None

    def fit(self, samples: xr.Dataset, gas: Gas) -> "CausalParentsForest":
        """The forest of samples (site, time) with flux and coverage."""
        from sklearn.ensemble import RandomForestRegressor  # heavy

        targets = Targets.of(samples, gas)
        drivers, self.statics = predictor_names(samples, gas)
        present = sorted({ECOSYSTEMS[c] for c in class_codes(samples).tolist()})
        self.causes = flux_causes(self.graph, present, drivers)
        ok = targets.weight.ravel() > 0
        self.forest = RandomForestRegressor(
            n_estimators=self.trees,
            min_samples_leaf=self.min_leaf,
            max_features=1 / 3,
            random_state=self.seed,
            n_jobs=1,
        )
        self.forest.fit(
            self._table(samples)[ok],
            targets.transformed.ravel()[ok],
            sample_weight=targets.weight.ravel()[ok],
        )
        return self

    def predict(self, points: xr.Dataset) -> Floats:
        """Transformed flux (site, time)."""
        shape = (points.sizes["site"], points.sizes["time"])
        return np.asarray(self.forest.predict(self._table(points)), dtype=np.float64).reshape(shape)

    def _table(self, points: xr.Dataset) -> NDArray[np.float32]:
        """Predictors (site x time, column): each cause at its lag, each static, one column per class."""
        steps = points.sizes["time"]
        columns = [*lagged(points, self.causes), *place(points, self.statics, steps)]
        return np.stack([column.ravel() for column in columns], axis=1).astype(np.float32)


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


def lagged(points: xr.Dataset, causes: Sequence[Cause]) -> list[Floats]:
    """Each cause (site, time) at its lag, NaN before the record.

    Raises:
        InputError: A cause is not among the points.
    """
    missing = sorted({name for name, _ in causes if name not in points})
    if missing:
        raise InputError(
            "predictors are missing", where="points", expected=list(causes), found=missing
        )
    frames = {n: pd.DataFrame(points[n].transpose("time", "site").values) for n, _ in causes}
    return [frames[name].shift(lag).to_numpy(dtype=np.float64).T for name, lag in causes]


def place(points: xr.Dataset, statics: Sequence[str], steps: int) -> list[Floats]:
    """Each static and each class as a column (site, time)."""
    one_hot = np.eye(len(ECOSYSTEMS))[class_codes(points)]
    columns = [np.asarray(points[name].values, dtype=np.float64) for name in statics]
    columns += list(one_hot.T)
    return [np.broadcast_to(column[:, None], (len(column), steps)) for column in columns]

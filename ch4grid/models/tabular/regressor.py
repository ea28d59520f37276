"""From a training set to rows and weights, and from a fitted estimator to a law at points.

A tabular model says which estimator it is and whether it needs standardised columns; everything else is here, so that
no model can see more than another. Rows are the measured months, their weights those of every other model.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid.models.learner import Law, Learner, Regressor, TrainingSet
from ch4grid.models.tabular.table import PredictorTable, Singles

Floats = NDArray[np.float64]
Settings = TypeVar("Settings", bound=Learner)

CANDIDATES = 3
# Libraries hold a seed in 31 bits.
SEEDS = 2**31


class Estimator(Protocol):
    """What libraries agree on."""

    def fit(self, x: Any, y: Any, sample_weight: Any) -> Any:
        """Learns rows."""

    def predict(self, x: Any) -> Any:
        """Says rows."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Measured months as rows.

    Args:
        predictors: Columns (row, column).
        target: asinh(flux / c) (row).
        weight: Weight (row), one in the mean, so that a penalty means the same for any number of rows.
        site: Index of the tower (row).
    """

    predictors: Singles
    target: Floats
    weight: Floats
    site: NDArray[np.intp]

    @classmethod
    def of(cls, training: TrainingSet, table: PredictorTable) -> "Rows":
        """The rows of a training set."""
        targets = training.targets
        measured = targets.weight.ravel() > 0
        weight = training.weights.ravel()[measured]
        towers, months = targets.weight.shape
        return cls(
            predictors=table.matrix(training.samples)[measured],
            target=targets.transformed.ravel()[measured],
            weight=weight / weight.mean(),
            site=np.repeat(np.arange(towers), months)[measured],
        )


@dataclass(frozen=True, eq=False)
class TabularRegressor:
    """A fitted model of rows.

    Args:
        table: Columns.
        estimate: From columns (row, column) to transformed flux (row).
        parameters: Number of fitted numbers: leaves, coefficients, weights or stored rows.
    """

    table: PredictorTable
    estimate: Callable[[Singles], Any]
    parameters: int

    def predict(self, points: xr.Dataset) -> Law:
        """The location at points; a row sees its own month, the three before and the place."""
        values = self.estimate(self.table.matrix(points))
        return Law(at_points(values, points))


class TabularLearner(Learner):
    """Settings of a model that a library fits to rows."""

    # Whether columns are filled and standardised: for models of distances and of penalised coefficients.
    scaled: ClassVar[bool] = False

    @abstractmethod
    def estimator(self, seed: int, columns: int) -> Estimator:
        """The estimator of the library, not yet fitted; heavy imports belong here.

        Args:
            seed: Seed below 2^31.
            columns: Number of columns F.
        """

    @abstractmethod
    def size(self, estimator: Any) -> int:
        """Number of fitted numbers of a fitted estimator."""

    def fit(self, training: TrainingSet) -> Regressor:
        """The estimator fitted to the measured months."""
        return self.fit_columns(training, PredictorTable.of(training))

    def fit_columns(self, training: TrainingSet, raw: PredictorTable) -> TabularRegressor:
        """The estimator fitted to the measured months in the columns of a table without fills and scales."""
        rows = Rows.of(training, raw)
        table = raw.scaled(rows.predictors) if self.scaled else raw
        estimator = self.estimator(training.seed % SEEDS, rows.predictors.shape[1])
        predictors = table.treated(rows.predictors)
        estimator.fit(predictors, rows.target, sample_weight=rows.weight)
        return TabularRegressor(table, estimator.predict, self.size(estimator))


def choices(settings: Settings, name: str, values: Iterable[Any]) -> tuple[Settings, ...]:
    """The settings themselves, then the same with other values of one of them, three at most."""
    others = [settings.varied(**{name: v}) for v in values if v != getattr(settings, name)]
    return (settings, *others)[:CANDIDATES]


def leaves(forest: Any) -> int:
    """Number of leaves of a fitted forest."""
    return int(sum(tree.get_n_leaves() for tree in forest.estimators_))


def at_points(values: Any, points: xr.Dataset) -> Floats:
    """Values of rows as (site, time)."""
    shape = (points.sizes["site"], points.sizes["time"])
    return np.asarray(values, dtype=np.float64).reshape(shape)

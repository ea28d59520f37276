"""Quantile regression forest: a forest whose leaves remember their months.

Meinshausen (2006), J. Mach. Learn. Res. 7, 983-999; Johnson (2024), J. Open Source Softw. 9, 5976 (`quantile-forest`):

    F(y | x) = sum_i v_i(x) 1[y_i <= y],    v_i(x) = 1/B sum_b 1[x_i in leaf_b(x)] / n_b(x)

The location is the median, the Laplace scale b that of a law with the same width from 5 to 95 %, 2 b ln 10. Different
from the paper: weights of rows steer the splits but not the quantiles, and missing values take the median of the
training rows, because the library knows neither.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import xarray as xr
from pydantic import Field

from ch4grid.models.learner import Law, Learner, Regressor, TrainingSet
from ch4grid.models.tabular.regressor import SEEDS, Rows, at_points, choices, leaves
from ch4grid.models.tabular.table import PredictorTable

COLUMN_SHARE = 1 / 3
LEVELS = (0.05, 0.5, 0.95)
# Width of a Laplace law from 5 to 95 %, in scales.
WIDTH = 2 * math.log(10)
# Smallest scale in asinh space: months that all agree are not certain.
SMALLEST_SCALE = 0.01


class QuantileForest(Learner):
    """Settings of the forest.

    Args:
        architecture: Discriminator.
        trees: Number of trees B.
        min_leaf: Fewest months in a leaf.
    """

    architecture: Literal["quantile-forest"] = "quantile-forest"
    trees: int = Field(default=100, ge=1)
    min_leaf: int = Field(default=20, ge=1)

    def candidates(self) -> tuple[Self, ...]:
        """These settings, smaller and larger leaves."""
        return choices(self, "min_leaf", (20, 5, 40))

    def fit(self, training: TrainingSet) -> Regressor:
        """The forest of the measured months."""
        from quantile_forest import RandomForestQuantileRegressor  # heavy

        raw = PredictorTable.of(training)
        rows = Rows.of(training, raw)
        table = raw.filled(rows.predictors)
        forest = RandomForestQuantileRegressor(
            n_estimators=self.trees,
            min_samples_leaf=self.min_leaf,
            max_features=COLUMN_SHARE,
            random_state=training.seed % SEEDS,
            n_jobs=1,
        )
        forest.fit(table.treated(rows.predictors), rows.target, sample_weight=rows.weight)
        return Quantiles(table, forest, leaves(forest))


@dataclass(frozen=True, eq=False)
class Quantiles:
    """The fitted forest.

    Args:
        table: Columns.
        forest: Quantile forest.
        parameters: Leaves.
    """

    table: PredictorTable
    forest: Any
    parameters: int

    def predict(self, points: xr.Dataset) -> Law:
        """Median and Laplace scale at points."""
        found = self.forest.predict(self.table.matrix(points), quantiles=list(LEVELS))
        low, middle, high = (at_points(column, points) for column in found.T)
        return Law(middle, np.maximum((high - low) / WIDTH, SMALLEST_SCALE))

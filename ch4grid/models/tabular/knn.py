"""Nearest months: the mean of the measured months that were most like the month asked about.

Fix and Hodges (1951); Cover (1968), IEEE Trans. Inf. Theory 14, 50-55, 10.1109/TIT.1968.1054098:

    f(x) = sum_i w_i y_i / sum_i w_i      over the k rows with the smallest |x - x_i|

x (row, column) standardised. Different from the papers: rows carry weights, lest one long record vote alone.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ch4grid.models.tabular.regressor import Estimator, TabularLearner, choices

Floats = NDArray[np.float64]


class KNN(TabularLearner):
    """Settings of the nearest months.

    Args:
        architecture: Discriminator.
        neighbours: Number of rows k in a mean.
    """

    architecture: Literal["knn"] = "knn"
    neighbours: int = Field(default=20, ge=1)
    scaled: ClassVar[bool] = True

    def candidates(self) -> tuple[Self, ...]:
        """These settings, more and fewer neighbours."""
        return choices(self, "neighbours", (20, 50, 10))

    def estimator(self, seed: int, columns: int) -> Estimator:
        """Weighted means over nearest rows."""
        return WeightedNeighbours(self.neighbours)

    def size(self, estimator: Any) -> int:
        """Stored rows."""
        return len(estimator.target)


@dataclass
class WeightedNeighbours:
    """Weighted mean over the nearest rows; scikit-learn's own takes no weights of rows.

    Args:
        neighbours: Number of rows in a mean.
    """

    neighbours: int
    target: Floats | None = None
    weight: Floats | None = None
    index: Any = None

    def fit(self, x: Any, y: Any, sample_weight: Any) -> None:
        """Stores the rows."""
        from sklearn.neighbors import NearestNeighbors  # heavy

        self.target, self.weight = np.asarray(y), np.asarray(sample_weight)
        self.index = NearestNeighbors(
            n_neighbors=min(self.neighbours, len(y)), algorithm="brute", n_jobs=1
        ).fit(x)

    def predict(self, x: Any) -> Floats:
        """Means over the nearest rows (row)."""
        if self.target is None or self.weight is None:
            raise ValueError("no rows were stored; call fit first")
        near = self.index.kneighbors(x, return_distance=False)
        weight = self.weight[near]
        return np.asarray((weight * self.target[near]).sum(axis=1) / weight.sum(axis=1))

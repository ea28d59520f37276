"""A Gaussian process over months: nearest months with an honest error.

Rasmussen and Williams (2006), Gaussian Processes for Machine Learning, MIT Press, algorithm 2.1:

    f(x) = m + k(x)^T (K + N)^-1 (y - m),    v(x) = s^2 [1 + nu - k(x)^T (K + N)^-1 k(x)]
    k(x, x') = exp(-|x - x'|^2 / (2 F l^2)),    N = diag(nu / w_i)

x (row, column) standardised, m and s mean and standard deviation of the targets, F columns, w the weights of the rows,
one in the mean. The Laplace scale is that of a law with the variance v: sqrt(v / 2). Different from the book: length l
and noise nu are settings, the noise chosen on held-out clusters, because the likelihood would choose a length at which
the months of a tower explain each other. Exact up to 2500 rows; more are thinned by lot. A prediction with its variance
takes a square of the rows for each month, so it is for towers and not for a globe.
"""

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from ch4grid.models.learner import Law, Learner, Regressor, TrainingSet
from ch4grid.models.tabular.regressor import Rows, at_points, choices
from ch4grid.models.tabular.table import PredictorTable

Floats = NDArray[np.float64]

MAX_ROWS = 2500
# A row that weighs almost nothing would have endless noise.
SMALLEST_WEIGHT = 0.05
# Rows that are predicted at a time.
BLOCK = 4096


class GaussianProcess(Learner):
    """Settings of the Gaussian process.

    Args:
        architecture: Discriminator.
        length: Length l of the kernel, in root mean squared scores.
        noise: Share nu of noise in the variance of a month of mean weight, relative to the signal [1].
    """

    architecture: Literal["gaussian-process"] = "gaussian-process"
    length: float = Field(default=1.0, gt=0)
    noise: float = Field(default=0.5, gt=0)

    def candidates(self) -> tuple[Self, ...]:
        """These settings, more noise and less."""
        return choices(self, "noise", (0.5, 2.0, 0.1))

    def fit(self, training: TrainingSet) -> Regressor:
        """The process conditioned on the measured months."""
        from sklearn.gaussian_process import GaussianProcessRegressor  # heavy
        from sklearn.gaussian_process.kernels import RBF

        raw = PredictorTable.of(training)
        rows = Rows.of(training, raw)
        table = raw.scaled(rows.predictors)
        kept = _thinned(len(rows.target), training.seed)
        target, weight = rows.target[kept], rows.weight[kept]
        mean = float(np.average(target, weights=weight))
        spread = max(float(np.average((target - mean) ** 2, weights=weight)) ** 0.5, 1e-6)
        process = GaussianProcessRegressor(
            RBF(self.length * rows.predictors.shape[1] ** 0.5, "fixed"),
            alpha=self.noise / np.maximum(weight, SMALLEST_WEIGHT),
            optimizer=None,
        )
        x = table.treated(rows.predictors[kept]).astype(np.float64)
        process.fit(x, (target - mean) / spread)
        return Conditioned(table, process, mean, spread, self.noise)


@dataclass(frozen=True, eq=False)
class Conditioned:
    """The fitted process.

    Args:
        table: Columns.
        process: Process of standardised targets.
        mean: Mean m of the targets.
        spread: Standard deviation s of the targets.
        noise: Noise nu of a month of mean weight.
    """

    table: PredictorTable
    process: Any
    mean: float
    spread: float
    noise: float

    @property
    def parameters(self) -> int:
        """Stored rows."""
        return len(self.process.alpha_)

    def predict(self, points: xr.Dataset) -> Law:
        """Mean and Laplace scale at points."""
        x = self.table.matrix(points).astype(np.float64)
        blocks = np.split(x, range(BLOCK, len(x), BLOCK))
        found = [self.process.predict(block, return_std=True) for block in blocks]
        centre, deviation = (np.concatenate(part) for part in zip(*found, strict=True))
        scale = self.spread * np.sqrt((deviation**2 + self.noise) / 2)
        return Law(at_points(self.mean + self.spread * centre, points), at_points(scale, points))


def _thinned(rows: int, seed: int) -> NDArray[np.intp]:
    """Index of the rows that are kept."""
    if rows <= MAX_ROWS:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, MAX_ROWS, replace=False))

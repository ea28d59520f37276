"""Level and pattern apart: what a place emits in the mean, and how its months depart from that.

Methods 0, decision 3; the two stages are those of ZeroDiff (Fan, Lu and Jia, ICML 2026), which estimates the moments of
an unseen site before its dynamics:

    y_st = L(n_s, z_s) + P(x_st - n_s, n_s, class, season)

L is the mean of a ridge regression and extremely randomised trees, fitted to the mean transformed flux of each tower on
its normals n (driver), statics z, class and distance from the equator; P is extremely randomised trees fitted to what
is left of a month beside the tower's own mean. Different from the paper: no spread of the target is estimated and no
diffusion follows, so an amplitude is the trees' to learn.

The normal of a driver is the static `<driver>_mean` where the points hold it, else its mean over the record that is
given. The second is a property of the climate and not of the flux, but it makes a month depend on later months of the
drivers, so give the statics wherever the past alone may speak.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from ch4grid.models.learner import Law, Learner, Regressor, TrainingSet
from ch4grid.models.samples import predictor_names
from ch4grid.models.tabular.extra_trees import extra_trees
from ch4grid.models.tabular.regressor import (
    SEEDS,
    Rows,
    TabularRegressor,
    choices,
    leaves,
)
from ch4grid.models.tabular.table import PredictorTable, require

Floats = NDArray[np.float64]

# Penalty of the ridge of the level, in towers, and the fewest towers in a leaf of its trees.
LEVEL_PENALTY = 30.0
LEVEL_LEAF = 3
NORMAL = "{}_normal"


class MagnitudePattern(Learner):
    """Settings of level and pattern.

    Args:
        architecture: Discriminator.
        trees: Number of trees of the level and of the pattern each.
        min_leaf: Fewest months in a leaf of the pattern.
    """

    architecture: Literal["magnitude-pattern"] = "magnitude-pattern"
    trees: int = Field(default=200, ge=1)
    min_leaf: int = Field(default=20, ge=1)

    def candidates(self) -> tuple[Self, ...]:
        """These settings, smaller and larger leaves."""
        return choices(self, "min_leaf", (20, 5, 40))

    def fit(self, training: TrainingSet) -> Regressor:
        """Level and pattern fitted to the towers."""
        drivers, statics = predictor_names(training.samples, training.gas)
        seed = training.seed % SEEDS
        samples = departures(training.samples, drivers)
        columns = PredictorTable.of(training).lagged
        pattern = PredictorTable(columns, tuple(NORMAL.format(name) for name in drivers))
        rows = Rows.of(replace(training, samples=samples), pattern)
        level, weight = tower_levels(training)
        trees = extra_trees(self.trees, self.min_leaf, seed)
        trees.fit(rows.predictors, rows.target - level[rows.site], sample_weight=rows.weight)
        return LevelAndPattern(
            drivers=drivers,
            level=_Level.fit(
                samples, statics, level, weight, extra_trees(self.trees, LEVEL_LEAF, seed)
            ),
            pattern=TabularRegressor(pattern, trees.predict, leaves(trees)),
        )


@dataclass(frozen=True, eq=False)
class LevelAndPattern:
    """The fitted model.

    Args:
        drivers: Names of the drivers.
        level: What a place emits in the mean.
        pattern: How a month departs from that.
    """

    drivers: tuple[str, ...]
    level: "_Level"
    pattern: TabularRegressor

    @property
    def parameters(self) -> int:
        """Leaves of both stages and coefficients of the level."""
        return self.level.parameters + self.pattern.parameters

    def predict(self, points: xr.Dataset) -> Law:
        """Level and pattern together at points."""
        apart = departures(points, self.drivers)
        return Law(self.level.predict(apart)[:, None] + self.pattern.predict(apart).location)


@dataclass(frozen=True, eq=False)
class _Level:
    """Level of a place from its normals and statics: half a line, half trees."""

    table: PredictorTable
    scores: PredictorTable
    ridge: Any
    trees: Any

    @classmethod
    def fit(
        cls, places: xr.Dataset, statics: Sequence[str], level: Floats, weight: Floats, trees: Any
    ) -> "_Level":
        """The level fitted to towers that hold their normals."""
        from sklearn.linear_model import Ridge  # heavy

        normals = [str(name) for name in places.data_vars if str(name).endswith(NORMAL.format(""))]
        table = PredictorTable((), (*normals, *statics, "absolute_latitude"), calendar=False)
        rows = table.matrix(places.isel(time=[0]))[weight > 0]
        scores = table.scaled(rows)
        known = weight[weight > 0] / weight[weight > 0].mean()
        ridge = Ridge(alpha=LEVEL_PENALTY, solver="cholesky")
        ridge.fit(scores.treated(rows), level[weight > 0], sample_weight=known)
        trees.fit(rows, level[weight > 0], sample_weight=known)
        return cls(table, scores, ridge, trees)

    @property
    def parameters(self) -> int:
        """Leaves, coefficients and intercept."""
        return leaves(self.trees) + int(self.ridge.coef_.size) + 1

    def predict(self, places: xr.Dataset) -> Floats:
        """Level of each place (site)."""
        rows = self.table.matrix(places.isel(time=[0]))
        both = self.ridge.predict(self.scores.treated(rows)) + self.trees.predict(rows)
        return np.asarray(both / 2, dtype=np.float64)


def tower_levels(training: TrainingSet) -> tuple[Floats, Floats]:
    """Weighted mean of the transformed flux of each tower (site), and the weight of the tower (site)."""
    months = training.weights
    weight = months.sum(axis=1)
    total = (months * training.targets.transformed).sum(axis=1)
    return total / np.where(weight > 0, weight, 1.0), weight


def departures(points: xr.Dataset, drivers: Sequence[str]) -> xr.Dataset:
    """Points with each driver as departure from its normal, the normals as statics, and the distance from the equator.

    Raises:
        InputError: A driver is missing.
    """
    require(points, drivers)
    out = {"absolute_latitude": ("site", np.abs(points["latitude"].values))}
    apart = points.assign(out)
    for name in drivers:
        normal = _normal(points, name)
        apart = apart.assign({NORMAL.format(name): normal, name: points[name] - normal})
    return apart


def _normal(points: xr.Dataset, name: str) -> xr.DataArray:
    """Normal of a driver (site): its static, else its mean over the record; NaN where there is neither."""
    values = points[name].transpose("site", "time").values
    known = np.isfinite(values)
    count = known.sum(axis=1)
    total = np.where(known, values, 0.0).sum(axis=1, dtype=np.float64)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    if f"{name}_mean" in points:
        static = points[f"{name}_mean"].values
        mean = np.where(np.isfinite(static), static, mean)
    return xr.DataArray(mean, dims="site")

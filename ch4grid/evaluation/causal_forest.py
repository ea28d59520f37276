"""`CausalForest`: a level and a mean year from places, departures from it by the conditional effects of causes.

A causal forest estimates effects, not levels. To be scored beside predictors of levels it gets one: a random forest of
class, statics and the mean year of the causes. What it adds month by month is effect times anomaly and nothing else.

Mean years are those of the whole record that is asked about, its later months included: unlike every other model it
looks ahead in the drivers, which is why it makes no product.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from ch4grid.causal.anomalies import anomalies, design_matrix
from ch4grid.causal.forest import joint_effects
from ch4grid.graph import CausalGraph
from ch4grid.models.learner import Law, Learner, TrainingSet
from ch4grid.models.samples import MIN_COVERAGE, Targets, class_codes, predictor_names
from ch4grid.models.tabular.causal_parents import flux_causes
from ch4grid.models.tabular.table import Cause, lagged, place
from ch4grid.vocabulary import ECOSYSTEMS, Gas

Floats = NDArray[np.float64]

HARMONICS = 2
FOLDS = 3


class CausalForest(Learner):
    """Settings of the causal forest as a predictor.

    Args:
        architecture: Discriminator.
        trees: Number of trees of the base level.
        min_leaf: Fewest months in a leaf.
    """

    needs_graph: ClassVar[bool] = True

    architecture: Literal["causal-forest"] = "causal-forest"
    trees: int = Field(default=100, ge=1)
    min_leaf: int = Field(default=5, ge=1)

    def fit(self, training: TrainingSet) -> "CausalForestLevels":
        """Both forests of a training set, the causes of the flux discovered in it."""
        levels = CausalForestLevels(
            training.graph(), trees=self.trees, min_leaf=self.min_leaf, seed=training.seed
        )
        return levels.fit(training.samples, training.gas)

    def candidates(self) -> tuple[Self, ...]:
        """These settings, larger leaves, and larger ones still."""
        return (self, self.varied(min_leaf=20), self.varied(min_leaf=40))


@dataclass
class CausalForestLevels:
    """Transformed flux as base level plus conditional effects of all causes times their anomalies.

    Args:
        graph: What causes the flux; lags in months.
        trees: Number of trees of the base level.
        min_leaf: Fewest months in a leaf.
        seed: Seed of both forests.
    """

    graph: CausalGraph
    trees: int = 100
    min_leaf: int = 5
    seed: int = 0
    statics: tuple[str, ...] = ()
    causes: tuple[Cause, ...] = ()
    filling: tuple[float, ...] = ()
    unit: Floats = field(default_factory=lambda: np.empty(0))
    effects: Any = None
    base: Any = None

    def fit(self, samples: xr.Dataset, gas: Gas) -> "CausalForestLevels":
        """Both forests of samples (site, time) with flux and coverage."""
        from sklearn.ensemble import RandomForestRegressor  # heavy

        drivers, self.statics = predictor_names(samples, gas)
        present = sorted({ECOSYSTEMS[c] for c in class_codes(samples).tolist()})
        self.causes = flux_causes(self.graph, present, drivers)
        self.filling = tuple(_mean(samples[name].values) for name in self.statics)
        self._learn_effects(samples, gas, drivers)
        targets = Targets.of(samples, gas)
        ok = targets.weight.ravel() > 0
        self.base = RandomForestRegressor(
            n_estimators=self.trees,
            min_samples_leaf=self.min_leaf,
            max_features=1 / 3,
            random_state=self.seed,
            n_jobs=1,
        )
        level = targets.transformed - self._departure(samples)
        self.base.fit(
            self._mean_year(samples)[ok],
            level.ravel()[ok],
            sample_weight=targets.weight.ravel()[ok],
        )
        return self

    @property
    def parameters(self) -> int:
        """Leaves of the base level, and the causes."""
        leaves = sum(int(tree.get_n_leaves()) for tree in self.base.estimators_)
        return leaves + len(self.causes)

    def predict(self, points: xr.Dataset) -> Law:
        """The law of the transformed flux (site, time), without a scale."""
        shape = (points.sizes["site"], points.sizes["time"])
        level = np.asarray(self.base.predict(self._mean_year(points)), dtype=np.float64)
        return Law(level.reshape(shape) + self._departure(points))

    def _learn_effects(self, samples: xr.Dataset, gas: Gas, drivers: Sequence[str]) -> None:
        used = sorted({name for name, _ in self.causes} & set(drivers))
        flux = anomalies(
            samples, flux=gas.flux, drivers=used, harmonics=HARMONICS, min_coverage=MIN_COVERAGE
        )[gas.flux].values
        away, _ = _parted(samples, self.causes)
        spread = np.nanstd(away, axis=(0, 1))
        self.unit = np.where(spread > 0, spread, 1.0)
        ok = np.isfinite(flux) & np.isfinite(away).all(axis=-1)
        site = np.nonzero(ok)[0]
        self.effects = joint_effects(
            flux[ok],
            away[ok] / self.unit,
            self._modifiers(samples)[site],
            samples["cluster"].values.astype(np.int64)[site],
            folds=FOLDS,
            seed=self.seed,
        )

    def _departure(self, points: xr.Dataset) -> Floats:
        """Effects times anomalies (site, time); a cause before the record adds nothing."""
        away, _ = _parted(points, self.causes)
        sizes = self.effects(self._modifiers(points)) / self.unit
        return np.asarray(np.einsum("stk,sk->st", np.nan_to_num(away), sizes))

    def _mean_year(self, points: xr.Dataset) -> NDArray[np.float32]:
        """Predictors of the base level (site x time, column): mean year of each cause, statics, class."""
        _, year = _parted(points, self.causes)
        columns = [*np.moveaxis(year, -1, 0), *place(points, self.statics, points.sizes["time"])]
        return np.stack([column.ravel() for column in columns], axis=1).astype(np.float32)

    def _modifiers(self, points: xr.Dataset) -> Floats:
        """X (site, x): class and statics, a missing one at the mean of the training."""
        columns = [
            np.nan_to_num(np.asarray(points[name].values, dtype=np.float64), nan=fill)
            for name, fill in zip(self.statics, self.filling, strict=True)
        ]
        return np.stack([*columns, *np.eye(len(ECOSYSTEMS))[class_codes(points)].T], axis=1)


def _parted(points: xr.Dataset, causes: Sequence[Cause]) -> tuple[Floats, Floats]:
    """Anomalies and mean year (site, time, cause) of the causes at their lags, by each site's own regression."""
    design = design_matrix(pd.DatetimeIndex(points["time"].values), HARMONICS)
    values = np.stack(lagged(points, causes), axis=-1)
    year = np.full_like(values, np.nan)
    for site, cause in np.ndindex(values.shape[0], values.shape[2]):
        column = values[site, :, cause]
        ok = np.isfinite(column)
        if ok.sum() >= 2 * design.shape[1]:
            year[site, :, cause] = design @ np.linalg.lstsq(design[ok], column[ok], rcond=None)[0]
    return values - year, year


def _mean(values: NDArray[Any]) -> float:
    """Mean of what is there, 0 where nothing is."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else 0.0

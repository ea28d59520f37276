"""A stack: the weighted mean of several models, weights learnt from what each says of towers that it has not seen.

    mu = sum_i w_i mu_i,   w = argmin_(w >= 0, sum w = 1) sum_n a_n (y_n - sum_i w_i mu_i,n)^2 + r |w - 1/I|^2

mu_i,n are out-of-fold predictions over groups of training clusters, a_n the balanced weights of months (sum one),
so a model that has learnt its towers by heart gets no credit for it. With forty clusters weights are poorly known: r
draws them to equal ones.

Source: Wolpert (1992), Stacked generalization, Neural Networks 5, 241; Breiman (1996), Stacked regressions, Machine
Learning 24, 49, for weights that are not negative.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field
from scipy.optimize import nnls

from ch4grid.models.folds import grouped_folds
from ch4grid.models.learner import Law, Learner, Regressor, TrainingSet, learnt
from ch4grid.models.samples import Targets, class_codes
from ch4grid.models.standalone import Standalone
from ch4grid.models.weighting import month_weights

Floats = NDArray[np.float64]

FOLDS = 3
# Weight of the row that makes weights sum to one, against rows of data that sum to one in all.
SUM_TO_ONE = 1e3


class Stack(Learner):
    """Settings of a stack.

    Args:
        architecture: Discriminator.
        of: The models, each with its own settings.
        shrinkage: Pull r of the weights towards equal ones; large values make them equal.
    """

    # Its models may ask for one.
    needs_graph: ClassVar[bool] = True

    architecture: Literal["stack"] = "stack"
    of: tuple[Standalone, ...] = Field(min_length=2, strict=False)
    shrinkage: float = Field(default=0.3, ge=0, allow_inf_nan=False)

    def fit(self, training: TrainingSet) -> "StackedRegressor":
        """The stack of a training set, its weights from groups of its clusters left out in turn."""
        clusters = training.samples["cluster"].values.astype(np.int64)
        codes = class_codes(training.samples)
        if len(np.unique(clusters)) < FOLDS:  # nothing to learn weights from
            equal = (1 / len(self.of),) * len(self.of)
            return StackedRegressor(tuple(base.fit(training) for base in self.of), equal)
        fold = grouped_folds(clusters, FOLDS, training.seed, ecosystem=codes)
        return self.learn(training, fold)[1]

    def trial(self) -> "Stack":
        """The same stack of cheaper models."""
        return self.model_copy(update={"of": tuple(base.trial() for base in self.of)})

    def learn(
        self, training: TrainingSet, fold: NDArray[np.int64]
    ) -> tuple[Law, "StackedRegressor"]:
        """Out-of-fold law of the stack, weights of a fold from the other folds, and the stack of all towers."""
        parts = [learnt(base, training, fold) for base in self.of]
        locations = np.stack([law.location for law, _ in parts])
        shares, final = self.shares(locations, training.targets, training.samples, fold)
        out = (shares[:, :, None] * locations).sum(axis=0)
        return Law(out), StackedRegressor(tuple(r for _, r in parts), tuple(final.tolist()))

    def shares(
        self,
        locations: Floats,
        targets: Targets,
        samples: xr.Dataset,
        fold: NDArray[np.integer[Any]],
    ) -> tuple[Floats, Floats]:
        """Weights (I, S) of each tower, learnt without its fold, and weights (I) learnt from all towers.

        The models behind the other folds have seen this one: weights, a handful of numbers, know it at second hand.

        Args:
            locations: What each model says of towers without their fold (I, S, T).
            targets: What was measured.
            samples: The towers.
            fold: Fold of each tower (S).
        """
        weight = month_weights(targets.weight, class_codes(samples), np.ones(len(fold)))
        out = np.empty(locations.shape[:2])
        for k in np.unique(fold):
            others = weight * (fold != k)[:, None]
            found = self._weights(locations, targets.transformed, others)
            out[:, fold == k] = found[:, None]
        return out, self._weights(locations, targets.transformed, weight)

    def _weights(self, locations: Floats, observed: Floats, weight: Floats) -> Floats:
        """Weights (I) of predictions (I, S, T) of what was observed (S, T)."""
        at = weight > 0
        share = weight[at] / weight[at].sum()
        root, count = np.sqrt(share), len(locations)
        pull = np.sqrt(self.shrinkage)
        design = np.concatenate(
            [
                root[:, None] * locations[:, at].T,
                pull * np.eye(count),
                np.full((1, count), SUM_TO_ONE),
            ]
        )
        target = np.concatenate([root * observed[at], np.full(count, pull / count), [SUM_TO_ONE]])
        found, _ = nnls(design, target)
        return np.asarray(found / found.sum())


@dataclass(frozen=True, eq=False)
class StackedRegressor:
    """Fitted models and their weights (I), which sum to one."""

    models: Sequence[Regressor]
    weights: tuple[float, ...]

    @property
    def parameters(self) -> int:
        """Numbers fitted by all models, and the weights."""
        return sum(model.parameters for model in self.models) + len(self.weights)

    def predict(self, points: xr.Dataset) -> Law:
        """The weighted mean of the locations; the scale is left to what is learnt from held-out errors."""
        laws = [model.predict(points).location for model in self.models]
        return Law(np.tensordot(np.array(self.weights), np.stack(laws), axes=1))

"""From points to the tensors of a sequence network, and from its two numbers a month back to a law.

A frame is learnt from the training towers alone. It may be handed from one fit to another, so that a network trained
on one set of sites keeps its units when it goes on with another set.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from ch4grid.models.learner import TrainingSet
from ch4grid.models.samples import CHANNELS, Points, Scaler, Targets, predictor_names
from ch4grid.models.season import season
from ch4grid.models.weighting import month_weights
from ch4grid.models.windows import Windows

Singles = NDArray[np.float32]
Floats = NDArray[np.float64]

# Inputs of a month beside those of the drivers: sine and cosine of the season.
SEASON = 2
# Bounds of the Laplace scale in asinh space: below, a likelihood would chase single months; above, nothing is known.
SMALLEST_SCALE, LARGEST_SCALE = 0.02, 5.0
SMALLEST_SPREAD = 1e-3


class Rows(NamedTuple):
    """What a network learns from.

    Args:
        inputs: Inputs (R, T, F_in).
        statics: Static features (R, F).
        target: Flux in asinh space (R, T), 0 where there is none.
        weight: Weight of each month (R, T), summing to one.
    """

    inputs: Tensor
    statics: Tensor
    target: Tensor
    weight: Tensor


class Said(NamedTuple):
    """Location and Laplace scale of months in asinh space, of one shape."""

    location: Tensor
    scale: Tensor


@dataclass(frozen=True, eq=False)
class Frame:
    """Units of inputs and outputs.

    Args:
        scaler: Means and spreads of the predictors.
        centre: Weighted mean of the targets, which a network that says nothing predicts.
        spread: Their weighted standard deviation, the unit of the location.
        scale: Their weighted mean absolute departure, the unit of the Laplace scale.
    """

    scaler: Scaler
    centre: float
    spread: float
    scale: float

    @classmethod
    def of(cls, training: TrainingSet) -> "Frame":
        """The frame of a training set."""
        names = predictor_names(training.samples, training.gas)
        points = Points.of(training.samples, *names)
        targets = training.targets
        weight = _balanced(targets, points)
        centre = float((weight * targets.transformed).sum())
        away = targets.transformed - centre
        return cls(
            scaler=Scaler.fit(points, *names),
            centre=centre,
            spread=max(float(np.sqrt((weight * away**2).sum())), SMALLEST_SPREAD),
            scale=max(float((weight * np.abs(away)).sum()), SMALLEST_SPREAD),
        )

    @property
    def inputs(self) -> int:
        """Number of inputs of a month F_in."""
        return CHANNELS * len(self.scaler.drivers) + SEASON

    @property
    def statics(self) -> int:
        """Number of static features F."""
        return self.scaler.features

    def tensors(self, samples: xr.Dataset) -> tuple[Tensor, Tensor]:
        """Inputs (S, T, F_in) and static features (S, F) of whole records."""
        points = Points.of(samples, self.scaler.drivers, self.scaler.statics)
        inputs = self._inputs(points, season(samples))
        return torch.from_numpy(inputs), torch.from_numpy(self.scaler.static_features(points))

    def rows(self, training: TrainingSet) -> Rows:
        """The rows of a training set that hold targets, towers and classes balanced."""
        samples, targets = training.samples, training.targets
        points = Points.of(samples, self.scaler.drivers, self.scaler.statics)
        windows = Windows.of(targets.weight)
        inputs = self._inputs(windows.points(points), windows.cut(season(samples), 0.0))
        statics = self.scaler.static_features(points)[windows.owner]
        weight = windows.weights(_balanced(targets, points))
        target = windows.cut(targets.transformed, 0.0)
        return Rows(
            inputs=torch.from_numpy(inputs),
            statics=torch.from_numpy(statics),
            target=torch.from_numpy(target.astype(np.float32)),
            weight=torch.from_numpy(weight.astype(np.float32)),
        )

    def said(self, output: Tensor) -> Said:
        """The law in the two numbers (..., 2) of a network: location and log scale, both 0 for what is usual."""
        location = self.centre + self.spread * output[..., 0]
        scale = self.scale * output[..., 1].clamp(-10, 10).exp()
        return Said(location, scale.clamp(SMALLEST_SCALE, LARGEST_SCALE))

    def _inputs(self, points: Points, seasons: Singles) -> Singles:
        """Inputs (R, T, F_in): the channels of a driver stand together, the season last."""
        channels = self.scaler.inputs(points).transpose(2, 3, 0, 1)
        flat = channels.reshape(*channels.shape[:2], -1)
        return np.concatenate([flat, seasons], axis=-1)


def _balanced(targets: Targets, points: Points) -> Floats:
    """Weights (S, T) that balance towers and classes, summing to one."""
    return month_weights(targets.weight, points.ecosystem, np.ones(len(points.site)))

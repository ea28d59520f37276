"""Fitters: each turns training samples into a predictor with a mean flux, a location and a 90 % interval.

The two baselines get their interval and the mean of their back-transformed flux from their own errors on clusters held
out inside the training samples, so that all models are compared with honest intervals. CT-GAT brings its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid.causal import Discovery, discover
from ch4grid.evaluation.splits import splits, without
from ch4grid.graph import CausalGraph
from ch4grid.models.baselines import (
    ClassMonthClimatology,
    RandomForest,
    Targets,
    flux_attrs,
    flux_scale,
)
from ch4grid.vocabulary import Gas

Floats = NDArray[np.float64]

Predictor = Callable[[xr.Dataset], xr.Dataset]
Fitter = Callable[[xr.Dataset, xr.Dataset], Predictor]

INNER_GROUPS = 3
LEVEL = 0.90
# A Laplace of larger scale has no mean after back-transformation; E[y] = c sinh(mu) / (1 - b^2) needs b < 1.
MAX_SCALE = 0.9


class _Baseline(Protocol):
    def fit(self, samples: xr.Dataset, gas: Gas) -> "_Baseline": ...
    def predict(self, points: xr.Dataset) -> Floats: ...


def climatology(gas: Gas) -> Fitter:
    """The class-by-month climatology as a fitter."""
    return BaselineFitter(gas, ClassMonthClimatology)


def random_forest(gas: Gas, seed: int = 0) -> Fitter:
    """The random forest as a fitter."""
    return BaselineFitter(gas, RandomForest, seed)


@dataclass(frozen=True)
class BaselineFitter:
    """Fits a baseline, and its errors on `INNER_GROUPS` groups of clusters left out of the training samples in turn.

    Args:
        gas: The gas.
        model: The baseline's class.
        seed: Seed of the grouping, and of a forest.
    """

    gas: Gas
    model: type[ClassMonthClimatology] | type[RandomForest]
    seed: int = 0

    def __call__(self, samples: xr.Dataset, series: xr.Dataset) -> Predictor:
        """The predictor trained on samples; discovery's series is not used."""
        errors = [
            self._errors(samples, train, test)
            for train, test in _inner_folds(samples, self.gas, self.seed)
        ]
        joined = np.concatenate(errors) if errors else np.zeros(1)
        return BaselinePredictor(self.gas, self._fitted(samples), joined)

    def _fitted(self, samples: xr.Dataset) -> _Baseline:
        model = RandomForest(seed=self.seed) if self.model is RandomForest else self.model()
        return model.fit(samples, self.gas)

    def _errors(self, samples: xr.Dataset, train: xr.Dataset, test: NDArray[np.intp]) -> Floats:
        held = samples.isel(site=test)
        error = Targets.of(held, self.gas).transformed - self._fitted(train).predict(held)
        return np.asarray(error[np.isfinite(error)])


@dataclass(frozen=True, eq=False)
class BaselinePredictor:
    """A fitted baseline with its held-out errors in asinh space (month,)."""

    gas: Gas
    model: _Baseline
    errors: Floats

    def __call__(self, points: xr.Dataset) -> xr.Dataset:
        """Location [1], mean flux and 90 % interval [kg m-2 s-1] (site, time)."""
        location, scale = self.model.predict(points), flux_scale(self.gas)
        # Duan's smearing: the mean of c sinh(location + error) over the errors, by the addition theorem.
        mean = (
            np.sinh(location) * np.cosh(self.errors).mean()
            + np.cosh(location) * np.sinh(self.errors).mean()
        )
        half = float(np.quantile(np.abs(self.errors), LEVEL))
        return predictions(
            points,
            self.gas,
            location=location,
            flux=scale * mean,
            lower=scale * np.sinh(location - half),
            upper=scale * np.sinh(location + half),
        )


@dataclass(frozen=True)
class CTGATFitter:
    """Fits CT-GAT by `ch4grid.training.fit` without folds of its own.

    Args:
        gas: The gas.
        model: The model's configuration.
        discovery: How its graph is discovered.
        control: None for the discovered graph, "random" for one of equal density dealt anew, "uniform" for one
            that holds every link equally likely.
        seed: Seed of training and of the control.
    """

    gas: Gas
    model: Any
    discovery: Discovery
    control: str | None = None
    seed: int = 0

    def __call__(self, samples: xr.Dataset, series: xr.Dataset) -> Predictor:
        """The predictor trained on samples, its graph discovered in the series."""
        from ch4grid import training  # heavy: torch

        checkpoint = training.fit(
            samples,
            series,
            gas=self.gas,
            model=self.model,
            discovery=self.discovery,
            folds=0,
            seed=self.seed,
            discover=ControlledDiscovery(self.control),
        )
        return CheckpointPredictor(self.gas, checkpoint)


@dataclass(frozen=True)
class ControlledDiscovery:
    """Discovery, or a control in its place: same call, same density, no knowledge."""

    control: str | None

    def __call__(
        self,
        series: xr.Dataset,
        *,
        flux: str,
        drivers: Sequence[str],
        ecosystems: Sequence[str],
        config: Discovery,
        seed: int,
    ) -> CausalGraph:
        """The graph that a model is given."""
        graph = discover(
            series, flux=flux, drivers=drivers, ecosystems=ecosystems, config=config, seed=seed
        )
        if self.control == "random":
            return graph.randomised(seed)
        return uniform(graph) if self.control == "uniform" else graph


@dataclass(frozen=True, eq=False)
class CheckpointPredictor:
    """A trained checkpoint as a predictor: members pooled to one location, mean flux and 90 % interval."""

    gas: Gas
    checkpoint: Any

    def __call__(self, points: xr.Dataset) -> xr.Dataset:
        """Location [1], mean flux and 90 % interval [kg m-2 s-1] (site, time)."""
        members = self.checkpoint.predict(points)
        mu = members["location"].transpose("member", "site", "time").values.astype(np.float64)
        b = members["scale"].transpose("member", "site", "time").values.astype(np.float64)
        scale, location = flux_scale(self.gas), mu.mean(axis=0)
        # Noise and disagreement of the members together, as one Laplace: its 95 % point is sd / sqrt(2) * ln 10.
        spread = np.sqrt((2 * b**2).mean(axis=0) + mu.var(axis=0))
        half = spread / np.sqrt(2) * np.log(1 / (1 - LEVEL))
        mean = (np.sinh(mu) / (1 - np.minimum(b, MAX_SCALE) ** 2)).mean(axis=0)
        return predictions(
            points,
            self.gas,
            location=location,
            flux=scale * mean,
            lower=scale * np.sinh(location - half),
            upper=scale * np.sinh(location + half),
        )


def uniform(graph: CausalGraph) -> CausalGraph:
    """The graph without knowledge: every link that may exist has the mean probability of its node's links."""
    probability = graph.probability.copy()
    possible = probability > 0
    total = probability.sum(axis=(2, 3), keepdims=True)
    count = np.maximum(possible.sum(axis=(2, 3), keepdims=True), 1)
    level = np.where(possible, total / count, 0.0)
    return CausalGraph(graph.drivers, graph.target, graph.ecosystems, level, {"control": "uniform"})


def predictions(
    points: xr.Dataset, gas: Gas, *, location: Floats, flux: Floats, lower: Floats, upper: Floats
) -> xr.Dataset:
    """What a predictor returns: location [1], flux, lower and upper [kg m-2 s-1], all (site, time)."""
    dims = ("site", "time")
    attrs = flux_attrs(gas)
    return xr.Dataset(
        {
            "location": (dims, location, {"units": "1"}),
            "flux": (dims, flux, attrs),
            "lower": (dims, lower, attrs),
            "upper": (dims, upper, attrs),
        },
        coords={"site": points["site"], "time": points["time"]},
    )


def _inner_folds(
    samples: xr.Dataset, gas: Gas, seed: int
) -> list[tuple[xr.Dataset, NDArray[np.intp]]]:
    """Training samples and held-out sites of each inner fold; none when there are too few clusters or no targets."""
    measured = Targets.of(samples, gas).weight.sum(axis=1) > 0
    folds = []
    if len(np.unique(samples["cluster"].values)) < INNER_GROUPS:
        return []
    for split in splits(samples, "loco", seed=seed, groups=INNER_GROUPS):
        out = split.test.any(axis=1)
        if measured[out].any() and measured[~out].any():
            folds.append((without(samples, gas.flux, split), np.flatnonzero(out)))
    return folds

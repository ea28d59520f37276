"""The contract of every model: settings that learn from towers, and what they learn into.

A `Learner` is what a recipe writes. It learns from a `TrainingSet`, which holds nothing of a tower that is later asked
about, and gives a `Regressor`, which says a `Law` for points. A new model is one file with a learner, and one line in
the union of `models/config.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ch4grid.errors import InputError
from ch4grid.graph import CausalGraph
from ch4grid.grid import great_circle_km
from ch4grid.models.samples import Targets, class_codes
from ch4grid.models.weighting import month_weights
from ch4grid.vocabulary import GASES, Gas

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

# Discovery towers so near to a held-out tower measure the same weather and the same wetland [km].
NEIGHBOURHOOD_KM = 300.0


class Law(NamedTuple):
    """What a model says of points, in asinh space.

    Args:
        location: Centre of the transformed flux (site, time) [1].
        scale: Laplace scale (site, time) [1]; None for a model without an opinion on its own error.
    """

    location: Floats
    scale: Floats | None = None


class Regressor(Protocol):
    """A fitted model."""

    @property
    def parameters(self) -> int:
        """Number of fitted numbers: weights of a network, leaves of a forest."""

    def predict(self, points: xr.Dataset) -> Law:
        """The law of the transformed flux at points.

        Args:
            points: Drivers (site, time), statics (site), coordinates latitude, longitude and ecosystem (site), without
                flux; a month may depend on itself and on earlier months only, a site on no other site of the points.
        """


class State(NamedTuple):
    """A fitted model as numbers by name and JSON values, enough to make it again without its towers."""

    arrays: dict[str, NDArray[Any]]
    document: dict[str, Any]


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """All that a model may learn from.

    Args:
        samples: Towers (site, time) with drivers, statics (site), flux [kg m-2 s-1] and coverage; coordinates latitude,
            longitude, ecosystem (index of the class) and cluster (site).
        series: What causal discovery sees; the samples when None.
        gas: The gas.
        seed: Seed of everything random.
        discoverer: Finds the causal graph in a series; needed by models under a graph only.
        distances: Distances [km] from cells of deployment to their nearest tower; may be empty.
        simulation: Simulated sites of the same variables and dims, for models that transfer from them.
        learnt: What models have learnt from this very set, by their settings: a stack and its models share it.
    """

    samples: xr.Dataset
    series: xr.Dataset | None = None
    gas: Gas = GASES["ch4"]
    seed: int = 0
    discoverer: Callable[[xr.Dataset], CausalGraph] | None = None
    distances: Floats = field(default_factory=lambda: np.zeros(0))
    simulation: xr.Dataset | None = None
    learnt: dict[str, "tuple[Law, Regressor]"] | None = None

    @property
    def targets(self) -> Targets:
        """Measured months and their weights (site, time)."""
        return Targets.of(self.samples, self.gas)

    @property
    def weights(self) -> Floats:
        """Weights (site, time) of months by coverage, length of the record and balance of classes, summing to one."""
        weight = self.targets.weight
        return month_weights(weight, class_codes(self.samples), np.ones(len(weight)))

    def graph(self) -> CausalGraph:
        """The causal graph discovered in these towers and in nothing else.

        Raises:
            InputError: There is no discoverer.
        """
        if self.discoverer is None:
            raise InputError(
                "this model needs a causal graph and nothing discovers one",
                where="training set",
                expected="a discoverer",
                found="none",
            )
        return self.discoverer(self.samples if self.series is None else self.series)

    def subset(self, kept: Indices) -> "TrainingSet":
        """The training set of some of the sites, by index; discovery loses the others and their neighbourhood."""
        gone = np.setdiff1d(np.arange(self.samples.sizes["site"]), kept)
        series = None if self.series is None else series_without(self.series, self.samples, gone)
        return replace(self, samples=self.samples.isel(site=kept), series=series, learnt=None)

    def reseeded(self, number: int) -> "TrainingSet":
        """The same towers under another seed: the number is an index of members."""
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        return replace(self, seed=seed, learnt=None)


class Learner(BaseModel, ABC):
    """Settings of a model as a recipe writes them; decoding them loads no heavy library."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    # Whether `fit` asks the training set for a causal graph.
    needs_graph: ClassVar[bool] = False

    @abstractmethod
    def fit(self, training: TrainingSet) -> Regressor:
        """The model fitted to a training set; the same set gives the same model."""

    def candidates(self) -> tuple[Self, ...]:
        """Settings among which held-out clusters of the training choose, these first."""
        return (self,)

    def trial(self) -> Self:
        """Settings under which held-out errors are learnt: themselves, or cheaper by fewer members of an ensemble."""
        return self

    def learn(self, training: TrainingSet, fold: NDArray[np.int64]) -> tuple[Law, Regressor]:
        """What the model says of each training tower when its fold is left out, and the model fitted to all of them."""
        return out_of_fold(self.trial(), training, fold), self.fit(training)

    def state(self, fitted: Any) -> State | None:
        """What `restored` needs to make a fitted model again; None for a model that is fitted again from its towers.

        Args:
            fitted: What `fit` of these settings gave.
        """
        return None

    def restored(self, state: State) -> Regressor:
        """The fitted model of a state, which says the same of every point.

        Raises:
            TypeError: Models of these settings have no state.
        """
        raise TypeError(f"{type(self).__name__} keeps no state")

    def varied(self, **changes: object) -> Self:
        """These settings with some of them changed, checked."""
        return type(self).model_validate(self.model_dump() | changes, strict=False)


def learnt(
    learner: Learner, training: TrainingSet, fold: NDArray[np.int64]
) -> tuple[Law, Regressor]:
    """What `Learner.learn` gives, taken from the training set where it has been learnt from it before."""
    if training.learnt is None:
        return learner.learn(training, fold)
    key = learner.model_dump_json()
    if key not in training.learnt:
        training.learnt[key] = learner.learn(training, fold)
    return training.learnt[key]


def out_of_fold(learner: Learner, training: TrainingSet, fold: NDArray[np.int64]) -> Law:
    """What a model says of every training tower (site, time) when the fold of the tower is left out.

    Args:
        learner: The model.
        training: Towers.
        fold: Fold of each tower (site).
    """
    everyone = np.arange(len(fold))
    shape = (training.samples.sizes["site"], training.samples.sizes["time"])
    location, scale = np.full(shape, np.nan), np.full(shape, np.nan)
    points = without_flux(training.samples, training.gas)
    for k in np.unique(fold):
        out = np.flatnonzero(fold == k)
        fitted = learner.fit(training.subset(np.setdiff1d(everyone, out)))
        law = fitted.predict(points.isel(site=out))
        location[out] = law.location
        if law.scale is not None:
            scale[out] = law.scale
    return Law(location, scale if np.isfinite(scale).all() else None)


def without_flux(samples: xr.Dataset, gas: Gas) -> xr.Dataset:
    """Samples as points: what a model may be asked about."""
    return samples.drop_vars([gas.flux, f"{gas.flux}_coverage"], errors="ignore")


def series_without(series: xr.Dataset, samples: xr.Dataset, held: Indices) -> xr.Dataset:
    """The series without held-out towers of the samples, and without strangers near to one of them.

    A tower of the series that is a sample stays or goes with its cluster; one that is not goes when it stands within
    300 km of a held-out tower.
    """
    if not len(held):
        return series
    names = set(samples["site"].values.astype(str).tolist())
    gone = set(samples["site"].values[held].astype(str).tolist())
    out = samples.isel(site=held)
    near = great_circle_km(
        series["latitude"].values[:, None],
        series["longitude"].values[:, None],
        out["latitude"].values,
        out["longitude"].values,
    ).min(axis=1)
    kept = [
        i
        for i, name in enumerate(series["site"].values.astype(str).tolist())
        if (name not in gone if name in names else near[i] >= NEIGHBOURHOOD_KM)
    ]
    return series.isel(site=kept)

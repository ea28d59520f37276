"""Fitters: each turns training samples into a predictor with a mean flux, a location and a 90 % interval.

Baselines and forests on causes get their interval and the mean of their back-transformed flux from their own errors on
clusters held out inside the training samples, so that all models are compared with honest intervals. CT-GAT brings its
own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid.causal import Discovery, discover
from ch4grid.errors import RecipeError
from ch4grid.evaluation.causal_forest import CausalForestLevels
from ch4grid.evaluation.splits import splits, without
from ch4grid.graph import CausalGraph
from ch4grid.models.baselines import ClassMonthClimatology, RandomForest, flux_attrs
from ch4grid.models.causal_parents import CausalParentsForest
from ch4grid.models.config import CTGATConfig
from ch4grid.models.samples import Targets, flux_scale, predictor_names
from ch4grid.uncertainty import UNCALIBRATED, mean_flux
from ch4grid.vocabulary import ECOSYSTEMS, Gas

if TYPE_CHECKING:
    from ch4grid.models import Checkpoint

Floats = NDArray[np.float64]

Predictor = Callable[[xr.Dataset], xr.Dataset]
Fitter = Callable[[xr.Dataset, xr.Dataset], Predictor]

# CT-GAT and its two controls, by the graph that each is given.
CONTROLS: dict[str, str | None] = {
    "ctgat": None,
    "ctgat-random-dag": "random",
    "ctgat-uniform": "uniform",
}
# Predictors that see only the causes in a graph, which is discovered in what they are trained on.
CAUSAL = {"causal-parents-rf": CausalParentsForest, "causal-forest": CausalForestLevels}
MODELS = ("climatology", "random-forest", *CAUSAL, *CONTROLS)

INNER_GROUPS = 3
LEVEL = 0.90
# A benchmark fits an ensemble for every cluster left out: few members and no inner folds keep that affordable.
MEMBERS = 3


class _Baseline(Protocol):
    def fit(self, samples: xr.Dataset, gas: Gas) -> "_Baseline": ...
    def predict(self, points: xr.Dataset) -> Floats: ...


def fitters(
    names: Sequence[str],
    gas: Gas,
    *,
    model: object = None,
    discovery: Discovery,
    seed: int = 0,
) -> dict[str, Fitter]:
    """Fitters by the names of `MODELS`, in the order asked for.

    Args:
        names: Which models.
        gas: The gas.
        model: Configuration of CT-GAT, for the models of that name.
        discovery: How graphs are discovered.
        seed: Seed of everything.

    Raises:
        RecipeError: A name is unknown, or a CT-GAT is asked for without its configuration.
    """
    known: dict[str, Fitter] = {
        "climatology": climatology(gas),
        "random-forest": random_forest(gas, seed),
    }
    known |= {name: GraphFitter(gas, kind, discovery, seed) for name, kind in CAUSAL.items()}
    if isinstance(model, CTGATConfig):
        known |= {
            name: CTGATFitter(gas, model, discovery, control, seed)
            for name, control in CONTROLS.items()
        }
    unknown = [name for name in names if name not in known]
    if unknown:
        raise RecipeError(
            "unknown model", expected=", ".join(known), found=", ".join(unknown), where="models"
        )
    return {name: known[name] for name in names}


def climatology(gas: Gas) -> Fitter:
    """The class-by-month climatology as a fitter."""
    return BaselineFitter(gas, ClassMonthClimatology)


def random_forest(gas: Gas, seed: int = 0) -> Fitter:
    """The random forest as a fitter."""
    return BaselineFitter(gas, partial(RandomForest, seed=seed), seed)


@dataclass(frozen=True)
class BaselineFitter:
    """Fits a baseline, and its errors on `INNER_GROUPS` groups of clusters left out of the training samples in turn.

    Args:
        gas: The gas.
        model: Makes the baseline, not yet fitted.
        seed: Seed of the grouping.
    """

    gas: Gas
    model: Callable[[], _Baseline]
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
        return self.model().fit(samples, self.gas)

    def _errors(self, samples: xr.Dataset, train: xr.Dataset, test: NDArray[np.intp]) -> Floats:
        held = samples.isel(site=test)
        targets = Targets.of(held, self.gas)
        error = targets.transformed - self._fitted(train).predict(held)
        return np.asarray(error[targets.weight > 0])


@dataclass(frozen=True)
class GraphFitter:
    """Fits a model on the causes of the flux, its graph discovered in the training series and in nothing else.

    The inner folds that its interval comes from share that graph.

    Args:
        gas: The gas.
        model: The model's class; made from a graph.
        discovery: How the graph is discovered.
        seed: Seed of discovery, grouping and forests.
    """

    gas: Gas
    model: Callable[..., _Baseline]
    discovery: Discovery
    seed: int = 0

    def __call__(self, samples: xr.Dataset, series: xr.Dataset) -> Predictor:
        """The predictor trained on samples, its graph discovered in the series."""
        graph = discover(
            series,
            flux=self.gas.flux,
            drivers=predictor_names(samples, self.gas)[0],
            ecosystems=ECOSYSTEMS,
            config=self.discovery,
            seed=self.seed,
        )
        made = partial(self.model, graph, seed=self.seed)
        return BaselineFitter(self.gas, made, self.seed)(samples, series)


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
    """Fits CT-GAT by `ch4grid.training.fit`, without the folds that calibrate a product.

    Its intervals in a benchmark are therefore the ensemble's own, not the calibrated ones that a product carries.

    Args:
        gas: The gas.
        model: The model's configuration.
        discovery: How its graph is discovered.
        control: None for the discovered graph, "random" for one of equal density dealt anew, "uniform" for one
            that holds every link equally likely.
        seed: Seed of training and of the control.
        members: Ensemble members.
    """

    gas: Gas
    model: CTGATConfig
    discovery: Discovery
    control: str | None = None
    seed: int = 0
    members: int = MEMBERS

    def __call__(self, samples: xr.Dataset, series: xr.Dataset) -> Predictor:
        """The predictor trained on samples, its graph discovered in the series."""
        from ch4grid.training import fit  # heavy: torch

        checkpoint = fit(
            samples,
            series,
            gas=self.gas,
            model=self.model.model_copy(update={"members": self.members}),
            discovery=self.discovery,
            folds=0,
            seed=self.seed,
            discoverer=ControlledDiscovery(self.control),
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
    checkpoint: "Checkpoint"

    def __call__(self, points: xr.Dataset) -> xr.Dataset:
        """Location [1], mean flux and 90 % interval [kg m-2 s-1] (site, time)."""
        members = self.checkpoint.predict(points)
        location, scale = (
            members[name].transpose("member", "site", "time").values
            for name in ("location", "scale")
        )
        lower, upper = UNCALIBRATED.interval(location, scale, LEVEL)
        return predictions(
            points,
            self.gas,
            location=location.mean(axis=0, dtype=np.float64),
            flux=mean_flux(location, scale, self.gas.asinh_scale).mean(axis=0)
            * self.gas.kg_per_nmol,
            lower=flux_scale(self.gas) * np.sinh(lower),
            upper=flux_scale(self.gas) * np.sinh(upper),
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

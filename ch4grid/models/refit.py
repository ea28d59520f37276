"""An ensemble of any learner that is kept as what it learnt from: towers, settings and seeds, and no code.

A member learns from most of the clusters; those that it did not draw say how wide its law is. Fitting is a function of
the towers, the settings and the seed, and takes seconds for most models, so a checkpoint holds these and a process that
opens it fits again. A model whose settings give a `State` is kept with its weights and opens without a fit. Nothing in
a checkpoint can run, and everything in it can be read.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid.graph import CausalGraph
from ch4grid.models.checkpoint_files import below
from ch4grid.models.learner import Learner, Regressor, State, TrainingSet, without_flux
from ch4grid.models.magnitude import flux_limits
from ch4grid.models.samples import Targets, class_codes
from ch4grid.vocabulary import ECOSYSTEMS, Gas

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Arrays = dict[str, NDArray[Any]]

# Share of the clusters that a member learns from.
DRAWN = 0.8
# Clusters of all classes that the scale of a class is drawn to.
BORROWED_CLUSTERS = 3.0
COORDINATES = ("latitude", "longitude", "ecosystem", "cluster")


class Mapper(Protocol):
    """`map`, or a parallel one that keeps the order."""

    def __call__(self, function: Any, items: Iterable[Any], /) -> Iterable[Any]:
        """Results of a module-level function in the order of its items."""


@dataclass(frozen=True, eq=False)
class Refit:
    """An ensemble that is fitted again when it is opened.

    Args:
        learner: The model.
        training: What it learns from; its graph is that of the checkpoint.
        drawn: Towers that each member learns from (member, site).
        scale: Laplace scale of each class (class) from the clusters that members have not seen [1].
        states: Fitted members, of a model that keeps its weights; empty of one that is fitted again.
    """

    learner: Learner
    training: TrainingSet
    drawn: Mask
    scale: Floats
    states: tuple[State, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, learner: Learner, training: TrainingSet, members: int, mapper: Mapper) -> "Refit":
        """The ensemble of a training set.

        Args:
            learner: The model.
            training: Towers.
            members: Number of members.
            mapper: Maps a module-level function over picklable tasks, in order.
        """
        drawn = draw(training, members)
        tasks = [(learner, training, m, row) for m, row in enumerate(drawn)]
        fitted = list(mapper(_member, tasks))
        states = [state for r, _ in fitted if (state := learner.state(r)) is not None]
        made = cls(learner, training, drawn, _scales(training, fitted, drawn), tuple(states))
        made.__dict__["regressors"] = [regressor for regressor, _ in fitted]
        return made

    @cached_property
    def regressors(self) -> list[Regressor]:
        """The fitted members."""
        if self.states:
            return [self.learner.restored(state) for state in self.states]
        tasks = enumerate(self.drawn)
        return [_fitted(self.learner, self.training, m, row) for m, row in tasks]

    def laws(self, points: xr.Dataset, wanted: int) -> tuple[Floats, Floats]:
        """Location and Laplace scale (member, site, month) of the last months at points.

        The location is held within what the months of the class have shown, as that of CT-GAT is: a line goes on beyond
        its towers, and the flux is exponential in it.
        """
        location = np.stack([r.predict(points).location[:, -wanted:] for r in self.regressors])
        codes = class_codes(points)
        low, high = self.limits[:, codes, None]
        scale = np.broadcast_to(self.scale[codes][None, :, None], location.shape)
        return np.clip(location, low, high), scale

    @cached_property
    def limits(self) -> Floats:
        """Lowest and highest location (2, class) that the months of each class have shown."""
        codes, targets = class_codes(self.training.samples), self.training.targets
        return flux_limits(targets, codes, np.ones(len(codes))).astype(np.float64)

    def arrays(self) -> Arrays:
        """What is numbers: towers, draws, scales and weights."""
        samples = self.training.samples
        names = [*map(str, samples.data_vars), *COORDINATES]
        months = samples["time"].values.astype("datetime64[M]").astype(np.int64)
        weights = {
            f"refit:member.{m}.{name}": values
            for m, state in enumerate(self.states)
            for name, values in state.arrays.items()
        }
        towers = {f"refit.{n}": np.asarray(samples[n].values) for n in names}
        return (
            towers
            | weights
            | {
                "refit:time": months,
                "refit:drawn": self.drawn.astype(np.uint8),
                "refit:scale": self.scale,
            }
        )

    def document(self) -> dict[str, Any]:
        """The rest as JSON values."""
        samples = self.training.samples
        return {
            "learner": self.learner.model_dump(mode="json"),
            "seed": self.training.seed,
            "site": samples["site"].values.astype(str).tolist(),
            "static": sorted(str(n) for n, v in samples.data_vars.items() if v.ndim == 1),
        } | ({"members": [state.document for state in self.states]} if self.states else {})

    @classmethod
    def from_files(
        cls,
        arrays: Arrays,
        document: dict[str, Any],
        *,
        learner: Learner,
        gas: Gas,
        graph: CausalGraph,
    ) -> "Refit":
        """The ensemble of what `arrays` and `document` gave."""
        values = below(arrays, "refit.")
        static = set(document["static"])
        data = {
            n: (("site",) if n in static else ("site", "time"), v)
            for n, v in values.items()
            if n not in COORDINATES
        }
        time = arrays["refit:time"].astype("datetime64[M]").astype("datetime64[s]")
        coordinates = {n: ("site", values[n]) for n in COORDINATES}
        samples = xr.Dataset(
            data,
            coords={"site": np.array(document["site"], dtype=str), "time": time, **coordinates},
        )
        training = TrainingSet(samples, gas=gas, seed=document["seed"], discoverer=Known(graph))
        drawn = arrays["refit:drawn"].astype(bool)
        states = tuple(
            State(below(arrays, f"refit:member.{m}."), told)
            for m, told in enumerate(document.get("members", ()))
        )
        return cls(learner, training, drawn, arrays["refit:scale"], states)


@dataclass(frozen=True, eq=False)
class Known:
    """A discoverer that has the graph already."""

    graph: CausalGraph

    def __call__(self, series: xr.Dataset) -> CausalGraph:
        """The graph."""
        return self.graph


def draw(training: TrainingSet, members: int) -> Mask:
    """Towers (member, site) that each member learns from: most clusters, and one at least of every class."""
    clusters = training.samples["cluster"].values
    codes = class_codes(training.samples)
    random = np.random.default_rng(np.random.SeedSequence([training.seed, members]))
    labels = np.unique(clusters)
    rows = []
    for _ in range(members):
        kept = random.choice(labels, max(1, round(DRAWN * len(labels))), replace=False)
        row = np.isin(clusters, kept)
        for code in np.unique(codes):
            own = codes == code
            if not row[own].any():
                row |= clusters == random.choice(np.unique(clusters[own]))
        rows.append(row)
    return np.stack(rows)


def _member(
    task: tuple[Learner, TrainingSet, int, Mask],
) -> tuple[Regressor, Floats]:
    """A member, and the location (site, time) that it gives to every training tower."""
    learner, training, number, row = task
    regressor = _fitted(learner, training, number, row)
    return regressor, regressor.predict(without_flux(training.samples, training.gas)).location


def _fitted(learner: Learner, training: TrainingSet, number: int, row: Mask) -> Regressor:
    return learner.fit(training.subset(np.flatnonzero(row)).reseeded(number))


def _scales(training: TrainingSet, fitted: list[tuple[Regressor, Floats]], drawn: Mask) -> Floats:
    """Mean absolute error (class) at clusters that members have not seen, drawn to that of all classes."""
    targets: Targets = training.targets
    clusters, codes = training.samples["cluster"].values, class_codes(training.samples)
    found: list[tuple[int, float]] = []
    for (_, location), row in zip(fitted, drawn, strict=True):
        away = np.abs(targets.transformed - location)
        for label in np.unique(clusters[~row]):
            for code in np.unique(codes[(clusters == label) & ~row]):
                at = (clusters == label) & (codes == code)
                weight = targets.weight[at]
                if weight.any():
                    found.append((int(code), float((weight * away[at]).sum() / weight.sum())))
    if not found:
        return np.ones(len(ECOSYSTEMS))
    pooled = float(np.mean([error for _, error in found]))
    out = []
    for code in range(len(ECOSYSTEMS)):
        own = [error for c, error in found if c == code]
        count = len(np.unique(clusters[codes == code])) if own else 0
        mean = float(np.mean(own)) if own else pooled
        out.append((count * mean + BORROWED_CLUSTERS * pooled) / (count + BORROWED_CLUSTERS))
    return np.asarray(out)

"""Fits of parts of the towers: all of them, and each fold without its clusters, of whatever model is asked for.

CT-GAT is fitted member by member in one go over all parts. A stack is its models, each fitted so. Any other model
becomes an ensemble that is kept as what it learnt from.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid.causal import Discovery, discover
from ch4grid.graph import CausalGraph
from ch4grid.models.checkpoint import Applicability, Checkpoint
from ch4grid.models.config import CTGATConfig
from ch4grid.models.ctgat_learner import LEAST_WEIGHT, draft, fit_task, member_seed
from ch4grid.models.fitting import FitTask, Member, fit_member
from ch4grid.models.learner import Learner, TrainingSet, series_without
from ch4grid.models.reference import applicability_rows
from ch4grid.models.refit import Known, Refit
from ch4grid.models.samples import predictor_names
from ch4grid.uncertainty import mean_distance_of, threshold
from ch4grid.vocabulary import ECOSYSTEMS, Gas

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Indices = NDArray[np.intp]

# Training months that the area of applicability is measured against.
APPLICABILITY_ROWS = 1200


class Mapper(Protocol):
    """`map`, or a parallel one that keeps the order."""

    def __call__(self, function: Callable[[Any], Any], items: Iterable[Any], /) -> Iterable[Any]:
        """Results of a module-level function in the order of its items."""


@dataclass(frozen=True, eq=False)
class DiscoveryTask:
    """One discovery: the series without the towers of a fold."""

    series: xr.Dataset
    flux: str
    drivers: tuple[str, ...]
    config: Discovery
    seed: int
    discoverer: Callable[..., CausalGraph]


@dataclass(frozen=True, eq=False)
class Ensemble:
    """What to fit, the same for all towers and for every fold.

    Args:
        samples: Towers, sorted by class.
        series: What discovery sees.
        gas: The gas.
        model: Settings of the model.
        discovery: Settings of discovery.
        seed: Seed of everything random.
        distances: Distances [km] from cells of deployment to their nearest tower; may be empty.
        discoverer: Finds the causal graph.
        simulation: Simulated sites, none of them near to a tower; None without.
    """

    samples: xr.Dataset
    series: xr.Dataset
    gas: Gas
    model: Learner
    discovery: Discovery
    seed: int
    distances: Floats
    discoverer: Callable[..., CausalGraph] = discover
    simulation: xr.Dataset | None = None

    @property
    def clusters(self) -> Integers:
        """Cluster of each tower."""
        return np.asarray(self.samples["cluster"].values, dtype=np.int64)


def fit_parts(
    ensemble: Ensemble, parts: Sequence[Indices], members: Sequence[int], mapper: Mapper
) -> list[Checkpoint]:
    """An uncalibrated checkpoint of each part of the towers.

    Args:
        ensemble: What to fit; a stack is fitted model by model elsewhere.
        parts: Towers of each part, by index.
        members: Members of each part.
        mapper: Maps a module-level function over picklable tasks, in order.
    """
    return fit_under(ensemble, parts, members, graphs_of(ensemble, parts, mapper), mapper)


def graphs_of(ensemble: Ensemble, parts: Sequence[Indices], mapper: Mapper) -> list[CausalGraph]:
    """The causal graph of each part, discovered without the other towers."""
    drivers, _ = predictor_names(ensemble.samples, ensemble.gas)
    everyone = np.arange(len(ensemble.clusters))
    tasks = [
        DiscoveryTask(
            series=series_without(ensemble.series, ensemble.samples, np.setdiff1d(everyone, part)),
            flux=ensemble.gas.flux,
            drivers=drivers,
            config=ensemble.discovery,
            seed=ensemble.seed,
            discoverer=ensemble.discoverer,
        )
        for part in parts
    ]
    return list(mapper(run_discovery, tasks))


def fit_under(
    ensemble: Ensemble,
    parts: Sequence[Indices],
    members: Sequence[int],
    graphs: Sequence[CausalGraph],
    mapper: Mapper,
) -> list[Checkpoint]:
    """An uncalibrated checkpoint of each part under its graph."""
    drafts = [_draft(ensemble, part, graph) for part, graph in zip(parts, graphs, strict=True)]
    if not isinstance(ensemble.model, CTGATConfig):
        return [
            _refitted(ensemble, part, made, count, mapper)
            for part, (_, made), count in zip(parts, drafts, members, strict=True)
        ]
    tasks = [
        replace(task, seed=member_seed(ensemble.seed, number, member))
        for number, (task, _) in enumerate(drafts)
        for member in range(members[number])
    ]
    fitted: list[Member] = list(mapper(fit_member, tasks))
    starts = np.cumsum([0, *members])
    return [
        replace(made, members=tuple(fitted[starts[i] : starts[i + 1]]))
        for i, (_, made) in enumerate(drafts)
    ]


def bare_members(graph: CausalGraph, count: int) -> tuple[Member, ...]:
    """Members that hold nothing but the graph, for checkpoints whose fits are kept elsewhere."""
    return tuple(Member({}, graph.probability, 0) for _ in range(count))


def _refitted(
    ensemble: Ensemble, part: Indices, made: Checkpoint, members: int, mapper: Mapper
) -> Checkpoint:
    """The checkpoint of a part with an ensemble of a model that is not CT-GAT."""
    training = TrainingSet(
        ensemble.samples.isel(site=part),
        gas=ensemble.gas,
        seed=ensemble.seed,
        discoverer=Known(made.graph),
        simulation=ensemble.simulation,
    )
    refit = Refit.of(ensemble.model, training, members, mapper)
    return replace(
        made, config=ensemble.model, members=bare_members(made.graph, members), refit=refit
    )


def _draft(ensemble: Ensemble, part: Indices, graph: CausalGraph) -> tuple[FitTask, Checkpoint]:
    """The fit of a part of the towers, and the checkpoint that waits for its members."""
    samples = ensemble.samples.isel(site=part)
    training = TrainingSet(
        samples, gas=ensemble.gas, seed=ensemble.seed, distances=ensemble.distances
    )
    # Other models share CT-GAT's scaler, bank and area of applicability.
    settings = ensemble.model if isinstance(ensemble.model, CTGATConfig) else CTGATConfig()
    task = fit_task(settings, training, graph)
    meta = {
        "sites": task.points.site.tolist(),
        "clusters": sorted({int(c) for c in task.cluster}),
        "site_months": int((task.targets.weight > 0).sum()),
        "first_month": str(samples["time"].values[0])[:7],
        "last_month": str(samples["time"].values[-1])[:7],
        "seed": ensemble.seed,
    }
    return task, draft(task, training, _applicability(task), meta)


def _applicability(task: FitTask) -> Applicability:
    """Training months (an even choice of at most 1200), weighted by cause and by place, and the threshold."""
    rows = applicability_rows(task.points, task.scaler)
    owner, month = np.nonzero(task.targets.weight > 0)
    chosen = np.unique(np.linspace(0, len(owner) - 1, APPLICABILITY_ROWS).astype(np.int64))
    features, group = rows[owner[chosen], month[chosen]], task.cluster[owner[chosen]]
    into_flux = task.graph.probability[:, -1].max(axis=2).mean(axis=0)
    causes = np.clip(into_flux / max(into_flux.max(initial=0.0), 1e-12), LEAST_WEIGHT, 1.0)
    weights = np.concatenate([causes, task.static_weights]).astype(np.float32)
    mean = mean_distance_of(features, weights)
    return Applicability(
        features=features,
        weights=weights,
        mean_distance=mean,
        threshold=threshold(features, weights, group, mean_distance=mean),
    )


def run_discovery(task: DiscoveryTask) -> CausalGraph:
    """The causal graph of a task."""
    return task.discoverer(
        task.series,
        flux=task.flux,
        drivers=task.drivers,
        ecosystems=ECOSYSTEMS,
        config=task.config,
        seed=task.seed,
    )

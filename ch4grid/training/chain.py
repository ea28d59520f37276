"""Training: from towers to a calibrated checkpoint, with nothing learnt from a tower that is later asked about.

The whole chain (discovery, scaler, bank, members) is run once with all towers and once per fold without the clusters of
that fold. What the folds predict at their left-out towers calibrates the intervals and is the skill in the checkpoint.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid.causal import Discovery, discover
from ch4grid.causal.answering import fit_or_tell
from ch4grid.graph import CausalGraph
from ch4grid.models.checkpoint import Applicability, Checkpoint
from ch4grid.models.config import CTGATConfig
from ch4grid.models.ctgat_learner import LEAST_WEIGHT, draft, fit_task, member_seed
from ch4grid.models.fitting import FitTask, Member, fit_member
from ch4grid.models.folds import grouped_folds as grouped_folds
from ch4grid.models.learner import TrainingSet
from ch4grid.models.learner import series_without as series_without
from ch4grid.models.reference import applicability_rows
from ch4grid.models.samples import Targets, class_codes, predictor_names
from ch4grid.training.judging import judge
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
    """

    samples: xr.Dataset
    series: xr.Dataset
    gas: Gas
    model: CTGATConfig
    discovery: Discovery
    seed: int
    distances: Floats
    discoverer: Callable[..., CausalGraph] = discover

    @property
    def clusters(self) -> Integers:
        """Cluster of each tower."""
        return np.asarray(self.samples["cluster"].values, dtype=np.int64)


def fit(
    samples: xr.Dataset,
    series: xr.Dataset,
    *,
    gas: Gas,
    model: CTGATConfig,
    discovery: Discovery,
    folds: int = 5,
    fold_members: int = 2,
    seed: int = 0,
    mapper: Mapper = map,
    neighbour_distances: Floats | None = None,
    discoverer: Callable[..., CausalGraph] = discover,
) -> Checkpoint:
    """The calibrated checkpoint of all towers.

    Args:
        samples: Towers (site, time) with drivers, statics, flux [kg m-2 s-1] and coverage, coordinates latitude,
            longitude, ecosystem and cluster (site); two years of drivers before the first flux.
        series: What discovery sees; often the samples.
        gas: The gas.
        model: Settings of the model.
        discovery: Settings of discovery.
        folds: Groups of clusters left out in turn; 0 leaves the checkpoint uncalibrated, for benchmarks of its mean.
        fold_members: Members fitted in each fold.
        seed: Seed of everything random.
        mapper: Maps a module-level function over picklable tasks, in order.
        neighbour_distances: Distances [km] from cells of deployment to their nearest tower.
        discoverer: Finds the causal graph; called like `causal.discover`.

    Raises:
        InputError: There are too few clusters for the folds, or no month is measured well enough.
    """
    ensemble = _ensemble(
        samples, series, gas, model, discovery, seed, neighbour_distances, discoverer
    )
    everyone = np.arange(len(ensemble.clusters))
    if folds == 0:
        return _fit_parts(ensemble, [everyone], [model.members], mapper)[0]
    out = grouped_folds(ensemble.clusters, folds, seed, ecosystem=class_codes(ensemble.samples))
    parts = [everyone, *(np.flatnonzero(out != k) for k in range(folds))]
    checkpoints = _fit_parts(ensemble, parts, [model.members] + [fold_members] * folds, mapper)
    predicted = _out_of_fold(ensemble, checkpoints[1:], parts[1:])
    calibration, skill = judge(
        ensemble.samples, ensemble.gas, predicted, f"{folds}-fold leave-clusters-out"
    )
    structure, told = fit_or_tell(
        ensemble.series,
        checkpoints[0].graph,
        flux=gas.flux,
        seed=seed,
        draws=model.members,
    )
    return replace(
        checkpoints[0],
        calibration=calibration.to_json(),
        skill=(skill,),
        structure=structure,
        meta=checkpoints[0].meta | {"structure": told},
    )


def held_out(
    samples: xr.Dataset,
    series: xr.Dataset,
    *,
    gas: Gas,
    model: CTGATConfig,
    discovery: Discovery,
    folds: int = 5,
    fold_members: int = 2,
    seed: int = 0,
    mapper: Mapper = map,
    neighbour_distances: Floats | None = None,
    discoverer: Callable[..., CausalGraph] = discover,
) -> xr.Dataset:
    """Predictions of every tower by members that never saw its cluster, in asinh space; arguments as of `fit`.

    Returns:
        `location`, `scale` (member, site, time), `fold` (site); towers in the order of the samples.

    Raises:
        InputError: There are too few clusters for the folds, or no month is measured well enough.
    """
    ensemble = _ensemble(
        samples, series, gas, model, discovery, seed, neighbour_distances, discoverer
    )
    out = grouped_folds(ensemble.clusters, folds, seed, ecosystem=class_codes(ensemble.samples))
    parts = [np.flatnonzero(out != k) for k in range(folds)]
    checkpoints = _fit_parts(ensemble, parts, [fold_members] * folds, mapper)
    predicted = _out_of_fold(ensemble, checkpoints, parts).assign_coords(fold=("site", out))
    return predicted.sel(site=samples["site"])


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


def _ensemble(
    samples: xr.Dataset,
    series: xr.Dataset,
    gas: Gas,
    model: CTGATConfig,
    discovery: Discovery,
    seed: int,
    distances: Floats | None,
    discoverer: Callable[..., CausalGraph],
) -> Ensemble:
    measured = Targets.of(samples, gas).weight.sum(axis=1) > 0
    order = np.argsort(class_codes(samples), kind="stable")
    return Ensemble(
        samples=samples.isel(site=order[measured[order]]).load(),
        series=series.assign_attrs(step=series.attrs.get("step", "month")).load(),
        gas=gas,
        model=model,
        discovery=discovery,
        seed=seed,
        distances=np.zeros(0) if distances is None else np.sort(distances),
        discoverer=discoverer,
    )


def _fit_parts(
    ensemble: Ensemble, parts: Sequence[Indices], members: Sequence[int], mapper: Mapper
) -> list[Checkpoint]:
    """An uncalibrated checkpoint of each part of the towers, all fits in one go."""
    drivers, _ = predictor_names(ensemble.samples, ensemble.gas)
    everyone = np.arange(len(ensemble.clusters))
    discoveries = [
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
    graphs = list(mapper(run_discovery, discoveries))
    drafts = [_draft(ensemble, part, graph) for part, graph in zip(parts, graphs, strict=True)]
    tasks = [
        replace(task, seed=member_seed(ensemble.seed, number, member))
        for number, (task, _) in enumerate(drafts)
        for member in range(members[number])
    ]
    fitted: list[Member] = list(mapper(fit_member, tasks))
    starts = np.cumsum([0, *members])
    return [
        replace(draft, members=tuple(fitted[starts[i] : starts[i + 1]]))
        for i, (_, draft) in enumerate(drafts)
    ]


def _draft(ensemble: Ensemble, part: Indices, graph: CausalGraph) -> tuple[FitTask, Checkpoint]:
    """The fit of a part of the towers, and the checkpoint that waits for its members."""
    samples = ensemble.samples.isel(site=part)
    training = TrainingSet(
        samples, gas=ensemble.gas, seed=ensemble.seed, distances=ensemble.distances
    )
    task = fit_task(ensemble.model, training, graph)
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


def _out_of_fold(
    ensemble: Ensemble, checkpoints: Sequence[Checkpoint], parts: Sequence[Indices]
) -> xr.Dataset:
    """Predictions of the towers that each part leaves out, put together in the order of the ensemble."""
    everyone = np.arange(len(ensemble.clusters))
    pieces = [
        checkpoint.predict(ensemble.samples.isel(site=np.setdiff1d(everyone, part)))
        for checkpoint, part in zip(checkpoints, parts, strict=True)
    ]
    joined = xr.concat(pieces, dim="site", join="exact")
    return joined.sel(site=ensemble.samples["site"])

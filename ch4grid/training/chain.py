"""Training: from towers to a calibrated checkpoint, with nothing learnt from a tower that is later asked about.

The whole chain (discovery, scaler, bank, members) is run once with all towers and once per fold without the clusters of
that fold. What the folds predict at their left-out towers calibrates the intervals and is the skill in the checkpoint.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import xarray as xr

from ch4grid.causal import Discovery, discover
from ch4grid.causal.answering import fit_or_tell
from ch4grid.graph import CausalGraph
from ch4grid.models.checkpoint import Checkpoint
from ch4grid.models.config import CTGATConfig
from ch4grid.models.folds import grouped_folds as grouped_folds
from ch4grid.models.learner import Learner
from ch4grid.models.learner import series_without as series_without
from ch4grid.models.samples import Targets, class_codes
from ch4grid.models.stacking import Stack
from ch4grid.training.judging import judge
from ch4grid.training.parts import Ensemble, Floats, Mapper, fit_parts
from ch4grid.training.parts import run_discovery as run_discovery
from ch4grid.training.stacks import fit_stack, out_of_fold
from ch4grid.vocabulary import Gas

# Members of an ensemble whose settings name no number.
MEMBERS = 10


def fit(
    samples: xr.Dataset,
    series: xr.Dataset,
    *,
    gas: Gas,
    model: Learner,
    discovery: Discovery,
    members: int | None = None,
    folds: int = 5,
    fold_members: int = 2,
    seed: int = 0,
    mapper: Mapper = map,
    neighbour_distances: Floats | None = None,
    discoverer: Callable[..., CausalGraph] = discover,
    simulation: xr.Dataset | None = None,
) -> Checkpoint:
    """The calibrated checkpoint of all towers.

    Args:
        samples: Towers (site, time) with drivers, statics, flux [kg m-2 s-1] and coverage, coordinates latitude,
            longitude, ecosystem and cluster (site); two years of drivers before the first flux.
        series: What discovery sees; often the samples.
        gas: The gas.
        model: Settings of the model.
        discovery: Settings of discovery.
        members: Ensemble members; those that CT-GAT's own settings name when None, else 10.
        folds: Groups of clusters left out in turn; 0 leaves the checkpoint uncalibrated, for benchmarks of its mean.
        fold_members: Members fitted in each fold.
        seed: Seed of everything random.
        mapper: Maps a module-level function over picklable tasks, in order.
        neighbour_distances: Distances [km] from cells of deployment to their nearest tower.
        discoverer: Finds the causal graph; called like `causal.discover`.
        simulation: Simulated sites that a model may learn from first, none of them near to a tower.

    Raises:
        InputError: There are too few clusters for the folds, or no month is measured well enough.
    """
    members = members or (model.members if isinstance(model, CTGATConfig) else MEMBERS)
    ensemble = _ensemble(
        samples, series, gas, model, discovery, seed, neighbour_distances, discoverer
    )
    ensemble = replace(ensemble, simulation=simulation)
    everyone = np.arange(len(ensemble.clusters))
    if folds == 0:
        return fit_parts(ensemble, [everyone], [members], mapper)[0]
    out = grouped_folds(ensemble.clusters, folds, seed, ecosystem=class_codes(ensemble.samples))
    parts = [everyone, *(np.flatnonzero(out != k) for k in range(folds))]
    counts = [members] + [fold_members] * folds
    if isinstance(model, Stack):
        checkpoint, predicted = fit_stack(ensemble, model, parts, counts, mapper)
    else:
        checkpoint, *others = fit_parts(ensemble, parts, counts, mapper)
        predicted = out_of_fold(ensemble, others, parts[1:])
    calibration, skill = judge(
        ensemble.samples, ensemble.gas, predicted, f"{folds}-fold leave-clusters-out"
    )
    structure, told = fit_or_tell(
        ensemble.series,
        checkpoint.graph,
        flux=gas.flux,
        seed=seed,
        draws=members,
    )
    return replace(
        checkpoint,
        calibration=calibration.to_json(),
        skill=(skill,),
        structure=structure,
        meta=checkpoint.meta | {"structure": told},
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
    checkpoints = fit_parts(ensemble, parts, [fold_members] * folds, mapper)
    predicted = out_of_fold(ensemble, checkpoints, parts).assign_coords(fold=("site", out))
    return predicted.sel(site=samples["site"])


def _ensemble(
    samples: xr.Dataset,
    series: xr.Dataset,
    gas: Gas,
    model: Learner,
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

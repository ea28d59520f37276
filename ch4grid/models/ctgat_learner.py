"""CT-GAT as a learner: from a training set to an ensemble that says one Laplace law.

    mu = mean_m mu_m,   b = s / sqrt(2),   s^2 = mean_m 2 b_m^2 + var_m mu_m

A Laplace law of scale b has variance 2 b^2, so s is the total spread of the ensemble (methods 3.9). Nothing is
calibrated here: who compares models calibrates all of them in one way. The graph is discovered once, in what the
training set shows.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid.graph import CausalGraph
from ch4grid.models.checkpoint import Applicability, Checkpoint
from ch4grid.models.config import CTGATConfig
from ch4grid.models.fitting import FitTask, fit_member
from ch4grid.models.learner import Law, TrainingSet
from ch4grid.models.magnitude import Moments, fit_magnitude
from ch4grid.models.mixture import ClassMixture
from ch4grid.models.samples import Points, Scaler, Targets, class_codes, predictor_names
from ch4grid.models.teleconnection import absolute_months

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# A predictor never counts for less than this share of the most important one.
LEAST_WEIGHT = 0.05
# The part of a seed that stands for all towers.
WHOLE = 0


@dataclass(frozen=True, eq=False)
class CTGATRegressor:
    """A fitted ensemble.

    Args:
        checkpoint: The ensemble, its scaler, graph and bank; its area of applicability is empty.
    """

    checkpoint: Checkpoint

    @property
    def parameters(self) -> int:
        """Number of fitted numbers in all members."""
        members = self.checkpoint.members
        return sum(values.size for member in members for values in member.weights.values())

    def predict(self, points: xr.Dataset) -> Law:
        """Mean of the members, and their total spread as a Laplace scale."""
        members = self.checkpoint.predict(points)
        dims = ("member", "site", "time")
        location, scale = (
            members[name].transpose(*dims).values.astype(np.float64)
            for name in ("location", "scale")
        )
        between = location.var(axis=0, ddof=1) if len(location) > 1 else 0.0
        variance = (2 * scale**2).mean(axis=0) + between
        return Law(location.mean(axis=0), np.sqrt(variance / 2))


def fit_ctgat(config: CTGATConfig, training: TrainingSet) -> CTGATRegressor:
    """The ensemble of a training set, its members fitted one after another."""
    own = replace(training, samples=measured_by_class(training))
    task = fit_task(config, own, training.graph())
    members = tuple(
        fit_member(replace(task, seed=member_seed(training.seed, WHOLE, number)))
        for number in range(config.members)
    )
    return CTGATRegressor(replace(draft(task, own, _nowhere(task.scaler), {}), members=members))


def draft(
    task: FitTask, training: TrainingSet, applicability: Applicability, meta: dict[str, Any]
) -> Checkpoint:
    """The checkpoint of a task, which waits for its members.

    Args:
        task: The task of `training`.
        training: What it was made of.
        applicability: What the area of applicability is measured against.
        meta: Provenance as JSON values.
    """
    config, scores = task.config, task.scaler.static_scores(task.points)
    soft = (
        ClassMixture.fit(scores, task.points.ecosystem, task.cluster)
        if config.soft_classes
        else None
    )
    return Checkpoint(
        config=config,
        gas=training.gas.name,
        scaler=task.scaler,
        graph=task.graph,
        members=(),
        bank=task.points,
        static_weights=task.static_weights,
        applicability=applicability,
        meta=meta,
        mixture=soft,
        calendar=absolute_months(training.samples) if config.teleconnections else None,
    )


def measured_by_class(training: TrainingSet) -> xr.Dataset:
    """The towers with a target, sorted by class, in memory."""
    measured = training.targets.weight.sum(axis=1) > 0
    order = np.argsort(class_codes(training.samples), kind="stable")
    return training.samples.isel(site=order[measured[order]]).load()


def fit_task(config: CTGATConfig, training: TrainingSet, graph: CausalGraph) -> FitTask:
    """The fit of a training set whose towers are sorted by class.

    Args:
        config: Settings.
        training: Towers with targets; its seed becomes the seed of the task.
        graph: Causal graph discovered in nothing beyond the training set.
    """
    samples = training.samples
    drivers, statics = predictor_names(samples, training.gas)
    points, targets = Points.of(samples, drivers, statics), training.targets
    cluster = np.asarray(samples["cluster"].values, dtype=np.int64)
    scaler = Scaler.fit(points, drivers, statics)
    return FitTask(
        points=points,
        targets=targets,
        cluster=cluster,
        scaler=scaler,
        static_weights=static_importance(scaler, points, targets, cluster),
        graph=graph,
        config=config,
        distances=np.sort(training.distances),
        seed=training.seed,
    )


def static_importance(
    scaler: Scaler, points: Points, targets: Targets, cluster: Integers
) -> Floats:
    """Importance of each static predictor (N), at most 1: its size in the ridge regression of level and amplitude."""
    ridge = fit_magnitude(
        Moments.of(targets), scaler.static_features(points), cluster, np.ones(len(cluster))
    )
    size = np.abs(ridge[:, : len(scaler.statics)]).sum(axis=0, dtype=np.float64)
    return np.asarray(np.clip(size / max(size.max(initial=0.0), 1e-12), LEAST_WEIGHT, 1.0))


def member_seed(seed: int, part: int, member: int) -> int:
    """A seed for each member of each part, independent of how many others there are."""
    return int(np.random.SeedSequence([seed, part, member]).generate_state(1)[0])


def _nowhere(scaler: Scaler) -> Applicability:
    """An area of applicability without rows: a regressor is asked for fluxes and not for where they hold."""
    width = len(scaler.drivers) + len(scaler.statics)
    rows = np.zeros((0, width), np.float32)
    return Applicability(rows, np.ones(width, np.float32), mean_distance=1.0, threshold=np.inf)

"""Fuzzy combination of site-group models by comprehensive Euclidean distance.

Gao, Luo et al. (2025), Arid Land Geography 48(12), 10.12118/j.issn.1000-6060.2025.092, combine networks by fuzzy
mathematics for GPP and ecosystem respiration; their rules are not public. Here, for any gas, a Takagi-Sugeno rule base
of zero order over G groups of like sites:

    y_v(t) = sum_g mu_gv(t) f_g(x_v, t) / sum_g mu_gv(t)      over the groups with mu > 0.05, else the nearest group
    mu = exp(-(D/h)^2)   or   clip(2 - D/h, 0, 1)

D_gv(t) is the mean of the five smallest distances (`euclidean_distance`) from target v, as far as it has shown itself
up to month t, to the sites of group g. Groups are k-medoids of the training clusters. Model f_g learns from the sites
of its group with full weight and from the others with weight exp(-(D/m)^2), m the median distance between a site and a
foreign group. Weights pass through the coverage, the one weight that every learner honours, so a month whose weight
would fall below a third is left out.

Different from methods 7.2: models are of groups, not of single sites, and h is chosen on left-out clusters with forests
in the place of the f_g, whatever these are, because refitting networks for every fold would cost twelve fits.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from ch4grid.models.euclidean_distance import (
    FOLDS,
    NEAREST,
    Forest,
    Space,
    ced,
    folds,
    group_weights,
    grow,
    rows,
)
from ch4grid.models.learner import Law, Learner, Regressor, TrainingSet
from ch4grid.models.samples import FULL_COVERAGE, Points, Scaler, predictor_names

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]
Membership = Literal["gaussian", "trapezoidal"]

# Rules that hold less than this do not speak (methods 7.2).
SMALLEST_MEMBERSHIP = 0.05
# Widths that are tried, in median distances between a site and a foreign group.
WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
ROUNDS = 20


class CedFuzzy(Learner):
    """Settings of the fuzzy combination.

    Args:
        architecture: Discriminator.
        base: What each group's model is.
        groups: Groups of training clusters; no more than there are clusters.
        membership: Shape of the membership function.
    """

    architecture: Literal["ced-fuzzy"] = "ced-fuzzy"
    base: Literal["lstm", "extra-trees"] = "lstm"
    groups: int = Field(default=4, ge=1, le=12)
    membership: Membership = "gaussian"

    def candidates(self) -> tuple[Self, ...]:
        """These settings, and fewer groups, whose models share more."""
        fewer = [g for g in (2, 1) if g < self.groups]
        return (self, *(self.varied(groups=g) for g in fewer))

    def learner(self) -> Learner:
        """The settings of a group's model."""
        if self.base == "lstm":
            from ch4grid.models.sequence.config import SequenceConfig

            return SequenceConfig(architecture="lstm", members=1, steps=120)
        return _ForestLearner()

    def fit(self, training: TrainingSet) -> "FuzzyModel":
        """The combination fitted to towers."""
        measured = np.flatnonzero((training.targets.weight > 0).any(axis=1))
        bank = training.subset(measured)
        space = Space.of(bank.samples, bank.gas, group_weights(bank))
        between = space.between()
        group = site_groups(between, bank.samples["cluster"].values, self.groups)
        base = self.learner()
        models = [base.fit(member) for member in _members(bank, between, group)]
        width = _width(bank, space, self.groups, self.membership)
        return FuzzyModel(space, group, width, self.membership, tuple(models))


@dataclass(frozen=True, eq=False)
class FuzzyModel:
    """A fitted combination.

    Args:
        space: Where sites are compared.
        group: Group of each training site.
        width: h of the membership function.
        membership: Its shape.
        models: One model per group.
    """

    space: Space
    group: Integers
    width: float
    membership: Membership
    models: tuple[Regressor, ...]

    @property
    def parameters(self) -> int:
        """Numbers of all models, and the width."""
        return sum(m.parameters for m in self.models) + 1

    def predict(self, points: xr.Dataset) -> Law:
        """The law at points, combined month by month."""
        away = _group_distance(self.space, points, self.group)
        share = shares(away, self.width, self.membership)
        laws = [m.predict(points) for m in self.models]
        location = sum_of([law.location for law in laws], share)
        scales = [law.scale for law in laws if law.scale is not None]
        return Law(location, sum_of(scales, share) if len(scales) == len(laws) else None)


def sum_of(parts: Sequence[Floats], share: Floats) -> Floats:
    """Sum of the parts (site, time) of all groups by their shares (site, time, group)."""
    return np.asarray((np.stack(parts, axis=-1) * share).sum(axis=-1))


def shares(distance: Floats, width: float, membership: Membership) -> Floats:
    """Share of each group, summing to one along the last axis.

    Args:
        distance: Distances (..., group); groups are alike where they are unknown.
        width: h of the membership function.
        membership: Its shape.
    """
    away = np.where(np.isfinite(distance), distance, 0.0) / width
    mu = np.exp(-(away**2)) if membership == "gaussian" else np.clip(2.0 - away, 0.0, 1.0)
    spoken = np.where(mu > SMALLEST_MEMBERSHIP, mu, 0.0)
    total = spoken.sum(axis=-1, keepdims=True)
    nearest = np.arange(away.shape[-1]) == away.argmin(axis=-1)[..., None]
    return np.asarray(np.where(total > 0, spoken / np.where(total > 0, total, 1.0), nearest))


def site_groups(between: Floats, cluster: NDArray[np.integer], count: int) -> Integers:
    """Group of each site: k-medoids of the clusters by the mean distance between their sites.

    Args:
        between: Distances between the sites (S, S).
        cluster: Clusters (S); the sites of one share a group.
        count: Groups; no more than there are clusters.
    """
    names, code = np.unique(cluster, return_inverse=True)
    member = np.eye(len(names))[code]
    member /= member.sum(axis=0)
    distance = member.T @ np.nan_to_num(between) @ member
    np.fill_diagonal(distance, 0.0)
    medoids = [int(distance.sum(axis=0).argmin())]
    while len(medoids) < min(count, len(names)):
        near = distance[medoids].min(axis=0)
        gain = np.maximum(near[:, None] - distance, 0.0).sum(axis=0)
        gain[medoids] = -1.0
        medoids.append(int(gain.argmax()))
    for _ in range(ROUNDS):
        group = distance[medoids].argmin(axis=0)
        better = [_medoid(distance, np.flatnonzero(group == g)) for g in range(len(medoids))]
        if better == medoids:
            break
        medoids = better
    return np.asarray(distance[medoids].argmin(axis=0)[code], dtype=np.intp)


def _medoid(distance: Floats, members: Integers) -> int:
    return int(members[distance[np.ix_(members, members)].sum(axis=0).argmin()])


def _to_groups(distance: Floats, group: Integers) -> Floats:
    """Mean of the smallest distances to each group's sites (..., group)."""
    return np.stack(
        [ced(distance[..., group == g], NEAREST) for g in range(int(group.max()) + 1)], axis=-1
    )


def _group_distance(space: Space, points: xr.Dataset, group: Integers) -> Floats:
    """Distances (site, time, group), each month by what the site has shown until then."""
    distance, stage = space.so_far(points)
    return np.asarray(_to_groups(distance, group)[stage].transpose(1, 0, 2))


def _foreign(between: Floats, group: Integers) -> tuple[Floats, float]:
    """Distances of sites to groups (site, group), zero to their own, and their median to foreign ones."""
    away = np.nan_to_num(_to_groups(between, group))
    own = np.arange(away.shape[1]) == group[:, None]
    median = float(np.median(away[~own])) if (~own).any() else 0.0
    return np.where(own, 0.0, away), median if median > 0 else 1.0


def _members(training: TrainingSet, between: Floats, group: Integers) -> list[TrainingSet]:
    """What each group's model learns from: its sites in full, others the less the more they differ."""
    away, median = _foreign(between, group)
    weight = np.exp(-((away / median) ** 2))
    return [_weighted(training, weight[:, g]) for g in range(weight.shape[1])]


def _weighted(training: TrainingSet, weight: Floats) -> TrainingSet:
    """The training set with months weighted by site, without the sites that lose all months."""
    name = f"{training.gas.flux}_coverage"
    months = training.targets.weight * weight[:, None]
    coverage = xr.DataArray(FULL_COVERAGE * months, dims=("site", "time"))
    samples = training.samples.assign({name: coverage.assign_attrs(training.samples[name].attrs)})
    kept = np.flatnonzero((replace(training, samples=samples).targets.weight > 0).any(axis=1))
    return replace(training, samples=samples).subset(kept)


def _width(training: TrainingSet, space: Space, count: int, membership: Membership) -> float:
    """The width with the smallest error on left-out clusters, forests in the place of the models."""
    between = space.between()
    cluster = training.samples["cluster"].values
    median = _foreign(between, site_groups(between, cluster, count))[1]
    error = np.zeros(len(WIDTHS))
    for held in folds(cluster, FOLDS, training.seed):
        if held.all():
            continue
        kept = np.flatnonzero(~held)
        inner = training.subset(kept)
        inside = Space.of(inner.samples, inner.gas, space.weights)
        near = inside.between()
        group = site_groups(near, cluster[kept], count)
        models = [_ForestLearner().fit(m) for m in _members(inner, near, group)]
        points = training.samples.isel(site=np.flatnonzero(held))
        said = np.stack([m.predict(points).location for m in models], axis=-1)
        away = _group_distance(inside, points, group)
        truth, weight = training.targets.transformed[held], training.targets.weight[held]
        for i, width in enumerate(WIDTHS):
            combined = (said * shares(away, width * median, membership)).sum(axis=-1)
            error[i] += (weight * (combined - truth) ** 2).sum()
    # ties, as with one group, go to the middle
    order = sorted(range(len(WIDTHS)), key=lambda i: abs(i - len(WIDTHS) // 2))
    return median * WIDTHS[min(order, key=lambda i: error[i])]


class _ForestLearner(Learner):
    """Extremely randomised trees on the month's predictors."""

    def fit(self, training: TrainingSet) -> "_ForestModel":
        names = predictor_names(training.samples, training.gas)
        scaler = Scaler.fit(Points.of(training.samples, *names), *names)
        targets, features = training.targets, rows(training.samples, scaler)[0]
        good = targets.weight > 0
        return _ForestModel(
            scaler,
            grow(features[good], targets.transformed[good], targets.weight[good], training.seed),
        )


@dataclass(frozen=True, eq=False)
class _ForestModel:
    scaler: Scaler
    forest: Forest

    @property
    def parameters(self) -> int:
        return self.forest.leaves

    def predict(self, points: xr.Dataset) -> Law:
        features = rows(points, self.scaler)[0]
        flat = self.forest.predict(features.reshape(-1, features.shape[-1]))
        return Law(flat.reshape(features.shape[:2]))

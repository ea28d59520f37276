"""Comprehensive Euclidean distance between sites: how unlike two places are in all that drives their flux.

Gao, Luo et al. (2025), Arid Land Geography 48(12), 10.12118/j.issn.1000-6060.2025.092, name such a distance without
its formula; this one is

    D_iv^2 = sum_g omega_g mean_{k in g} [ ((m_ik - m_vk)/s_k)^2 + ((d_ik - d_vk)/s_k)^2 + W1(F_ik, F_vk)^2 ]

with m, d and F the mean, standard deviation and distribution of driver k over the months of a site, s_k the spread of
k over the training sites, W1 the Wasserstein-1 distance of the distributions over s_k, and omega_g the share of group g
in what a forest loses on left-out clusters when the group is shuffled. A static predictor has its first term only.
Distributions are monthly, not daily. A variable that one of the two sites lacks is left out of the pair.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid.models.learner import TrainingSet
from ch4grid.models.samples import Points, Scaler, predictor_names
from ch4grid.models.season import season
from ch4grid.models.transfer.skill import skill
from ch4grid.vocabulary import Gas

Floats = NDArray[np.float64]

# Neighbours in the mean that is the distance of a site from a training set (methods 7.2).
NEAREST = 5
# Levels of a distribution; exact for 1, 2, 3, 4, 6, 8, 12 and 24 months.
LEVELS = (np.arange(24) + 0.5) / 24
YEAR = 12
OTHER = "other"
GROUPS: dict[str, tuple[str, ...]] = {
    "climate": (
        *("tas", "vpd", "hurs", "pr", "psa", "sfcWind", "snw", "snc", "dtr", "lst_day"),
        "lst_night",
    ),
    "vegetation": (
        *("evi", "ndvi", "lai", "lswi", "gpp", "npp", "rice_fraction", "crop_fraction"),
        *("forest_fraction", "shrub_fraction", "grass_fraction", "barren_fraction"),
        *("brown_moss", "sphagnum", "aerenchymatous", "ericaceous_shrub", "trees"),
    ),
    "radiation": ("rsds",),
    # the mean of the pressure is the height of the place
    "terrain": ("elevation", "ps", "land_fraction"),
    "soil": (
        *("tsl", "mrsos", "soil_organic_carbon", "soil_ph", "soil_clay", "soil_water_capacity"),
        "peat_fraction",
    ),
}
TREES, LEAF = 50, 5
FOLDS = 3
# Measured months without which the skill of a site says nothing.
MONTHS = 6


def group_of(name: str) -> str:
    """The group of a predictor; the mean of a driver belongs to the driver's group."""
    bare = name.removesuffix("_mean")
    return next((g for g, names in GROUPS.items() if bare in names), OTHER)


@dataclass(frozen=True, eq=False)
class Profile:
    """What is known of sites, in units of the spread of the training; NaN where nothing is.

    Args:
        mean: Mean of each driver (S, P).
        spread: Standard deviation of each driver (S, P).
        levels: Quantiles of each driver (S, P, Q).
        static: Static predictors (S, N).
    """

    mean: Floats
    spread: Floats
    levels: Floats
    static: Floats

    @classmethod
    def of(cls, points: Points, scaler: Scaler, months: slice | NDArray[np.bool_]) -> "Profile":
        """The profile of points over some of their months."""
        scores = (points.dynamic[:, months] - np.asarray(scaler.mean)) / np.asarray(scaler.spread)
        scores = scores.astype(np.float64)
        known = np.isfinite(scores)
        count = known.sum(axis=1)
        some = np.maximum(count, 1)
        mean = np.where(known, scores, 0.0).sum(axis=1) / some
        away = np.where(known, scores - mean[:, None], 0.0)
        lacking = np.where(count > 0, 0.0, np.nan)
        # missing months sort to the end
        rank = np.floor(LEVELS[:, None, None] * count).astype(np.int64).transpose(1, 0, 2)
        levels = np.take_along_axis(np.sort(scores, axis=1), rank, axis=1).transpose(0, 2, 1)
        static = (points.static - np.asarray(scaler.static_mean)) / np.asarray(scaler.static_spread)
        return cls(
            mean=mean + lacking,
            spread=np.sqrt((away**2).sum(axis=1) / some) + lacking,
            levels=levels,
            static=static.astype(np.float64),
        )


@dataclass(frozen=True, eq=False)
class Space:
    """The space in which training sites and targets are compared.

    Args:
        scaler: Means and spreads of the training sites.
        weights: Weight of each group, summing to one.
        train: The training sites.
    """

    scaler: Scaler
    weights: Mapping[str, float]
    train: Points

    @classmethod
    def of(cls, train: xr.Dataset, gas: Gas, weights: Mapping[str, float]) -> "Space":
        """The space of training samples."""
        names = predictor_names(train, gas)
        points = Points.of(train, *names)
        return cls(Scaler.fit(points, *names), weights, points)

    def between(self) -> Floats:
        """Distances between the training sites (S, S)."""
        whole = Profile.of(self.train, self.scaler, slice(None))
        return self._distance(whole, whole)

    def to(self, target: xr.Dataset) -> Floats:
        """Distances (targets, train), of the whole records."""
        points = Points.of(target, self.scaler.drivers, self.scaler.statics)
        whole = [Profile.of(p, self.scaler, slice(None)) for p in (self.train, points)]
        return self._distance(*whole)

    def so_far(self, target: xr.Dataset) -> tuple[Floats, NDArray[np.intp]]:
        """Distances (stages, targets, train) of what a target has shown so far, and the stage of each month (time).

        From the twelfth month on a stage holds the whole years that have passed; before, the months that have, which
        are compared with the same calendar months of the training sites.
        """
        points = Points.of(target, self.scaler.drivers, self.scaler.statics)
        length = np.arange(1, len(points.month) + 1)
        length = np.where(length < YEAR, length, length // YEAR * YEAR)
        stages, stage = np.unique(length, return_inverse=True)
        distances = []
        for months in stages:
            same = np.isin(self.train.month, points.month[:months])
            train = Profile.of(self.train, self.scaler, same)
            distances.append(
                self._distance(train, Profile.of(points, self.scaler, slice(0, int(months))))
            )
        return np.stack(distances), stage

    def _distance(self, train: Profile, target: Profile) -> Floats:
        """Distances (targets, train), NaN where two sites share no known variable."""
        shape = (len(target.mean), len(train.mean))
        total, present = np.zeros(shape), np.zeros(shape)
        for group, weight in self.weights.items():
            terms, count = np.zeros(shape), np.zeros(shape)
            for term in self._terms(train, target, group):
                known = np.isfinite(term)
                terms += np.where(known, term, 0.0)
                count += known
            total += weight * terms / np.maximum(count, 1)
            present += weight * (count > 0)
        known = present > 0
        return np.where(known, np.sqrt(total / np.where(known, present, 1.0)), np.nan)

    def _terms(self, train: Profile, target: Profile, group: str) -> list[Floats]:
        """The squared difference (targets, train) in each variable of a group."""

        def square(a: Floats, b: Floats) -> Floats:
            return np.asarray((a[:, None] - b[None]) ** 2)

        terms = []
        for k in (k for k, n in enumerate(self.scaler.drivers) if group_of(n) == group):
            apart = np.abs(target.levels[:, None, k] - train.levels[None, :, k]).mean(axis=-1)
            moments = square(target.mean[:, k], train.mean[:, k])
            moments += square(target.spread[:, k], train.spread[:, k])
            terms.append(moments + apart**2)
        own = [k for k, n in enumerate(self.scaler.statics) if group_of(n) == group]
        return terms + [square(target.static[:, k], train.static[:, k]) for k in own]


def comprehensive_distance(
    train: xr.Dataset, target: xr.Dataset, weights: Mapping[str, float], *, gas: Gas
) -> Floats:
    """Distances (targets, train) between whole records, standardised by the training points.

    Args:
        train: Training points.
        target: Points to compare with them; they need the same predictors.
        weights: Weight of each group, as of `group_weights`.
        gas: The gas whose flux and coverage are no predictors.
    """
    return Space.of(train, gas, weights).to(target)


def ced(distance: Floats, k: int = NEAREST) -> Floats:
    """Mean of the k smallest distances to training sites, the last axis; NaN where one of them is."""
    return np.asarray(np.sort(distance, axis=-1)[..., :k].mean(axis=-1))


def rows(points: xr.Dataset, scaler: Scaler) -> tuple[Floats, list[str]]:
    """Columns (site, time, columns) of each month as a forest sees them, and the group of each column.

    Drivers and their departure from the site's mean, now and a month ago, statics, and the season.
    """
    arrays = Points.of(points, scaler.drivers, scaler.statics)
    level, away = scaler.inputs(arrays)[:, :2].transpose(1, 2, 3, 0)
    drivers = np.concatenate([level, away], axis=-1)
    statics = scaler.static_scores(arrays)[:, None]
    statics = np.broadcast_to(statics, (*drivers.shape[:2], statics.shape[-1]))
    before = np.zeros_like(drivers)
    before[:, 1:] = drivers[:, :-1]
    named = (*scaler.drivers * 4, *scaler.statics)
    columns = [group_of(n) for n in named] + ["season"] * 2
    blocks = [drivers, before, statics, season(points)]
    return np.concatenate(blocks, axis=-1, dtype=np.float64), columns


def group_weights(training: TrainingSet) -> dict[str, float]:
    """Share of each group in the error that a forest gains on left-out clusters when the group's columns are shuffled.

    Groups that gain nothing weigh nothing; where none does, or there is one cluster only, all weigh the same.
    """
    scaler = _scaler(training)
    features, columns = rows(training.samples, scaler)
    groups = sorted(set(columns) - {"season"})
    gain = np.zeros(len(groups))
    targets = training.targets
    random = np.random.default_rng(training.seed)
    for held in folds(training.samples["cluster"].values, FOLDS, training.seed):
        fit, look = targets.weight * ~held[:, None], targets.weight * held[:, None]
        if not (fit.any() and look.any()):
            continue
        forest = grow(features[fit > 0], targets.transformed[fit > 0], fit[fit > 0], training.seed)
        seen, weight, truth = features[look > 0], look[look > 0], targets.transformed[look > 0]
        for i, group in enumerate(groups):
            shuffled = seen.copy()
            mine = [c for c, name in enumerate(columns) if name == group]
            shuffled[:, mine] = seen[random.permutation(len(seen))][:, mine]
            worse = [(forest.predict(x) - truth) ** 2 for x in (shuffled, seen)]
            gain[i] += (weight * (worse[0] - worse[1])).sum()
    gain = np.maximum(gain, 0.0)
    share = gain / gain.sum() if gain.sum() > 0 else np.full(len(groups), 1 / len(groups))
    return dict(zip(groups, share.tolist(), strict=True))


class Forest(NamedTuple):
    """Extremely randomised trees."""

    trees: Any

    @property
    def leaves(self) -> int:
        """Number of leaves."""
        return sum(int(tree.get_n_leaves()) for tree in self.trees.estimators_)

    def predict(self, features: Floats) -> Floats:
        """Means (n) at features (n, columns)."""
        return np.asarray(self.trees.predict(features), dtype=np.float64)


def grow(features: Floats, target: Floats, weight: Floats, seed: int) -> Forest:
    """A forest of rows (n, columns) with weights (n)."""
    from sklearn.ensemble import ExtraTreesRegressor

    trees = ExtraTreesRegressor(
        TREES, min_samples_leaf=LEAF, max_features=0.5, random_state=seed % 2**32, n_jobs=1
    )
    return Forest(trees.fit(features, target, sample_weight=weight))


def folds(cluster: NDArray[np.integer], count: int, seed: int) -> list[NDArray[np.bool_]]:
    """Held-out sites (site) of each fold; a cluster is held out as a whole and once."""
    names = np.random.default_rng(seed).permutation(np.unique(cluster))
    return [np.isin(cluster, names[i::count]) for i in range(min(count, len(names)))]


class Relation(NamedTuple):
    """Spearman's rank correlation, its two-sided p value, and the number of sites behind it."""

    rho: float
    p: float
    n: int


def ced_against_skill(
    frame: pd.DataFrame,
    ced_by_site: Mapping[str, float],
    metric: Literal["r2", "nse"] = "r2",
) -> Relation:
    """How the distance of a held-out site goes with the skill there; the papers' claim is a negative correlation.

    Args:
        frame: Held-out months with columns site, measured_asinh and predicted_asinh.
        ced_by_site: Distance of each site from the set that it was predicted from.
        metric: Squared correlation or Nash-Sutcliffe efficiency of each site.

    Sites of fewer than six measured months, or whose skill is undefined, do not count; NaN for fewer than three sites.
    """
    from scipy.stats import spearmanr

    pairs = []
    for site, group in frame.groupby("site"):
        one = skill(group["measured_asinh"].to_numpy(), group["predicted_asinh"].to_numpy())
        away = float(ced_by_site.get(str(site), np.nan))
        value = float(getattr(one, metric))
        if one.n >= MONTHS and np.isfinite(away) and np.isfinite(value):
            pairs.append((away, value))
    table = np.array(pairs).reshape(-1, 2)
    if len(table) < 3 or (np.ptp(table, axis=0) == 0).any():
        return Relation(np.nan, np.nan, len(table))
    found = spearmanr(table[:, 0], table[:, 1])
    return Relation(float(found.statistic), float(found.pvalue), len(table))


def _scaler(training: TrainingSet) -> Scaler:
    names: tuple[Sequence[str], Sequence[str]] = predictor_names(training.samples, training.gas)
    return Scaler.fit(Points.of(training.samples, *names), *names)
